/** What the CBOR reader accepts at most; every field with its reason. */

export interface CborLimits {
	/** A whole object: no frame of ours is larger than one batch. */
	readonly bytesMax: number;
	/** Our deepest object is a batch's event payload list (6); DESIGN §6 fixes 16. */
	readonly depthMax: number;
	/** Items in all: bounds the memory that a decoded object may take beyond its own bytes. */
	readonly itemsMax: number;
}

export const CBOR_LIMITS: CborLimits = { bytesMax: 4 * 1024 * 1024, depthMax: 16, itemsMax: 400_000 };
