/** Fuzz target of the ledger's text formats: notes, verifier keys, checkpoints and proofs. */
import { equalBytes, textOf, utf8 } from "#core/bytes/bytes.ts";
import { assertInvariant } from "#core/result.ts";
import { ed25519PublicKey } from "#crypto";
import { openCheckpoint, parseCheckpoint, signCheckpoint } from "./checkpoint.ts";
import { emptyRoot } from "./merkle.ts";
import { ed25519Signer, ed25519Verifier, formatVerifierKey, openNote, parseVerifierKey, signNote } from "./note.ts";
import { formatProof, parseProof } from "./proof.ts";

export const name = "note";

const seed = new Uint8Array(32).fill(7);
const origin = "sc.lab/ledger";
const signer = ed25519Signer(origin, seed);
const verifier = ed25519Verifier(origin, ed25519PublicKey(seed));

export function corpus(): Uint8Array[] {
	const checkpoint = signCheckpoint({ origin, size: 0, root: emptyRoot() }, signer);
	return [
		signNote("text\n", signer),
		signNote("text\n\nmore ü\n", signer, ed25519Signer("other", seed)),
		checkpoint,
		formatProof({ index: 0, path: [emptyRoot()], checkpoint, extra: utf8("extra") }),
		utf8(formatVerifierKey(verifier)),
	];
}

/** Never throws on any bytes unless a reader breaks its promise. */
export function run(bytes: Uint8Array): void {
	openNote(bytes, [verifier]);
	openCheckpoint(bytes, { origin, keys: [verifier] });
	const proof = parseProof(bytes);
	if (proof.ok) assertInvariant(equalBytes(formatProof(proof.value), bytes), "an accepted proof has two spellings");
	const text = textOf(bytes);
	if (text === null) return;
	parseCheckpoint(text);
	const key = parseVerifierKey(text);
	if (key.ok) assertInvariant(formatVerifierKey(key.value) === text, "an accepted verifier key has two spellings");
}
