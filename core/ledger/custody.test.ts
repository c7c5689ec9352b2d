import assert from "node:assert/strict";
import { test } from "node:test";
import { textOf, utf8 } from "#core/bytes/bytes.ts";
import { ed25519PublicKey } from "#crypto";
import { signCheckpoint } from "./checkpoint.ts";
import { batchSubject, type CustodyClaim, formatCustody, verifyCustody } from "./custody.ts";
import { bodyHash, encodeLeaf, type Leaf, SALT_BYTES } from "./leaf.ts";
import { LEDGER_LIMITS } from "./limits.ts";
import { inclusionProof, leafHash, merkleRoot } from "./merkle.ts";
import { ed25519Signer, ed25519Verifier, type NoteSigner } from "./note.ts";
import { formatProof, parseProof } from "./proof.ts";

const origin = "sc.lab/ledger";
const signerOf = (name: string, byte: number) => ed25519Signer(name, new Uint8Array(32).fill(byte));
const log = { origin, keys: [ed25519Verifier(origin, ed25519PublicKey(new Uint8Array(32).fill(4)))] };
const stream = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const headerBytes = utf8("the header of batch 7");
const salt = new Uint8Array(SALT_BYTES).fill(9);
const claim: CustodyClaim = { log, agentUri: "spiffe://lab/agent/web-01", stream, seq: 7, headerBytes };
const others = Array.from({ length: 10 }, (_, i) => leafHash(utf8(`leaf ${i}`)));

/** The custody of batch 7 at index 6, in a tree that says otherwise where told. */
function custodyOf(change: Partial<Leaf> = {}, signer: NoteSigner = signerOf(origin, 4)): string {
	const leaf = encodeLeaf({
		kind: "batch",
		tsMs: 1_763_800_000_000,
		actor: claim.agentUri,
		subject: batchSubject(stream, 7),
		bodyHash: bodyHash(salt, headerBytes),
		...change,
	});
	const hashes = [...others.slice(0, 6), leafHash(leaf), ...others.slice(6)];
	const note = signCheckpoint({ origin: signer.name, size: hashes.length, root: merkleRoot(hashes) }, signer);
	const checkpoint = textOf(note) as string;
	return formatCustody({ leaf, salt, index: 6, hashes: inclusionProof(hashes, 6, hashes.length), checkpoint });
}

function codeOf(text: string, change: Partial<CustodyClaim> = {}): string {
	const verdict = verifyCustody(text, { ...claim, ...change });
	return verdict.ok ? "ok" : verdict.code;
}

test("the proof of a batch is written, read back and verified, and answers the tree that holds it", () => {
	const verdict = verifyCustody(custodyOf(), claim);
	assert(verdict.ok);
	assert.equal(verdict.value.index, 6);
	assert.equal(verdict.value.checkpoint.size, 11);
});

const refusals: [string, () => string, string][] = [
	["for another number of the stream", () => codeOf(custodyOf(), { seq: 8 }), "custody_leaf_foreign"],
	["for another stream", () => codeOf(custodyOf(), { stream: new Uint8Array(8) }), "custody_leaf_foreign"],
	["for another agent", () => codeOf(custodyOf(), { agentUri: "spiffe://lab/agent/web-02" }), "custody_leaf_foreign"],
	["of another kind", () => codeOf(custodyOf({ kind: "trace_seal" })), "custody_leaf_foreign"],
	["over another content", () => codeOf(custodyOf(), { headerBytes: utf8("another") }), "custody_body_mismatch"],
	["under another key", () => codeOf(custodyOf({}, signerOf(origin, 5))), "custody_unproven"],
	["of another log", () => codeOf(custodyOf({}, signerOf("sc.other/ledger", 4))), "custody_unproven"],
	["that is a bare checkpoint", () => codeOf(custodyOf().split("\n\n").slice(1).join("\n\n")), "custody_malformed"],
	["that is empty", () => codeOf(""), "custody_malformed"],
];
for (const [name, run, code] of refusals)
	test(`a proof ${name} is refused as ${code}`, () => {
		assert.equal(run(), code);
	});

test("a leaf that stands in no signed tree is refused, even beside a genuine note", () => {
	const proof = parseProof(utf8(custodyOf()));
	assert(proof.ok);
	const forged = parseProof(utf8(custodyOf({ tsMs: 1 })));
	assert(forged.ok && forged.value.extra);
	const mixed = formatProof({ ...proof.value, extra: forged.value.extra });
	assert.equal(codeOf(textOf(mixed) as string), "custody_unproven");
	const { extra: _, ...bare } = proof.value;
	assert.equal(codeOf(textOf(formatProof(bare)) as string), "custody_malformed");
});

test("a proof is refused with any bit flipped or cut anywhere", () => {
	const bytes = utf8(custodyOf());
	for (let at = 0; at < bytes.length; at++) {
		const flipped = textOf(bytes.with(at, (bytes[at] as number) ^ (1 << (at % 8))));
		if (flipped !== null) assert.notEqual(codeOf(flipped), "ok", `byte ${at}`);
		const cut = textOf(bytes.subarray(0, at));
		if (cut !== null) assert.notEqual(codeOf(cut), "ok", `cut at ${at}`);
	}
});

test("the longest names, the largest tree and fifty witnesses fit a receipt", () => {
	const longest = "x".repeat(63);
	const leaf = encodeLeaf({
		kind: "batch",
		tsMs: 8_640_000_000_000_000,
		actor: `spiffe://${longest}x/agent/${longest}x`,
		subject: batchSubject(stream, Number.MAX_SAFE_INTEGER),
		bodyHash: bodyHash(salt, headerBytes),
	});
	const note = textOf(
		signCheckpoint(
			{ origin: "o".repeat(128), size: 2 ** 53 - 1, root: others[0] as Uint8Array },
			signerOf("o".repeat(128), 4),
		),
	);
	const witness = `— ${"w".repeat(64)} ${"A".repeat(92)}\n`;
	const checkpoint = note + witness.repeat(50);
	const hashes = Array.from({ length: 53 }, () => others[0] as Uint8Array);
	const text = formatCustody({ leaf, salt, index: 2 ** 53 - 2, hashes, checkpoint });
	assert(text.length <= LEDGER_LIMITS.custodyCharsMax);
});

test("a text at the limit is read, above it refused and never written", () => {
	const { custodyCharsMax } = LEDGER_LIMITS;
	const text = custodyOf();
	const lineOf = (chars: number) => `— ${"w".repeat(chars - 96)} ${"A".repeat(92)}\n`;
	const unknown = lineOf(custodyCharsMax - text.length);
	assert.equal((text + unknown).length, custodyCharsMax);
	assert.equal(codeOf(text + unknown), "ok");
	assert.equal(codeOf(text + lineOf(custodyCharsMax - text.length + 1)), "custody_malformed");
	const proof = parseProof(utf8(text));
	assert(proof.ok);
	const parts = { leaf: new Uint8Array(1), salt, index: 6, hashes: proof.value.path };
	assert.throws(() => formatCustody({ ...parts, checkpoint: "x".repeat(custodyCharsMax + 1) }), /too long/);
});
