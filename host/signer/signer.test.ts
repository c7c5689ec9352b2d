import { deepEqual, equal, match, ok } from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { base64Of, bytesOfBase64, utf8 } from "#core/bytes/bytes.ts";
import { encodeAs } from "#core/codec/index.ts";
import { consistencyProof, leafHash, merkleRoot, openCheckpoint, parseVerifierKey } from "#core/ledger/index.ts";
import { BARE_CAPTURE_POLICY } from "#core/trust/capture-policy.ts";
import { type TrustDocument, trustDocumentShape, trustHash, verifySuccession } from "#core/trust/trust-document.ts";
import { ed25519PublicKey, sha256 } from "#crypto";
import { HOST_LIMITS } from "../limits.ts";
import { createEnclavePki, type EnclavePki, openEnclavePki } from "../pki/enclave.ts";
import { type SignerPaths, signerPaths } from "../pki/layout.ts";
import { runSupervisor, type Supervisor } from "../supervisor/supervisor.ts";
import type { Invitation } from "./invitations.ts";
import { signerProcess } from "./process.ts";

const ORIGIN = "sc.lab/ledger";
let base: string;
let dataDir: string;
let paths: SignerPaths;
let enclave: EnclavePki;
let invitations: readonly Invitation[];
let box: Supervisor;

beforeEach(async () => {
	base = mkdtempSync(join(tmpdir(), "daemoneye-signer-"));
	dataDir = join(base, "d");
	paths = signerPaths(dataDir);
	const created = await createEnclavePki(dataDir, {
		enclave: "lab",
		policy: {
			mode: "two_person",
			traceApprovals: 1,
			isMaskingRequired: true,
			traceDepthMax: 8,
			traceDurationSecsMax: 60,
		},
		nodes: [{ role: "sc", id: "sc" }],
		invitees: [
			{ operatorId: "ada", roles: ["analyst"] },
			{ operatorId: "bob", roles: ["approver", "auditor"] },
		],
		nowMs: Date.now(),
	});
	ok(created.ok);
	({ invitations } = created.value);
	const opened = openEnclavePki(dataDir, Date.now());
	ok(opened.ok);
	enclave = opened.value;
	await start();
});
afterEach(async () => {
	await box.stop();
	rmSync(base, { recursive: true });
});

async function start(): Promise<void> {
	const result = await runSupervisor({ dataDir, processes: [signerProcess(dataDir)] });
	if (!result.ok) throw new Error(result.detail);
	box = result.value;
}

interface SignerAnswer {
	readonly status: number;
	readonly code?: string;
	readonly note?: string;
	readonly signed?: string;
	readonly lastSize?: number;
	readonly size?: number;
	readonly hasGenesisKey?: boolean;
}

function ask(method: string, path: string, body?: unknown): Promise<SignerAnswer> {
	const { promise, resolve, reject } = Promise.withResolvers<SignerAnswer>();
	const question = request({ socketPath: paths.socket, method, path, agent: false }, async (answer) => {
		const chunks = (await answer.toArray()) as Buffer[];
		resolve({ status: answer.statusCode ?? 0, ...JSON.parse(Buffer.concat(chunks).toString()) });
	});
	question.on("error", reject);
	question.end(body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body));
	return promise;
}

function leaves(count: number, fork = ""): Uint8Array[] {
	return Array.from({ length: count }, (_, i) => leafHash(utf8(`leaf ${i}${fork}`)));
}

function checkpointOf(size: number, oldSize: number, fork = ""): Record<string, unknown> {
	const tree = leaves(size, fork);
	const proof = oldSize === 0 || oldSize >= size ? [] : consistencyProof(tree, oldSize, size);
	return { origin: ORIGIN, size, root: base64Of(merkleRoot(tree)), oldSize, consistency: proof.map(base64Of) };
}

function opens(note: string | undefined, size: number): void {
	const key = parseVerifierKey(enclave.ledgerVerifierKey);
	ok(key.ok);
	const opened = openCheckpoint(utf8(note ?? ""), { origin: ORIGIN, keys: [key.value] });
	ok(opened.ok);
	equal(opened.value.size, size);
	deepEqual(opened.value.root, merkleRoot(leaves(size)));
}

test("checkpoints grow by proof, the same one again is the same note, and a restart forgets nothing", async () => {
	opens((await ask("POST", "/checkpoint", checkpointOf(3, 0))).note, 3);
	const seven = await ask("POST", "/checkpoint", checkpointOf(7, 3));
	opens(seven.note, 7);
	equal((await ask("POST", "/checkpoint", checkpointOf(7, 3))).note, seven.note);
	await box.stop();
	await start();
	deepEqual(await ask("GET", "/health"), { status: 200, size: 7, hasGenesisKey: true });
	equal((await ask("POST", "/checkpoint", checkpointOf(7, 0))).note, seven.note);
	opens((await ask("POST", "/checkpoint", checkpointOf(12, 7))).note, 12);
});

test("a tree that shrank, forked or hides where it starts gets no signature, and the memory stays", async () => {
	ok((await ask("POST", "/checkpoint", checkpointOf(7, 0))).note);
	const code = async (body: unknown) => {
		const answer = await ask("POST", "/checkpoint", body);
		return `${answer.status} ${answer.code}`;
	};
	equal(await code({ ...checkpointOf(9, 7), origin: "sc.other/ledger" }), "409 origin_unknown");
	equal(await code(checkpointOf(6, 3)), "409 size_went_back");
	equal(await code(checkpointOf(0, 0)), "409 size_went_back");
	equal(await code(checkpointOf(7, 3, "!")), "409 other_root_same_size");
	equal(await code(checkpointOf(9, 7, "!")), "409 inconsistent");
	equal(await code({ ...checkpointOf(9, 7), consistency: [] }), "409 inconsistent");
	const fresh = await ask("POST", "/checkpoint", checkpointOf(9, 0));
	equal(`${fresh.status} ${fresh.code} ${fresh.lastSize}`, "409 not_from_last 7");
	const stale = await ask("POST", "/checkpoint", checkpointOf(9, 5));
	equal(stale.code, "not_from_last");
	equal((await ask("GET", "/health")).size, 7);
	opens((await ask("POST", "/checkpoint", checkpointOf(9, 7))).note, 9);
});

test("requests at a limit pass and above it are refused, as is anything of another shape", async () => {
	const good = checkpointOf(2, 0);
	const status = async (body: unknown) => (await ask("POST", "/checkpoint", body)).status;
	for (const bad of [
		"{",
		"[]",
		"null",
		{ ...good, extra: 1 },
		{ ...good, size: -1 },
		{ ...good, size: 2 ** 53 },
		{ ...good, size: "2" },
		{ ...good, root: base64Of(new Uint8Array(31)) },
		{ ...good, root: "====" },
		{ ...good, consistency: ["AA=="] },
		{ ...good, consistency: Array(HOST_LIMITS.consistencyHashesMax + 1).fill(good.root) },
		{ origin: ORIGIN },
	])
		equal(await status(bad), 400, JSON.stringify(bad).slice(0, 80));
	equal(await status({ ...good, consistency: Array(HOST_LIMITS.consistencyHashesMax).fill(good.root) }), 409);
	const text = JSON.stringify(good);
	equal(await status(text.padEnd(HOST_LIMITS.signerBodyBytesMax)), 200);
	equal(await status(text.padEnd(HOST_LIMITS.signerBodyBytesMax + 1)), 413);
	equal((await ask("GET", "/checkpoint")).status, 405);
	equal((await ask("GET", "/keys")).status, 404);
});

test("the socket is private, and a second signer on the same keys is refused", async () => {
	equal(statSync(paths.socket).mode & 0o777, 0o600);
	const { lockDataDir } = await import("../supervisor/data-dir-lock.ts");
	const second = lockDataDir(paths.directory);
	equal(!second.ok && second.code, "data_dir_locked");
});

test("without its memory, or with one another key signed, the signer does not start", async () => {
	await box.stop();
	for (const damage of [
		() => writeFileSync(paths.checkpoint, readFileSync(paths.checkpoint, "utf8").replace("\n0\n", "\n1\n")),
		() => rmSync(paths.checkpoint),
	]) {
		damage();
		const result = await runSupervisor({ dataDir, processes: [signerProcess(dataDir)] });
		ok(!result.ok);
		match(result.detail, /checkpoint_state_broken/);
	}
});

const KEYS = { ada: ed25519PublicKey(sha256(utf8("ada"))), bob: ed25519PublicKey(sha256(utf8("bob"))) };

function firstTrust(change: Partial<TrustDocument> = {}): TrustDocument {
	const { document, payload } = enclave.genesis;
	return {
		...document,
		version: 1,
		prevHash: trustHash(payload),
		operators: [
			{ id: "ada", name: "Ada", publicKey: KEYS.ada, roles: ["analyst"] },
			{ id: "bob", name: "Bob", publicKey: KEYS.bob, roles: ["approver", "auditor"] },
		],
		successorKeys: [KEYS.ada, KEYS.bob],
		successorThreshold: 2,
		...change,
	};
}

function askTrust(document: TrustDocument, tokens: readonly { operatorId: string; token: string }[] = presented()) {
	const body = { document: base64Of(encodeAs(trustDocumentShape, document)), invitations: tokens };
	return ask("POST", "/trust-version", body);
}

function presented(): { operatorId: string; token: string }[] {
	return invitations.map(({ operatorId, token }) => ({ operatorId, token }));
}

test("version 1 is signed once for the invited, and then the genesis key is gone", async () => {
	const answer = await askTrust(firstTrust());
	equal(answer.status, 200);
	const believed = verifySuccession(enclave.genesis, bytesOfBase64(answer.signed ?? "") ?? new Uint8Array());
	ok(believed.ok);
	deepEqual(
		believed.value.document.operators.map(({ id }) => id),
		["ada", "bob"],
	);
	ok(!existsSync(paths.genesisKey));
	equal((readFileSync(paths.invitations, "utf8").match(/"consumed": true/g) ?? []).length, 2);
	equal((await askTrust(firstTrust())).signed, answer.signed, "asked again, the same answer");
	equal((await askTrust(firstTrust({ traceDepthMax: 9 }))).code, "genesis_key_destroyed");
	equal((await ask("GET", "/health")).hasGenesisKey, false);
});

test("version 1 with uninvited, differently invited or unaccounted operators is refused, and nothing is spent", async () => {
	const [ada, bob] = firstTrust().operators;
	ok(ada && bob);
	const code = async (change: Partial<TrustDocument>, tokens = presented()) =>
		(await askTrust(firstTrust(change), tokens)).code;
	const swapped = presented().map((each, i, all) => ({ ...each, token: all[1 - i]?.token ?? "" }));
	equal(await code({}, swapped), "invitation_mismatch");
	equal(await code({}, presented().slice(1)), "invitations_incomplete");
	equal(await code({}, [{ operatorId: "ada", token: "guess" }, ...presented().slice(1)]), "invitation_unknown");
	equal(await code({ successorKeys: [KEYS.ada, KEYS.ada] }), "trust_key_doubled");
	equal(await code({ operators: [ada, { ...bob, publicKey: KEYS.ada }] }), "trust_key_doubled");
	equal(await code({ operators: [ada], successorKeys: [KEYS.ada], successorThreshold: 1 }), "trust_mode_unmet");
	equal(await code({ operators: [{ ...ada, roles: ["analyst", "approver"] }, bob] }), "invitation_mismatch");
	equal(await code({ operators: [ada, { ...bob, id: "ada" }] }), "trust_operator_doubled");
	equal(await code({ operators: [], successorKeys: [] }), "trust_threshold_invalid");
	equal(await code({ successorThreshold: 3 }), "trust_threshold_invalid");
	equal(await code({ successorThreshold: 1 }), "trust_mode_unmet");
	equal(
		await code({ successorKeys: [KEYS.ada, enclave.genesis.document.successorKeys[0] as Uint8Array] }),
		"trust_successors_invalid",
	);
	equal(await code({ traceApprovals: 0 }), "trust_policy_changed");
	equal(await code({ isMaskingRequired: false }), "trust_policy_changed");
	equal(await code({ capturePolicy: { ...BARE_CAPTURE_POLICY, watchPaths: ["/tmp/"] } }), "trust_policy_changed");
	equal(await code({ ledgerKey: KEYS.ada }), "trust_policy_changed");
	equal(await code({ version: 2 }), "trust_version_not_next");
	equal(await code({ prevHash: new Uint8Array(32) }), "trust_predecessor_mismatch");
	ok(existsSync(paths.genesisKey));
	equal((await askTrust(firstTrust())).status, 200);
});

test("a crash between the stored version 1 and the destroyed key is finished at the next start", async () => {
	const key = readFileSync(paths.genesisKey);
	const unspent = readFileSync(paths.invitations);
	equal((await askTrust(firstTrust())).status, 200);
	await box.stop();
	writeFileSync(paths.genesisKey, key);
	writeFileSync(paths.invitations, unspent);
	await start();
	ok(!existsSync(paths.genesisKey));
	equal(readFileSync(paths.invitations, "utf8").includes('"consumed": false'), false);
});
