import assert from "node:assert/strict";
import { test } from "node:test";
import { base64Of, utf8 } from "#core/bytes/bytes.ts";
import { ed25519PublicKey } from "#crypto";
import { formatCheckpoint, openCheckpoint, parseCheckpoint, signCheckpoint } from "./checkpoint.ts";
import { emptyRoot, leafHash } from "./merkle.ts";
import { ed25519Signer, ed25519Verifier, signNote } from "./note.ts";

const origin = "sc.lab/ledger";
const seed = new Uint8Array(32).fill(3);
const signer = ed25519Signer(origin, seed);
const log = { origin, keys: [ed25519Verifier(origin, ed25519PublicKey(seed))] };
const root = leafHash(utf8("x"));

function codeOf(result: { ok: true } | { ok: false; code: string }): string {
	return result.ok ? "ok" : result.code;
}

test("the specification's example is read and written back to the same text", () => {
	const text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
	const parsed = parseCheckpoint(text);
	assert.ok(parsed.ok);
	assert.equal(parsed.value.size, 20852163);
	assert.deepEqual(parsed.value.extensions, []);
	assert.equal(formatCheckpoint(parsed.value), text);
});

test("a signed checkpoint opens for its log and shows size and root", () => {
	const note = signCheckpoint({ origin, size: 5, root }, signer);
	const opened = openCheckpoint(note, log);
	assert.ok(opened.ok);
	assert.equal(opened.value.size, 5);
	assert.deepEqual(opened.value.root, root);
	assert.deepEqual(opened.value.note.signedBy, log.keys);
});

test("a signed checkpoint is refused with any bit flipped or any tail cut off", () => {
	const note = signCheckpoint({ origin, size: 0, root: emptyRoot() }, signer);
	for (let bit = 0; bit < 8 * note.length; bit++) {
		const flipped = note.with(bit >> 3, (note[bit >> 3] as number) ^ (1 << (bit & 7)));
		assert.equal(openCheckpoint(flipped, log).ok, false, `bit ${bit}`);
	}
	for (let length = 0; length < note.length; length++) {
		assert.equal(openCheckpoint(note.subarray(0, length), log).ok, false, `cut at ${length}`);
	}
});

test("a checkpoint that the log's key signed for another origin is refused", () => {
	const text = formatCheckpoint({ origin: "sc.other/ledger", size: 5, root });
	assert.equal(codeOf(openCheckpoint(signNote(text, signer), log)), "checkpoint_wrong_origin");
	const stranger = signNote(formatCheckpoint({ origin, size: 5, root }), ed25519Signer(origin, root));
	assert.equal(codeOf(openCheckpoint(stranger, log)), "note_unsigned");
	assert.throws(() => signCheckpoint({ origin: "sc.other/ledger", size: 5, root }, signer), { name: "InvariantError" });
});

test("only one spelling of size and root is read", () => {
	const hash = base64Of(root);
	const sizes = [
		"",
		"00",
		"01",
		"+1",
		"-1",
		"1.0",
		"1e3",
		" 1",
		"0x1",
		"٣",
		"9007199254740992",
		"99999999999999999999",
	];
	for (const size of sizes) assert.equal(parseCheckpoint(`o\n${size}\n${hash}\n`).ok, false, size);
	assert.equal(codeOf(parseCheckpoint(`o\n9007199254740992\n${hash}\n`)), "checkpoint_bad_size");
	const greatest = parseCheckpoint(`o\n9007199254740991\n${hash}\n`);
	assert.equal(greatest.ok && greatest.value.size, Number.MAX_SAFE_INTEGER);
	const roots = ["AAAA", hash.slice(0, -1), `${hash}=`, ` ${hash}`, hash.replace(/.=$/, "/="), base64Of(root.slice(1))];
	for (const each of roots) assert.equal(codeOf(parseCheckpoint(`o\n1\n${each}\n`)), "checkpoint_bad_root", each);
});

test("extension lines are kept, empty lines and missing lines refused", () => {
	const body = formatCheckpoint({ origin, size: 1, root });
	const extended = parseCheckpoint(`${body}one\ntwo words\n`);
	assert.deepEqual(extended.ok && extended.value.extensions, ["one", "two words"]);
	const hash = base64Of(root);
	const bad = [
		"",
		"\n",
		"o\n",
		"o\n1\n",
		`\n1\n${hash}\n`,
		`o\n1\n${hash}`,
		`${body}\n`,
		`${body}\nx\n`,
		`o\t\n1\n${hash}\n`,
	];
	for (const text of bad) assert.equal(codeOf(parseCheckpoint(text)), "checkpoint_malformed", JSON.stringify(text));
});

test("a checkpoint that cannot be written is our own mistake and throws", () => {
	const good = { origin, size: 1, root };
	for (const bad of [
		{ origin: "" },
		{ origin: "a b" },
		{ size: -1 },
		{ size: 0.5 },
		{ size: 2 ** 53 },
		{ root: root.slice(1) },
	]) {
		assert.throws(() => formatCheckpoint({ ...good, ...bad }), { name: "InvariantError" });
	}
});
