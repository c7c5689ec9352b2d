/** Bounds of the Durable Objects on the evidence path, each with its reason. Hitting one is answered by name, never in silence. */

import { MODEL_LIMITS } from "#core/model/limits.ts";
import { LINK_LIMITS, PARENT_LIMITS } from "#core/protocol/index.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

/** The bar is ten thousand agents on a proxy; who enrols more wants a second one. */
const AGENTS_MAX = 16_384;

export const CHANNEL_LIMITS = {
	/** Bulk data waiting at one hop for one agent: about a day of a busy host, so an outage upstream does not fill the disk. */
	bulkWalBytesMax: 256 * MIB,
	/** Trace and alert data may go on beyond it: they are small and worth more. */
	walBytesMax: 384 * MIB,
	/** Pages a drained proxy channel holds for nothing before its file is made anew: a few batches are not worth it. */
	compactBytesMin: 16 * MIB,
	/** The file's largest size is noted in steps of this: a note costs a write, and the rest is only less to reuse. */
	highMarkStepBytes: MIB,
	/**
	 * What was acknowledged here and refused above is evidence in custody: as many bytes are kept as may wait (`bulkWalBytesMax`), so that
	 * who refuses everything cannot have it thrown away.
	 */
	quarantineUpstreamRowsMax: 4096,
	/** Refused items of one agent kept for a person to look at, of those that came on its own link; the oldest go first. */
	quarantineRowsMax: 256,
	/** The same in bytes: about ten whole batches. */
	quarantineBytesMax: 16 * MIB,
	/**
	 * The same of what one relay brought in the agent's name: two whole batches at least. Each relay has its own, so that a captured one
	 * that has the agent's public proof pushes out nothing but its own.
	 */
	quarantineRelayRowsMax: 64,
	quarantineRelayBytesMax: 4 * MIB,
	/** What one relay says that hops below it keep: words, of a few hundred bytes each. */
	quarantineNotesMax: 64,
	/** Relays with rings of their own, twice what an agent's certificate can name; those that come later share one. */
	quarantineTellersMax: 32,
	/** Of one teller and cause so many are told one by one, and what follows within the interval in one count at its end. */
	quarantineToldEachMax: 4,
	quarantineSumMs: 60_000,
	/** Causes counted apart, for each teller: more than our own hops have. What follows is counted as one. */
	quarantineCausesMax: 32,
	/** Of one refused item: the largest batch and its frame; of a message beyond that the beginning is kept. */
	quarantineItemBytesMax: 1_600_000,
	/** Told in one go, and how long what nobody took waits until it is told again. */
	quarantineToldAtOnceMax: 32,
	quarantineRetryMs: 15_000,
	/** Commands waiting for one agent: each lives half an hour at most, so this is more than people can sign. */
	commandsMax: 64,
	/** Streams remembered per agent, the welcome's own bound: three lanes and twenty outbox resets. */
	streamsMax: 64,
	/** An alarm that has not come so long after its time will not come soon. */
	alarmLateMsMax: 2000,
	/** Streams that one link remembers having seen: four times what the channel keeps, against a host that makes one per batch. */
	seenStreamsMax: 256,
	/** The sender of a stream is asked no oftener for a batch that upstream waits for and this hop does not hold. */
	askAgainMs: 5000,
	/** Gap records of one agent that are remembered, to tell what will not come: one per stream that was sealed again, and some. */
	namedGapsMax: 512,
	/** Alarms not yet taken by the store: a host that forks its history at every batch must not fill the disk. */
	alarmsMax: 64,
	/** Unreadable frames in a row before the link is dropped: an honest sender makes none. */
	refusalsInRowMax: 16,
	/** One message of an agent: a batch and its frame. */
	messageBytesMax: MODEL_LIMITS.batchBytesMax + 65_536,
	/** One delivery to the store: keeps its transaction and the time to the next trace delivery short. */
	deliverBytesMax: 4 * MIB,
	deliverBatchesMax: 64,
	/** Deliveries of a channel that are rows and wait for their checkpoint: signing takes a few times as long as writing. */
	deliveriesAtOnce: 8,
	/** First and longest wait before a store that said no is asked again. */
	deliverBackoffMs: 250,
	deliverBackoffMsMax: 15_000,
	/**
	 * An alarm set before a delivery finds what waits again, should the process die meanwhile. It must come before the ten seconds are
	 * over after which the runtime takes an object without an event out of memory: a pump that waits for its turn would go with it.
	 */
	deliverGuardMs: 8_000,
	/** A stream refused for a hole this long raises an alarm: with the sender's longest pause within the 60 s of invariant I4. */
	holeAlarmMs: 40_000,
	/**
	 * What is said to wait on the way and of which nothing comes for so long is an alarm like what waits nowhere: full disks and outages
	 * that last longer are a person's business whoever is honest, and a proxy that dropped it would say the same.
	 */
	tailWaitMsMax: 60 * 60_000,
	/** While the way to the agent is lost that time stands still, but for so much: a shorter loss is told by nobody. */
	lostSightMsMax: 60_000,
	/** Streams watched for a lost tail: eight are named by one heartbeat. */
	tailsMax: 64,
	/** Waiting for the store longer than this is told to the watch: a healthy store takes a delivery within a second. */
	backlogToldMs: 2000,
	/**
	 * Bulk that waits for its group is committed at once from so much on: a quarter of what an agent has on the way without a receipt,
	 * so that a full pipe never waits for the clock.
	 */
	commitBytes: 512 * 1024,
	/** Longest `fsync_interval_ms` that is honoured: an agent waits that long for a receipt. */
	fsyncIntervalMsMax: 1000,
} as const;

/** How bulk of all agents shares the store (`store-turns.ts`). */
export const TURN_LIMITS = {
	/** Full deliveries of bulk on their way at the same time, or the same bytes in smaller ones: one is written while the next is verified. */
	bulkAtOnce: 3,
	/** A delivery counts as so much at least: its transaction may be others', its place in the ledger and its receipt are its own. */
	deliveryBytesMin: 8 * 1024,
	/** What one may take: a trace waits behind so many of them at most. */
	deliveryMs: 120,
	firstBytes: 512 * 1024,
	/** On a slow disk a smaller delivery takes as long: its commits and its checkpoint cost more than its rows. */
	leastBytes: 256 * 1024,
	/** The store has given up an answer long before: whoever holds a turn for so long is gone. */
	holdMsMax: 60_000,
	/** Channels in the queue: all agents of a Security Center's proxies may wait at once. */
	waitingMax: 65_536,
} as const;

/** The box as a whole, where the site's configuration (`disk`) says nothing else. */
export const DISK_LIMITS = {
	/** Share of the file system in use from which a lane is refused: bulk first, then alert, trace last. */
	usedPercentMax: { bulk: 85, alert: 90, trace: 95 },
	/**
	 * With so much free nothing is refused, whatever the share: 15 % of a large disk that others fill would be hundreds of gigabytes.
	 * Each is hours of its lane for a whole site, and what SQLite and the rest of the box want beside it.
	 */
	freeBytesEnough: { bulk: 8 * GIB, alert: 5 * GIB, trace: 2 * GIB },
	/** What may wait in a lane for all agents together: bulk is most of it; a day of traces of a busy site is far below. */
	waitingBytesMax: { bulk: 64 * GIB, alert: 8 * GIB, trace: 32 * GIB },
	/** A lane refused for the disk is taken again so far below its watermark: a share of the file system, or this much where less. */
	easePercent: 1,
	easeBytesMax: 512 * MIB,
	/** How often the supervisor is asked while batches come. What was written since is added to its answer. */
	readingIntervalMs: 1000,
	/** An older answer says nothing: then only the disk itself refuses. */
	readingMsMax: 30_000,
	/** Who waits for an answer waits no longer: it is a call within the box. */
	readingTimeoutMs: 2000,
} as const;

export const UPLINK_LIMITS = {
	/** Bytes sent upstream without a receipt: the bandwidth-delay product of 100 Mbit/s at 600 ms. */
	windowBytesMax: 8 * MIB,
	/** Of that, bulk leaves this much free, so a trace batch never waits for bulk receipts. */
	windowReserveBytes: 2 * MIB,
	/** Agents of one proxy, in memory and on disk: each is a few kilobytes of proof and route. */
	agentsMax: AGENTS_MAX,
	/** Streams whose lane is remembered, to pause the right one: 32 for each agent of a full proxy's first thousand. */
	streamsMax: 32_768,
	/** Receipts of one agent that wait for its channel: both levels of every stream that a channel keeps. */
	receiptsMax: 2 * CHANNEL_LIMITS.streamsMax,
	/** Commands from upstream that wait for their channels: more than a site's people sign in an hour. */
	commandsPending: { pendingBytesMax: 4 * MIB, pendingItemBytesMin: 4096 },
	/** Bulk on its way is never less (PIPE_LIMITS): two carriers, or upstream would be idle between two. */
	pipeBytesMin: MIB,
	/** All reads of one carrier: small enough that a trace batch waits behind one carrier only briefly. */
	readBytesMax: 512 * 1024,
	/** A carrier never exceeds the reader's cap less the framing of its list. */
	carrierBytesMax: LINK_LIMITS.carrierRawBytesMax - 65_536,
	/** Channels asked at once for one carrier. */
	readsAtOnceMax: 8,
	/** Every so many carriers the lowest waiting lane gets one, so bulk never starves. */
	floorEvery: 16,
	/** Challenge, upgrade and welcome must come within it. */
	connectTimeoutMs: 10_000,
	/** The same where another upstream waits for its turn. */
	tryTimeoutMs: PARENT_LIMITS.tryMsMax,
	/** Answer of the challenge: a nonce, a name and a path. */
	challengeBytesMax: 4096,
	/** Nothing heard from upstream for two beats: the link is dead, and noticed at the third, within 30 s. */
	silentMsMax: 20_000,
	/** An agent says how it is every few seconds; a session silent for so long is closed, at the next tick. */
	agentSilentMsMax: 20_000,
	/** States of agents are gathered for so long before they go up. */
	stateIntervalMs: 1000,
	/** Mere health of one agent goes up no oftener: with ten thousand agents every beat passed on would be the larger load. */
	healthIntervalMs: 9000,
	/** First and longest pause of a stream that upstream refuses for a hole. */
	holePauseMs: 1000,
	holePauseMsMax: 10_000,
	/** First and longest wait before an agent that upstream did not believe is shown to it again. */
	proofPauseMs: 30_000,
	proofPauseMsMax: 300_000,
	/** A batch without a receipt for so long was lost on the way: upstream commits within a second. */
	resendMs: 20_000,
	/** The object looks after itself and says that it lives this often, also when nobody calls. */
	tickMs: 10_000,
	/** An upstream message: trust documents are the largest. */
	messageBytesMax: LINK_LIMITS.frame.bytesMax,
} as const;

/** Bulk that was not looked at yet (`deferred-bulk.ts`). */
export const DEFER_LIMITS = {
	/** What all agents' bulk takes of one round of the event loop: six batches of a busy host, or one of each agent. */
	roundBytes: 128 * 1024,
	/** Of one agent: what it may have on the way in the bulk lane, twice. */
	channelBytesMax: 4 * MIB,
	/** Small ones cost more than their bytes. */
	itemsMax: 4096,
	/** Over all agents: memory that a proxy can spare. */
	bytesMax: 128 * MIB,
	/** A channel that took nothing for so long was reset: its turn comes with every round. */
	goneMs: 10_000,
} as const;

/** How fast bulk of other hops is taken while enough of it waits here (`bulk-pace.ts`). */
export const PACE_LIMITS = {
	/** Enough: seconds of what the way up takes, so that it is never without work. */
	enoughBytes: 16 * MIB,
	/** From then on: some 100 batches a second, a twentieth of a thread, and what a store takes on two cores. */
	bytesPerSecond: 2 * MIB,
	/** Half of the time after which what has no receipt is sent again. */
	waitMsMax: 10_000,
} as const;

export const PEER_LIMITS = {
	/** Bytes of carriers taken and not yet answered: four windows of an honest proxy. */
	pendingBytesMax: 32 * MIB,
	/** What one item of it costs at least: a flood of short frames is counted by its promises, not by its bytes. */
	pendingItemBytesMin: 1024,
	/** Agents proved on one link: what one proxy takes. */
	agentsMax: AGENTS_MAX,
	/** How often a link is asked whether it is still good: an expired certificate is noticed within five seconds. */
	checkMs: 4000,
	/** Nothing heard from a proxy for so long: its link is dead (it says something every ten seconds). */
	silentMsMax: 25_000,
	messageBytesMax: LINK_LIMITS.frame.bytesMax,
	/** Proxies of one Security Center. */
	peersMax: 1024,
	/** Proxies below one link whose health is passed on. */
	nestedMax: 256,
	/** One below that was not heard for so long gives its place to another: it says something every ten seconds. */
	nestedAgeMsMax: 120_000,
	/** Words of proxies of one link that wait to be judged: a full link tells all of its own at once when it is made anew. */
	wordsPending: { pendingBytesMax: 8 * MIB, pendingItemBytesMin: 4096 },
} as const;

/** When a node counts as silent at the Security Center, and what the watch may cost. A site's tests set shorter times. */
export const WATCH_LIMITS = {
	/** No heartbeat of an agent for so long, its proxies being up: thirty beats missed. */
	agentSilentMs: 60_000,
	/** A proxy says something every ten seconds. Less than an agent's time, so that its agents become unknown and not silent. */
	proxySilentMs: 45_000,
	/** How often the watch looks: an alarm comes at most this much later. */
	tickMs: 5000,
	/** What one question of a look may take, and how long a look goes on raising: then it is said, and the next one goes on. */
	lookMsMax: 10_000,
	/** Looks further apart than this were late: three ticks. */
	lookGapMsMax: 15_000,
	/** A proxy's next word waits so long for the one before to be written; it is heard all the same. */
	wordWriteMsMax: 2000,
	/** Proxies' words that are being written: those of every proxy of a Security Center, and of some ways to each. */
	wordsMax: 4096,
	/** Nodes of each kind whose last word is remembered; of others the store knows it. */
	heardMax: 65_536,
	/** How often the store is asked for who asks whether we are well. */
	healthMs: 1000,
	/** Alarms raised or cleared by one look; the next look goes on. Ten thousand agents that fall silent at once are one outage. */
	alarmsPerTickMax: 200,
	/** Agents whose backlog at the store is remembered one by one; more than that wait only when the store is down for all. */
	backlogAgentsMax: 20_000,
} as const;
