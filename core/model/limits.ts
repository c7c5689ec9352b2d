/** Sizes of the vocabulary, each with its reason. */
export const MODEL_LIMITS = {
	/** A host name label plus a site is enough; ids stand in certificates, paths and URLs. */
	nodeIdLengthMax: 64,
	/** TS-YYYYMMDD-random; longer ids come from nobody. */
	traceIdLengthMax: 64,
	/** PATH_MAX of Linux. */
	pathLengthMax: 4096,
	/** procmond cuts argv at 16 KiB in all. */
	argumentLengthMax: 16_384,
	/** The cut above holds at most this many one-byte arguments that anyone reads. */
	argumentsMax: 1024,
	/** Names of environment variables that a policy may ask for. */
	environmentNamesMax: 32,
	/** Answers of one DNS message that are told; a UDP message holds few more. */
	dnsAnswersMax: 32,
	/** One page: the headers of an executable lie in it. */
	memoryHeaderBytesMax: 4096,
	/** One event's bytes: argv, two paths and the rest. */
	eventBytesMax: 64 * 1024,
	/** `batch_max_events` may not be set higher: one Merkle tree of 2^12. */
	batchEventsMax: 4096,
	/** One WebSocket message of workerd holds 32 MiB; a Durable Object row holds 2 MiB, which is the bound that binds. */
	batchBytesMax: 1_500_000,
	/** A sentence of a person: reasons, causes, names. */
	sentenceLengthMax: 500,
} as const;
