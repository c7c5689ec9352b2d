/**
 * What the console's routes answer, as JSON. Bytes are lower-case hex, times milliseconds of UTC unless the name says `Ns`
 * (decimal text of a 64-bit number). Every answer that lists evidence carries `completeness`. Types only: nothing here runs.
 */
import type { Lane } from "#core/model/batch.ts";
import type { EventKind, GapScope, SourceTier } from "#core/model/event.ts";
import type { Role } from "#core/trust/trust-document.ts";

export type NodeState = "alive" | "silent" | "unknown";

/** RFC 9457. `code` is a member of the route's closed union. */
export interface Problem {
	type: string;
	title: string;
	status: number;
	code: string;
	detail: string;
}

/** GET /api/session → who the cookie is, or what the visitor can do next. */
export interface SessionAnswer {
	enclave: string;
	mode: "solo" | "two_person";
	trustVersion: number;
	/** True until every invitation of genesis is redeemed: no command can be signed yet. */
	isAwaitingOperators: boolean;
	operator: { id: string; name: string; roles: Role[] } | null;
	/** For the trace form. */
	ceilings: { depthMax: number; durationSecsMax: number; approvals: number };
	serverTimeMs: number;
}

/**
 * POST /api/invitations/redeem {token, publicKey, signature}: pins the key into trust version 1. `signature` is Ed25519 over
 * DSSE PAE(signIn, utf8(token)). When the last invitation is redeemed, version 1 is signed and sent down the tree.
 * POST /api/session/challenge {publicKey} → ChallengeAnswer; POST /api/session {publicKey, challenge, signature over
 * PAE(signIn, challenge bytes)} → SessionAnswer and sets the cookie; DELETE /api/session → 204 and ends it. Keys, challenges and
 * signatures are hex. Refusals of every route are a Problem (application/problem+json); 401 `session_missing` means: sign in.
 */
export interface ChallengeAnswer {
	challenge: string;
	expiresAtMs: number;
}

export interface RedeemAnswer {
	operatorId: string;
	isTrustComplete: boolean;
	trustVersion: number;
}

/** GET /api/fleet */
export interface FleetAnswer {
	nodes: FleetNode[];
	/** What waits at the Security Center for its store, by lane; lanes in which nothing waits are absent. */
	storeLanes: FleetLane[];
	/** Nodes that were turned away because they speak another version of the protocol. */
	strangers: { node: string; protocol: number; at: string; atMs: number }[];
	/** What proxies told of others and was not shown to be those others' own word, since the watch began. */
	refusedWords: number;
	/** When the watch last looked, and how many looks failed or came late since it began. */
	lookedAtMs: number;
	lateLooks: number;
	/** After how long without a word a node counts as silent. */
	agentSilentMs: number;
	proxySilentMs: number;
	/** When this was answered. */
	timeMs: number;
}
export interface FleetLane {
	lane: Lane;
	batches: number;
	bytes: number;
	/** Age of the oldest batch that waits, when it was told. */
	oldestAgeMs: number;
}
/** The link of a node to its upstream, as last heard. What only a proxy or nobody measures is null. */
export interface FleetLink {
	/** Node id of its proxy; empty: the Security Center. */
	to: string;
	/** When these figures were heard, by our clock. */
	toldAtMs: number;
	/** Since when it stands, by our clock. */
	sinceMs: number | null;
	/** What waits to be receipted, by lane; an agent says only how much there is. */
	lanes: FleetLane[];
	unackedBytes: number | null;
	windowBytes: number | null;
	roundTripMs: number | null;
	reconnects: number | null;
	/** Why the link before this one ended. The node's own words. */
	lastError: string | null;
	/** Trace and alert batches of an agent that a hop would not have and the agent keeps; why, in that hop's words. */
	refusedBatches: number;
	refusedFor: string | null;
}
export interface FleetNode {
	id: string;
	role: "agent" | "px";
	/** Its link stands, as far as its proxy or we have heard. */
	isUp: boolean;
	/** `unknown`: a silent proxy, `hiddenBy`, lies on its way. */
	state: NodeState;
	/** The last word before a silence, by our clock. */
	stateSinceMs: number;
	hiddenBy: string;
	link: FleetLink;
	hostName: string;
	siteTag: string;
	tier: SourceTier | "";
	/** What the collector cannot see, and why. */
	missing: string;
	cause: string;
	via: string;
	lastHeardMs: number;
	/** 0 = it captures everything; each level gives up one class of events more, for the cause, since `fidelityMs`. */
	fidelityLevel: number;
	fidelityCause: string;
	/** By the host's wall clock, at latest when it arrived. */
	fidelityMs: number;
	/** Age of the oldest unacknowledged batch. */
	behindMs: number;
	outboxBytes: number;
	/** Its clock less ours; off by at most `clockBoundMs` (null: not measured). */
	clockOffsetMs: number;
	clockBoundMs: number | null;
	rssBytes: number;
	eventCount: number;
	gapCount: number;
	storedBatches: number;
	softwareVersion: string;
	addresses: string[];
}

/** GET /api/alarms (role viewer or auditor) → what a person must see, last reported first; bounded, also per host. */
export interface AlarmsAnswer {
	alarms: AlarmView[];
}
export interface AlarmView {
	id: number;
	/** The host it is about; empty where it is about none. */
	agent: string;
	code: string;
	/** One sentence; parts of it may be the host's own words. */
	detail: string;
	/** The bytes that prove it are in the store. */
	hasEvidence: boolean;
	/** How often it was reported. */
	times: number;
	firstAtMs: number;
	lastAtMs: number;
	/** When what it says was over; null: it stands. */
	clearedAtMs: number | null;
}

/** GET /api/quarantine (role viewer or auditor) → items that a hop refused for good, told last first; bounded, also per host. */
export interface QuarantineAnswer {
	items: QuarantineView[];
}
export interface QuarantineView {
	id: number;
	/** The host on whose link it came; proved. */
	agent: string;
	/** Where its bytes are kept: this node, a proxy, or a proxy behind one. A proxy's own word. */
	hop: string;
	/** Lane, stream and number as the item names them; empty and null where it could not be read. Not believed. */
	lane: "trace" | "alert" | "bulk" | "";
	stream: string;
	seq: number | null;
	/** The refusal's code and sentence. */
	cause: string;
	detail: string;
	/** Kept at the hop for a person to look at. */
	bytesKept: number;
	/** By the hop's clock. */
	atMs: number;
}

/** GET /api/hits?limit= (newest first) */
export interface HitsAnswer {
	hits: Hit[];
}
export interface Hit {
	id: number;
	ruleId: string;
	ruleTitle: string;
	severity: "low" | "medium" | "high";
	agent: string;
	process: string;
	pid: number;
	/** One line for a person: `apache2 → bash`. */
	summary: string;
	eventTimeMs: number;
	/** Kernel time of the event to the hit being stored. */
	latencyMs: number;
	traceId: string | null;
	ancestry: { process: string; pid: number; name: string; exe: string }[];
}

/** GET /api/traces (newest first) and GET /api/traces/:id */
export interface TracesAnswer {
	traces: TraceSummary[];
}
export interface TraceSummary {
	id: string;
	state: "awaiting_approval" | "sent" | "running" | "sealed" | "refused" | "expired";
	reason: string;
	initiatedBy: string;
	startedAtMs: number;
	eventCount: number;
	hosts: string[];
	hitId: number | null;
}
export interface TraceAnswer {
	trace: TraceSummary;
	commands: TraceCommandView[];
	hosts: TraceHost[];
	hops: Hop[];
	completeness: Completeness;
}
export interface TraceCommandView {
	commandId: string;
	act: "start" | "stop";
	agent: string;
	targetProcess: string;
	targetPid: number;
	initiatedBy: string;
	approvedBy: string[];
	approvalsNeeded: number;
	state: "awaiting_approval" | "sent" | "accepted" | "refused" | "expired";
	/** The agent's named cause of a refusal, else empty. */
	cause: string;
	sentAtMs: number | null;
	answeredAtMs: number | null;
	expiresAtMs: number;
	maxDurationSecs: number;
	/** Base64 of the signed payload, for an approver to check and sign. */
	payload: string;
	parentLink: { agent: string; process: string } | null;
}
export interface TraceHost {
	agent: string;
	hostName: string;
	clockOffsetMs: number;
	seal: { cause: string; eventCount: number; gapCount: number; timeMs: number } | null;
}

/** A connection of a traced process that may be seen from its other end. */
export interface Hop {
	id: string;
	from: { agent: string; process: string; pid: number; name: string };
	/** null: no mirror-image accept is stored (the host may not be watched). */
	to: { agent: string; process: string; pid: number; name: string } | null;
	/** Where Follow would put the trace: the child that serves the connection, else the acceptor. */
	followTarget: { agent: string; process: string; pid: number; name: string } | null;
	local: string;
	remote: string;
	timeMs: number;
	/** 0 to 1, with the reasons in words. */
	confidence: number;
	reasons: string[];
	/** The trace already runs on the other host. */
	isFollowed: boolean;
}

/** Holes are part of every answer. */
export interface Completeness {
	isComplete: boolean;
	gaps: {
		agent: string;
		scope: GapScope;
		from: string;
		to: string;
		cause: string;
		atMs: number;
		/** When the loss began, where the host said so. */
		sinceMs: number | null;
	}[];
}

/** GET /api/traces/:id/events?after=ROWID&limit= (ascending row id; poll or follow /api/live) */
export interface EventsAnswer {
	events: EventRow[];
	nextAfter: number;
	hasMore: boolean;
	completeness: Completeness;
}
export interface EventRow {
	row: number;
	agent: string;
	kind: EventKind;
	process: string;
	traceId: string | null;
	kernelTimeNs: string;
	/** By the agent's wall clock. */
	timeMs: number;
	/** By the Security Center's clock: `timeMs` less the estimated offset. */
	alignedTimeMs: number;
	seq: number;
	stream: string;
	batchSeq: number;
	tier: SourceTier;
	/** What the Security Center proved when it stored it. */
	verdict: "event_signed" | "batch_signed";
	pid: number | null;
	ppid: number | null;
	parent: string | null;
	creatorParent: string | null;
	name: string | null;
	exe: string | null;
	filename: string | null;
	cmdline: string[] | null;
	isMasked: boolean;
	uid: number | null;
	euid: number | null;
	exitCode: number | null;
	exitSignal: number | null;
	local: string | null;
	remote: string | null;
	result: number | null;
	path: string | null;
	pathTo: string | null;
	cause: string | null;
	depth: number | null;
	/** What only some kinds have; null where there is nothing of it. Every text is the host's. */
	details: EventDetails | null;
}

/** Payload fields without a column of their own. Bytes are hex, 64-bit numbers text; absent fields are absent. */
export interface EventDetails {
	nsPid?: number;
	gid?: number;
	sid?: number;
	tty?: string;
	startTicks?: string;
	cwd?: string;
	interpreter?: string;
	environment?: string[];
	cgroup?: string;
	container?: string;
	unit?: string;
	family?: number;
	socketType?: number;
	protocol?: number;
	bytesSent?: string;
	bytesReceived?: string;
	dnsName?: string;
	dnsType?: number;
	dnsResponseCode?: number;
	dnsAnswers?: string[];
	oldUid?: number;
	oldGid?: number;
	oldEuid?: number;
	target?: string;
	targetPid?: number;
	request?: string;
	call?: string;
	mode?: number;
	openFlags?: number;
	fileBytes?: string;
	inode?: string;
	sha256?: string;
	blake3?: string;
	address?: string;
	permissions?: string;
	/** Bytes of the artifact, which lies in the evidence itself. */
	contentBytes?: number;
	tid?: number;
	fidelityLevel?: number;
	absent?: string[];
	/** What is so of this event, by name. */
	marks?: EventMark[];
}

export type EventMark =
	| "late"
	| "look_back"
	| "received"
	| "path_uncertain"
	| "arguments_cut"
	| "watched"
	| "credential"
	| "exe_deleted"
	| "exe_in_memory"
	| "32_bit"
	| "replayed";

/** GET /api/agents/:agent/processes/:process → for the trace form: the process and its ancestry, from stored events. */
export interface ProcessAnswer {
	agent: string;
	process: string;
	pid: number;
	name: string;
	exe: string;
	isAlive: boolean;
	ancestry: { process: string; pid: number; name: string; exe: string }[];
}

/**
 * POST /api/commands {envelope: base64 of SignedEnvelope, hitId?} → CommandAnswer (202; state awaiting_approval or sent).
 * POST /api/commands/:commandId/approvals {signature: hex} by the signed-in operator, over the same payload.
 * GET /api/commands?state=awaiting_approval
 */
export interface CommandAnswer {
	command: TraceCommandView;
	traceId: string;
}
export interface CommandsAnswer {
	commands: (TraceCommandView & { traceId: string; reason: string })[];
}

/** GET /api/ledger → the newest signed checkpoint. */
export interface LedgerAnswer {
	origin: string;
	size: number;
	root: string;
	checkpoint: string;
	signedAtMs: number;
}

/**
 * A forensic package is signed by the operator who exports it, with the key of the session:
 * 1. POST /api/traces/:id/export/prepare {reason: text} → ExportAnswer (role `exporter`). The Security Center gathers the
 *    package, writes the export into the ledger and answers the manifest to sign. It waits for a signature until `expiresAtMs`.
 * 2. POST /api/exports/:exportId {signature: hex} by the same operator → the package bytes (application/zip, Content-Disposition
 *    attachment). `signature` is Ed25519 over PAE(packageManifest, manifest bytes).
 */
export interface ExportAnswer {
	exportId: string;
	/** Base64 of manifest.json as it lies in the package. */
	manifest: string;
	fileName: string;
	/** The prepared package is forgotten then; preparing again is allowed. */
	expiresAtMs: number;
}

/**
 * GET /api/live → text/event-stream; each event's data is a LiveNote.
 */
export type LiveNote =
	| { kind: "fleet"; agent: string }
	| { kind: "alarm"; agent: string }
	| { kind: "hit"; id: number }
	| { kind: "trace"; id: string }
	| { kind: "events"; traceId: string; lastRow: number }
	| { kind: "ledger"; size: number };
