/**
 * manifest_subjects, manifest_signature, manifest_statement and view_matches_events: the files are those that an operator with the
 * right to export signed for, and what is derived from the evidence is what the evidence gives.
 */
import { equalBytes } from "#core/bytes/bytes.ts";
import { PAYLOAD_TYPES, preAuthEncoding } from "#core/crypto/dsse.ts";
import { derivedPredicate, inOrder } from "#core/package/layout.ts";
import { MANIFEST_NAME, readManifest, readSignatureFile } from "#core/package/manifest.ts";
import { eventsView, scopeOf } from "#core/package/view.ts";
import type { Result } from "#core/result.ts";
import { operatorById, type PinnedTrust } from "#core/trust/trust-document.ts";
import { ed25519Verify } from "#crypto";
import type { Claims } from "./claims.ts";
import { VERIFY_LIMITS } from "./limits.ts";
import type { PackageParts, PartCode } from "./package-parts.ts";
import { counted, failed, type Judged, pass } from "./verdict.ts";

type Files = ReadonlyMap<string, Uint8Array>;

export function checkSubjects(
	files: Files,
	parts: Result<PackageParts, PartCode>,
	claims: Claims | null,
): Judged<true> {
	const manifest = readManifest(files);
	if (!manifest.ok) return failed(manifest.code, manifest.detail);
	if (!parts.ok) return failed(parts.code, parts.detail);
	if (claims === null) return failed("manifest_malformed", "The manifest does not say what a package's manifest says.");
	return pass(true, `${counted(files.size - 2, "file")}: each that the manifest lists, unchanged, and no other.`);
}

/** `trust` is the newest document. */
export function checkManifestSignature(files: Files, trust: PinnedTrust, claims: Claims): Judged<true> {
	const signed = readSignatureFile(files);
	if (!signed.ok) return failed(signed.code, signed.detail);
	const { operator: id, signature } = signed.value;
	const { version, enclave } = trust.document;
	const operator = operatorById(trust.document, id);
	if (operator === undefined || id !== claims.exporter)
		return failed("exporter_unknown", `${id} is not the exporter that the manifest and trust version ${version} name.`);
	if (!operator.roles.includes("exporter"))
		return failed("exporter_role_missing", `${id} may not export under trust version ${version}.`);
	const message = preAuthEncoding(PAYLOAD_TYPES.packageManifest, files.get(MANIFEST_NAME) as Uint8Array);
	if (!ed25519Verify(operator.publicKey, message, signature))
		return failed("manifest_signature_invalid", `The key of ${id} did not sign this manifest.`);
	return pass(true, `Signed by ${id}, who may export from ${enclave} under trust version ${version}.`);
}

const commandFiles = ({ commands }: PackageParts) =>
	[...commands].map(([commandId, envelope]) => ({ commandId, envelope }));

/** What the manifest says of the evidence must be what the evidence says of itself. */
export function checkStatement(
	parts: PackageParts,
	claims: Claims,
	context: { trust: readonly PinnedTrust[]; nowMs: number },
): Judged<true> {
	const { predicate, traceId } = claims;
	const ordered = inOrder(parts.batches.map(({ opened }) => opened));
	const trust = context.trust.map(({ bytes }) => bytes);
	const derived = derivedPredicate(
		{ traceId, trust, commands: commandFiles(parts), checkpoint: parts.checkpoint },
		ordered,
	);
	for (const [name, value] of Object.entries(derived))
		if (JSON.stringify(predicate[name]) !== JSON.stringify(value))
			return failed("statement_differs", `What the manifest says as "${name}" does not follow from the other files.`);
	const agents = [...new Set(ordered.map(({ batch }) => batch.header.agent))];
	if (JSON.stringify([...claims.hosts].sort()) !== JSON.stringify(agents.sort()))
		return failed("statement_differs", "The clock table is not about the hosts whose batches are here.");
	if (claims.preparedAtMs > context.nowMs + VERIFY_LIMITS.clockAheadMsMax)
		return failed("exported_in_future", `It says it was made at ${new Date(claims.preparedAtMs).toISOString()}.`);
	const mode = claims.mode === "solo" ? "solo: one person alone may act" : "two persons";
	return pass(true, `Enclave, mode (${mode}), signers, streams, gap list and ledger are as the other files give them.`);
}

export function checkView(parts: PackageParts, claims: Claims): Judged<true> {
	const ordered = inOrder(parts.batches.map(({ opened }) => opened));
	const view = eventsView(ordered, scopeOf(claims.traceId, commandFiles(parts)));
	if (!equalBytes(view, parts.view))
		return failed("view_differs", "view/events.ndjson is not what the signed batches give.");
	const lines = view.reduce((count, byte) => count + (byte === 0x0a ? 1 : 0), 0);
	return pass(true, `The readable view of ${counted(lines, "event")} is made of the signed batches, line by line.`);
}
