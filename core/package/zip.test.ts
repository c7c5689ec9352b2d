import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { equalBytes, utf8 } from "#core/bytes/bytes.ts";
import { crc32 } from "./crc32.ts";
import { checkEntries } from "./entries.ts";
import { ZIP_LIMITS } from "./limits.ts";
import * as zipFuzz from "./zip.fuzz.ts";
import { readZip, writeZip } from "./zip.ts";

const entries = new Map([
	["manifest.json", utf8('{"a":1}')],
	["events/agent-1/s/1.cbor", Uint8Array.of(0xa0, 0xff, 0x00)],
	["ledger/empty", new Uint8Array(0)],
]);
const archive = writeZip(entries);

function codeOf(result: { ok: true } | { ok: false; code: string }): string {
	return result.ok ? "ok" : result.code;
}

/** The archive with some bytes replaced; `at` counts from the end when negative. */
function patched(base: Uint8Array, at: number, ...values: number[]): Uint8Array {
	const out = base.slice();
	out.set(values, at < 0 ? out.length + at : at);
	return out;
}

/** Where the directory record of the n-th entry (by name) starts. */
function centralAt(base: Uint8Array, n: number): number {
	const view = new DataView(base.buffer);
	let at = view.getUint32(base.length - 6, true);
	for (let i = 0; i < n; i++) at += 46 + view.getUint16(at + 28, true);
	return at;
}

/** An archive whose names were exchanged, in both places, for others of the same length. */
function renamed(from: string, to: string, others: readonly string[] = []): Uint8Array {
	const base = writeZip(new Map([from, ...others].map((name) => [name, utf8(name)])));
	const text = Buffer.from(base).toString("latin1");
	const shapes = [text.indexOf(from), text.lastIndexOf(from)];
	const out = base.slice();
	for (const at of shapes) out.set(Buffer.from(to, "latin1"), at);
	return out;
}

test("entries come back as written, sorted, and the order they came in does not show", () => {
	const read = readZip(archive);
	assert.ok(read.ok);
	assert.deepEqual([...read.value.keys()], ["events/agent-1/s/1.cbor", "ledger/empty", "manifest.json"]);
	for (const [name, data] of entries) assert.ok(equalBytes(read.value.get(name) as Uint8Array, data), name);
	assert.ok(equalBytes(writeZip(new Map([...entries].reverse())), archive));
	assert.ok(equalBytes(writeZip(read.value), archive));
});

test("an archive that is part of a larger buffer is read by its own bounds", () => {
	const larger = new Uint8Array(archive.length + 20).fill(0xee);
	larger.set(archive, 7);
	assert.equal(codeOf(readZip(larger.subarray(7, 7 + archive.length))), "ok");
});

test("the checksum is the published one", () => {
	assert.equal(crc32(utf8("123456789")), 0xcbf43926);
	assert.equal(crc32(new Uint8Array(0)), 0);
});

test("every single byte changed to every other value is refused", () => {
	for (let i = 0; i < archive.length; i++) {
		const original = archive[i] as number;
		const changed = archive.slice();
		for (let value = 0; value < 256; value++) {
			if (value === original) continue;
			changed[i] = value;
			assert.equal(readZip(changed).ok, false, `byte ${i} as ${value}`);
		}
	}
});

test("an archive cut anywhere, or with a byte more at either end, is refused", () => {
	for (let length = 0; length < archive.length; length++) {
		assert.equal(readZip(archive.subarray(0, length)).ok, false, `cut at ${length}`);
	}
	for (let start = 1; start <= archive.length; start++) assert.equal(readZip(archive.subarray(start)).ok, false);
	assert.equal(codeOf(readZip(Uint8Array.of(...archive, 0))), "trailing_bytes");
	assert.equal(codeOf(readZip(Uint8Array.of(0, ...archive))), "unclaimed_bytes");
	assert.equal(codeOf(readZip(archive.subarray(0, archive.length - 1))), "truncated");
	assert.equal(codeOf(readZip(new Uint8Array(0))), "truncated");
});

test("two archives one behind the other are refused", () => {
	assert.equal(codeOf(readZip(Uint8Array.of(...archive, ...archive))), "unclaimed_bytes");
});

test("hostile names are refused by the reader and by the check before the writer", () => {
	const hostile = [
		["aaaaaaaa", "../../xx"],
		["aaaaaaaa", "a/../../"],
		["aaaaaaaa", "/etc/pas"],
		["aaaaaaaa", "a\\..\\xx"],
		["aaaaaaaa", "C:\\a.exe"],
		["aaaaaaaa", "a//bbbbb"],
		["aaaaaaaa", "./aaaaaa"],
		["aaaaaaaa", "aa/./aaa"],
		["aaaaaaaa", "aaaaaaa/"],
		["aaaaaaaa", "aaaaaaa."],
		["aaaaaaaa", "aa./aaaa"],
		["aaaaaaaa", "aaaaaa\0a"],
		["aaaaaaaa", "aaaa aaa"],
		["aaaaaaaa", "aaaaa\xc3\xa9a"],
		["aaaaaaaa", "aaaaaaa\n"],
		["aa", ".."],
		["a", "."],
		["a", "/"],
	] as const;
	for (const [from, to] of hostile) {
		assert.equal(codeOf(readZip(renamed(from, to))), "name_unsafe", JSON.stringify(to));
		assert.equal(codeOf(checkEntries(new Map([[to, utf8("")]]), ZIP_LIMITS)), "name_unsafe", JSON.stringify(to));
		assert.throws(() => writeZip(new Map([[to, utf8("")]])), { name: "InvariantError" });
	}
	assert.equal(codeOf(checkEntries(new Map([["", utf8("")]]), ZIP_LIMITS)), "name_unsafe");
	assert.equal(codeOf(checkEntries(new Map([["a..b/.hidden/x_y-z", utf8("")]]), ZIP_LIMITS)), "ok");
});

test("names that meet on some system are refused", () => {
	assert.equal(codeOf(readZip(renamed("bbb", "aaa", ["aaa"]))), "duplicate_name");
	assert.equal(codeOf(readZip(renamed("bbb", "AAA", ["aaa"]))), "duplicate_name");
	assert.equal(codeOf(readZip(renamed("b/c", "A/c", ["a"]))), "name_conflict");
	const clash = new Map([
		["a", utf8("")],
		["A/b", utf8("")],
	]);
	assert.equal(codeOf(checkEntries(clash, ZIP_LIMITS)), "name_conflict");
});

test("each tampered record has its own code", () => {
	const first = centralAt(archive, 0);
	const second = centralAt(archive, 1);
	const dataAt = 30 + "events/agent-1/s/1.cbor".length;
	assert.equal(codeOf(readZip(patched(archive, first + 8, 1))), "not_stored", "encrypted");
	assert.equal(codeOf(readZip(patched(archive, first + 10, 8))), "not_stored", "deflated");
	assert.equal(codeOf(readZip(patched(archive, first + 20, 9))), "not_stored", "two sizes");
	assert.equal(codeOf(readZip(patched(archive, first + 20, 255, 255, 255, 255))), "zip64_or_multi_disk");
	assert.equal(codeOf(readZip(patched(archive, -18, 1))), "zip64_or_multi_disk", "disk number");
	assert.equal(codeOf(readZip(patched(archive, -14, 255, 255, 255, 255))), "zip64_or_multi_disk");
	assert.equal(codeOf(readZip(patched(archive, first + 30, 4))), "not_canonical", "extra field");
	assert.equal(codeOf(readZip(patched(archive, first + 38, 1))), "not_canonical", "external attributes");
	assert.equal(codeOf(readZip(patched(archive, first, 0))), "not_canonical", "record signature");
	assert.equal(codeOf(readZip(patched(archive, 6, 8))), "local_header_differs", "local flags");
	assert.equal(codeOf(readZip(patched(archive, 31, 0x41))), "local_header_differs", "local name");
	assert.equal(codeOf(readZip(patched(archive, dataAt, 0))), "bad_crc");
	assert.equal(codeOf(readZip(patched(archive, second + 42, 0, 0, 0, 0))), "overlap", "same offset");
	assert.equal(codeOf(readZip(patched(archive, second + 42, 255))), "unclaimed_bytes", "gap");
	assert.equal(codeOf(readZip(patched(archive, -2, 1))), "truncated", "comment length");
	assert.equal(codeOf(readZip(patched(archive, -14, 2, 0, 2, 0))), "not_canonical", "entry count");
});

test("an entry that reaches into the directory or behind the archive is refused", () => {
	const last = centralAt(archive, 2);
	const size = entries.get("manifest.json")?.length as number;
	const reaching = patched(patched(archive, last + 20, size + 1), last + 24, size + 1);
	assert.equal(codeOf(readZip(reaching)), "overlap");
	const beyond = patched(patched(archive, last + 22, 1), last + 26, 1);
	assert.equal(codeOf(readZip(beyond)), "truncated");
});

test("bytes hidden before the directory are refused", () => {
	const directory = centralAt(archive, 0);
	const hiding = Uint8Array.of(...archive.subarray(0, directory), 1, 2, 3, ...archive.subarray(directory));
	const view = new DataView(hiding.buffer);
	view.setUint32(hiding.length - 6, directory + 3, true);
	assert.equal(codeOf(readZip(hiding)), "unclaimed_bytes");
});

test("a consistent archive with other metadata than the writer's is refused", () => {
	const one = writeZip(new Map([["a", utf8("x")]]));
	const directory = centralAt(one, 0);
	const dated = patched(patched(one, 12, 0x22), directory + 14, 0x22);
	assert.equal(codeOf(readZip(dated)), "local_header_differs");
	assert.equal(codeOf(readZip(patched(one, directory + 4, 20))), "not_canonical", "version made by");
	assert.equal(codeOf(readZip(patched(one, directory + 14, 0x22))), "not_canonical", "directory date");
});

test("entries in another order than by name are refused", () => {
	const two = renamed("b", "d", ["c"]);
	assert.equal(codeOf(readZip(two)), "not_canonical");
});

test("size, count and name at their limits are read, above them refused", () => {
	const limits = { archiveBytesMax: archive.length, entriesMax: 3, nameCharsMax: "events/agent-1/s/1.cbor".length };
	assert.equal(codeOf(readZip(archive, limits)), "ok");
	assert.equal(codeOf(checkEntries(entries, limits)), "ok");
	const over: [Partial<typeof limits>, string][] = [
		[{ archiveBytesMax: limits.archiveBytesMax - 1 }, "too_large"],
		[{ entriesMax: 2 }, "too_many_entries"],
		[{ nameCharsMax: limits.nameCharsMax - 1 }, "name_unsafe"],
	];
	for (const [change, code] of over) {
		assert.equal(codeOf(readZip(archive, { ...limits, ...change })), code);
		assert.equal(codeOf(checkEntries(entries, { ...limits, ...change })), code);
	}
});

test("the largest number of entries round-trips and one more is refused", () => {
	const many = new Map(Array.from({ length: ZIP_LIMITS.entriesMax }, (_, i) => [`e/${i}`, Uint8Array.of(i & 255)]));
	const read = readZip(writeZip(many));
	assert.equal(read.ok && read.value.size, ZIP_LIMITS.entriesMax);
	many.set("one-more", new Uint8Array(0));
	assert.throws(() => writeZip(many), { name: "InvariantError" });
});

test("an archive of nothing is one end record", () => {
	const empty = writeZip(new Map());
	assert.equal(empty.length, 22);
	assert.deepEqual(readZip(empty), { ok: true, value: new Map() });
});

for (const [tool, args] of [
	["unzip", ["-t"]],
	["python3", ["-m", "zipfile", "-t"]],
] as const) {
	const absent = spawnSync(tool, ["--help"]).error !== undefined;
	test(`${tool} accepts the archive`, { skip: absent ? `${tool} absent` : false }, () => {
		const folder = mkdtempSync(join(tmpdir(), "zip-test-"));
		try {
			const file = join(folder, "a.zip");
			writeFileSync(file, archive);
			const run = spawnSync(tool, [...args, file], { encoding: "utf8" });
			assert.equal(run.status, 0, run.stdout + run.stderr);
		} finally {
			rmSync(folder, { recursive: true });
		}
	});
}

test("the fuzz target survives its corpus, cut anywhere and with each byte changed", () => {
	for (const sample of zipFuzz.corpus()) {
		zipFuzz.run(sample);
		for (let i = 0; i < sample.length; i++) {
			zipFuzz.run(sample.subarray(0, i));
			zipFuzz.run(sample.with(i, (sample[i] as number) ^ 0xff));
		}
	}
});
