/** Bounds of the fault matrix, each with its reason. They say how a row of the plan is shortened, so they are not hidden in code. */
const MIB = 1024 * 1024;

export const FAULT_LIMITS = {
	/** A whole enclave starts within it, also on two busy cores. */
	startMsMax: 60_000,
	/** After the last fault everything must be in custody within it: agent and proxy wait at most 30 s between two attempts. */
	settleMsMax: 75_000,
	/** What comes later than this is not waited for, however steadily it comes: a row must end. */
	drainMsMax: 240_000,
	/** How often the store is asked meanwhile. */
	settlePollMs: 250,
	/** A killed agent has its outbox open again within it (row 1 asks for it). */
	agentRestartMsMax: 2000,
	/** An agent's outbox in a row that does not fill it. */
	outboxBytesMax: 256 * MIB,
	/** A reordering wire lets go of what it holds after so long, so that the last batches arrive. */
	reorderHoldMs: 50,
	/** Highest N of "at every Nth call": the workload makes fewer calls of each kind than this at an agent. */
	killsMax: 60,
	/** Which calls kill a hop, counted from an attach: its process starts slowly, so not each one. */
	hopKillsAt: [1, 3, 20],
	/** What a hop lives between two kills at least: a crash in the middle of work, not one at every start. */
	lifeBetweenKillsMs: 1500,
	/** Between two kills everything must come through within it: the longest backoff and a delivery. */
	betweenKillsMsMax: 45_000,
	/** Nothing new in the store for so long: what is missing then does not come. */
	stuckMsMax: 35_000,
	/** Room left on a disk that is called full: less than one segment or one page of a log. */
	fullDiskSlackBytes: 64 * 1024,
	fillTriesMax: 8,
	/** Of a small disk: far more than a box makes files, few enough to be taken in a moment. */
	smallDiskInodes: 2000,
	/** How long it stays full after the feed. */
	fullDiskMs: 1500,
	/** The return path is dead for so long; less than the 30 s after which an agent gives a silent link up. */
	deadReturnMs: 12_000,
	/** Framing, heartbeats and the batch that overshoots a window. */
	windowSlackBytes: 2 * MIB,
	/** Of each side of row 27 (hours in the plan). */
	partitionMs: 20_000,
	/** The live rate of row 27 in each lane: 1,500 events a second, as a host makes that starts 500 programs a second, in the agent's own batches. */
	partitionEvents: 125,
	partitionEveryMs: 250,
	/** How much faster than it came the backlog of a partition must drain (row 27). */
	drainRatioMin: 3,
	/** Cycles of row 28, about two seconds each. */
	flaps: 5,
	/** The Security Center stands still for so long, then runs a tenth of the time for so many half seconds. */
	centerStillMs: 3000,
	slowCycles: 12,
	/** What must wait at the proxy meanwhile, or the row tries nothing. */
	backlogBytesMin: 12 * MIB,
	/** The uplink's window and one carrier above it. */
	unackedBytesMax: 10 * MIB,
	/** Life of the command that ends while its agent is away. */
	briefCommandMs: 3000,
	/** The desk waits a minute for a late answer before it calls a command expired. */
	expiryRecordedMsMax: 75_000,
	/** The agent loses its power at this fdatasync of each life; odd ones with a hop, even ones without. */
	powerLossAt: [1, 2, 3, 4, 5, 8, 9, 14, 15, 26],
	/** A life that is cut at its writes (rows 7 and 8): a batch of each lane per round, further apart than a group commit. */
	crashRounds: 8,
	crashRoundMs: 120,
	/** Then bulk, so that SQLite takes its log of 1,000 pages in and begins it anew. */
	crashBulkBytes: 100_000,
	crashBulkBatches: 48,
	/** At the Security Center as a whole, where each image is a start of three processes. */
	crashStoreBatches: 10,
	/** Calls of a life at which its images are read, on which a hop is started, on which all of the Security Center is. */
	crashReads: 240,
	crashStarts: 20,
	crashCenters: 14,
	crashAckMsMax: 15_000,
	/** Each that is broken costs the longest wait there is: after so many nothing more can be learnt. */
	crashViolationsMax: 3,
	/** The store is whole again within it after a start: a channel that nobody comes to wakes by itself every 30 s, and replays. */
	crashReplayMsMax: 45_000,
	/** Row 40 (24 h in the plan). */
	soakMinutes: 5,
	/** The store stands still for so long and runs for so long, so that twice what it takes can be made beside it on two cores. */
	soakStoreStillMs: 475,
	soakStoreRunsMs: 25,
	/** What its rate is measured by. */
	soakBurstBatches: 30,
	soakEveryMs: 250,
	/** A kill every second and up to so much more. */
	soakKillEveryMs: 5000,
	/** What waits at the end goes through a store that is slow no more. */
	soakSettleMsMax: 600_000,
	/** Of any process: window, carriers, the store's cache and V8's own ups and downs. */
	soakRssBytesMax: 768 * MIB,
	/** Of any process of a box with two agents. */
	soakDescriptorsMax: 200,
	/** A preferred proxy is asked this often, and taken back when it was well for so long and up to twice that. */
	probeMs: 300,
	stableMs: 1000,
	failovers: 3,
	/** An agent whose proxy died is at the next one within it (row 29). */
	failoverMsMax: 10_000,
	/** Back at the preferred one: its start, what is stable, and the probes. */
	returnMsMax: 20_000,
	dayMs: 86_400_000,
	/** A clock that swings by so much on either side, every second. */
	strobeMs: 4 * 60_000,
	/** A process cannot open or write for so long after the feed (row 15). */
	refusedCallsMs: 700,
	/** Longer than the proxy's group commit: what was fed is acknowledged by then. */
	acknowledgedMs: 1000,
	/** Of each 200 ms the proxy runs 15: bulk comes faster than it takes any. */
	throttledMs: 185,
	unthrottledMs: 15,
	/** The smallest outbox there is: it overflows within seconds. */
	smallOutboxBytes: 8 * MIB,
	/** Trace p99 from held to custody while all this goes on (row 33). */
	overloadTraceMsMax: 2000,
	/** Row 34 (10 GB in the plan): about 100 MB at the proxy. */
	backlogRounds: 350,
	/** 700,000 events through one store. */
	backlogSettleMsMax: 180_000,
	/** So much must wait when the command is sent, or the row tries nothing. */
	commandBacklogBytesMin: 4 * MIB,
	/** A second for each of the two hops. */
	commandMsMax: 2000,
	/** A trace goes up past the backlog: sooner than that leaves the proxy (2 s), or the order of lanes would not show. */
	backlogTraceMsMax: 1500,
	/** Kills at random of one run (1,000 in the plan). */
	randomKills: 40,
	/** Who stands still for how long (60 s in the plan). The signer's caller waits 10 s for it. */
	stops: [
		{ name: "px-1", ms: 3000 },
		{ name: "sc", ms: 3000 },
		{ name: "sqld", ms: 3000 },
		{ name: "agent", ms: 3000 },
		{ name: "signer", ms: 12_000 },
	],
	/** What a proxy's memory may grow by while its upstream stands still: its window, carriers and V8's own ups and downs. */
	rssGrowthBytesMax: 256 * MIB,
	/** A link goes on this long after a half-open connection was made: three silent pings of 10 s, and the longest backoff. */
	halfOpenMsMax: 75_000,
	/** No stall after a partition healed is longer (row 28): the longest backoff is 30 s. */
	healMsMax: 35_000,
} as const;
