/**
 * The store's tables for typed queries. A mirror of migrations/: a test compares the two column by column, so neither can change
 * alone. `…Row` columns are our own ordered integers; what the outside knows (node id, process key, trace id) stands once, in the
 * table that it names.
 */

import { blob, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { GAP_SCOPES } from "#core/model/event.ts";
import type { StoredAgentLink, StoredProxyLink } from "./proxies.ts";

const bytes = (name: string) => blob(name, { mode: "buffer" });
const flag = (name: string) => integer(name, { mode: "boolean" });

export const nodes = sqliteTable("nodes", {
	id: integer("id").primaryKey(),
	nodeId: text("node_id").notNull().unique(),
	role: text("role", { enum: ["agent", "px"] }).notNull(),
	isUp: flag("is_up").notNull(),
	hostName: text("host_name").notNull(),
	siteTag: text("site_tag").notNull(),
	tier: text("tier").notNull(),
	missing: text("missing").notNull(),
	cause: text("cause").notNull(),
	softwareVersion: text("software_version").notNull(),
	/** JSON list of texts. */
	addresses: text("addresses", { mode: "json" }).$type<string[]>().notNull(),
	via: text("via").notNull(),
	lastHeardMs: integer("last_heard_ms").notNull(),
	behindMs: integer("behind_ms").notNull(),
	outboxBytes: integer("outbox_bytes").notNull(),
	rssBytes: integer("rss_bytes").notNull(),
	eventCount: integer("event_count").notNull(),
	gapCount: integer("gap_count").notNull(),
	/** The node's clock less ours, as estimated from the newest heartbeats along its way. */
	clockOffsetMs: integer("clock_offset_ms").notNull(),
	clockSamples: text("clock_samples", { mode: "json" }).$type<number[]>().notNull(),
	/** 0 = the collector captures everything; the newest `fidelity` event, or 0 since the collector started. */
	fidelityLevel: integer("fidelity_level").notNull(),
	fidelityCause: text("fidelity_cause").notNull(),
	/** The host's wall clock when it said so, at latest our own when it arrived. */
	fidelityMs: integer("fidelity_ms").notNull(),
	/** When it was last heard, by our own clock. */
	heardHereMs: integer("heard_here_ms").notNull(),
	/** Proxies: since when it is heard without a silence. */
	upSinceMs: integer("up_since_ms").notNull(),
	/** By how much `clock_offset_ms` may be off; null: nobody measured. */
	clockBoundMs: integer("clock_bound_ms"),
	/** `StoredProxyLink` or `StoredAgentLink`. */
	link: text("link", { mode: "json" }).$type<StoredProxyLink & StoredAgentLink>().notNull(),
});

export const proofs = sqliteTable("proofs", {
	id: integer("id").primaryKey(),
	nodeRow: integer("node_row").notNull(),
	/** SHA-256 of the proof's bytes. */
	fingerprint: bytes("fingerprint").notNull().unique(),
	/** `nodeProofShape`. */
	proof: bytes("proof").notNull(),
	firstSeenMs: integer("first_seen_ms").notNull(),
});

export const batches = sqliteTable("batches", {
	id: integer("id").primaryKey(),
	agentRow: integer("agent_row").notNull(),
	stream: bytes("stream").notNull(),
	seq: integer("seq").notNull(),
	lane: text("lane", { enum: ["trace", "alert", "bulk"] }).notNull(),
	hash: bytes("hash").notNull(),
	header: bytes("header").notNull(),
	/** Verbatim as received. */
	bytes: bytes("bytes").notNull(),
	receivedMs: integer("received_ms").notNull(),
	salt: bytes("salt").notNull(),
	/** Why its events were not believed; empty when they were. */
	refusal: text("refusal").notNull(),
	hasEvents: flag("has_events").notNull(),
	ledgerIndex: integer("ledger_index"),
});

export const processes = sqliteTable("processes", {
	id: integer("id").primaryKey(),
	agentRow: integer("agent_row").notNull(),
	key: bytes("key").notNull(),
	pid: integer("pid"),
	name: text("name"),
	exe: text("exe"),
	namedAtNs: integer("named_at_ns").notNull(),
	parentRow: integer("parent_row"),
	creatorRow: integer("creator_row"),
	exitedMs: integer("exited_ms"),
});

export const traces = sqliteTable("traces", {
	id: integer("id").primaryKey(),
	traceId: text("trace_id").notNull().unique(),
});

export const events = sqliteTable("events", {
	id: integer("id").primaryKey({ autoIncrement: true }),
	agentRow: integer("agent_row").notNull(),
	processRow: integer("process_row"),
	batchRow: integer("batch_row").notNull(),
	batchIndex: integer("batch_index").notNull(),
	kind: text("kind").notNull(),
	/** Beyond 2^53 after 104 days of uptime: always read as text. */
	kernelTimeNs: integer("kernel_time_ns").notNull(),
	wallTimeMs: integer("wall_time_ms").notNull(),
	seq: integer("seq").notNull(),
	tier: text("tier").notNull(),
	verdict: text("verdict", { enum: ["event_signed", "batch_signed"] }).notNull(),
	traceRow: integer("trace_row"),
	pid: integer("pid"),
	ppid: integer("ppid"),
	parentRow: integer("parent_row"),
	creatorRow: integer("creator_row"),
	name: text("name"),
	exe: text("exe"),
	filename: text("filename"),
	/** JSON list; masked values where `is_masked`. */
	cmdline: text("cmdline"),
	isMasked: flag("is_masked").notNull(),
	uid: integer("uid"),
	euid: integer("euid"),
	exitCode: integer("exit_code"),
	exitSignal: integer("exit_signal"),
	localAddress: text("local_address"),
	localPort: integer("local_port"),
	remoteAddress: text("remote_address"),
	remotePort: integer("remote_port"),
	result: integer("result"),
	path: text("path"),
	pathTo: text("path_to"),
	cause: text("cause"),
	depth: integer("depth"),
	/** JSON object of `EventDetails`. */
	details: text("details"),
});

export const gaps = sqliteTable("gaps", {
	id: integer("id").primaryKey(),
	eventRow: integer("event_row").notNull().unique(),
	agentRow: integer("agent_row").notNull(),
	scope: text("scope", { enum: GAP_SCOPES }).notNull(),
	stream: bytes("stream"),
	first: text("first").notNull(),
	last: text("last").notNull(),
	cause: text("cause").notNull(),
	atMs: integer("at_ms").notNull(),
	sinceMs: integer("since_ms"),
});

export const hits = sqliteTable("hits", {
	id: integer("id").primaryKey(),
	ruleId: text("rule_id").notNull(),
	eventRow: integer("event_row").notNull(),
	summary: text("summary").notNull(),
	eventTimeMs: integer("event_time_ms").notNull(),
	storedMs: integer("stored_ms").notNull(),
	latencyMs: integer("latency_ms").notNull(),
	traceId: text("trace_id"),
});

export const alarms = sqliteTable("alarms", {
	id: integer("id").primaryKey(),
	agent: text("agent").notNull(),
	code: text("code").notNull(),
	detail: text("detail").notNull(),
	evidence: bytes("evidence"),
	/** SHA-256 of what makes two reports the same alarm: a repeated alarm is one row. */
	evidenceHash: bytes("evidence_hash").notNull(),
	atMs: integer("at_ms").notNull(),
	times: integer("times").notNull(),
	lastMs: integer("last_ms").notNull(),
	/** When it was over; null: it stands. */
	clearedMs: integer("cleared_ms"),
});

export const quarantine = sqliteTable("quarantine", {
	id: integer("id").primaryKey(),
	agent: text("agent").notNull(),
	hop: text("hop").notNull(),
	lane: text("lane").notNull(),
	stream: bytes("stream").notNull(),
	seq: integer("seq"),
	cause: text("cause").notNull(),
	detail: text("detail").notNull(),
	bytesKept: integer("bytes_kept").notNull(),
	atMs: integer("at_ms").notNull(),
});
