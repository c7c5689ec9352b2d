/**
 * The limits of the agent, each with its reason. Hitting one is counted or becomes an event: loss is data. The agent runs on a
 * heap of 64 MiB beside other people's work, so every list has its bound here.
 */

const MIB = 1024 * 1024;

export const AGENT_LIMITS = {
	/** Certificates, keys, trust documents: the largest is a trust document of 256 operators and a full capture policy. */
	identityFileBytesMax: 256 * 1024,

	/** CPUs that procmond numbers; Linux itself ends at 8192. */
	cpusMax: 8192,
	/** Twice what one round of procmond's reading takes: a frame overtaken on another CPU comes within it. */
	reorderWindowMs: 20,
	/** Frames in the window; a storm of 3,000 a second holds 60. */
	reorderFramesMax: 4096,
	/** How many numbers of one CPU may pass before a missing one is called missing: interrupts invert a few, never this many. */
	reorderNumbersMax: 256,
	/** The same in time, for a CPU that falls silent behind the hole. */
	reorderWaitMs: 1000,
	/** A head in `stats` may run ahead of frames still in the ring; they are drained every 25 ms. */
	headGraceMs: 1500,
	/** Open holes of one CPU; one more names the oldest at once. */
	holesPerCpuMax: 1024,
	/** procmond answers a trace_add after walking /proc; 10,000 processes took well under a second. */
	traceAnswerMs: 5000,
	/** Frames to procmond that its socket has not taken: it stopped reading, and the link is dropped. */
	collectorBacklogBytesMax: MIB,

	/** Processes in the table, live and dead: 160 bytes each outside the heap, twice the size of a busy host. */
	processesMax: 24_576,
	/**
	 * Dead processes with at most one entry below them that are still remembered, so that a late event finds its process and a
	 * trace shows them. Those with more are fewer than the living and these together: 10,240 living fit the table at the worst.
	 */
	deadProcessesMax: 2048,
	/** Links that are walked upwards to see that no process becomes its own ancestor; a deeper lineage is not joined then. */
	ancestryWalkMax: 4096,
	/** Cgroups whose path is known: a dense host runs a few hundred containers of a few units each; about 300 bytes each. */
	cgroupsMax: 4096,
	/** Distinct programs, names and terminals that processes share one copy of. */
	pooledTextsMax: 8192,

	/** Attacks on the collector that are told in a second: a loop of kill() must not push everything else off the disk. */
	tamperEventsPerSecMax: 20,
	/** The same of attempts that the kernel refused to a user, which any user can make; procmond tells each user's once a minute. */
	refusedTamperEventsPerSecMax: 5,

	/** Traces at a time over all roots: procmond has this many slots. */
	traceSlotsMax: 64,
	/** Events of one trace before it is sealed with the cause `event_limit`: an hour at 277 a second. */
	traceEventsMax: 1_000_000,
	/** How often events above a ceiling become a gap record. */
	rateGapMs: 1000,
	/** A lineage without a living process is over after this long; a child may still be on its way through the ring. */
	lineageGoneMs: 10_000,
	/** Members of one trace: the oldest dead makes room for a new child; when all live, children are cut, told in a gap record. */
	traceMembersMax: 8192,
	/** How often cut children become a gap record. */
	traceCutGapMs: 1000,
	/** Command ids remembered until they expire (30 minutes) and a day longer: a flood of signed commands comes from nobody. */
	seenCommandsMax: 4096,
	/** Kept beyond expiry, so that a clock set back does not open the door again. */
	seenCommandsKeepMs: 24 * 3_600_000,
	/** Refusals that become events in a minute; more are counted only, so a captured proxy cannot fill the alert lane. */
	refusalEventsPerMinuteMax: 60,

	/** Trace and alert events wait at most this long before they are on disk (DESIGN §6). */
	promptFlushMs: 10,
	/** The shortest time a bulk batch gathers, when the host was quiet: the window in which late frames are put in order. */
	bulkFlushMsMin: 20,
	/** By how much the next batch gathers longer while they follow each other: 20, 100, 250 ms by the default `batch_max_ms`. */
	bulkFlushGrowth: 5,
	/** A host is quiet when no bulk batch was stored for so long; sooner again and a host of small bursts would pay for many batches. */
	bulkQuietMs: 1000,
	/** Bytes of events that wait in one lane before a flush is due anyway. */
	pendingBytesMax: MIB,
	/** Events that wait in one lane while the disk takes nothing; more are shed with a gap record. */
	pendingEventsMax: 4096,
	/** How often a disk that was full is tried again. */
	diskRetryMs: 1000,

	/** One segment: the unit of eviction; a sixteenth of the outbox when that is smaller. */
	segmentBytesMax: 8 * MIB,
	segmentBytesMin: 256 * 1024,
	/** Smallest outbox that still holds a batch of every lane and what eviction needs. */
	outboxBytesMin: 8 * MIB,
	/** How often progress of receipts is written; until then a restart sends again, which is harmless. */
	ackPersistMs: 5000,
	/** What a header, two hashes and the framing of a batch take beside its events. */
	batchOverheadBytes: 8192,

	/** Batches sent and not yet receipted: what a link of 100 ms at 300 Mbit/s holds. */
	windowBytesMax: 4 * MIB,
	/** The bulk lane's share of it, so that a trace never waits behind a backlog. */
	windowBulkBytesMax: 2 * MIB,
	/** Bulk may have so much on its way however late receipts come (PIPE_LIMITS): half of what a hop commits at once. */
	windowBulkBytesMin: 256 * 1024,
	/** Our hop's own limit on one message is larger; what we accept from it is not. */
	linkMessageBytesMax: 5 * MIB,
	/** The challenge is a small JSON object. */
	challengeBytesMax: 4096,
	connectTimeoutMs: 10_000,
	/** Loading and attaching took 0.2 s on two busy cores; past this the link starts and says that the collector is silent. */
	collectorWaitMs: 5000,
	heartbeatMs: 2000,
	/** Ping interval; a link without any sign of life for three of them is half open and is dropped: within 30 s. */
	pingMs: 10_000,
	/** After a refusal that may pass (a full disk upstream), sending in that stream rests this long. */
	rejectRestMs: 2000,
	/** It doubles with each refusal in a row up to this: a hop that has room again is found within it. */
	rejectRestMsMax: 30_000,
	/**
	 * Batches without a receipt for so long on a link that lives are sent again: longer than a hop's slowest commit, short enough that
	 * a loss on the way is mended before a gap is called (60 s).
	 */
	resendMs: 15_000,
	/** Times a stream goes back to where the hop says before its batches are sealed again in a new one. */
	rewindsMax: 5,
	/**
	 * Trace and alert batches that a hop refused for good and that are kept all the same, each as the end of its own stream. Fewer than
	 * the refusals in a row for which a hop drops the link; a stream whose batch finds no place rests as at a hop without room.
	 */
	refusedKeptMax: 8,
	/** A kept batch is shown to the hop that refused it again after this long, and twice as long each time, to once an hour. */
	refusedRestMs: 60_000,
	refusedRestMsMax: 3_600_000,
	/**
	 * Streams of a lane sealed again at a hop's word, and how soon one more may be: an old disk put back has a dozen streams to a lane,
	 * a hop that lies costs a copy of two segments every ten minutes.
	 */
	resealsMax: 32,
	resealRefillMs: 600_000,
	/** A stream that may not be sealed again yet asks again after this long. */
	resealRestMs: 30_000,
	/** Clocks that differ by more are worth a log line: the hop takes the evidence, and who reads its times must know. */
	clockSkewMsMax: 10 * 60_000,
	/** After a stop, which seals and syncs before it returns: what the link still holds gets this long to leave the socket. */
	stopGraceMs: 200,
} as const;
