/** What a link carries at most, each with its reason. */
export const LINK_LIMITS = {
	/** A command is a few hundred bytes and up to 16 signatures. */
	commandBytesMax: 20_000,
	/** One carrier before compression: bounds what inflating may cost a Security Center. */
	carrierRawBytesMax: 4 * 1024 * 1024,
	/** Small batches of many agents share a carrier. */
	carrierBatchesMax: 1024,
	/** Versions after genesis that a link hands over. */
	trustDocumentsMax: 64,
	/** Node ids of eight hops with what stands between them. */
	hopPathLengthMax: 600,
	/** Why a link ended, in a sentence or two. */
	lastErrorCharsMax: 300,
	/** Nodes of another protocol that a proxy names upstream: enough to see which side was forgotten. */
	strangersMax: 8,
	/** A proxy's signed word: two certificates of 8 KiB at most, the binding, and the payload (`proxy-word.ts`). */
	proxyWordBytesMax: 26_000,
	/** A measured time: what a store adds to it must stay an exact number. */
	durationMsMax: 0x7fff_ffff,
	/** Refused items that one frame counts: what is beyond it nobody needs to know exactly, and sums stay exact numbers. */
	keptCountMax: 1_000_000,
	/** The largest frame: a carrier that did not compress, or a batch. */
	frame: { bytesMax: 4 * 1024 * 1024 + 65_536, depthMax: 16, itemsMax: 100_000 },
} as const;

/** How deep a sender fills the pipe with bulk (`pipe-depth.ts`), within its window. */
export const PIPE_LIMITS = {
	/** What a trace may find ahead of it at the next hop, in time. */
	queuedMs: 80,
	/** Per receipt that came in time. */
	growBytes: 32 * 1024,
	/** Per round whose receipts came late. */
	shrinkTo: 0.7,
	/** A line's own time is the shortest of one to two of these. */
	intervalMs: 30_000,
	/** A longer wait is a lost batch or a clock. */
	waitMsMax: 60_000,
} as const;
