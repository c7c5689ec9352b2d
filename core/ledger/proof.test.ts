import assert from "node:assert/strict";
import { test } from "node:test";
import { base64Of, textOf, utf8 } from "#core/bytes/bytes.ts";
import { ed25519PublicKey } from "#crypto";
import { signCheckpoint } from "./checkpoint.ts";
import { LEDGER_LIMITS } from "./limits.ts";
import { inclusionProof, leafHash, merkleRoot } from "./merkle.ts";
import { ed25519Signer, ed25519Verifier } from "./note.ts";
import { formatProof, parseProof, verifyProof } from "./proof.ts";

const origin = "sc.lab/ledger";
const seed = new Uint8Array(32).fill(4);
const signer = ed25519Signer(origin, seed);
const log = { origin, keys: [ed25519Verifier(origin, ed25519PublicKey(seed))] };
const leaves = Array.from({ length: 11 }, (_, i) => leafHash(utf8(`leaf ${i}`)));
const checkpoint = signCheckpoint({ origin, size: leaves.length, root: merkleRoot(leaves) }, signer);
const index = 6;
const path = inclusionProof(leaves, index, leaves.length);
const claim = { log, leafHash: leaves[index] as Uint8Array };

function codeOf(result: { ok: true } | { ok: false; code: string }): string {
	return result.ok ? "ok" : result.code;
}

test("every leaf's proof is written, read back and verified", () => {
	for (const [i, hash] of leaves.entries()) {
		const proof = { index: i, path: inclusionProof(leaves, i, leaves.length), checkpoint };
		const file = formatProof(proof);
		assert.deepEqual(parseProof(file), { ok: true, value: proof });
		const verdict = verifyProof(file, { log, leafHash: hash });
		assert.ok(verdict.ok);
		assert.equal(verdict.value.index, i);
		assert.equal(verdict.value.checkpoint.size, leaves.length);
	}
});

test("the file has the lines the specification names", () => {
	const file = textOf(formatProof({ index, path, checkpoint, extra: utf8("salt") })) as string;
	const lines = ["c2sp.org/tlog-proof@v1", "extra c2FsdA==", "index 6", ...path.map(base64Of), "", ""];
	assert.equal(file, lines.join("\n") + textOf(checkpoint));
});

test("a proof is refused with any bit flipped or any tail cut off", () => {
	const file = formatProof({ index, path, checkpoint });
	for (let length = 0; length < file.length; length++) {
		assert.equal(verifyProof(file.subarray(0, length), claim).ok, false, `cut at ${length}`);
	}
	for (let bit = 0; bit < 8 * file.length; bit++) {
		const flipped = file.with(bit >> 3, (file[bit >> 3] as number) ^ (1 << (bit & 7)));
		assert.equal(verifyProof(flipped, claim).ok, false, `bit ${bit}`);
	}
});

test("a proof of another leaf, index, log or key is refused by name", () => {
	const file = formatProof({ index, path, checkpoint });
	assert.equal(codeOf(verifyProof(file, { log, leafHash: leaves[0] as Uint8Array })), "root_mismatch");
	assert.equal(codeOf(verifyProof(formatProof({ index: 7, path, checkpoint }), claim)), "root_mismatch");
	assert.equal(codeOf(verifyProof(formatProof({ index: 11, path, checkpoint }), claim)), "out_of_range");
	assert.equal(codeOf(verifyProof(formatProof({ index, path: path.slice(1), checkpoint }), claim)), "proof_length");
	const elsewhere = { leafHash: claim.leafHash, log: { ...log, origin: "sc.other/ledger" } };
	assert.equal(codeOf(verifyProof(file, elsewhere)), "checkpoint_wrong_origin");
	const keyless = { leafHash: claim.leafHash, log: { origin, keys: [] } };
	assert.equal(codeOf(verifyProof(file, keyless)), "note_unsigned");
});

test("malformed proofs are refused by name", () => {
	const good = textOf(formatProof({ index, path, checkpoint, extra: utf8("salt") })) as string;
	const hash = base64Of(path[0] as Uint8Array);
	const cases: [string, string][] = [
		["", "proof_malformed"],
		[good.replace("@v1", "@v2"), "proof_malformed"],
		[good.replaceAll("\n\n", "\n"), "proof_malformed"],
		[good.replace("\n\n", "\n"), "proof_bad_hash"],
		[good.replace("c2FsdA==", "c2FsdB=="), "proof_bad_extra"],
		[good.replace("c2FsdA==", ""), "proof_bad_extra"],
		[good.replace("extra c2FsdA==\n", "extra c2FsdA==\nextra c2FsdA==\n"), "proof_bad_index"],
		[good.replace("index 6", "index 06"), "proof_bad_index"],
		[good.replace("index 6", "index  6"), "proof_bad_index"],
		[good.replace("index 6", "Index 6"), "proof_bad_index"],
		[good.replace("index 6\n", ""), "proof_bad_index"],
		[good.replace(hash, hash.slice(4)), "proof_bad_hash"],
		[good.replace(hash, `${hash} `), "proof_bad_hash"],
		[good.replace(hash, `${hash}\r`), "proof_bad_hash"],
		[good.replace("\n\n", "\n\n\n"), "checkpoint_malformed"],
		[good.replace(`\n\n${origin}`, `\n\n\n${origin}`), "checkpoint_malformed"],
		[good.slice(0, good.indexOf("\n\n") + 2), "note_malformed"],
	];
	for (const [text, code] of cases) assert.equal(codeOf(parseProof(utf8(text))), code, JSON.stringify(text));
	assert.equal(codeOf(parseProof(Uint8Array.of(0xff))), "proof_malformed");
});

test("path and extra data at their limits are read, above them refused", () => {
	const hash = leaves[0] as Uint8Array;
	const { proofHashesMax, proofExtraBytesMax } = LEDGER_LIMITS;
	const longest = Array.from({ length: proofHashesMax }, () => hash);
	const extra = new Uint8Array(proofExtraBytesMax);
	const file = formatProof({ index, path: longest, checkpoint, extra });
	assert.equal(codeOf(parseProof(file)), "ok");
	const text = textOf(file) as string;
	const longer = text.replace("index 6\n", `index 6\n${base64Of(hash)}\n`);
	assert.equal(codeOf(parseProof(utf8(longer))), "proof_too_large");
	const larger = text.replace(base64Of(extra), base64Of(new Uint8Array(proofExtraBytesMax + 1)));
	assert.equal(codeOf(parseProof(utf8(larger))), "proof_too_large");
	assert.equal(codeOf(parseProof(new Uint8Array(1_000_000))), "proof_too_large");
	assert.throws(() => formatProof({ index, path: [...longest, hash], checkpoint }), { name: "InvariantError" });
});
