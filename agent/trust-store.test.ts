import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { retireGenesisFile } from "./config/genesis-file.ts";
import { SealedFiles } from "./disk-key/sealed-files.ts";
import { genesis, nextTrust } from "./testing/lab.ts";
import { DISK } from "./testing/rig.ts";
import { isGenesisImported, TrustStore } from "./trust-store.ts";

const silent = () => {};

function place(t: TestContext): { path: string; files: SealedFiles } {
	const path = mkdtempSync(join(tmpdir(), "trust-"));
	t.after(() => rmSync(path, { recursive: true, force: true }));
	return { path, files: new SealedFiles(path, DISK) };
}

function codeOf(files: SealedFiles, document: Uint8Array | null): string {
	const store = TrustStore.open(files, document, silent);
	return store.ok ? "ok" : store.code;
}

test("genesis is imported once, sealed; later starts need no file and take the same one", (t) => {
	const { path, files } = place(t);
	assert.ok(!isGenesisImported(path));
	assert.equal(codeOf(files, null), "trust_genesis_missing");
	assert.equal(codeOf(files, genesis.bytes), "ok");
	assert.ok(isGenesisImported(path));
	assert.equal(codeOf(files, null), "ok");
	assert.equal(codeOf(files, genesis.bytes), "ok");
	assert.ok(!readFileSync(files.file("trust-0").path).includes("Ana"));
});

test("another genesis under the same path is refused, also with later versions taken", (t) => {
	const { files } = place(t);
	const store = TrustStore.open(files, genesis.bytes, silent);
	assert.ok(store.ok);
	assert.ok(store.value.take([nextTrust(genesis, {}).bytes]));
	const other = nextTrust(genesis, { version: 0, prevHash: new Uint8Array(32), traceDepthMax: 3 });
	assert.equal(codeOf(files, other.bytes), "trust_genesis_changed");
	const again = TrustStore.open(files, null, silent);
	assert.ok(again.ok && again.value.document.version === 1);
});

test("who removes the pinned document gets no other one pinned", (t) => {
	const { files } = place(t);
	assert.equal(codeOf(files, genesis.bytes), "ok");
	files.file("seen-commands").write(new Uint8Array(1));
	rmSync(files.file("trust-0").path);
	assert.equal(codeOf(files, genesis.bytes), "trust_genesis_missing");
});

test("a cut or a flipped byte of a stored document stops the start by name", (t) => {
	const { files } = place(t);
	const store = TrustStore.open(files, genesis.bytes, silent);
	assert.ok(store.ok && store.value.take([nextTrust(genesis, {}).bytes]));
	for (const name of ["trust-0", "trust-1"]) {
		const { path } = files.file(name);
		const whole = readFileSync(path);
		for (let at = 0; at < whole.length; at += 7) {
			writeFileSync(path, whole.subarray(0, at));
			assert.equal(codeOf(files, null), "trust_damaged", `${name} cut at ${at}`);
			const damaged = Uint8Array.from(whole);
			damaged[at] = (damaged[at] as number) ^ 1;
			writeFileSync(path, damaged);
			assert.equal(codeOf(files, null), "trust_damaged", `${name} byte ${at}`);
		}
		writeFileSync(path, whole);
	}
});

test("one version's file under another's name does not open", (t) => {
	const { files } = place(t);
	const store = TrustStore.open(files, genesis.bytes, silent);
	assert.ok(store.ok && store.value.take([nextTrust(genesis, {}).bytes]));
	writeFileSync(files.file("trust-0").path, readFileSync(files.file("trust-1").path));
	assert.equal(codeOf(files, null), "trust_damaged");
});

test("the imported file goes where it is the agent's own, and is named in the log where it is not", (t) => {
	const { path } = place(t);
	const lines: string[] = [];
	const log = (code: string) => lines.push(code);
	const signingKey = join(path, "signing.key");
	const own = join(path, "genesis.cbor");
	writeFileSync(own, genesis.bytes);
	retireGenesisFile({ genesis: own, signingKey, binding: "", root: "" }, log);
	assert.throws(() => readFileSync(own), /ENOENT/);
	retireGenesisFile({ genesis: own, signingKey, binding: "", root: "" }, log);
	const { path: elsewhere } = place(t);
	const shared = join(elsewhere, "genesis.cbor");
	writeFileSync(shared, genesis.bytes);
	retireGenesisFile({ genesis: shared, signingKey, binding: "", root: "" }, log);
	symlinkSync(shared, own);
	retireGenesisFile({ genesis: own, signingKey, binding: "", root: "" }, log);
	assert.deepEqual(new Uint8Array(readFileSync(shared)), genesis.bytes);
	assert.deepEqual(lines, ["genesis_file_removed", "genesis_file_left", "genesis_file_left"]);
});
