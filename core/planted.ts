/**
 * Bugs that are planted on purpose, to prove that the fault matrix (faults/) can fail. Code asks `globalThis.__PLANTED__ === "name"`
 * in place. Every bundle of the product defines that as "", so the comparison and what hangs on it are dropped from it; only the
 * fault matrix makes builds with a name. Must never be read from an environment or a file at run time, and must never be imported
 * by code of the product: the names would come along.
 */
export const PLANTED_BUGS = {
	ack_before_commit: "a hop receipts a batch before its log is written",
	chunk_dropped: "the agent opens its outbox without the newest segment and without any that is damaged",
	dedup_off: "a batch that comes again is taken and stored again",
	expiry_off: "a hop hands out commands after their time",
	flow_off: "senders ask for no credit: everything waiting is sent at once",
	fork_unseen: "other bytes under a known number pass as a repetition, and an old outbox goes on with its stream",
	fsync_off: "the agent's outbox never asks for an fsync",
	gap_code_off: "the agent makes no gap records",
	order_off: "a hop takes a batch behind a hole",
	refusal_untold: "a hop refuses without a word to the sender",
	retry_as_success: "a write that failed counts as done",
	silence_unseen: "nobody minds a silent link",
	time_window_dedup: "a batch that began more than an hour ago counts as a repetition",
} as const;

export type PlantedBug = keyof typeof PLANTED_BUGS;

declare global {
	/** Undefined where nothing was bundled: then no bug is planted either. */
	var __PLANTED__: PlantedBug | "" | undefined;
}
