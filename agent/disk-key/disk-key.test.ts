import assert from "node:assert/strict";
import {
	chmodSync,
	chownSync,
	linkSync,
	mkdirSync,
	mkdtempSync,
	rmSync,
	statSync,
	symlinkSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { utf8 } from "#core/bytes/bytes.ts";
import { type DataPlaces, openSealedDisk } from "./disk-key.ts";
import { DiskSeal } from "./disk-seal.ts";

function place(t: TestContext): DataPlaces & { readonly keyFile: string; readonly credentials: string } {
	const path = mkdtempSync(join(tmpdir(), "disk-key-"));
	t.after(() => rmSync(path, { recursive: true, force: true }));
	const outboxPath = join(path, "outbox");
	const credentials = join(path, "credentials");
	mkdirSync(outboxPath);
	mkdirSync(credentials);
	return { path, outboxPath, credentials, keyFile: join(path, "disk.key") };
}

const open = (at: DataPlaces) => {
	const disk = openSealedDisk(at);
	assert.ok(disk.ok, disk.ok ? "" : disk.detail);
	return disk.value;
};

function refusal(at: DataPlaces): [string, string] {
	const disk = openSealedDisk(at);
	assert.ok(!disk.ok);
	return [disk.code, disk.detail];
}

test("the first start makes a key that only the agent can read, and the next start opens what it sealed", (t) => {
	const at = place(t);
	const first = open(at);
	assert.equal(first.keySource, "file");
	const { mode, size } = statSync(at.keyFile);
	assert.deepEqual([mode & 0o777, size], [0o600, 32]);
	first.files.file("trust-0").write(utf8("a document"));
	const again = open(at);
	const read = again.files.file("trust-0").read();
	assert.ok(read.ok);
	assert.deepEqual(read.value, utf8("a document"));
});

test("a systemd credential is taken before the file, and makes none", (t) => {
	const at = place(t);
	writeFileSync(join(at.credentials, "daemoneye-disk-key"), new Uint8Array(32).fill(5), { mode: 0o440 });
	assert.equal(open(at).keySource, "credential");
	assert.throws(() => statSync(at.keyFile), /ENOENT/);
	writeFileSync(at.keyFile, new Uint8Array(32).fill(6), { mode: 0o600 });
	assert.equal(open(at).keySource, "credential");
	assert.deepEqual(open(at).seal.id, new DiskSeal(new Uint8Array(32).fill(5)).id);
});

test("a credentials directory without ours is no credential", (t) => {
	assert.equal(open(place(t)).keySource, "file");
});

test("sealed data without its key stops the start, says what to do, and makes no new key", (t) => {
	const at = place(t);
	open(at).files.file("seen-commands").write(new Uint8Array(3));
	rmSync(at.keyFile);
	for (const also of ["disk-key.id", "seen-commands.sealed"]) {
		const [code, sentence] = refusal(at);
		assert.equal(code, "disk_key_missing");
		assert.match(sentence, /Put the key back/);
		assert.match(sentence, /move the content of data_dir away .* trust\/genesis\.cbor/);
		assert.throws(() => statSync(at.keyFile), /ENOENT/);
		if (also === "disk-key.id") rmSync(join(at.path, also));
	}
});

test("a segment alone is sealed data too", (t) => {
	const at = place(t);
	writeFileSync(join(at.outboxPath, "alert-000000000001.sealed"), "x");
	assert.equal(refusal(at)[0], "disk_key_missing");
});

test("another key than the one that sealed the data is refused before anything is read", (t) => {
	const at = place(t);
	open(at);
	writeFileSync(at.keyFile, new Uint8Array(32).fill(8));
	const [code, sentence] = refusal(at);
	assert.equal(code, "disk_key_other");
	assert.match(sentence, /sealed with another disk key/);
	writeFileSync(join(at.credentials, "daemoneye-disk-key"), new Uint8Array(32).fill(9));
	assert.equal(refusal(at)[0], "disk_key_other");
});

test("a key of another length is refused, one byte short and one long, in the file and in the credential", (t) => {
	for (const length of [0, 31, 33]) {
		const at = place(t);
		writeFileSync(at.keyFile, new Uint8Array(length), { mode: 0o600 });
		const [code, sentence] = refusal(at);
		assert.equal(code, "disk_key_length");
		assert.match(sentence, length > 32 ? /more bytes than the 32/ : /fewer bytes than the 32/);
		rmSync(at.keyFile);
		writeFileSync(join(at.credentials, "daemoneye-disk-key"), new Uint8Array(length));
		assert.equal(refusal(at)[0], "disk_key_length");
	}
});

test("a key that others can read, that is a link or no file is refused by name", (t) => {
	const at = place(t);
	open(at);
	for (const mode of [0o640, 0o604, 0o660]) {
		chmodSync(at.keyFile, mode);
		const [code, sentence] = refusal(at);
		assert.equal(code, "disk_key_exposed");
		assert.match(sentence, new RegExp(`mode 0${mode.toString(8)}.*must be 0600`));
	}
	chmodSync(at.keyFile, 0o600);
	linkSync(at.keyFile, join(at.path, "kept"));
	rmSync(at.keyFile);
	symlinkSync(join(at.path, "kept"), at.keyFile);
	assert.equal(refusal(at)[0], "disk_key_exposed");
	rmSync(at.keyFile);
	mkdirSync(at.keyFile);
	assert.equal(refusal(at)[0], "disk_key_exposed");
});

test("a key of another user is refused", { skip: process.getuid?.() === 0 ? false : "needs root" }, (t) => {
	const at = place(t);
	open(at);
	chownSync(at.keyFile, 12_345, 12_345);
	const [code, sentence] = refusal(at);
	assert.equal(code, "disk_key_exposed");
	assert.match(sentence, /belongs to user 12345, the agent is 0/);
});

test("what an older agent wrote in clear stops the start instead of lying beside the sealed", (t) => {
	for (const name of ["trust-1.cbor", "seen-commands.cbor", "active-traces.cbor", "outbox/trace-000000000001.log"]) {
		const at = place(t);
		writeFileSync(join(at.path, name), "x");
		const [code, sentence] = refusal(at);
		assert.equal(code, "disk_unsealed");
		assert.match(sentence, /an older agent wrote in clear/);
	}
});
