/** How much the benches of the tree send, how often, and how long they wait; each with its reason. */
import { AGENT_LIMITS } from "../../agent/limits.ts";

const KIB = 1024;

export const TREE_LIMITS = {
	/** About 20 KB sealed, as the goals are told: a second or two of a busy host. */
	eventsPerBatch: 125,
	/** Agents of the three throughput measurements. */
	agentCounts: [1, 50, 1000],
	/** Batches of one timed run: some seconds of a proxy, so that start and end vanish. */
	batchesPerRun: 3000,
	/** A yardstick that is this much faster gets the same payloads so many times over, or its run would be too short to time. */
	yardstickRepeats: 3,
	/** Batches of a run that goes on to the store, which takes a tenth of what a proxy takes. */
	storedBatches: 500,
	runs: 3,
	/** What an agent has on the way unacknowledged in the bulk lane; the yardsticks' connections have the same. */
	windowBytes: AGENT_LIMITS.windowBulkBytesMax,
	/** Connections that a load opens at the same time: more only queue at the handshake. */
	connectsAtOnce: 64,
	/** A load that is not acknowledged by then has met something else than slowness. */
	runMsMax: 120_000,
	/** Sealing thousands of batches, or opening a thousand links, on two busy cores. */
	readyMsMax: 90_000,
	/** The two programs of the yardsticks answer within a second. */
	serverReadyMs: 10_000,
	/** How long linked agents are watched doing nothing: five heartbeats of each. */
	idleMs: 10_000,
	/** Agents of the reconnect storm. */
	stormAgents: 1000,
	/** Agents whose traces are timed, and how often each sends one event: a trace in progress on a few hosts. */
	probeAgents: 4,
	probesPerSecond: 10,
	probeSeconds: 12,
	/** Agents that bring the backlog; the first of them are the probed ones. */
	backlogAgents: 50,
	/** Where nobody asks for more: some fifteen seconds of a store; `--backlog-mb 1000` is the figure of the goal. */
	backlogMbDefault: 200,
	/** Sealed and sent in pieces of this: the generator holds one at a time. */
	backlogPieceBatches: 5000,
	/** Batches a second that are ten times what the store takes of them on two cores. */
	overloadPerSecond: 1000,
	/** Commands timed one after the other; the 99th percentile of so few is nearly the slowest. */
	commands: 30,
	/** A command that is not there by then is lost. */
	commandMsMax: 15_000,
	/** How often the store is asked for new rows while traces are timed: it is added to what is measured. */
	rowPollMs: 5,
	/** After the last event left, so long is waited for its row. */
	rowMsMax: 60_000,
	/** How often a paced load sends what is due. */
	paceMs: 10,
	/** How often a waiting bench looks again. */
	pollMs: 20,
	/** Raw fsync: one record of a batch's size each, for so long. */
	fsyncMs: 1500,
	fsyncBytes: 20 * KIB,
} as const;

export const CROWD_LIMITS = {
	/** Agents that the bench tries to link where nobody says otherwise. */
	agents: 10_000,
	/** They come in steps, and each step is judged. */
	stepAgents: 500,
	/** How long the last step is held. */
	minutes: 10,
	/** One event a second each, gathered so long: the site's `batch_max_ms` where a proxy has thousands of agents. */
	gatherMs: 5000,
	eventsPerBatch: 5,
	/** Half an hour of one agent. */
	batchesMax: 360,
	/** How often those whose turn it is send. */
	tickMs: 50,
	connectsAtOnce: 32,
	/** A step that links no faster is a limit met. */
	stepMsMax: 180_000,
	/** After a step is linked, before it is judged: what queued behind the handshakes is done. */
	settleMs: 5000,
	/** How long a step is watched, and how often one that is held. */
	watchMs: 10_000,
	/** An A1 that takes longer is a proxy that does not keep up: a second over the group commit. */
	ackP99MsMax: 2000,
	/** Of what was sent, what must have been acknowledged in the same time. */
	takenShareMin: 0.95,
	/** Descriptors of the proxy for each agent: its socket and its channel's files. */
	descriptorsPerAgent: 4,
	/** What a proxy has open without agents, and the handshakes of a moment. */
	descriptorsOfProxy: 400,
} as const;
