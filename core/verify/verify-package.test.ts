import assert from "node:assert/strict";
import { before, test } from "node:test";
import { hexOf, textOf, utf8 } from "#core/bytes/bytes.ts";
import { PAYLOAD_TYPES, preAuthEncoding } from "#core/crypto/dsse.ts";
import { readBatch, sealBatch, sealEvent } from "#core/model/batch.ts";
import type { Event, EventPayload } from "#core/model/event.ts";
import { readZip, writeZip } from "#core/package/index.ts";
import type { PackageInput } from "#core/package/layout.ts";
import { makeSignatureFile } from "#core/package/manifest.ts";
import { bytesNamed, processNamed, type SealedTestBatch, type TestAgent } from "#core/testing/test-agent.ts";
import { readPinnedTrust, signTrustDocument, trustHash } from "#core/trust/trust-document.ts";
import { ed25519PublicKey, ed25519Sign } from "#crypto";
import { CHECK_NAMES, type CheckName, type PackageVerdict, type VerifyCode } from "./index.ts";
import {
	makeTestPackage,
	NOW_MS,
	operatorSeed,
	type PendingLeaf,
	sealFiles,
	sealTestPackage,
	signedCommand,
	type TestPackage,
	TRACE_ID,
	type Variation,
} from "./testing/enclave.ts";
import { verifyPackage } from "./verify-package.ts";

const DAY_MS = 86_400_000;
const nowMs = NOW_MS + DAY_MS;
let made: TestPackage;
let bytes: Uint8Array;
let files: ReadonlyMap<string, Uint8Array>;
before(async () => {
	made = await makeTestPackage();
	bytes = sealTestPackage(made.input);
	files = filesOf(bytes);
});

function filesOf(archive: Uint8Array): ReadonlyMap<string, Uint8Array> {
	const read = readZip(archive);
	assert(read.ok);
	return read.value;
}

const verify = (archive: Uint8Array, from: TestPackage = made): Promise<PackageVerdict> =>
	verifyPackage(archive, { rootFingerprint: from.rootFingerprint, nowMs });

async function verifyVariation(variation: Variation, exporter = "ana"): Promise<PackageVerdict> {
	const varied = await makeTestPackage(variation);
	return verify(sealTestPackage(varied.input, exporter), varied);
}

const verifyInput = (input: PackageInput, from: TestPackage = made): Promise<PackageVerdict> =>
	verify(sealTestPackage(input), from);

/** `name: code` of every check that did not pass, those aside that could not be reached. */
const findings = ({ checks }: PackageVerdict): string[] =>
	checks.filter(({ outcome }) => outcome === "fail" || outcome === "gaps").map(({ name, code }) => `${name}: ${code}`);
const only = (name: CheckName, code: VerifyCode): string[] => [`${name}: ${code}`];
const detailOf = ({ checks }: PackageVerdict, name: CheckName): string =>
	checks.find((check) => check.name === name)?.detail ?? "";

/** An exporter who lies: the files are as he likes, the manifest names them, and he signs it. */
const lie = (change: (changed: Map<string, Uint8Array>) => void): Promise<PackageVerdict> => {
	const changed = new Map(files);
	change(changed);
	return verify(sealFiles(changed));
};

test("a whole package passes every check by name, in order, each with its claim", async () => {
	const verdict = await verify(bytes);
	assert.deepEqual(
		verdict.checks.map(({ name, outcome, code }) => [name, outcome, code]),
		CHECK_NAMES.map((name) => [name, "pass", null]),
		JSON.stringify(verdict.checks, null, 1),
	);
	assert.deepEqual([verdict.verdict, verdict.traceId, verdict.mode], ["PASS", TRACE_ID, "two_person"]);
	assert.deepEqual([verdict.enclave, verdict.exporter], ["lab", "ana"]);
	for (const { detail } of verdict.checks) assert.match(detail, /\w.*\.$/);
	assert.match(detailOf(verdict, "command_signatures"), /start on web-01 by ana, approved by ben/);
});

test("one person's enclave passes too, and its mode is said", async () => {
	const command = signedCommand({ targetAgent: "web-01" }, ["ana"]);
	const verdict = await verifyVariation({ trust: { mode: "solo", traceApprovals: 0 }, command });
	assert.deepEqual([verdict.verdict, verdict.mode, findings(verdict)], ["PASS", "solo", []]);
	assert.match(detailOf(verdict, "manifest_statement"), /solo: one person alone/);
});

test("a trace that was exported before passes by the act of this very export", async () => {
	const verdict = await verifyVariation({
		acts: (acts) => [...acts.slice(0, -1), { ...(acts.at(-1) as PendingLeaf), body: utf8("{}") }, ...acts.slice(-1)],
	});
	assert.equal(verdict.verdict, "PASS", JSON.stringify(verdict.checks, null, 1));
});

test("a verifier that breaks says FAIL, at the check where it broke, and judges nothing after it", async () => {
	const broken = {
		nowMs,
		get rootFingerprint(): string {
			throw new RangeError("Invalid time value");
		},
	};
	const verdict = await verifyPackage(bytes, broken);
	assert.equal(verdict.verdict, "FAIL");
	assert.deepEqual(findings(verdict), ["root_given: verifier_fault"]);
	assert.match(detailOf(verdict, "root_given"), /RangeError: Invalid time value/);
	assert.deepEqual(
		verdict.checks.map(({ name, outcome }) => [name, outcome]),
		CHECK_NAMES.map((name, i) => [name, i < 2 ? "pass" : i === 2 ? "fail" : "skipped"]),
	);
	const nothing = await verifyPackage(null as never, { rootFingerprint: made.rootFingerprint, nowMs });
	assert.deepEqual(findings(nothing), ["package_canonical: verifier_fault"]);
});

test("equal evidence makes equal bytes", () => {
	assert.deepEqual(sealTestPackage(made.input), bytes);
});

test("the view has the seed's TraceChunk fields and names the evidence of each line", () => {
	const lines = (textOf(files.get("view/events.ndjson") as Uint8Array) ?? "").trim().split("\n");
	const exec = JSON.parse(lines[1] ?? "") as Record<string, unknown>;
	assert.deepEqual(Object.keys(exec).slice(0, 6), ["trace_id", "seq", "type", "ts", "payload", "sig"]);
	assert.equal(exec.type, "execve");
	assert.match(String(exec.sig), /^ed25519:/);
	assert.deepEqual([exec.agent, exec.batch, exec.index], ["web-01", 1, 0]);
});

// --- One package per check that this check alone finds: were the check weakened, the package would pass. ---

function withSignature(seedName: string): (batches: readonly SealedTestBatch[], web: TestAgent) => SealedTestBatch[] {
	return (told, web) =>
		told.map((batch) => (batch.seq === 2 && batch.lane === "trace" ? forged(batch, web, seedName) : batch));
}

/** The same batch with the header or the events signed by another key; what is not forged is signed by the host. */
function forged(batch: SealedTestBatch, web: TestAgent, what: string): SealedTestBatch {
	const stranger = bytesNamed("stranger", 32);
	const event: Event = {
		kind: "exit",
		process: processNamed("shell"),
		kernelTimeNs: 5n,
		wallTimeMs: NOW_MS,
		seq: batch.header.firstEvent,
		tier: "ebpf",
		traceId: TRACE_ID,
		payload: { pid: 10, exitCode: 0 },
	};
	const header = what === "fork" ? { ...batch.header, prevHash: bytesNamed("another history", 32) } : batch.header;
	const events = [sealEvent(event, what === "event" ? stranger : web.seed)];
	const sealed = sealBatch(header, events, what === "header" ? stranger : web.seed);
	const read = readBatch(sealed.bytes);
	assert(read.ok);
	return { ...batch, ...sealed, header: read.value.header };
}

const weakenings: [CheckName, VerifyCode, string, () => Promise<PackageVerdict>][] = [
	["package_canonical", "trailing_bytes", "a byte behind the archive", () => verify(Uint8Array.of(...bytes, 0))],
	[
		"manifest_subjects",
		"subject_differs",
		"a file that nobody signed",
		() => verify(writeZip(new Map([...files, ["verify/HOWTO.txt", utf8("trust me")]]))),
	],
	[
		"manifest_subjects",
		"file_unknown",
		"a file, signed for, that no check looks at",
		() => lie((changed) => changed.set("events/README.exe", utf8("MZ"))),
	],
	[
		"root_given",
		"root_is_another",
		"another root than the reader's",
		() => verifyPackage(bytes, { rootFingerprint: "0".repeat(64), nowMs }),
	],
	[
		"root_given",
		"root_fingerprint_malformed",
		"a fingerprint that is none",
		() => verifyPackage(bytes, { rootFingerprint: "no hex", nowMs }),
	],
	[
		"trust_chain",
		"anchor_signature_invalid",
		"a genesis that the root did not sign",
		() => lie((changed) => changed.set("pki/genesis.sig", new Uint8Array(64))),
	],
	[
		"trust_chain",
		"trust_version_not_next",
		"a trust document that does not follow",
		() => lie((changed) => changed.set("trust/1.cbor", changed.get("trust/0.cbor") as Uint8Array)),
	],
	[
		"trust_chain",
		"trust_mode_unmet",
		"a mode of two persons that asks for no approval",
		async () => {
			const lying = await makeTestPackage({ trust: { mode: "two_person", traceApprovals: 0 } });
			const changed = new Map(filesOf(sealTestPackage({ ...lying.input, trust: made.input.trust })));
			for (const [version, document] of lying.input.trust.entries()) changed.set(`trust/${version}.cbor`, document);
			return verify(sealFiles(changed), lying);
		},
	],
	[
		"trust_chain",
		"trust_mode_unmet",
		"a mode of two persons in which one signs the next trust document",
		() => {
			const first = readPinnedTrust(made.input.trust[1] as Uint8Array);
			assert(first.ok);
			const { document, payload } = first.value;
			const next = { ...document, version: 2, prevHash: trustHash(payload), successorThreshold: 1 };
			const seeds = ["ana", "ben"].map((id) => {
				const seed = operatorSeed(id);
				return { publicKey: ed25519PublicKey(seed), seed };
			});
			return lie((changed) => changed.set("trust/2.cbor", signTrustDocument(next, seeds).bytes));
		},
	],
	[
		"manifest_signature",
		"exporter_role_missing",
		"an exporter without the role",
		() => verifyVariation({ exporter: "ben" }, "ben"),
	],
	[
		"manifest_signature",
		"exporter_unknown",
		"a signature by another operator than the manifest names",
		async () => verify(sealTestPackage(made.input, "ben")),
	],
	[
		"manifest_signature",
		"manifest_signature_invalid",
		"a signature by an unknown key under the exporter's name",
		async () => {
			const manifest = files.get("manifest.json") as Uint8Array;
			const message = preAuthEncoding(PAYLOAD_TYPES.packageManifest, manifest);
			const signature = ed25519Sign(bytesNamed("stranger", 32), message);
			return verify(
				writeZip(new Map([...files, ["manifest.dsse.json", makeSignatureFile(manifest, "ana", signature)]])),
			);
		},
	],
	["pki_chain", "chain_signature_invalid", "hosts of another PKI", () => verifyVariation({ isForeignPki: true })],
	[
		"pki_chain",
		"batch_outside_certificate",
		"batches made after the certificates had expired",
		() => verifyVariation({ certifiedAtMs: NOW_MS - 40 * DAY_MS }),
	],
	[
		"command_signatures",
		"command_approval_missing",
		"a command without its approval",
		() => verifyVariation({ command: signedCommand({ targetAgent: "web-01" }, ["ana"]) }),
	],
	[
		"command_signatures",
		"command_ceiling_exceeded",
		"a command above the ceiling",
		() => verifyVariation({ command: signedCommand({ targetAgent: "web-01", depth: 7 }, ["ana", "ben"]) }),
	],
	[
		"batch_signatures",
		"batch_signature_invalid",
		"a batch of another key",
		() => verifyVariation({ batches: withSignature("header") }),
	],
	[
		"event_signatures",
		"event_signature_invalid",
		"an event of another key",
		() => verifyVariation({ batches: withSignature("event") }),
	],
	[
		"batch_sequence",
		"stream_forked",
		"a batch of another history",
		() => verifyVariation({ batches: withSignature("fork") }),
	],
	[
		"ledger_checkpoint",
		"note_unsigned",
		"a checkpoint of another ledger's key",
		() => verifyVariation({ checkpointSeed: bytesNamed("other ledger", 32) }),
	],
	[
		"ledger_inclusion",
		"leaf_body_mismatch",
		"a leaf about other bytes",
		() => lie((changed) => changed.set("ledger/acts/0.body", utf8("other"))),
	],
	[
		"ledger_inclusion",
		"command_not_in_ledger",
		"a command that the ledger never saw",
		() => verifyVariation({ acts: (acts) => acts.filter(({ kind }) => kind !== "trace_start") }),
	],
	[
		"ledger_inclusion",
		"export_not_in_ledger",
		"an export that the ledger never saw",
		() => verifyVariation({ acts: (acts) => acts.filter(({ kind }) => kind !== "export") }),
	],
	[
		"ledger_inclusion",
		"export_differs",
		"a reason that the ledger tells otherwise",
		() => verifyInput({ ...made.input, exporter: { operator: "ana", reason: "case 8" } }),
	],
	[
		"ledger_inclusion",
		"export_differs",
		"a batch taken out after the ledger heard of the export",
		() => {
			const isOfDb = (bytes: Uint8Array) => {
				const read = readBatch(bytes);
				return read.ok && read.value.header.agent === "db-01";
			};
			const { batches, hosts } = made.input;
			return verifyInput({
				...made.input,
				batches: batches.filter(({ bytes }) => !isOfDb(bytes)),
				hosts: hosts.filter(({ agent }) => agent !== "db-01"),
			});
		},
	],
	[
		"ledger_inclusion",
		"export_differs",
		"a command put in after the ledger heard of the export",
		async () => {
			const commandId = bytesNamed("stop", 16);
			const stop = signedCommand({ targetAgent: "web-01", act: "stop", commandId }, ["ana", "ben"]);
			const varied = await makeTestPackage({
				acts: (acts) => [...acts.slice(0, 2), { ...(acts[1] as PendingLeaf), body: stop }, ...acts.slice(2)],
			});
			const commands = [...varied.input.commands, { commandId: hexOf(commandId), envelope: stop }];
			return verifyInput({ ...varied.input, commands }, varied);
		},
	],
	[
		"manifest_statement",
		"statement_differs",
		"a manifest that tells of another mode",
		() => verify(sealFiles(files, "ana", (predicate) => ({ ...predicate, mode: "solo" }))),
	],
	[
		"manifest_statement",
		"statement_differs",
		"a clock table without a host",
		() => verify(sealFiles(files, "ana", (predicate) => ({ ...predicate, hosts: predicate.hosts.slice(1) }))),
	],
	[
		"manifest_statement",
		"exported_in_future",
		"a package from the future",
		() => verifyPackage(bytes, { rootFingerprint: made.rootFingerprint, nowMs: NOW_MS - 2 * DAY_MS }),
	],
	[
		"view_matches_events",
		"view_differs",
		"a view that tells another story",
		() =>
			lie((changed) => {
				const view = textOf(changed.get("view/events.ndjson") as Uint8Array) ?? "";
				changed.set("view/events.ndjson", utf8(view.replace('"name":"bash"', '"name":"dash"')));
			}),
	],
	[
		"command_covers_trace",
		"command_missing",
		"a trace on a host that no command names",
		() => verifyVariation({ command: signedCommand({ targetAgent: "db-01" }, ["ana", "ben"]) }),
	],
];
for (const [name, code, what, run] of weakenings)
	test(`${what} is found by ${name} alone, as ${code}`, async () => {
		const verdict = await run();
		assert.equal(verdict.verdict, "FAIL");
		assert.deepEqual(findings(verdict), only(name, code), JSON.stringify(verdict.checks, null, 1));
		assert.equal(verdict.checks.length, CHECK_NAMES.length);
	});

test("every check has a package that it alone finds", () => {
	const covered = new Set<string>([...weakenings.map(([name]) => name), "gaps"]);
	assert.deepEqual(
		CHECK_NAMES.filter((name) => !covered.has(name)),
		[],
	);
});

// --- Gaps: what is there is sound, what is missing is named. ---

const gapBatch = (web: TestAgent, payload: EventPayload) => web.batch("alert", [{ kind: "gap", payload }]);
/** A second trace batch whose events the seal counts, so that leaving one out is found by its number or by the count. */
const exitBatch = (web: TestAgent) => web.batch("trace", [{ kind: "exit", traceId: TRACE_ID }]);

const gapCases: [string, Variation, string[], RegExp][] = [
	[
		"events that a host declares lost",
		{
			batches: (told, web) => [
				...told,
				gapBatch(web, { gapScope: "cpu", gapCpu: 1, gapFrom: 5n, gapTo: 9n, cause: "ring buffer full" }),
			],
		},
		only("gaps", "gap_declared"),
		/web-01: cpu 5 to 9 \(ring buffer full\)/,
	],
	[
		"a trace that has not ended",
		{ batches: (told) => told.slice(0, -1) },
		only("gaps", "gap_declared"),
		/web-01: the trace has no end here/,
	],
	[
		"the last batch left out",
		{ batches: (told) => told.filter(({ lane, seq }) => lane !== "trace" || seq !== 2) },
		only("gaps", "gap_declared"),
		/3 events were sealed and 2 are here/,
	],
	[
		"a batch left out of the middle",
		{ batches: (told, web) => [...told.filter(({ lane, seq }) => lane !== "trace" || seq !== 2), exitBatch(web)] },
		only("batch_sequence", "stream_hole"),
		/no host declared lost: web-01 stream [0-9a-f]{16} 2 to 2/,
	],
	[
		"a batch lost in the middle that the host declares lost",
		{
			batches: (told, web) => [
				...told.filter(({ lane, seq }) => lane !== "trace" || seq !== 2),
				exitBatch(web),
				gapBatch(web, {
					gapScope: "stream",
					gapStream: web.stream("trace"),
					gapFrom: 1n,
					gapTo: 2n,
					cause: "outbox_full",
				}),
			],
		},
		only("gaps", "gap_declared"),
		/stream 1 to 2 \(outbox_full\)/,
	],
	[
		"the host's answer to the command left out",
		{ batches: (told) => told.slice(1) },
		only("command_covers_trace", "command_unanswered"),
		/answer of web-01/,
	],
];
for (const [what, variation, expected, detail] of gapCases)
	test(`${what}: PASS WITH GAPS, and it is named`, async () => {
		const verdict = await verifyVariation(variation);
		assert.equal(verdict.verdict, "PASS WITH GAPS", JSON.stringify(verdict.checks, null, 1));
		assert.deepEqual(findings(verdict), expected);
		assert.match(detailOf(verdict, (expected[0] as string).split(":")[0] as CheckName), detail);
	});

test("a gap event that names too little of a hole, another stream or another scope does not explain it", async () => {
	const payloads: ((web: TestAgent) => EventPayload)[] = [
		(web) => ({ gapScope: "stream", gapStream: web.stream("trace"), gapFrom: 3n, gapTo: 9n }),
		(web) => ({ gapScope: "stream", gapStream: web.stream("bulk"), gapFrom: 1n, gapTo: 9n }),
		(web) => ({ gapScope: "cpu", gapStream: web.stream("trace"), gapFrom: 1n, gapTo: 9n }),
		() => ({ gapScope: "stream", gapFrom: 1n, gapTo: 9n }),
	];
	for (const payload of payloads) {
		const verdict = await verifyVariation({
			batches: (told, web) => [
				...told.filter(({ lane, seq }) => lane !== "trace" || seq !== 2),
				exitBatch(web),
				gapBatch(web, payload(web)),
			],
		});
		assert.deepEqual(findings(verdict), ["batch_sequence: stream_hole", "gaps: gap_declared"]);
	}
});

test("a host that refused every command and yet has events of the trace fails", async () => {
	const verdict = await verifyVariation({
		batches: (told, web) => {
			const refusal = { kind: "command_answer", traceId: TRACE_ID } as const;
			const commandId = bytesNamed("command web-01", 16);
			const answer = web.batch("alert", [{ ...refusal, payload: { commandId, isAccepted: false } }]);
			const rest = told.filter(({ lane }) => lane !== "alert");
			return [...rest, answer];
		},
	});
	assert.ok(findings(verdict).includes("command_covers_trace: command_refused"));
	assert.equal(verdict.verdict, "FAIL");
});
