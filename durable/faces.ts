/**
 * What the objects of the evidence path call on each other, by RPC. Plain interfaces over plain values: a namespace of the
 * runtime satisfies `Namespace<Face>`, and so does a test's map. Every method may fail with the callee; callers log and go on,
 * because each one is repeated by a reconnect, a tick or an alarm.
 */
import type { NodeProof } from "#core/identity/binding.ts";
import type { AgentStatus } from "#core/identity/hello.ts";
import type { Lane } from "#core/model/batch.ts";
import type { Health, LinkHealth } from "#core/protocol/index.ts";
import type { Result } from "#core/result.ts";
import type { AgentState, QuarantinedItem } from "./drain.ts";
import type { Stranger } from "./strangers.ts";

/** The one Uplink of a proxy and the one PeerDirectory of a Security Center. */
export const UPLINK_NAME = "uplink";
export const DIRECTORY_NAME = "peers";

export interface Namespace<Face> {
	getByName(name: string): Face;
}

export interface Depth {
	readonly batches: number;
	readonly bytes: number;
	/** When the oldest waiting batch was written; null when none waits. */
	readonly oldestMs: number | null;
}
export type LaneDepths = Readonly<Record<Lane, Depth>>;

/** One waiting batch on its way to the Uplink. `row` is its place in the WAL. */
export interface WalRow {
	readonly row: number;
	readonly stream: Uint8Array;
	readonly seq: number;
	readonly bytes: Uint8Array;
}

export interface Acknowledged {
	readonly stream: Uint8Array;
	readonly level: "a1" | "a2";
	readonly seq: number;
	/** a2 only: the proof of custody, passed on unread. */
	readonly custody?: string;
}

export interface Refusal {
	readonly code: string;
	readonly detail: string;
	readonly stream?: Uint8Array;
	readonly seq?: number;
}

/** Upstream could not reach an agent's channel for the moment; everything of the agent is sent again. */
export const CHANNEL_UNAVAILABLE = "channel_unavailable";

/** Code of a refusal that ends when the agent's proof has come once more. */
export const AGENT_UNPROVED = "agent_unproved";

export interface IngestAnswer {
	/** Highest durable sequence of every stream touched. */
	readonly receipts: readonly { readonly stream: Uint8Array; readonly seq: number }[];
	readonly refusals: readonly Refusal[];
}

export interface AgentRoute {
	/** From the agent up to this node's own door. */
	readonly hellos: readonly Uint8Array[];
	/** When each was made, by its maker's clock. */
	readonly timesMs: readonly number[];
}

/** An agent as a proxy reports it, its proof already verified by the PeerLink. */
export interface Arrival {
	readonly agent: string;
	readonly via: string;
	/** Names one link of `via`: news of an older one is ignored. */
	readonly linkId: string;
	readonly proof: NodeProof;
	readonly signingKey: Uint8Array;
	readonly notAfterMs: number;
	/** The verified way to the agent; without one the proxy brings evidence and gets nothing. */
	readonly route?: AgentRoute;
	readonly isUp: boolean;
	readonly status?: AgentStatus;
	readonly health?: Health;
	readonly heardAtMs: number;
	/** The same moment by this node's clock, where the way here was told. */
	readonly heardHereMs?: number;
	/** Lanes in which batches of the agent wait below; absent: not known. */
	readonly waiting?: readonly Lane[];
}

export interface Report {
	readonly agent: string;
	readonly via: string;
	readonly linkId: string;
	readonly isUp: boolean;
	readonly status?: AgentStatus;
	readonly health?: Health;
	readonly heardAtMs: number;
	readonly heardHereMs?: number;
	readonly waiting?: readonly Lane[];
}

export interface QueuedCommand {
	/** 16 bytes. */
	readonly commandId: Uint8Array;
	readonly envelope: Uint8Array;
	readonly expiresAtMs: number;
}
export type EnqueueCode = "agent_unknown" | "command_expired" | "command_queue_full";

export interface ChannelStats {
	readonly agent: string | null;
	/** Proxy the agent was last seen on; empty for a session of this hop's own. */
	readonly via: string | null;
	readonly isUp: boolean;
	readonly depths: LaneDepths;
	readonly commands: number;
	readonly quarantine: readonly QuarantinedItem[];
	readonly streams: readonly {
		readonly stream: Uint8Array;
		readonly lane: Lane;
		readonly a1: number;
		readonly a2: number;
	}[];
}

export interface AgentChannelFace {
	fetch(request: Request): Promise<Response>;
	/** From a PeerLink: the agent came on another link. */
	arrive(arrival: Arrival): Promise<void>;
	/** From a PeerLink: news of an agent that has arrived. */
	report(report: Report): Promise<void>;
	/** From a PeerLink that ended: nothing reaches the agent by it any more. */
	unlink(ended: Report): Promise<void>;
	/** From a PeerLink: batches that this proxy brought. */
	ingest(agent: string, batches: readonly Uint8Array[], broughtBy: string): Promise<IngestAnswer>;
	enqueueCommand(agent: string, command: QueuedCommand): Promise<Result<true, EnqueueCode>>;
	commandReceived(commandId: Uint8Array): Promise<void>;
	/** From the Uplink: waiting batches of a lane after a row, in the order they came; at least one if any waits. */
	read(lane: Lane, afterRow: number, bytesMax: number): Promise<{ rows: readonly WalRow[]; depths: LaneDepths }>;
	acked(receipts: readonly Acknowledged[]): Promise<LaneDepths>;
	refused(refusal: Refusal): Promise<LaneDepths>;
	/** From a PeerLink: a hop below put an item of the agent aside. */
	quarantinedBelow(item: QuarantinedItem): Promise<void>;
	/** Hands new trust documents to a live session. */
	pushTrust(documents: readonly Uint8Array[]): Promise<void>;
	/** Closes a session from which nothing was heard for so long. */
	closeSilent(silentMsMax: number): Promise<void>;
	stats(): Promise<ChannelStats>;
}

/** Who keeps the trust documents of a hop and knows who must get new ones. */
export interface TrustSource {
	/** A proxy came: remembered for broadcasts; answers the documents after genesis, oldest first. */
	joinPeer(peer: string): Promise<readonly Uint8Array[]>;
}

/** How a proxy below is, as its parent sees it. */
export interface ProxyState {
	readonly proxy: string;
	/** Its parent; empty for this node itself. */
	readonly via: string;
	readonly isUp: boolean;
	/** When the parent heard it, by this node's clock. */
	readonly heardHereMs: number;
	/** The proxy's clock less its parent's, and by how much that may be off: the fastest round trip. */
	readonly clock?: { readonly offsetMs: number; readonly boundMs: number | null };
	/** What the proxy itself says, signed by it where `word` is there. */
	readonly link?: LinkHealth;
	/** Its signed word, verified and verbatim, and the number by which a newer one is known. */
	readonly word?: { readonly bytes: Uint8Array; readonly number: number };
	/** The proxy that brought the news to this node: the one itself where it is linked here. */
	readonly broughtBy: string;
}

/** What a linked proxy told of proxies and was not shown to be their own word. */
export interface RefusedWords {
	/** Who told. */
	readonly peer: string;
	/** Of whom, and why it was refused: the newest of them. */
	readonly proxy: string;
	readonly code: string;
	/** How many since the last report. */
	readonly words: number;
}

/** Who keeps the health of the proxies below a hop. A call that fails is logged: the next heartbeat says it again. */
export interface ProxyWatch {
	proxyState(state: ProxyState): Promise<void>;
	/** A proved node was turned away for its protocol version. */
	strangerCame(stranger: Stranger): Promise<void>;
	wordsRefused(refused: RefusedWords): Promise<void>;
}

/** The Security Center's one FleetWatch. */
export const WATCH_NAME = "fleet";

/** What a proxy tells upstream of an agent that came. */
export interface AgentNews {
	readonly agent: string;
	/** `nodeProofShape`, encoded. */
	readonly proof: Uint8Array;
	/** `routeShape`, encoded: how the agent came here; an empty list if nobody knows. */
	readonly route: Uint8Array;
	/** `agentStatusShape`, encoded. */
	readonly status: Uint8Array | null;
	readonly heardAtMs: number;
	readonly isUp: boolean;
}

export interface UplinkFace extends TrustSource, ProxyWatch {
	/** Before any batch of an agent is acknowledged: from now on its backlog is found after a crash. Answers the trust documents. */
	register(news: AgentNews): Promise<readonly Uint8Array[]>;
	/** False: it knows no such agent (it lost its memory and let go of one that was silent), who has to be registered again. */
	agentState(state: Omit<AgentState, "proof" | "via">): Promise<boolean>;
	backlog(agent: string, depths: LaneDepths): Promise<void>;
	commandReceived(agent: string, commandId: Uint8Array): Promise<void>;
	/** What a proxy below has above it: this node first. */
	path(): Promise<readonly string[]>;
	/** Tells upstream what was put aside here or below; false while the link is down. */
	quarantined(agent: string, items: readonly QuarantinedItem[]): Promise<boolean>;
	/** Wakes the object; answers how it is. */
	health(): Promise<UplinkHealth>;
}

export interface UplinkHealth {
	readonly isUp: boolean;
	/** Linked, and the path leads to a Security Center: only then does evidence go up. */
	readonly isForwarding: boolean;
	/** In use, or tried next. */
	readonly upstream: string;
	/** All, in order of preference. */
	readonly upstreams: readonly string[];
	/** This node and those above it. */
	readonly path: readonly string[];
	readonly sinceMs: number;
	/** Why the link is down, or was last. */
	readonly lastError: string | null;
	readonly agents: number;
	readonly agentsUp: number;
	readonly lanes: LaneDepths;
	readonly walBytes: number;
	/** Age of the oldest batch that upstream has not acknowledged. */
	readonly lagMs: number;
	readonly unackedBytes: number;
	/** What of `unackedBytes` the window allows. */
	readonly windowBytes: number;
	/** Links opened since start, less the first. */
	readonly reconnects: number;
	/** Fastest answer to the newest heartbeats; null until one came. */
	readonly roundTripMs: number | null;
	/** Nodes turned away because they speak another protocol. */
	readonly strangers: readonly Stranger[];
	/** Words of proxies below that were refused since start. */
	readonly refusedWords: number;
	/** Version of the protocol this node speaks. */
	readonly protocol: number;
	/** The clock by which the ages were made. */
	readonly timeMs: number;
}

export interface PeerLinkFace {
	fetch(request: Request): Promise<Response>;
	/** Sends an encoded frame down; false when the proxy is not connected. */
	sendDown(frame: Uint8Array): Promise<boolean>;
	/** Tells the proxy what it has above it from now on, this node first. */
	pathChanged(path: readonly string[]): Promise<void>;
	/** Whether this link of the proxy still stands. */
	isLive(linkId: string): Promise<boolean>;
}

export interface PeerDirectoryFace extends TrustSource {
	/** Stores the documents after genesis (oldest first) and sends them to every connected proxy. */
	publishTrust(documents: readonly Uint8Array[]): Promise<void>;
	peers(): Promise<readonly { readonly id: string; readonly joinedAtMs: number }[]>;
}
