/** How much each bench sends, how often, and how long it waits; each with its reason. */
export const BENCH_LIMITS = {
	/** Batches of one throughput run: large enough that start and end vanish, small enough for five runs in a few minutes. */
	batchesPerRun: 50,
	/** What an agent's `batch_max_events` is in the configurations we write. */
	eventsPerBatch: 2000,
	/** Runs of a measurement that takes seconds. */
	shortRuns: 5,
	/** Runs of a measurement that takes half a minute. */
	longRuns: 3,
	/** The store is asked this often for its newest row: a thousandth of a run. */
	rowPollMs: 10,
	/** Tables and the first events of a fresh enclave: a cold start on two busy cores took 8 s. */
	readyMsMax: 60_000,
	/** Challenge, TLS and welcome of a load: a fresh box answers within a second. */
	linkMsMax: 15_000,
	/** A run that has not arrived by then has lost something. */
	arrivalMsMax: 120_000,
	/** Programs a traced shell starts per second: each gives a fork, an exec, an exit and some file events. */
	tracedCommandsPerSecond: 10,
	/** One latency run: more than 500 trace events at the rate above. */
	latencyRunMs: 12_000,
	/** Trace events one latency run must bring to count. */
	latencyEventsMin: 500,
	/** Stragglers of a latency run are waited for this long. */
	latencyDrainMs: 3000,
	/** The agent's start-up work and its snapshot of /proc are over by then. */
	settleMs: 10_000,
	/** One idle or load interval: long enough that a CPU tick of 10 ms is a thirtieth of a percent. */
	footprintRunMs: 30_000,
	execsPerSecond: 500,
	/** A load interval that fell behind, because something else took the machine, is measured again this often. */
	loadAttemptsMax: 4,
	/** How often the resident set is read within an interval. */
	footprintSampleMs: 1000,
} as const;
