import assert from "node:assert/strict";
import { test } from "node:test";
import { hexOf, textOf, utf8 } from "#core/bytes/bytes.ts";
import { ed25519PublicKey } from "#crypto";
import { LEDGER_LIMITS } from "./limits.ts";
import * as noteFuzz from "./note.fuzz.ts";
import {
	ed25519Signer,
	ed25519Verifier,
	formatSignature,
	formatVerifierKey,
	openNote,
	parseNote,
	parseVerifierKey,
	signNote,
} from "./note.ts";

const SPEC_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const SPEC_NOTE = `This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
`;

const seedA = new Uint8Array(32).fill(1);
const seedB = new Uint8Array(32).fill(2);
const signerA = ed25519Signer("log.example/a", seedA);
const signerB = ed25519Signer("log.example/b", seedB);
const verifierA = ed25519Verifier("log.example/a", ed25519PublicKey(seedA));
const verifierB = ed25519Verifier("log.example/b", ed25519PublicKey(seedB));

function codeOf(result: { ok: true } | { ok: false; code: string }): string {
	return result.ok ? "ok" : result.code;
}

test("the example of the specification opens with its verifier key", () => {
	const verifier = parseVerifierKey(SPEC_KEY);
	assert.ok(verifier.ok);
	assert.equal(verifier.value.keyId, 0x530d903a);
	assert.equal(formatVerifierKey(verifier.value), SPEC_KEY);
	const opened = openNote(utf8(SPEC_NOTE), [verifier.value]);
	assert.ok(opened.ok);
	assert.equal(opened.value.text, "This is an example message.\n");
	assert.deepEqual(opened.value.signedBy, [verifier.value]);
});

test("the specification's example is refused with any bit flipped or any tail cut off", () => {
	const verifier = parseVerifierKey(SPEC_KEY);
	assert.ok(verifier.ok);
	const note = utf8(SPEC_NOTE);
	for (let length = 0; length < note.length; length++) {
		assert.equal(openNote(note.subarray(0, length), [verifier.value]).ok, false, `cut at ${length}`);
	}
	for (let bit = 0; bit < 8 * note.length; bit++) {
		const flipped = note.slice();
		flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
		assert.equal(openNote(flipped, [verifier.value]).ok, false, `bit ${bit}`);
	}
});

test("a note signed by two keys opens with either, and names the stranger", () => {
	const note = signNote("one\n\ntwo\n", signerA, signerB);
	const both = openNote(note, [verifierB, verifierA]);
	assert.deepEqual(both.ok && both.value.signedBy, [verifierA, verifierB]);
	const one = openNote(note, [verifierB]);
	assert.ok(one.ok);
	assert.equal(one.value.text, "one\n\ntwo\n");
	assert.deepEqual(one.value.signedBy, [verifierB]);
	assert.deepEqual(
		one.value.unknown.map(({ name }) => name),
		["log.example/a"],
	);
});

test("a known key with a wrong signature sinks the note though another known key signed well", () => {
	const text = "text\n";
	const wrong = formatSignature({ name: verifierB.name, keyId: verifierB.keyId, signature: signerA.sign(utf8(text)) });
	const note = utf8(`${textOf(signNote(text, signerA))}${wrong}`);
	assert.equal(codeOf(openNote(note, [verifierA, verifierB])), "note_bad_signature");
	assert.equal(codeOf(openNote(note, [verifierA])), "ok");
});

test("a stranger who shares name or key id with a known key, but not both, is ignored", () => {
	const sameName = ed25519Signer(signerA.name, seedB);
	const sameId = { name: "elsewhere", keyId: signerA.keyId, sign: sameName.sign };
	const note = signNote("text\n", sameName, sameId);
	assert.equal(codeOf(openNote(note, [verifierA])), "note_unsigned");
	const opened = openNote(signNote("text\n", sameName, sameId, signerA), [verifierA]);
	assert.equal(opened.ok && opened.value.unknown.length, 2);
});

test("a key that signs twice counts once", () => {
	const opened = openNote(signNote("text\n", signerA, signerA), [verifierA]);
	assert.deepEqual(opened.ok && opened.value.signedBy, [verifierA]);
});

test("two known keys under one name and id are refused, the same key twice is not", () => {
	const note = signNote("text\n", signerA);
	const twin = { ...verifierA, publicKey: verifierB.publicKey };
	assert.equal(codeOf(openNote(note, [verifierA, twin])), "ambiguous_verifier");
	assert.equal(codeOf(openNote(note, [verifierA, { ...verifierA }])), "ok");
});

test("malformed notes are refused by name", () => {
	const good = textOf(signNote("text\n", signerA)) as string;
	const line = good.slice(good.indexOf("—"));
	const cases: [string, string][] = [
		["", "note_malformed"],
		["text\n\n", "note_malformed"],
		["text\n", "note_malformed"],
		[`text\n${line}`, "note_malformed"],
		[good.slice(0, -1), "note_malformed"],
		[`${good}\n`, "note_malformed"],
		[`${good}tail\n`, "note_malformed"],
		[good.replace("— ", "- "), "note_malformed"],
		[good.replace("— ", "—  "), "note_malformed"],
		[good.replace("log.example/a", "log+example"), "note_malformed"],
		[good.replace("log.example/a", "log\u00a0example"), "note_malformed"],
		[good.replace("=\n", "= \n"), "note_malformed"],
		["text\n\n— name AAAAAA==\n", "note_malformed"],
		[good.replace("text", "te\tt"), "note_bad_text"],
		[good.replaceAll("\n", "\r\n"), "note_bad_text"],
		[good.replace("text", "te\0t"), "note_bad_text"],
		[good.replace("text", "test"), "note_bad_signature"],
	];
	for (const [note, code] of cases) assert.equal(codeOf(openNote(utf8(note), [verifierA])), code, JSON.stringify(note));
	const latin1 = Uint8Array.of(0xe9, 0x0a, ...utf8(`\n${line}`));
	assert.equal(codeOf(openNote(latin1, [verifierA])), "note_bad_text");
});

test("notes at the limits of size and signatures are read, one more is refused", () => {
	const signers = Array.from({ length: LEDGER_LIMITS.noteSignaturesMax }, () => signerA);
	assert.equal(codeOf(parseNote(signNote("text\n", ...signers))), "ok");
	assert.equal(codeOf(parseNote(signNote("text\n", ...signers, signerA))), "note_too_large");
	const overhead = signNote("\n", signerA).length;
	const text = `${"x".repeat(LEDGER_LIMITS.noteBytesMax - overhead)}\n`;
	assert.equal(codeOf(openNote(signNote(text, signerA), [verifierA])), "ok");
	assert.equal(codeOf(openNote(signNote(`x${text}`, signerA), [verifierA])), "note_too_large");
});

test("verifier keys that do not hold together are refused by name", () => {
	const good = formatVerifierKey(verifierA);
	const [name, id, base64] = good.split("+") as [string, string, string];
	assert.deepEqual(parseVerifierKey(good), { ok: true, value: verifierA });
	assert.equal(codeOf(parseVerifierKey(`${name}x+${id}+${base64}`)), "vkey_wrong_id");
	assert.equal(codeOf(parseVerifierKey(`${name}+${id.toUpperCase()}+${base64}`)), "vkey_malformed");
	assert.equal(codeOf(parseVerifierKey(`+${id}+${base64}`)), "vkey_malformed");
	assert.equal(codeOf(parseVerifierKey(`${name}+${id}`)), "vkey_malformed");
	assert.equal(codeOf(parseVerifierKey(`${name}+${id}+${base64}\n`)), "vkey_malformed");
	assert.equal(codeOf(parseVerifierKey(`${name}+${id}+AQ==`)), "vkey_malformed");
	assert.equal(codeOf(parseVerifierKey(`${name}+${id}+B${base64.slice(1)}`)), "vkey_unknown_type");
	for (let i = 0; i < good.length; i++) {
		const changed = `${good.slice(0, i)}${good[i] === "a" ? "b" : "a"}${good.slice(i + 1)}`;
		assert.equal(parseVerifierKey(changed).ok, false, changed);
	}
});

test("a key id above 2^31 keeps its sign bit through a note and a verifier key", () => {
	const seeds = Array.from({ length: 16 }, (_, i) => new Uint8Array(32).fill(i));
	const seed = seeds.find((each) => ed25519Signer("k", each).keyId > 0x7fffffff);
	assert.ok(seed);
	const signer = ed25519Signer("k", seed);
	const verifier = ed25519Verifier("k", ed25519PublicKey(seed));
	assert.deepEqual(parseVerifierKey(formatVerifierKey(verifier)), { ok: true, value: verifier });
	assert.equal(codeOf(openNote(signNote("text\n", signer), [verifier])), "ok");
});

test("a text that cannot be signed is our own mistake and throws", () => {
	assert.throws(() => signNote("no newline", signerA), { name: "InvariantError" });
	assert.throws(() => signNote("a\tb\n", signerA), { name: "InvariantError" });
	assert.throws(() => signNote("\ud800\n", signerA), { name: "InvariantError" });
	assert.throws(() => signNote("text\n"), { name: "InvariantError" });
	assert.throws(() => ed25519Signer("a b", seedA), { name: "InvariantError" });
});

test("the fuzz target survives its corpus, cut anywhere and with each byte changed", () => {
	for (const sample of noteFuzz.corpus()) {
		noteFuzz.run(sample);
		for (let i = 0; i < sample.length; i++) {
			noteFuzz.run(sample.subarray(0, i));
			noteFuzz.run(sample.with(i, (sample[i] as number) ^ 0x20));
		}
	}
	assert.equal(new Set(noteFuzz.corpus().map(hexOf)).size, noteFuzz.corpus().length);
});
