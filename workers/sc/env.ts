/** Everything the host binds to the Security Center's worker. No binding reaches beyond this machine. */
import type { ChannelEnv } from "../../durable/agent-channel.ts";
import type { DetectorFace } from "../../durable/detector.ts";
import type { AgentChannelFace, Namespace, PeerDirectoryFace, PeerLinkFace } from "../../durable/faces.ts";
import type { FeedFace } from "../../durable/feed.ts";
import type { LedgerEnv, LedgerFace } from "../../durable/ledger.ts";
import type { TraceDesk, TraceDeskEnv } from "../../durable/trace-desk.ts";
import type { WatchFace } from "../../durable/watch-face.ts";
import type { MetricsEnv } from "../edge/metrics-door.ts";
import type { SqlFetcher } from "./store/client.ts";

/** What the worker calls on the desk: its public methods. */
export type DeskFace = Pick<
	TraceDesk,
	| "state"
	| "trustDocuments"
	| "redeem"
	| "challenge"
	| "signIn"
	| "session"
	| "signOut"
	| "aliveSessions"
	| "submit"
	| "approve"
	| "tracesOf"
	| "observe"
	| "commands"
	| "trace"
	| "seals"
	| "actsOfTrace"
	| "act"
>;

export interface ScEnv extends ChannelEnv, LedgerEnv, TraceDeskEnv, MetricsEnv {
	readonly NODE_URI: string;
	readonly ENCLAVE: string;
	/** Base64 of the root certificate's DER. */
	readonly ROOT_CERT: string;
	/** Base64 of the root key's signature over genesis (trust/genesis.sig). */
	readonly GENESIS_SIGNATURE: string;
	/** The one origin from which a browser may write, as it stands in the Origin header. */
	readonly CONSOLE_ORIGIN: string;
	/** Version of this build, for packages. */
	readonly SOFTWARE_VERSION?: string;
	/** The built console: a disk service. */
	readonly CONSOLE: { fetch(request: Request): Promise<Response> };
	readonly SQLD: SqlFetcher;
	readonly SQLD_RW_TOKEN: string;
	readonly SQLD_RO_TOKEN: string;
	readonly AGENT_CHANNEL: Namespace<AgentChannelFace>;
	readonly PEER_LINK: Namespace<PeerLinkFace>;
	readonly PEER_DIRECTORY: Namespace<PeerDirectoryFace>;
	readonly LEDGER: Namespace<LedgerFace>;
	readonly TRACE_DESK: Namespace<DeskFace>;
	readonly DETECTOR: Namespace<DetectorFace>;
	readonly FEED: Namespace<FeedFace>;
	readonly FLEET_WATCH: Namespace<WatchFace>;
}
