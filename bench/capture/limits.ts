/** How much each part of the capture bench does, how often, and how long it waits; each with its reason. */
export const CAPTURE_LIMITS = {
	/** Pairs of a ratio: on a shared machine one pair says little, the median of eleven is stable to about a percent. */
	pairs: 11,
	/** Rounds that are tried for those pairs: one with a loss does not count, and one too many such is the result. */
	roundsMax: 15,
	/** Before the storms with our endpoint: a host's agent has run for days, this one was started a moment ago. */
	endpointWarmUpMs: 2000,
	/** One storm: some thousand programs, so that starting and ending it vanishes. */
	stormMs: 1000,
	/** Before each: code that runs for the first time is compiled, pages are mapped, and the CPU's clock has risen. */
	warmUpMs: 400,
	/** Between the storms of one to two spawners: what the first has left in queues is worked off. */
	betweenStormsMs: 1000,
	/** What a yardstick has not written by then, it has lost. */
	yardstickDrainMsMax: 5000,
	/** Programs of a storm that are not stored by then are lost. */
	drainMsMax: 60_000,
	/** An endpoint, an auditd or a bpftrace that has not started by then will not. */
	startMsMax: 30_000,
	/** After its first batch the endpoint still reads who runs, and the store still works. */
	endpointSettleMs: 2000,
	/** How often a count that is waited for is read. */
	pollMs: 100,

	/** The ramp to the first gap begins here, in events a second; far below any gap that was seen. */
	gapRateFirst: { collector: 40_000, endpoint: 8000 },
	/** What the next step is larger by. */
	gapRateFactor: 1.5,
	/** No program makes more events than that on the machines this was written on. */
	gapRateMax: 2_000_000,
	/** The collector's ring holds a tenth of a second of its worst; the agent's queues hold seconds, and must not hide a gap. */
	gapStepMs: { collector: 2000, endpoint: 5000 },
	gapRuns: 3,
	/** `stats` comes every second, and says what the second before has lost. */
	statsWaitMs: 2500,
	/** Counts of what was given up come every 5 s, and after them a `stats`. */
	shedWaitMs: 6500,
	/** A store into which nothing came for so long has everything: batches wait 250 ms, gap records a second. */
	quietMs: 2000,

	/** Calls of one timing: getppid as often as that, openat a tenth, connect a hundredth. */
	callsPerTiming: 100_000,

	lives: 1000,
	lifeMsMax: 50,
	/** Frames of the last exits; the poll of the slowest tier is a fifth of that. */
	livesDrainMs: 2000,
	/** The product's own poll interval, in a configuration we write. */
	pollTierMs: 200,

	sleepers: 10_000,
	snapshotRuns: 5,
	/** The start of this many processes, on two busy cores. */
	sleepersMsMax: 60_000,
	idleMs: 30_000,
	/** After the snapshot: its events are sealed, sent and stored, and the heap has been collected. */
	snapshotSettleMs: 15_000,
	/** Load that fills the look-back: as long as it looks back. */
	lookBackMs: 30_000,

	wireRuns: 3,
	wireMs: 10_000,
	wireExecsPerSecond: 200,
	wireConnectsPerSecond: 50,

	churnMinutes: 60,
	/** An hour of it is a million events: more would measure the store, not the endpoint. */
	churnPerSecond: 50,
	/** Heaps, caches and the look-back fill before growth means anything. */
	churnWarmUpMs: 60_000,
	churnSamplesPerMinute: 12,
} as const;
