import assert from "node:assert/strict";
import { test } from "node:test";
import { base64Of, bytesOfBase64, hexOf } from "#core/bytes/bytes.ts";
import { PAYLOAD_TYPES, preAuthEncoding } from "#core/crypto/dsse.ts";
import type { TrustDocument } from "#core/trust/trust-document.ts";
import { verifyTraceCommand } from "#core/trust/verify-command.ts";
import { ed25519PublicKey, ed25519Sign } from "#crypto";
import { composeTraceCommand, newTraceId, readListedCommand, sealCommand, type TraceRequest } from "./trace-command.ts";

const seed = new Uint8Array(32).fill(7);
const random = Uint8Array.from({ length: 22 }, (_, i) => i * 11);
const nowMs = Date.UTC(2026, 10, 22, 23, 59);
const request: TraceRequest = {
	act: "start",
	traceId: null,
	agent: "web-01",
	process: "ab".repeat(16),
	pid: 812,
	depth: 16,
	durationSecs: 1800,
	collects: { cmdlines: true, network: true, fileMeta: false },
	reason: "  Web server started a shell ",
	parentLink: null,
};
const context = { operatorId: "ana", trustVersion: 1, nowMs, random };
const trust: TrustDocument = {
	version: 1,
	enclave: "lab",
	prevHash: new Uint8Array(32),
	mode: "solo",
	operators: [{ id: "ana", name: "Ana", publicKey: ed25519PublicKey(seed), roles: ["analyst"] }],
	traceApprovals: 0,
	successorKeys: [],
	successorThreshold: 1,
	ledgerOrigin: "sc.lab/ledger",
	ledgerKey: new Uint8Array(32),
	isMaskingRequired: true,
	traceDepthMax: 64,
	traceDurationSecsMax: 86_400,
};

function composed(change: Partial<TraceRequest> = {}) {
	const made = composeTraceCommand({ ...request, ...change }, context);
	assert.ok(made.ok);
	return made.value;
}

test("the command the console signs is one that the agent's judge accepts", () => {
	const { payload } = composed();
	const signature = ed25519Sign(seed, preAuthEncoding(PAYLOAD_TYPES.traceCommand, payload));
	const envelope = bytesOfBase64(sealCommand(payload, "ana", signature));
	assert.ok(envelope);
	const judged = verifyTraceCommand(envelope, { trust, agentId: "web-01", nowMs, hasSeen: () => false });
	assert.ok(judged.ok, judged.ok ? "" : judged.detail);
	assert.equal(judged.value.command.reason, "Web server started a shell");
	assert.equal(judged.value.command.expiresAtMs, nowMs + 15 * 60_000);
});

test("a followed trace keeps the trace id and names where it came from", () => {
	const parentLink = { agent: "web-01", process: "cd".repeat(16) };
	const { command } = composed({ traceId: "T-20261122-abc234", agent: "db-01", parentLink });
	assert.equal(command.traceId, "T-20261122-abc234");
	assert.equal(hexOf(command.parentLink?.process ?? new Uint8Array()), parentLink.process);
});

test("a new trace id has the UTC date and six random characters", () => {
	assert.match(newTraceId(nowMs, random.subarray(16)), /^T-20261122-[a-z0-9]{6}$/);
	assert.notEqual(newTraceId(nowMs, random.subarray(0)), newTraceId(nowMs, random.subarray(8)));
});

test("nothing is signed without a reason or beyond the bounds of the shape", () => {
	const code = (change: Partial<TraceRequest>) => {
		const made = composeTraceCommand({ ...request, ...change }, context);
		return made.ok ? "ok" : made.code;
	};
	assert.equal(code({ reason: " \n " }), "reason_missing");
	assert.equal(code({ reason: "x".repeat(500) }), "ok");
	assert.equal(code({ reason: "x".repeat(501) }), "request_malformed");
	assert.equal(code({ process: "xyz" }), "request_malformed");
	assert.equal(code({ agent: "Web_01" }), "request_malformed");
	assert.equal(code({ depth: 1001 }), "request_malformed");
});

const listed = (payload: Uint8Array) => ({
	commandId: hexOf(random.subarray(0, 16)),
	act: "start" as const,
	agent: "web-01",
	targetProcess: request.process,
	targetPid: 812,
	initiatedBy: "ana",
	approvedBy: [],
	approvalsNeeded: 1,
	state: "awaiting_approval" as const,
	cause: "",
	sentAtMs: null,
	answeredAtMs: null,
	expiresAtMs: nowMs + 15 * 60_000,
	maxDurationSecs: 1800,
	payload: base64Of(payload),
	parentLink: null,
	traceId: newTraceId(nowMs, random.subarray(16)),
	reason: "Web server started a shell",
});

test("an approver is shown what the bytes say, and every difference to the list by name", () => {
	const { payload } = composed();
	const honest = readListedCommand(listed(payload));
	assert.ok(honest.ok);
	assert.deepEqual(honest.value.differences, []);
	const lying = readListedCommand({ ...listed(payload), agent: "db-01", reason: "routine" });
	assert.ok(lying.ok);
	assert.deepEqual(lying.value.differences, ["host", "reason"]);
	assert.equal(lying.value.command.targetAgent, "web-01");
});

test("bytes that are no trace command cannot be approved", () => {
	const { payload } = composed();
	assert.equal(readListedCommand({ ...listed(payload), payload: "%%" }).ok, false);
	assert.equal(readListedCommand(listed(payload.subarray(0, payload.length - 1))).ok, false);
});
