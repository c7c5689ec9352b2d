/**
 * Signed notes (C2SP signed-note v1.0): a text, a blank line, one signature line per key. Guarantees that a note
 * opens only when at least one key the caller trusts has signed the text and no such key's signature is wrong;
 * signatures of strangers are kept but count for nothing. Only Ed25519 (type 0x01) is signed and verified here. The
 * text of a note must never be used before `openNote` accepted it.
 */
import { base64Of, bytesOfBase64, bytesOfHex, concatBytes, equalBytes, textOf, utf8 } from "#core/bytes/bytes.ts";
import { assertInvariant, fail, ok, type Result } from "#core/result.ts";
import { ed25519PublicKey, ed25519Sign, ed25519Verify, sha256 } from "#crypto";
import { LEDGER_LIMITS } from "./limits.ts";

/** Signature type byte of plain Ed25519; the only one used here. Others are unknown keys to this module. */
const TYPE_ED25519 = 0x01;
const NEWLINE = Uint8Array.of(0x0a);
const SIGNATURE_PREFIX = "— ";
const KEY_ID_BYTES = 4;
const PUBLIC_KEY_BYTES = 32;

export type NoteCode =
	/** More bytes or signatures than `LEDGER_LIMITS` allows. */
	| "note_too_large"
	/** Not UTF-8, or a control character other than newline. */
	| "note_bad_text"
	/** No blank line, no final newline, or a line after the blank line that is no signature. */
	| "note_malformed"
	/** Two of the caller's keys share name and key id, so a signature would not say whose it is. */
	| "ambiguous_verifier"
	/** A signature that names a known key does not verify. */
	| "note_bad_signature"
	/** No known key has signed. */
	| "note_unsigned";

export type VerifierKeyCode =
	/** Not `name+hhhhhhhh+base64`, or a name with a space or plus. */
	| "vkey_malformed"
	/** A signature type other than Ed25519. */
	| "vkey_unknown_type"
	/** The key id is not the one of this name and key. */
	| "vkey_wrong_id";

/** A public key under the name it signs by. `keyId` is the unsigned 32-bit number of the signature line. */
export interface NoteVerifier {
	readonly name: string;
	readonly keyId: number;
	/** 32 bytes, Ed25519. */
	readonly publicKey: Uint8Array;
}

/** Whoever can sign under a name; the key itself may be out of this process. */
export interface NoteSigner {
	readonly name: string;
	readonly keyId: number;
	/** The 64-byte Ed25519 signature over the bytes given. */
	sign(message: Uint8Array): Uint8Array;
}

/** One signature line. Proves nothing by itself. */
export interface NoteSignature {
	readonly name: string;
	readonly keyId: number;
	readonly signature: Uint8Array;
}

/** A note taken apart and not verified: `text` must not be used. */
export interface UnverifiedNote {
	readonly text: string;
	readonly signatures: readonly NoteSignature[];
}

export interface OpenedNote {
	/** The signed text with its final newline. */
	readonly text: string;
	/** The caller's keys that signed, each once, in the order of their first signature. */
	readonly signedBy: readonly NoteVerifier[];
	/** Signatures of keys the caller did not give. */
	readonly unknown: readonly NoteSignature[];
}

/** Whether a key may have this name: not empty, no Unicode space, no plus, no control character. */
export function isKeyName(name: string): boolean {
	return name !== "" && !/[\p{White_Space}+]/u.test(name) && !hasControl(name) && name.isWellFormed();
}

function hasControl(text: string): boolean {
	for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) < 0x20 && text[i] !== "\n") return true;
	return false;
}

/** Whether this can be the text of a note: well-formed, no control character but newline, ends in a newline. */
export function isNoteText(text: string): boolean {
	return text.endsWith("\n") && !hasControl(text) && text.isWellFormed();
}

function keyIdBytes(keyId: number): Uint8Array {
	return Uint8Array.of(keyId >>> 24, keyId >>> 16, keyId >>> 8, keyId);
}

function keyIdOf(bytes: Uint8Array): number {
	return new DataView(bytes.buffer, bytes.byteOffset, KEY_ID_BYTES).getUint32(0);
}

/** First four bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key) as an unsigned number. */
export function ed25519KeyId(name: string, publicKey: Uint8Array): number {
	return keyIdOf(sha256(utf8(name), NEWLINE, Uint8Array.of(TYPE_ED25519), publicKey));
}

/** The verifier of a 32-byte Ed25519 public key under a name. */
export function ed25519Verifier(name: string, publicKey: Uint8Array): NoteVerifier {
	assertInvariant(isKeyName(name), `"${name}" cannot name a key`);
	assertInvariant(publicKey.length === PUBLIC_KEY_BYTES, "an Ed25519 public key is 32 bytes");
	return { name, keyId: ed25519KeyId(name, publicKey), publicKey };
}

/** The signer of a 32-byte Ed25519 seed under a name. */
export function ed25519Signer(name: string, seed: Uint8Array): NoteSigner {
	const { keyId } = ed25519Verifier(name, ed25519PublicKey(seed));
	return { name, keyId, sign: (message) => ed25519Sign(seed, message) };
}

/** `name+hex(key id)+base64(0x01 ‖ public key)`. */
export function formatVerifierKey(verifier: NoteVerifier): string {
	const id = verifier.keyId.toString(16).padStart(2 * KEY_ID_BYTES, "0");
	return `${verifier.name}+${id}+${base64Of(concatBytes(Uint8Array.of(TYPE_ED25519), verifier.publicKey))}`;
}

/** Reads a vkey; the inverse of `formatVerifierKey`. */
export function parseVerifierKey(text: string): Result<NoteVerifier, VerifierKeyCode> {
	// Base64 has plus signs of its own: only the first two of the line separate its parts.
	const [name, id, ...rest] = text.split("+");
	const idBytes = bytesOfHex(id ?? "");
	const key = bytesOfBase64(rest.join("+"));
	if (!name || !isKeyName(name) || idBytes?.length !== KEY_ID_BYTES || !key || key.length === 0) {
		return fail("vkey_malformed", "A verifier key is name+key id+base64 of type and key.");
	}
	if (key[0] !== TYPE_ED25519) {
		return fail("vkey_unknown_type", `Signature type ${key[0]} is not Ed25519.`);
	}
	const publicKey = key.slice(1);
	if (publicKey.length !== PUBLIC_KEY_BYTES) return fail("vkey_malformed", "An Ed25519 public key is 32 bytes.");
	const keyId = ed25519KeyId(name, publicKey);
	if (keyId !== keyIdOf(idBytes)) return fail("vkey_wrong_id", `The key id does not belong to ${name} and this key.`);
	return ok({ name, keyId, publicKey });
}

/** `— name base64(key id ‖ signature)` with its newline. */
export function formatSignature(signature: NoteSignature): string {
	const base64 = base64Of(concatBytes(keyIdBytes(signature.keyId), signature.signature));
	return `${SIGNATURE_PREFIX}${signature.name} ${base64}\n`;
}

/** Signs the text, which must pass `isNoteText`, with every signer given, in that order. */
export function signNote(text: string, ...signers: readonly NoteSigner[]): Uint8Array {
	assertInvariant(isNoteText(text), "a note text ends in newline and has no control character");
	assertInvariant(signers.length > 0, "a note has at least one signature");
	const message = utf8(text);
	let note = `${text}\n`;
	for (const { name, keyId, sign } of signers) {
		assertInvariant(isKeyName(name), `"${name}" cannot name a key`);
		note += formatSignature({ name, keyId, signature: sign(message) });
	}
	return utf8(note);
}

function parseSignature(line: string): NoteSignature | null {
	if (!line.startsWith(SIGNATURE_PREFIX)) return null;
	const separator = line.indexOf(" ", SIGNATURE_PREFIX.length);
	if (separator < 0) return null;
	const name = line.slice(SIGNATURE_PREFIX.length, separator);
	const bytes = bytesOfBase64(line.slice(separator + 1));
	if (!isKeyName(name) || !bytes || bytes.length <= KEY_ID_BYTES) return null;
	return { name, keyId: keyIdOf(bytes), signature: bytes.slice(KEY_ID_BYTES) };
}

/**
 * Takes a note apart without verifying any signature. For forwarding and storing; whoever uses the text calls
 * `openNote`.
 */
export function parseNote(note: Uint8Array): Result<UnverifiedNote, NoteCode> {
	if (note.length > LEDGER_LIMITS.noteBytesMax) {
		return fail("note_too_large", `A note has at most ${LEDGER_LIMITS.noteBytesMax} bytes.`);
	}
	const whole = textOf(note);
	if (whole === null || hasControl(whole)) {
		return fail("note_bad_text", "A note is UTF-8 without control characters.");
	}
	// The text may hold empty lines itself, so the last one separates.
	const separator = whole.lastIndexOf("\n\n");
	if (separator < 0 || !whole.endsWith("\n") || separator + 2 === whole.length) {
		return fail("note_malformed", "A note is a text, a blank line and signature lines.");
	}
	const lines = whole.slice(separator + 2, -1).split("\n");
	if (lines.length > LEDGER_LIMITS.noteSignaturesMax) {
		return fail("note_too_large", `A note has at most ${LEDGER_LIMITS.noteSignaturesMax} signatures.`);
	}
	const signatures: NoteSignature[] = [];
	for (const line of lines) {
		const signature = parseSignature(line);
		if (!signature) return fail("note_malformed", `Signature line ${signatures.length + 1} is malformed.`);
		signatures.push(signature);
	}
	return ok({ text: whole.slice(0, separator + 1), signatures });
}

function isSameKey(a: { name: string; keyId: number }, b: { name: string; keyId: number }): boolean {
	return a.name === b.name && a.keyId === b.keyId;
}

/**
 * Verifies every signature that names one of the verifiers by name and key id; the others are returned as
 * unknown.
 */
export function openNote(note: Uint8Array, verifiers: readonly NoteVerifier[]): Result<OpenedNote, NoteCode> {
	for (const [i, one] of verifiers.entries()) {
		const twin = verifiers.slice(i + 1).find((other) => isSameKey(one, other));
		if (twin && !equalBytes(one.publicKey, twin.publicKey)) {
			return fail("ambiguous_verifier", `Two keys are known as ${one.name} with one key id.`);
		}
	}
	const parsed = parseNote(note);
	if (!parsed.ok) return parsed;
	const { text, signatures } = parsed.value;
	const message = utf8(text);
	const signedBy: NoteVerifier[] = [];
	const unknown: NoteSignature[] = [];
	for (const signature of signatures) {
		const verifier = verifiers.find((one) => isSameKey(one, signature));
		if (!verifier) {
			unknown.push(signature);
		} else if (!ed25519Verify(verifier.publicKey, message, signature.signature)) {
			return fail("note_bad_signature", `The signature of ${verifier.name} does not verify.`);
		} else if (!signedBy.includes(verifier)) {
			signedBy.push(verifier);
		}
	}
	if (signedBy.length === 0) return fail("note_unsigned", "No known key has signed this note.");
	return ok({ text, signedBy, unknown });
}
