import { deepEqual, equal, match, ok } from "node:assert/strict";
import {
	existsSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	statSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { decodeAs } from "#core/codec/index.ts";
import { bindingShape, proveNode } from "#core/identity/binding.ts";
import { openCheckpoint, parseVerifierKey } from "#core/ledger/index.ts";
import { ed25519PublicKey } from "#crypto";
import { certificatesOfPem } from "./certificates.ts";
import { addNode, createEnclavePki, type EnclaveOptions, openEnclavePki } from "./enclave.ts";
import { enclavePaths, nodeDirectory, nodePaths } from "./layout.ts";

const DAY = 86_400_000;
const NOW = Date.now();
let base: string;
let dataDir: string;

const OPTIONS: EnclaveOptions = {
	enclave: "lab",
	policy: { mode: "solo", traceApprovals: 0, isMaskingRequired: true, traceDepthMax: 8, traceDurationSecsMax: 3600 },
	nodes: [
		{ role: "sc", id: "sc", dnsNames: ["localhost"], ips: ["127.0.0.1"] },
		{ role: "px", id: "px-1", dnsNames: ["localhost"] },
		{ role: "agent", id: "web-01" },
		{ role: "console", id: "console", dnsNames: ["localhost"] },
	],
	invitees: [{ operatorId: "ada", roles: ["analyst", "auditor"] }],
	nowMs: NOW,
};

beforeEach(() => {
	base = mkdtempSync(join(tmpdir(), "daemoneye-enclave-"));
	dataDir = join(base, "data");
});
afterEach(() => rmSync(base, { recursive: true }));

function filesOf(directory: string): string[] {
	return readdirSync(directory, { recursive: true, withFileTypes: true }).map((each) =>
		join(each.parentPath, each.name),
	);
}

test("a new enclave is complete, private, and opens", async () => {
	const created = await createEnclavePki(dataDir, OPTIONS);
	ok(created.ok);
	match(created.value.rootFingerprint, /^[0-9a-f]{64}$/);
	for (const path of filesOf(dataDir)) {
		const { mode } = statSync(path);
		equal(mode & 0o777, statSync(path).isDirectory() ? 0o700 : 0o600, path);
	}
	const opened = openEnclavePki(dataDir, NOW);
	ok(opened.ok);
	equal(opened.value.rootFingerprint, created.value.rootFingerprint);
	deepEqual(opened.value.nodes.map(({ uri }) => uri).sort(), [
		"spiffe://lab/agent/web-01",
		"spiffe://lab/console/console",
		"spiffe://lab/px/px-1",
		"spiffe://lab/sc/sc",
	]);
	const key = parseVerifierKey(opened.value.ledgerVerifierKey);
	ok(key.ok);
	const log = { origin: "sc.lab/ledger", keys: [key.value] };
	const checkpoint = openCheckpoint(readFileSync(enclavePaths(dataDir).signer.checkpoint), log);
	equal(checkpoint.ok && checkpoint.value.size, 0);
});

test("each node proves itself by its chain and binding against the root, in its role and no other", async () => {
	ok((await createEnclavePki(dataDir, OPTIONS)).ok);
	const root = new Uint8Array(certificatesOfPem(readFileSync(enclavePaths(dataDir).ca, "utf8"))[0]?.rawData ?? []);
	const prove = async (role: "agent" | "px" | "sc" | "console", id: string, usage: "client" | "server") => {
		const paths = nodePaths(nodeDirectory(dataDir, role, id));
		const chain = certificatesOfPem(readFileSync(paths.chain, "utf8")).map(({ rawData }) => new Uint8Array(rawData));
		const binding = decodeAs(bindingShape, readFileSync(paths.binding));
		ok(binding.ok);
		return proveNode({ chain, binding: binding.value }, { root, nowMs: NOW, usage });
	};
	const agent = await prove("agent", "web-01", "client");
	ok(agent.ok);
	const seed = readFileSync(nodePaths(nodeDirectory(dataDir, "agent", "web-01")).signingKey);
	deepEqual(agent.value.signingKey, ed25519PublicKey(seed));
	ok((await prove("px", "px-1", "client")).ok && (await prove("px", "px-1", "server")).ok);
	const asServer = await prove("agent", "web-01", "server");
	equal(!asServer.ok && asServer.code, "chain_usage");
	const console_ = await prove("console", "console", "server");
	equal(!console_.ok && console_.code, "chain_uri_name", "a console is not a node");
});

test("genesis names nobody but its own key as successor; tokens are kept as hashes only", async () => {
	const created = await createEnclavePki(dataDir, OPTIONS);
	const opened = openEnclavePki(dataDir, NOW);
	ok(created.ok && opened.ok);
	const { document } = opened.value.genesis;
	equal(document.version, 0);
	deepEqual(document.operators, []);
	deepEqual(document.successorKeys, [ed25519PublicKey(readFileSync(enclavePaths(dataDir).signer.genesisKey))]);
	const [invitation] = created.value.invitations;
	equal(invitation?.operatorId, "ada");
	for (const path of filesOf(dataDir).filter((each) => statSync(each).isFile()))
		ok(!readFileSync(path, "latin1").includes(invitation?.token ?? "?"), path);
});

test("an existing directory is left alone, a half-made one of an interrupted creation is cleared", async () => {
	mkdirSync(dataDir);
	writeFileSync(join(dataDir, "keep"), "mine");
	const refused = await createEnclavePki(dataDir, OPTIONS);
	equal(!refused.ok && refused.code, "enclave_exists");
	deepEqual(readdirSync(dataDir), ["keep"]);
	rmSync(join(dataDir, "keep"));
	mkdirSync(join(base, ".data.creating", "pki"), { recursive: true });
	ok((await createEnclavePki(dataDir, OPTIONS)).ok, "an empty directory is fine");
	deepEqual(readdirSync(base), ["data"]);
});

test("bad names, addresses and invitees are refused before anything is written", async () => {
	const code = async (change: Partial<EnclaveOptions>) => {
		const result = await createEnclavePki(dataDir, { ...OPTIONS, ...change });
		return result.ok ? "ok" : result.code;
	};
	equal(await code({ enclave: "Lab Net" }), "name_invalid");
	equal(await code({ nodes: [{ role: "sc", id: "../sc" }] }), "name_invalid");
	equal(await code({ nodes: [{ role: "px", id: "px" }] }), "name_invalid");
	equal(await code({ nodes: [{ role: "sc", id: "sc", ips: ["300.1.1.1"] }] }), "address_invalid");
	equal(
		await code({
			nodes: [
				{ role: "sc", id: "sc" },
				{ role: "agent", id: "a", dnsNames: ["a"] },
			],
		}),
		"address_invalid",
	);
	equal(
		await code({
			nodes: [
				{ role: "sc", id: "sc" },
				{ role: "sc", id: "sc" },
			],
		}),
		"node_exists",
	);
	const assigned = (role: "agent" | "px", proxies: readonly string[]) =>
		code({
			nodes: [
				{ role: "sc", id: "sc" },
				{ role, id: "a", proxies },
			],
		});
	const seventeen = Array.from({ length: 17 }, (_, index) => `px-${index}`);
	for (const proxies of [[], ["px-1", "px-1"], ["../px"], seventeen])
		equal(await assigned("agent", proxies), "proxies_invalid");
	equal(await assigned("px", ["px-1"]), "proxies_invalid");
	equal(await code({ invitees: [] }), "invitees_invalid");
	equal(await code({ policy: { ...OPTIONS.policy, mode: "two_person", traceApprovals: 1 } }), "invitees_invalid");
	const invitees = ["ada", "bob"].map((operatorId) => ({ operatorId, roles: ["analyst" as const] }));
	equal(await code({ policy: { ...OPTIONS.policy, mode: "two_person" }, invitees }), "trust_mode_unmet");
	deepEqual(readdirSync(base), []);
});

test("at start a wrong clock, an expired certificate and a missing file each have their name and sentence", async () => {
	ok((await createEnclavePki(dataDir, OPTIONS)).ok);
	const behind = openEnclavePki(dataDir, NOW - DAY);
	ok(!behind.ok);
	equal(behind.code, "clock_behind_certificates");
	match(behind.detail, /The clock is behind: set it/);
	const late = openEnclavePki(dataDir, NOW + 31 * DAY);
	equal(!late.ok && late.code, "expired");
	const key = nodePaths(nodeDirectory(dataDir, "px", "px-1")).tlsKey;
	rmSync(key);
	const incomplete = openEnclavePki(dataDir, NOW);
	equal(!incomplete.ok && incomplete.code, "pki_incomplete");
	match(incomplete.ok ? "" : incomplete.detail, /px-px-1\/node\.key is missing/);
});

test("an agent that sealed its genesis away is complete; a proxy without one is not", async () => {
	ok((await createEnclavePki(dataDir, OPTIONS)).ok);
	rmSync(nodePaths(nodeDirectory(dataDir, "agent", "web-01")).genesis);
	ok(openEnclavePki(dataDir, NOW).ok);
	rmSync(nodePaths(nodeDirectory(dataDir, "px", "px-1")).genesis);
	const incomplete = openEnclavePki(dataDir, NOW);
	match(incomplete.ok ? "" : incomplete.detail, /px-px-1\/genesis\.cbor is missing/);
});

test("the root key may be taken offline: opening and issuing go on without it", async () => {
	ok((await createEnclavePki(dataDir, OPTIONS)).ok);
	rmSync(enclavePaths(dataDir).rootKey);
	const added = await addNode(dataDir, { role: "agent", id: "db-01", lifetimeMs: DAY }, NOW + 40 * DAY);
	ok(added.ok, "although all first nodes have expired by now");
	equal(added.value.uri, "spiffe://lab/agent/db-01");
	ok(Math.abs(added.value.notAfterMs - (NOW + 41 * DAY)) < 1000);
	const again = await addNode(dataDir, { role: "agent", id: "db-01" }, NOW);
	equal(!again.ok && again.code, "node_exists");
	ok(!existsSync(join(enclavePaths(dataDir).nodes, ".agent-db-01.creating")));
});

test("files are private under any umask", async () => {
	const before = process.umask(0);
	try {
		ok((await createEnclavePki(dataDir, OPTIONS)).ok);
	} finally {
		process.umask(before);
	}
	equal(statSync(enclavePaths(dataDir).signer.ledgerKey).mode & 0o777, 0o600);
	equal(statSync(dataDir).mode & 0o777, 0o700);
});
