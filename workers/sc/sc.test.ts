import { deepEqual, equal, match, ok } from "node:assert/strict";
import { after, before, test } from "node:test";
import { base64Of, bytesOfBase64, bytesOfHex, hexOf, utf8 } from "#core/bytes/bytes.ts";
import { encodeAs } from "#core/codec/index.ts";
import { PAYLOAD_TYPES, preAuthEncoding } from "#core/crypto/dsse.ts";
import { signedEnvelopeShape, type TraceCommand, traceCommandShape } from "#core/model/command.ts";
import { readZip } from "#core/package/index.ts";
import { bytesNamed, processNamed, type SealedTestBatch, type TestAgent } from "#core/testing/test-agent.ts";
import { verifyPackage } from "#core/verify/index.ts";
import { ed25519PublicKey, ed25519Sign } from "#crypto";
import type {
	AlarmsAnswer,
	CommandAnswer,
	EventsAnswer,
	ExportAnswer,
	FleetAnswer,
	HitsAnswer,
	LedgerAnswer,
	QuarantineAnswer,
	SessionAnswer,
	TraceAnswer,
	TracesAnswer,
} from "./api/answers.ts";
import { arriveHost, ingest as ingestAt, until } from "./testing/hosts.ts";
import { ORIGIN, type RunningSc, startSc } from "./testing/running-sc.ts";
import { noSqld } from "./testing/running-store.ts";

const TRACE_ID = "T-20261122-c0ffee";
const options = { skip: noSqld };
const seed = bytesNamed("ana", 32);
let sc: RunningSc;
let cookie = "";

before(async () => {
	if (noSqld === false) sc = await startSc("solo");
});
after(async () => {
	await sc?.stop();
});

async function post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
	return sc.fetch(path, {
		method: "POST",
		headers: { origin: ORIGIN, "content-type": "application/json", cookie, ...headers },
		body: JSON.stringify(body),
	});
}

async function get<T>(path: string): Promise<T> {
	const answer = await sc.fetch(path, { headers: { cookie } });
	const text = await answer.text();
	equal(answer.status, 200, `${path}: ${text}`);
	return JSON.parse(text) as T;
}

async function codeOf(answer: Response): Promise<string> {
	return `${answer.status} ${((await answer.json()) as { code: string }).code}`;
}

const sign = (type: (typeof PAYLOAD_TYPES)[keyof typeof PAYLOAD_TYPES], bytes: Uint8Array): string =>
	hexOf(ed25519Sign(seed, preAuthEncoding(type, bytes)));

const arrive = (id: string) => arriveHost(sc, id);
const ingest = (agent: TestAgent, ...batches: SealedTestBatch[]) => ingestAt(sc, agent, ...batches);

function command(over: Partial<TraceCommand> = {}): Uint8Array {
	const nowMs = Date.now();
	const payload = encodeAs(traceCommandShape, {
		traceId: TRACE_ID,
		targetAgent: "web-01",
		targetPid: 10,
		depth: 3,
		collectCmdlines: true,
		collectNetwork: true,
		collectFileMeta: true,
		maxDurationSecs: 600,
		initiatedBy: "ana",
		timestampMs: nowMs,
		targetProcess: processNamed("shell"),
		commandId: bytesNamed(`command ${over.targetAgent ?? ""} ${over.act ?? ""}`, 16),
		expiresAtMs: nowMs + 600_000,
		reason: "a web server started a shell",
		trustVersion: 1,
		act: "start",
		...over,
	});
	const signature = ed25519Sign(seed, preAuthEncoding(PAYLOAD_TYPES.traceCommand, payload));
	return encodeAs(signedEnvelopeShape, { payload, signatures: [{ operator: "ana", signature }] });
}

test("the guard: nothing without a session, no write from elsewhere, headers on every answer", options, async () => {
	const page = await sc.fetch("/traces/T-1");
	equal(page.status, 200);
	match(
		page.headers.get("content-security-policy") ?? "",
		/default-src 'none'.*script-src 'self'.*frame-ancestors 'none'/,
	);
	equal((await sc.fetch("/none.js")).status, 404);
	equal(((await (await sc.fetch("/healthz")).json()) as { status: string }).status, "ok");
	for (const path of [
		"/api/hits",
		"/api/fleet",
		"/api/ledger",
		"/api/traces",
		"/api/live",
		"/api/alarms",
		"/api/quarantine",
		"/api/none",
	])
		equal(await codeOf(await sc.fetch(path)), "401 session_missing", path);
	const foreign = await post("/api/session/challenge", {}, { origin: "http://evil.test" });
	equal(await codeOf(foreign), "403 origin_refused");
	ok(foreign.headers.has("content-security-policy"));
	const cross = await post("/api/session/challenge", {}, { "sec-fetch-site": "cross-site" });
	equal(await codeOf(cross), "403 origin_refused");
	equal(await codeOf(await post("/api/session/challenge", { publicKey: "zz" })), "400 request_malformed");
	equal(await codeOf(await post("/api/session/challenge", { x: "y".repeat(70_000) })), "413 body_too_large");
});

test("an invitation is redeemed by a key that signs it, once, and makes trust version 1", options, async () => {
	const before = await get<SessionAnswer>("/api/session");
	deepEqual([before.isAwaitingOperators, before.trustVersion, before.operator], [true, 0, null]);
	const token = sc.invitations[0]?.token ?? "";
	const publicKey = hexOf(ed25519PublicKey(seed));
	const signature = sign(PAYLOAD_TYPES.signIn, utf8(token));
	const redeem = (over: object) => post("/api/invitations/redeem", { token, publicKey, signature, ...over });
	equal(await codeOf(await redeem({ token: "guess" })), "403 invitation_unknown");
	equal(await codeOf(await redeem({ signature: "00".repeat(64) })), "401 signature_invalid");
	deepEqual(await (await redeem({})).json(), { operatorId: "ana", isTrustComplete: true, trustVersion: 1 });
	equal((await redeem({})).status, 200);
	const other = bytesNamed("other", 32);
	const theft = {
		publicKey: hexOf(ed25519PublicKey(other)),
		signature: hexOf(ed25519Sign(other, preAuthEncoding(PAYLOAD_TYPES.signIn, utf8(token)))),
	};
	equal(await codeOf(await redeem(theft)), "409 invitation_used");
});

test("a challenge signs in once; the cookie is bound to this site", options, async () => {
	const publicKey = hexOf(ed25519PublicKey(seed));
	const { challenge } = (await (await post("/api/session/challenge", { publicKey })).json()) as { challenge: string };
	const signature = sign(PAYLOAD_TYPES.signIn, bytesOfHex(challenge) as Uint8Array);
	const answer = await post("/api/session", { publicKey, challenge, signature });
	equal(answer.status, 200);
	const set = answer.headers.get("set-cookie") ?? "";
	match(set, /^daemoneye=[0-9a-f]{64};.*HttpOnly.*SameSite=Strict/);
	cookie = set.split(";")[0] ?? "";
	equal(await codeOf(await post("/api/session", { publicKey, challenge, signature })), "401 challenge_invalid");
	const session = await get<SessionAnswer>("/api/session");
	deepEqual([session.operator?.id, session.mode, session.isAwaitingOperators], ["ana", "solo", false]);
});

let web: TestAgent;
let db: TestAgent;

test("a web server's shell becomes a hit with its ancestry, under a signed checkpoint", options, async () => {
	web = await arrive("web-01");
	db = await arrive("db-01");
	await ingest(
		web,
		web.batch("bulk", [
			{
				kind: "snapshot",
				process: processNamed("apache"),
				payload: { pid: 1, name: "apache2", exe: "/usr/sbin/apache2" },
			},
			{
				kind: "fork",
				process: processNamed("shell"),
				payload: { pid: 10, name: "apache2", creatorParent: processNamed("apache") },
			},
			{ kind: "exec", process: processNamed("shell"), payload: { pid: 10, name: "bash", exe: "/usr/bin/bash" } },
		]),
	);
	const { hits } = await until(
		"a hit",
		() => get<HitsAnswer>("/api/hits"),
		(answer) => answer.hits.length > 0,
	);
	const [hit] = hits;
	deepEqual([hit?.summary, hit?.agent, hit?.pid, hit?.severity], ["apache2 → bash", "web-01", 10, "high"]);
	equal(hit?.ancestry[0]?.name, "apache2");
	const ledger = await get<LedgerAnswer>("/api/ledger");
	ok(ledger.size >= 4 && ledger.checkpoint.startsWith("sc.lab/ledger\n"));
	const { nodes } = await get<FleetAnswer>("/api/fleet");
	deepEqual(
		nodes.map(({ id, role, isUp }) => [id, role, isUp]),
		[
			["db-01", "agent", true],
			["px-1", "px", true],
			["web-01", "agent", true],
		],
	);
	ok(nodes.every(({ storedBatches, id }) => storedBatches === (id === "web-01" ? 1 : 0)));
});

test(
	"a command is judged, written down and sent; a forged, repeated or overlong one is refused by name",
	options,
	async () => {
		const { hits } = await get<HitsAnswer>("/api/hits");
		const envelope = command();
		const forged = new Uint8Array(envelope);
		forged[40] = (forged[40] as number) ^ 1;
		ok((await post("/api/commands", { envelope: base64Of(forged) })).status >= 400);
		const deep = command({ depth: 99, commandId: bytesNamed("deep", 16) });
		equal(await codeOf(await post("/api/commands", { envelope: base64Of(deep) })), "422 command_ceiling_exceeded");
		const sent = await post("/api/commands", { envelope: base64Of(envelope), hitId: hits[0]?.id });
		const answer = (await sent.json()) as CommandAnswer;
		deepEqual([sent.status, answer.command.state, answer.command.cause], [202, "sent", ""]);
		equal(await codeOf(await post("/api/commands", { envelope: base64Of(envelope) })), "409 command_replayed");
		equal((await get<HitsAnswer>("/api/hits")).hits[0]?.traceId, TRACE_ID);
		equal((await get<TracesAnswer>("/api/traces")).traces[0]?.state, "sent");
		const stats = await (await sc.channel("web-01")).stats();
		equal(stats.commands, 1);
	},
);

test("the agent's answer, events, hop and seal make the trace", options, async () => {
	const commandId = bytesNamed("command  ", 16);
	const traceId = TRACE_ID;
	await ingest(
		web,
		web.batch("alert", [{ kind: "command_answer", traceId, payload: { commandId, isAccepted: true } }]),
	);
	await until(
		"running",
		() => get<TracesAnswer>("/api/traces"),
		({ traces }) => traces[0]?.state === "running",
	);
	db.timeMs = web.timeMs;
	const addresses = { here: Uint8Array.of(10, 0, 0, 1), there: Uint8Array.of(10, 0, 0, 2) };
	await ingest(
		web,
		web.batch("trace", [
			{
				kind: "connect",
				process: processNamed("shell"),
				traceId,
				payload: {
					pid: 10,
					name: "ssh",
					localAddress: addresses.here,
					localPort: 40_000,
					remoteAddress: addresses.there,
					remotePort: 22,
				},
			},
			{ kind: "exit", process: processNamed("shell"), traceId, payload: { pid: 10, exitCode: 0 } },
		]),
	);
	await ingest(
		db,
		db.batch("bulk", [{ kind: "exec", process: processNamed("sshd"), payload: { pid: 20, name: "sshd" } }]),
		db.batch("bulk", [
			{
				kind: "accept",
				process: processNamed("sshd"),
				payload: {
					pid: 20,
					name: "sshd",
					localAddress: addresses.there,
					localPort: 22,
					remoteAddress: addresses.here,
					remotePort: 40_000,
				},
			},
			{
				kind: "fork",
				process: processNamed("session"),
				payload: { pid: 21, name: "sshd", creatorParent: processNamed("sshd") },
			},
		]),
	);
	await ingest(
		web,
		web.batch("alert", [{ kind: "trace_seal", traceId, payload: { cause: "stopped", eventCount: 2, gapCount: 0 } }]),
	);
	const sealed = await until(
		"the seal",
		() => get<TraceAnswer>(`/api/traces/${TRACE_ID}`),
		({ trace, hops }) => trace.state === "sealed" && hops[0]?.to !== null && hops[0] !== undefined,
	);
	deepEqual([sealed.hosts[0]?.seal?.cause, sealed.completeness.isComplete], ["stopped", true]);
	const [hop] = sealed.hops;
	deepEqual([hop?.from.name, hop?.to?.agent, hop?.to?.pid, hop?.followTarget?.pid], ["ssh", "db-01", 20, 21]);
	ok((hop?.confidence ?? 0) > 0.9, JSON.stringify(hop?.reasons));
	const { events } = await get<EventsAnswer>(`/api/traces/${TRACE_ID}/events`);
	deepEqual(
		events.map(({ kind, verdict }) => [kind, verdict]),
		[
			["command_answer", "batch_signed"],
			["connect", "event_signed"],
			["exit", "event_signed"],
			["trace_seal", "batch_signed"],
		],
	);
	equal(events[1]?.remote, "10.0.0.2:22");
});

test(
	"the operator signs the manifest, and a stranger with the root's fingerprint verifies the package",
	options,
	async () => {
		const prepared = await post(`/api/traces/${TRACE_ID}/export/prepare`, { reason: "case 7" });
		const text = await prepared.text();
		equal(prepared.status, 200, text);
		const { exportId, manifest } = JSON.parse(text) as ExportAnswer;
		equal(
			await codeOf(await post(`/api/exports/${exportId}`, { signature: "00".repeat(64) })),
			"401 signature_invalid",
		);
		const signature = sign(PAYLOAD_TYPES.packageManifest, bytesOfBase64(manifest) as Uint8Array);
		const archive = await post(`/api/exports/${exportId}`, { signature });
		equal(archive.headers.get("content-type"), "application/zip");
		const bytes = new Uint8Array(await archive.arrayBuffer());
		const report = await verifyPackage(bytes, { rootFingerprint: sc.rootFingerprint, nowMs: Date.now() });
		equal(report.verdict, "PASS", JSON.stringify(report.checks, null, 1));
		const files = readZip(bytes);
		ok(files.ok && [...files.value.keys()].some((name) => name.startsWith("events/db-01/")));
		equal(await codeOf(await post(`/api/exports/${exportId}`, { signature })), "404 export_unknown");
		equal(await codeOf(await post("/api/traces/T-20261122-none/export/prepare", { reason: "x" })), "404 trace_unknown");
	},
);

test("while the signer is away nothing is receipted; afterwards everything is, once", options, async () => {
	const before = await get<LedgerAnswer>("/api/ledger");
	sc.setSigner("down");
	await ingest(web, web.batch("bulk", [{ kind: "exit", process: processNamed("late"), payload: { pid: 30 } }]));
	await new Promise((resolve) => setTimeout(resolve, 300));
	equal((await get<LedgerAnswer>("/api/ledger")).size, before.size);
	const custody = async () => (await (await sc.channel("web-01")).stats()).streams.find(({ lane }) => lane === "bulk");
	const waiting = await custody();
	ok(waiting !== undefined && waiting.a2 < waiting.a1);
	sc.setSigner("up");
	await until("custody", custody, (stream) => stream?.a1 === stream?.a2);
	equal((await get<LedgerAnswer>("/api/ledger")).size, before.size + 1);
	const stored = await sc.store.store.reader.execute("SELECT count(*) AS n FROM batches WHERE ledger_index IS NULL");
	equal(stored.rows[0]?.n, 0);
});

test("a store that stands still is waited for: nothing is lost, nothing is stored twice", options, async () => {
	const agent = await arrive("slow-01");
	const channel = await sc.channel("slow-01");
	const batchOf = (name: string) =>
		agent.batch("bulk", [{ kind: "exec", process: processNamed(name), payload: { pid: 7 } }]);
	const stored = async () => {
		const { rows } = await sc.store.store.reader.execute({
			sql: `SELECT b.seq FROM batches b JOIN nodes n ON n.id = b.agent_row WHERE n.node_id = ? ORDER BY b.id`,
			args: ["slow-01"],
		});
		return rows.map((row) => Number(row.seq));
	};
	await ingest(agent, batchOf("before"));
	await until(
		"the first",
		() => channel.stats(),
		({ streams }) => streams[0]?.a2 === 1,
	);
	sc.store.signal("SIGSTOP");
	try {
		// Acknowledged as held here (A1), not as stored (A2).
		for (let seq = 2; seq <= 21; seq++) await ingest(agent, batchOf(`while ${seq}`));
		const { depths, streams } = await channel.stats();
		deepEqual([depths.bulk.batches, streams[0]?.a1, streams[0]?.a2], [20, 21, 1]);
	} finally {
		sc.store.signal("SIGCONT");
	}
	deepEqual(
		await until("all of them", stored, (seqs) => seqs.length >= 21),
		Array.from({ length: 21 }, (_, i) => i + 1),
	);
	await until(
		"custody",
		() => channel.stats(),
		({ depths, streams }) => depths.bulk.batches === 0 && streams[0]?.a2 === 21,
	);
});

test(
	"what hops refused is listed for who may read it: host, hop, lane, number, cause and what is kept, a repetition once",
	options,
	async () => {
		const agent = await arrive("odd-01");
		const channel = await sc.channel("odd-01");
		const good = agent.batch("alert", [{ kind: "exec", process: processNamed("odd"), payload: { pid: 9 } }]);
		const forged = good.bytes.slice();
		forged[forged.length - 1] = (forged[forged.length - 1] as number) ^ 1;
		const answer = await channel.ingest("odd-01", [Uint8Array.of(0xff), forged, good.bytes], "px-1");
		equal(answer.refusals.length, 2);
		equal(answer.receipts[0]?.seq, 1, "the lane goes on");
		const below = { cause: "cbor_truncated", detail: "\u202e<script>", atMs: 5, bytesKept: 17, hop: "px-1/px-2" };
		for (let times = 0; times < 2; times++) await channel.quarantinedBelow(below);
		const items = async () =>
			(await get<QuarantineAnswer>("/api/quarantine")).items.filter((item) => item.agent === "odd-01");
		const listed = await until("three items", items, (found) => found.length >= 3);
		deepEqual(
			listed.map(({ id: _id, atMs: _at, detail: _detail, ...item }) => item),
			[
				{ agent: "odd-01", hop: "px-1/px-2", lane: "", stream: "", seq: null, cause: "cbor_truncated", bytesKept: 17 },
				{
					...listed[1],
					agent: "odd-01",
					hop: "sc, brought by px-1",
					lane: "alert",
					stream: hexOf(good.stream),
					seq: 1,
					bytesKept: forged.length,
				},
				{ ...listed[2], agent: "odd-01", hop: "sc, brought by px-1", lane: "", stream: "", seq: null, bytesKept: 1 },
			].map(({ id: _id, atMs: _at, detail: _detail, ...item }: Partial<QuarantineAnswer["items"][number]>) => item),
		);
		equal(listed[0]?.detail, "\u202e<script>");
		const refusals = async () => {
			const { alarms } = await get<AlarmsAnswer>("/api/alarms");
			return alarms.filter((alarm) => alarm.agent === "odd-01" && alarm.code === "item_refused");
		};
		const raised = await until("their alarms", refusals, (found) => found.length >= 2);
		deepEqual(
			raised.map(({ detail }) => /^(sc|px-1\/px-2) refused an item of odd-01 for good: \w+\.$/.test(detail)),
			[true, true],
		);
	},
);

test("signing out ends the session at the server", options, async () => {
	const answer = await sc.fetch("/api/session", { method: "DELETE", headers: { origin: ORIGIN, cookie } });
	equal(answer.status, 204);
	equal(await codeOf(await sc.fetch("/api/hits", { headers: { cookie } })), "401 session_missing");
});
