/**
 * What a sender does with a refusal. Two kinds exist: one that passes, after which the batch stays where it is and is sent again,
 * and one for good, after which the batch is kept aside and named. Both ends of a link read this one list, because a code that one
 * end calls passing and the other final would lose a batch. Append-only: a reader that does not know a passing code takes it as final.
 */

/** This hop has no room for the batch at the moment. The sender keeps it and tries later; nothing is lost by it. */
export const ROOM_CODES = [
	/** What waits for this agent here is at its bound. */
	"wal_full",
	/** What waits in this lane for all agents together is at the box's quota. */
	"lane_full",
	/** The file system under this hop is above the lane's watermark. */
	"disk_low",
] as const;
export type RoomCode = (typeof ROOM_CODES)[number];

const PASSING: ReadonlySet<string> = new Set([...ROOM_CODES, "skipped"]);

/** Whether a refusal of this code asks for patience: the batch is not to be moved on. */
export function isRoomCode(code: string): code is RoomCode {
	return (ROOM_CODES as readonly string[]).includes(code);
}

/** Whether the batch will be taken later, as it is: for want of room, or after the batches before it. */
export function isPassingCode(code: string): boolean {
	return PASSING.has(code);
}
