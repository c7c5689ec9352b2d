/**
 * The manifest of a forensic package: an in-toto Statement v1 whose subjects are every other file, in a DSSE envelope signed by
 * the operator who exports. Guarantees one spelling of each: what reads is what writes, so no byte of either file is free. Must
 * never be believed for its subjects alone; the signature is what counts, and the evidence has its own.
 */
import { base64Of, bytesOfBase64, equalBytes, hexOf, textOf, utf8 } from "#core/bytes/bytes.ts";
import { PAYLOAD_TYPES } from "#core/crypto/dsse.ts";
import { fail, ok, type Result } from "#core/result.ts";
import type { TrustDocument } from "#core/trust/trust-document.ts";
import { sha256 } from "#crypto";
import type { DeclaredGap, StreamRange } from "./evidence.ts";

export const MANIFEST_NAME = "manifest.json";
export const SIGNATURE_NAME = "manifest.dsse.json";
const STATEMENT_TYPE = "https://in-toto.io/Statement/v1";
const PREDICATE_TYPE = "urn:daemoneye:forensic-package:v1";
/** A manifest lists up to 20,000 files at about 200 bytes each. */
const MANIFEST_BYTES_MAX = 8 * 1024 * 1024;

export interface PackageHost {
	readonly agent: string;
	readonly hostName: string;
	/** Host clock less the Security Center's; null = never estimated. */
	readonly clockOffsetMs: number | null;
	readonly clockSource: string;
}

export interface PackagePredicate {
	readonly traceId: string;
	readonly enclave: string;
	readonly mode: TrustDocument["mode"];
	readonly exporter: { readonly operator: string; readonly reason: string };
	/** Operators who signed the trace's commands. */
	readonly authorisedBy: readonly string[];
	readonly trustVersion: number;
	readonly preparedAt: string;
	readonly acquiredFrom: string;
	readonly acquiredTo: string;
	readonly masking: string;
	readonly hosts: readonly PackageHost[];
	readonly streams: readonly StreamRange[];
	readonly gaps: readonly DeclaredGap[];
	readonly ledger: { readonly origin: string; readonly size: number };
	readonly tool: { readonly name: string; readonly version: string };
	readonly hashAlgorithm: "sha256";
	readonly limitations: readonly string[];
}

interface Subject {
	readonly name: string;
	readonly digest: { readonly sha256: string };
}

interface Statement {
	readonly _type: string;
	readonly subject: readonly Subject[];
	readonly predicateType: string;
	readonly predicate: PackagePredicate;
}

export type ManifestCode = "manifest_missing" | "manifest_malformed" | "subject_missing" | "subject_differs";

function subjectsOf(files: ReadonlyMap<string, Uint8Array>): Subject[] {
	return [...files.keys()]
		.filter((name) => name !== MANIFEST_NAME && name !== SIGNATURE_NAME)
		.sort()
		.map((name) => ({ name, digest: { sha256: hexOf(sha256(files.get(name) as Uint8Array)) } }));
}

const jsonBytes = (value: unknown): Uint8Array => utf8(`${JSON.stringify(value, null, "\t")}\n`);

/** The bytes of manifest.json over these files. */
export function makeManifest(files: ReadonlyMap<string, Uint8Array>, predicate: PackagePredicate): Uint8Array {
	const subject = subjectsOf(files);
	return jsonBytes({ _type: STATEMENT_TYPE, subject, predicateType: PREDICATE_TYPE, predicate } satisfies Statement);
}

function parseJson(bytes: Uint8Array | undefined, name: string): Result<unknown, ManifestCode> {
	if (bytes === undefined) return fail("manifest_missing", `${name} is not there.`);
	const text = bytes.length > MANIFEST_BYTES_MAX ? null : textOf(bytes);
	try {
		if (text !== null) {
			const value: unknown = JSON.parse(text);
			if (equalBytes(jsonBytes(value), bytes)) return ok(value);
		}
	} catch {
		// Answered below like every other spelling that is not ours.
	}
	return fail("manifest_malformed", `${name} is not JSON as this tool writes it.`);
}

/** Reads the manifest and compares every other file with its digest: none missing, none more, none changed. */
export function readManifest(files: ReadonlyMap<string, Uint8Array>): Result<PackagePredicate, ManifestCode> {
	const parsed = parseJson(files.get(MANIFEST_NAME), MANIFEST_NAME);
	if (!parsed.ok) return parsed;
	const statement = parsed.value as Partial<Statement> | null;
	if (statement?._type !== STATEMENT_TYPE || statement.predicateType !== PREDICATE_TYPE)
		return fail("manifest_malformed", "The manifest is no statement about a forensic package.");
	const { subject, predicate } = statement;
	if (!Array.isArray(subject) || typeof predicate !== "object" || predicate === null)
		return fail("manifest_malformed", "The manifest has no subjects or no predicate.");
	const claimed = new Map((subject as Subject[]).map((each) => [each?.name, each?.digest?.sha256]));
	for (const { name, digest } of subjectsOf(files)) {
		if (!claimed.has(name)) return fail("subject_missing", `${name} is in the package and not in the manifest.`);
		if (claimed.get(name) !== digest.sha256) return fail("subject_differs", `${name} is not the file that was signed.`);
		claimed.delete(name);
	}
	const [missing] = claimed.keys();
	if (missing !== undefined) return fail("subject_missing", `${missing} is in the manifest and not in the package.`);
	return ok(predicate);
}

/** The DSSE envelope in its JSON form (dsse v1), with the operator's id as key id. */
export function makeSignatureFile(manifest: Uint8Array, operator: string, signature: Uint8Array): Uint8Array {
	return jsonBytes({
		payloadType: PAYLOAD_TYPES.packageManifest,
		payload: base64Of(manifest),
		signatures: [{ keyid: operator, sig: base64Of(signature) }],
	});
}

/** Who is said to have signed the manifest, and with what. */
export function readSignatureFile(
	files: ReadonlyMap<string, Uint8Array>,
): Result<{ operator: string; signature: Uint8Array }, ManifestCode> {
	const parsed = parseJson(files.get(SIGNATURE_NAME), SIGNATURE_NAME);
	if (!parsed.ok) return parsed;
	const envelope = parsed.value as { signatures?: readonly { keyid?: unknown; sig?: unknown }[] } | null;
	const first = Array.isArray(envelope?.signatures) ? envelope.signatures[0] : undefined;
	const signature = typeof first?.sig === "string" ? bytesOfBase64(first.sig) : null;
	const manifest = files.get(MANIFEST_NAME) ?? new Uint8Array();
	if (typeof first?.keyid !== "string" || signature === null)
		return fail("manifest_malformed", "The envelope has no signature.");
	// Made again from what was read: a second signature, another type or another payload has no room.
	if (!equalBytes(makeSignatureFile(manifest, first.keyid, signature), files.get(SIGNATURE_NAME) as Uint8Array))
		return fail("manifest_malformed", "The envelope is not one signature over this manifest.");
	return ok({ operator: first.keyid, signature });
}
