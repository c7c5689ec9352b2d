/** What bytes an attacker may change: none. Flips, renames and mutations, signed for by a lying exporter or by nobody. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { utf8 } from "#core/bytes/bytes.ts";
import { readZip, writeZip } from "#core/package/index.ts";
import { bytesNamed } from "#core/testing/test-agent.ts";
import type { CheckName, PackageVerdict } from "./index.ts";
import { makeTestPackage, NOW_MS, sealFiles, sealTestPackage, type TestPackage } from "./testing/enclave.ts";
import { verifyPackage } from "./verify-package.ts";

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

const verify = (archive: Uint8Array): Promise<PackageVerdict> =>
	verifyPackage(archive, { rootFingerprint: made.rootFingerprint, nowMs: NOW_MS });

/** `name: code` of every check that failed. */
const findings = ({ checks }: PackageVerdict): string[] =>
	checks.filter(({ outcome }) => outcome === "fail").map(({ name, code }) => `${name}: ${code}`);

/** It fails because a check says so, and not because the verifier broke. */
function assertFailed(verdict: PackageVerdict, message?: string): void {
	const found = findings(verdict).join();
	assert.equal(verdict.verdict, "FAIL", `${message}: ${found}`);
	assert.doesNotMatch(found, /verifier_fault/, message);
}

/** The files are as a lying exporter likes; the manifest names them, and he signs it. */
const lie = (change: (changed: Map<string, Uint8Array>) => void): Promise<PackageVerdict> => {
	const changed = new Map(files);
	change(changed);
	return verify(sealFiles(changed));
};

function flip(data: Uint8Array, at: number, bit = 0): Uint8Array {
	const flipped = new Uint8Array(data);
	flipped[at] = (flipped[at] as number) ^ (1 << bit);
	return flipped;
}

test("a flipped byte anywhere in the archive fails", async () => {
	for (let at = 0, n = 0; at < bytes.length; at += 61, n++)
		assertFailed(await verify(flip(bytes, at, n % 8)), `byte ${at}`);
});

/** Every byte of a small file, some of a large one, the ends always. */
function positions(length: number): number[] {
	if (length <= 64) return Array.from({ length }, (_, i) => i);
	return [0, length - 1, ...Array.from({ length: 14 }, (_, i) => Math.floor(((i + 1) * length) / 15))];
}

test("a flipped byte of any file, in an archive made anew around it, is found by the check of the manifest", async () => {
	for (const [name, data] of files)
		for (const at of positions(data.length)) {
			const verdict = await verify(writeZip(new Map([...files, [name, flip(data, at, at % 8)]])));
			// What the manifest says of itself only its signature can hold; a name or a hash that is wrong shows at once.
			const expected = name.startsWith("manifest") ? /manifest_signature|manifest_subjects/ : /manifest_subjects/;
			assertFailed(verdict, name);
			assert.match(findings(verdict).join(), expected, `${name} at ${at}`);
		}
});

/** The check that must find a change of a file for which the exporter signed; the manifest then hides nothing. */
const INNER: [RegExp, readonly CheckName[]][] = [
	[/^events\//, ["manifest_subjects", "batch_signatures", "event_signatures"]],
	[/^ledger\/checkpoint$/, ["ledger_checkpoint", "ledger_inclusion"]],
	[/^ledger\//, ["manifest_subjects", "ledger_inclusion"]],
	[/^pki\/root/, ["root_given"]],
	[/^pki\/genesis/, ["trust_chain"]],
	[/^pki\/nodes/, ["pki_chain"]],
	[/^trust\//, ["trust_chain"]],
	[/^commands\//, ["command_signatures"]],
	[/^view\//, ["view_matches_events"]],
];

test("a flipped byte of any file for which the exporter signs is found by the check of what it is", async () => {
	for (const [name, data] of files) {
		const expected = INNER.find(([pattern]) => pattern.test(name))?.[1];
		if (expected === undefined) continue;
		for (const at of positions(data.length)) {
			const verdict = await lie((changed) => changed.set(name, flip(data, at, at % 8)));
			assertFailed(verdict, name);
			const hit = verdict.checks
				.filter(({ outcome }) => outcome === "fail")
				.some((check) => expected.includes(check.name));
			assert.ok(hit, `${name} at ${at}: ${findings(verdict)}`);
		}
	}
});

test("a file taken away, renamed or put in another's place fails", async () => {
	for (const [name, data] of files) {
		const fewer = new Map(files);
		fewer.delete(name);
		assert.equal((await verify(writeZip(fewer))).verdict, "FAIL", name);
		if (name === "manifest.json" || name === "manifest.dsse.json") continue;
		const renamed = new Map([...fewer, [`${name}x`, data]]);
		assert.deepEqual(findings(await verify(sealFiles(renamed)))[0]?.split(":")[0], "manifest_subjects", name);
	}
	const swapped = await lie((changed) => {
		const [a, b] = [...changed.keys()].filter((name) => /^events\/.+\/[12]\.cbor$/.test(name)) as [string, string];
		changed.set(a, files.get(b) as Uint8Array);
	});
	assert.deepEqual(findings(swapped), ["manifest_subjects: file_misplaced"]);
});

test("a leaf, a proof or a salt of another place is found", async () => {
	const places = [...files.keys()].filter((name) => /^ledger\/batches\/.+\.tlog-proof$/.test(name));
	const [a, b] = places as [string, string];
	const proof = await lie((changed) => changed.set(a, files.get(b) as Uint8Array));
	assert.equal(findings(proof)[0]?.split(":")[0], "ledger_inclusion");
	const leaf = await lie((changed) =>
		changed.set(a.replace("tlog-proof", "leaf"), files.get(b.replace("tlog-proof", "leaf")) as Uint8Array),
	);
	assert.deepEqual(findings(leaf), ["ledger_inclusion: leaf_is_another"]);
	const other = await makeTestPackage({
		checkpointSeed: bytesNamed("ledger", 32),
		batches: (told) => told.slice(0, -1),
	});
	const otherProof = filesOf(sealTestPackage(other.input)).get(a) as Uint8Array;
	const tree = await lie((changed) => changed.set(a, otherProof));
	assert.deepEqual(findings(tree), ["ledger_inclusion: proof_other_checkpoint"]);
});

/** xorshift32: the same mutations every time. */
function seeded(seed: number): (below: number) => number {
	let state = seed;
	return (below) => {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		return (state >>> 0) % below;
	};
}

/** What breaks clocks, counters and floats: beyond a date, at the end of safe integers, of signed and of unsigned 64 bits. */
const HUGE = [8_640_000_000_000_001n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n];

/** Where an eight-byte CBOR integer may begin. */
function longIntegers(data: Uint8Array): number[] {
	return [...data.keys()].filter((at) => data[at] === 0x1b && at + 9 <= data.length);
}

function withInteger(data: Uint8Array, at: number, value: bigint): Uint8Array {
	const out = new Uint8Array(data);
	new DataView(out.buffer).setBigUint64(at + 1, value);
	return out;
}

test("a huge integer in the place of any of eight bytes is refused, never thrown over", async () => {
	let tried = 0;
	for (const [name, data] of files) {
		if (!/\.(?:cbor|leaf)$/.test(name)) continue;
		for (const at of longIntegers(data))
			for (const value of HUGE) {
				const changed = new Map([...files, [name, withInteger(data, at, value)]]);
				tried++;
				assertFailed(await verify(sealFiles(changed)), `${value} at ${at} of ${name}`);
			}
	}
	assert.ok(tried > 200, `${tried} tried`);
});

function mutated(data: Uint8Array, next: (below: number) => number): Uint8Array {
	const at = next(data.length + 1);
	const random = Uint8Array.from({ length: 1 + next(8) }, () => next(256));
	const kind = next(5);
	const heads = longIntegers(data);
	if (kind === 4 && heads.length > 0)
		return withInteger(data, heads[next(heads.length)] as number, HUGE[next(HUGE.length)] as bigint);
	if (kind === 0) return Uint8Array.of(...data.subarray(0, at), ...random, ...data.subarray(at));
	if (kind === 1) return Uint8Array.of(...data.subarray(0, at), ...data.subarray(at + random.length));
	if (kind === 2) return data.subarray(0, at);
	const out = new Uint8Array(data);
	out.set(random.subarray(0, Math.max(0, data.length - at)), at);
	return out;
}

test("2,000 mutations never throw and never pass, signed for by the exporter or not", async () => {
	const next = seeded(0x5eed);
	const names = [...files.keys()].filter((name) => name !== "verify/HOWTO.txt" && !name.startsWith("manifest"));
	for (let i = 0; i < 2000; i++) {
		const name = names[next(names.length)] as string;
		const data = files.get(name) as Uint8Array;
		const changed = new Map([...files, [name, mutated(data, next)]]);
		if (Buffer.compare(changed.get(name) as Uint8Array, data) === 0) continue;
		const archive = i % 4 === 0 ? writeZip(changed) : i % 4 === 1 ? mutated(bytes, next) : sealFiles(changed);
		if (Buffer.compare(archive, bytes) === 0) continue;
		const verdict = await verify(archive);
		assertFailed(verdict, `mutation ${i} of ${name}`);
	}
});

test("a manifest of hostile JSON fails without a throw", async () => {
	const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
	const texts = [
		"",
		"null",
		"[]",
		"{}",
		'{"predicate":null}',
		'{"predicate":{"exporter":1}}',
		deep,
		`{"predicate":${deep}}`,
	];
	for (const text of [...texts, '{"__proto__":{"predicate":{}}}', "\ufeff{}", '{"predicate":{"hosts":[null]}}']) {
		const verdict = await verify(writeZip(new Map([...files, ["manifest.json", utf8(text)]])));
		assertFailed(verdict, text.slice(0, 40));
	}
	for (const value of [null, 1, "", [], {}, [null], { agent: 1 }])
		for (const key of ["hosts", "exporter", "tool", "streams", "gaps", "ledger", "preparedAt", "traceId"]) {
			// The package declares no gap: an empty list is the truth.
			if (key === "gaps" && Array.isArray(value) && value.length === 0) continue;
			const change = (predicate: object) => ({ ...predicate, [key]: value }) as never;
			assertFailed(await verify(sealFiles(files, "ana", change)), `${key}: ${JSON.stringify(value)}`);
		}
	for (const archive of [new Uint8Array(), writeZip(new Map()), bytes.subarray(1)]) assertFailed(await verify(archive));
});
