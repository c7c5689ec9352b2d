/** Names and limits of the Security Center's own objects, apart from their classes so that any runtime can read them. */

/** The one object of each kind that an enclave has. */
export const OBJECT_NAMES = { ledger: "ledger", desk: "desk", detector: "detector", feed: "feed" } as const;

export const DESK_LIMITS = {
	sessionIdleMs: 15 * 60_000,
	sessionAgeMs: 12 * 3_600_000,
	/** Refusals of strangers that get a leaf: enough to see an attack, too few to fill a disk. */
	strangerLeavesPerMinute: 30,
	/** An agent's answer travels up the tree after the command's own expiry. */
	answerGraceMs: 60_000,
	/** Commands answered in one list. */
	commandsListed: 500,
} as const;
