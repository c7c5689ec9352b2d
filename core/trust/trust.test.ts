import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeAs } from "#core/codec/index.ts";
import { PAYLOAD_TYPES, type PayloadType, preAuthEncoding } from "#core/crypto/dsse.ts";
import { type SignedEnvelope, signedEnvelopeShape, type TraceCommand, traceCommandShape } from "#core/model/command.ts";
import { ed25519PublicKey, ed25519Sign } from "#crypto";
import { verifyGenesis } from "./genesis-anchor.ts";
import {
	type Role,
	readPinnedTrust,
	signTrustDocument,
	type TrustDocument,
	trustHash,
	verifySuccession,
} from "./trust-document.ts";
import { COMMAND_LIMITS, type CommandContext, verifyTraceCommand } from "./verify-command.ts";

const keyOf = (byte: number) => {
	const seed = new Uint8Array(32).fill(byte);
	return { seed, publicKey: ed25519PublicKey(seed) };
};
const keys = { genesis: keyOf(1), alice: keyOf(2), bob: keyOf(3), carol: keyOf(4), stranger: keyOf(9) };
const operator = (id: "alice" | "bob" | "carol", roles: Role[]) => ({
	id,
	name: id,
	publicKey: keys[id].publicKey,
	roles,
});

const base: TrustDocument = {
	version: 0,
	enclave: "lab",
	prevHash: new Uint8Array(32),
	mode: "two_person",
	operators: [],
	traceApprovals: 1,
	successorKeys: [keys.genesis.publicKey],
	successorThreshold: 1,
	ledgerOrigin: "sc.lab/ledger",
	ledgerKey: keys.genesis.publicKey,
	isMaskingRequired: true,
	traceDepthMax: 16,
	traceDurationSecsMax: 3600,
};
const genesis = signTrustDocument(base, []);
const next: TrustDocument = {
	...base,
	version: 1,
	prevHash: trustHash(genesis.payload),
	operators: [operator("alice", ["analyst"]), operator("bob", ["approver"]), operator("carol", ["viewer", "analyst"])],
	successorKeys: [keys.alice.publicKey, keys.bob.publicKey],
	successorThreshold: 2,
};
const first = signTrustDocument(next, [keys.genesis]);

test("version 1 is believed because genesis' key signed it, and version 2 needs its quorum", () => {
	const pinned = verifySuccession(genesis, first.bytes);
	assert(pinned.ok);
	assert.deepEqual(pinned.value.document, next);
	const second = { ...next, version: 2, prevHash: trustHash(first.payload) };
	assert(verifySuccession(pinned.value, signTrustDocument(second, [keys.alice, keys.bob]).bytes).ok);
	for (const signers of [[keys.alice], [keys.alice, keys.alice], [keys.alice, keys.stranger], []]) {
		const refused = verifySuccession(pinned.value, signTrustDocument(second, signers).bytes);
		assert(!refused.ok && refused.code === "trust_quorum_missing");
	}
});

const successions: [string, Partial<TrustDocument>, string][] = [
	["a version that is not the next", { version: 3 }, "trust_version_not_next"],
	["the same version again", { version: 0 }, "trust_version_not_next"],
	["another predecessor", { prevHash: new Uint8Array(32).fill(5) }, "trust_predecessor_mismatch"],
	["another enclave", { enclave: "other" }, "trust_enclave_mismatch"],
	["an operator twice", { operators: [operator("alice", []), operator("alice", [])] }, "trust_operator_doubled"],
	[
		"one key for two operators",
		{ operators: [operator("alice", []), { ...operator("bob", []), publicKey: keys.alice.publicKey }] },
		"trust_key_doubled",
	],
	["a successor key twice", { successorKeys: [keys.alice.publicKey, keys.alice.publicKey] }, "trust_key_doubled"],
	["more successors asked for than there are", { successorThreshold: 3 }, "trust_threshold_invalid"],
	["no successor asked for", { mode: "solo", successorThreshold: 0 }, "trust_threshold_invalid"],
	["no successor at all", { mode: "solo", successorKeys: [], successorThreshold: 0 }, "trust_threshold_invalid"],
	["two people and no approval", { traceApprovals: 0 }, "trust_mode_unmet"],
	["two people of whom one signs alone", { successorThreshold: 1 }, "trust_mode_unmet"],
	["two people of whom one is not there", { operators: [operator("alice", ["analyst"])] }, "trust_mode_unmet"],
];
for (const [name, change, code] of successions)
	test(`a trust document with ${name} is refused as ${code}`, () => {
		const refused = verifySuccession(genesis, signTrustDocument({ ...next, ...change }, [keys.genesis]).bytes);
		assert(!refused.ok);
		assert.equal(refused.code, code);
	});

test("one person may act alone where the mode says so", () => {
	const solo = {
		mode: "solo",
		traceApprovals: 0,
		successorKeys: [keys.alice.publicKey],
		successorThreshold: 1,
	} as const;
	const document = { ...next, ...solo, operators: [operator("alice", ["analyst"])] };
	assert(verifySuccession(genesis, signTrustDocument(document, [keys.genesis]).bytes).ok);
});

const unfitGenesis: [string, Partial<TrustDocument>, string][] = [
	["two people and no approval", { traceApprovals: 0 }, "trust_mode_unmet"],
	["a key that stands twice", { successorKeys: [keys.alice.publicKey, keys.alice.publicKey] }, "trust_key_doubled"],
	["nobody who signs the next version", { successorThreshold: 0 }, "trust_threshold_invalid"],
];
for (const [name, change, code] of unfitGenesis)
	test(`a genesis with ${name} is refused as ${code}, wherever it lies and whoever signed it`, async () => {
		const { bytes } = signTrustDocument({ ...base, ...change }, []);
		const none = new Uint8Array();
		for (const refused of [readPinnedTrust(bytes), await verifyGenesis(none, bytes, none)]) {
			assert(!refused.ok);
			assert.equal(refused.code, code);
		}
	});

test("a trust document with a flipped bit or cut anywhere is refused", () => {
	for (let at = 0; at < first.bytes.length; at++) {
		const flipped = Uint8Array.from(first.bytes);
		flipped[at] = (flipped[at] as number) ^ 1;
		assert(!verifySuccession(genesis, flipped).ok, `byte ${at}`);
		assert(!readPinnedTrust(first.bytes.subarray(0, at)).ok, `cut at ${at}`);
	}
});

const NOW = 1_763_800_000_000;
const command: TraceCommand = {
	traceId: "T-20261122-abc123",
	targetAgent: "web-01",
	targetPid: 42,
	depth: 6,
	collectCmdlines: true,
	collectNetwork: true,
	collectFileMeta: true,
	maxDurationSecs: 600,
	initiatedBy: "alice",
	timestampMs: NOW,
	targetProcess: new Uint8Array(16).fill(3),
	commandId: new Uint8Array(16).fill(4),
	expiresAtMs: NOW + 60_000,
	reason: "apache spawned a shell",
	trustVersion: 1,
	act: "start",
};

function sign(
	signers: readonly (keyof typeof keys)[],
	change: Partial<TraceCommand> = {},
	type: PayloadType = PAYLOAD_TYPES.traceCommand,
): SignedEnvelope {
	const payload = encodeAs(traceCommandShape, { ...command, ...change });
	const message = preAuthEncoding(type, payload);
	return {
		payload,
		signatures: signers.map((id) => ({ operator: id, signature: ed25519Sign(keys[id].seed, message) })),
	};
}

function judge(envelope: SignedEnvelope, change: Partial<CommandContext> = {}) {
	const context = { trust: next, agentId: "web-01", nowMs: NOW + 1000, hasSeen: () => false, ...change };
	return verifyTraceCommand(encodeAs(signedEnvelopeShape, envelope), context);
}

test("a command signed by an analyst and approved by another person is obeyed", () => {
	const verdict = judge(sign(["alice", "bob"]));
	assert(verdict.ok);
	assert.deepEqual(verdict.value.command, command);
	assert.deepEqual(verdict.value.approvedBy, ["bob"]);
});

const other = sign(["alice", "bob"], { depth: 9 });
const swapped = sign(["alice", "bob"]);
const commandRefusals: [string, () => ReturnType<typeof judge>, string][] = [
	["nobody's signature", () => judge(sign([])), "command_signature_missing"],
	["no approval", () => judge(sign(["alice"])), "command_approval_missing"],
	["an approval by one without the role", () => judge(sign(["alice", "carol"])), "command_approval_missing"],
	["the approver as initiator", () => judge(sign(["bob", "alice"], { initiatedBy: "bob" })), "command_role_missing"],
	["the same signer twice", () => judge(sign(["alice", "alice"])), "command_signer_doubled"],
	["a stranger", () => judge(sign(["alice", "stranger"])), "command_operator_unknown"],
	["a payload changed after signing", () => judge({ ...other, payload: swapped.payload }), "command_signature_invalid"],
	[
		"signatures over another kind of object",
		() => judge(sign(["alice", "bob"], {}, PAYLOAD_TYPES.batch)),
		"command_signature_invalid",
	],
	["another target", () => judge(sign(["alice", "bob"], { targetAgent: "db-01" })), "command_wrong_target"],
	["an expiry that has passed", () => judge(sign(["alice", "bob"]), { nowMs: NOW + 60_001 }), "command_expired"],
	[
		"a time ahead",
		() => judge(sign(["alice", "bob"]), { nowMs: NOW - COMMAND_LIMITS.clockAheadMsMax - 1 }),
		"command_from_future",
	],
	[
		"too long a life",
		() => judge(sign(["alice", "bob"], { expiresAtMs: NOW + COMMAND_LIMITS.lifetimeMsMax + 1 })),
		"command_lifetime_too_long",
	],
	["a depth above the ceiling", () => judge(sign(["alice", "bob"], { depth: 17 })), "command_ceiling_exceeded"],
	[
		"a duration above the ceiling",
		() => judge(sign(["alice", "bob"], { maxDurationSecs: 3601 })),
		"command_ceiling_exceeded",
	],
	["another trust version", () => judge(sign(["alice", "bob"], { trustVersion: 0 })), "command_trust_version"],
	["a command id seen before", () => judge(sign(["alice", "bob"]), { hasSeen: () => true }), "command_replayed"],
];
for (const [name, run, code] of commandRefusals)
	test(`a command with ${name} is refused as ${code}`, () => {
		const verdict = run();
		assert(!verdict.ok);
		assert.equal(verdict.code, code);
	});

test("a refusal names the command only when its initiator signed it and no lack of others' signatures is the reason", () => {
	const named = (envelope: SignedEnvelope, change: Partial<CommandContext> = {}) => {
		const verdict = judge(envelope, change);
		assert(!verdict.ok);
		return verdict.command?.commandId;
	};
	const genuine = sign(["alice", "bob"]);
	// What a hop can make of a genuine command: other bytes, signatures taken away, one more that is junk, the same one twice.
	const [first] = genuine.signatures;
	assert(first);
	const foreign: SignedEnvelope[] = [
		{ ...genuine, payload: encodeAs(traceCommandShape, { ...command, depth: 1 }) },
		{ ...genuine, signatures: [] },
		{ ...genuine, signatures: [first] },
		{ ...genuine, signatures: genuine.signatures.slice(1) },
		{ ...genuine, signatures: [...genuine.signatures, { operator: "carol", signature: first.signature }] },
		{ ...genuine, signatures: [...genuine.signatures, { ...first, operator: "mallory" }] },
		{ ...genuine, signatures: [...genuine.signatures, first] },
	];
	for (const envelope of foreign) assert.equal(named(envelope), undefined);
	assert.equal(named(genuine, { trust: { ...next, version: 2 } }), undefined);
	assert.deepEqual(named(genuine, { nowMs: NOW + 60_001 }), command.commandId);
	assert.deepEqual(named(genuine, { agentId: "db-01" }), command.commandId);
	assert.deepEqual(named(genuine, { hasSeen: () => true }), command.commandId);
	assert.deepEqual(named(sign(["alice"], { depth: 17 })), command.commandId);
});

test("a command is obeyed up to its limits", () => {
	assert(judge(sign(["alice", "bob"], { depth: 16, maxDurationSecs: 3600 })).ok);
	assert(judge(sign(["alice", "bob"]), { nowMs: NOW + 60_000 }).ok);
	assert(judge(sign(["alice", "bob"], { expiresAtMs: NOW + COMMAND_LIMITS.lifetimeMsMax })).ok);
	assert(judge(sign(["alice", "bob"]), { nowMs: NOW - COMMAND_LIMITS.clockAheadMsMax }).ok);
});

test("a command envelope with a flipped bit or cut anywhere is refused", () => {
	const bytes = encodeAs(signedEnvelopeShape, sign(["alice", "bob"]));
	const context = { trust: next, agentId: "web-01", nowMs: NOW, hasSeen: () => false };
	for (let at = 0; at < bytes.length; at++) {
		const flipped = Uint8Array.from(bytes);
		flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
		assert(!verifyTraceCommand(flipped, context).ok, `byte ${at}`);
		assert(!verifyTraceCommand(bytes.subarray(0, at), context).ok, `cut at ${at}`);
	}
});

test("one person's policy needs no approval, but still the analyst's own signature", () => {
	const solo: TrustDocument = { ...next, mode: "solo", traceApprovals: 0 };
	assert(judge(sign(["alice"]), { trust: solo }).ok);
	const refused = judge(sign(["bob"]), { trust: solo });
	assert(!refused.ok && refused.code === "command_signature_missing");
});
