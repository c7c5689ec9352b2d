/** ledger_checkpoint and ledger_inclusion: one signed tree, and every batch, act and command in it. */
import { equalBytes, hexOf } from "#core/bytes/bytes.ts";
import { nodeUri } from "#core/identity/node-uri.ts";
import {
	bodyHash,
	ed25519Verifier,
	isKeyName,
	leafHash,
	type OpenedCheckpoint,
	openCheckpoint,
	parseProof,
	SALT_BYTES,
	verifyInclusion,
} from "#core/ledger/index.ts";
import { exportActBody } from "#core/package/export-act.ts";
import type { TrustDocument } from "#core/trust/trust-document.ts";
import type { Claims } from "./claims.ts";
import type { PackageParts, ProvedLeaf } from "./package-parts.ts";
import { counted, failed, type Judged, pass } from "./verdict.ts";

export function checkCheckpoint(parts: PackageParts, trust: TrustDocument): Judged<OpenedCheckpoint> {
	const { ledgerOrigin: origin, ledgerKey } = trust;
	if (!isKeyName(origin)) return failed("checkpoint_wrong_origin", `${origin} cannot be the name of a ledger.`);
	const opened = openCheckpoint(parts.checkpoint, { origin, keys: [ed25519Verifier(origin, ledgerKey)] });
	if (!opened.ok) return failed(opened.code, opened.detail);
	const { size, root } = opened.value;
	return pass(opened.value, `${origin}: ${size} leaves under root ${hexOf(root)}, signed by the ledger's key.`);
}

/** One leaf: in the tree of this very checkpoint, over this body. */
function checkPlace(
	place: ProvedLeaf,
	body: Uint8Array,
	signed: OpenedCheckpoint & { bytes: Uint8Array },
): Judged<true> {
	const { name, leaf, leafBytes, salt } = place;
	const proof = parseProof(place.proof);
	if (!proof.ok) return failed(proof.code, `${name}: ${proof.detail}`);
	const { index, path, checkpoint } = proof.value;
	if (!equalBytes(checkpoint, signed.bytes))
		return failed("proof_other_checkpoint", `${name} is proved under another checkpoint than ledger/checkpoint.`);
	const { size, root } = signed;
	const included = verifyInclusion({ index, size, leafHash: leafHash(leafBytes), proof: path, root });
	if (!included.ok) return failed(included.code, `${name}: ${included.detail}`);
	if (salt.length !== SALT_BYTES || !equalBytes(bodyHash(salt, body), leaf.bodyHash))
		return failed("leaf_body_mismatch", `${name}: the leaf is about other bytes.`);
	return pass(true, "");
}

/** Acts that the package cannot do without. */
function checkActs(parts: PackageParts, claims: Claims): Judged<true> {
	for (const [id, bytes] of parts.commands) {
		const isLogged = parts.acts.some(({ place, body }) => place.leaf.kind === "trace_start" && equalBytes(body, bytes));
		if (!isLogged) return failed("command_not_in_ledger", `Command ${id} is not in the ledger as it was sent.`);
	}
	const { traceId, exporter, reason } = claims;
	const exports = parts.acts.filter(
		({ place: { leaf } }) => leaf.kind === "export" && leaf.actor === exporter && leaf.traceId === traceId,
	);
	if (exports.length === 0) return failed("export_not_in_ledger", "This export is not in the ledger.");
	const batches = parts.batches.map(({ opened }) => opened.batch.bytes);
	const told = exportActBody({ traceId, exporter, reason, batches, commands: [...parts.commands.values()] });
	// A trace may have been exported before, with other batches: one of the acts is about this very package.
	if (!exports.some(({ body }) => equalBytes(body, told)))
		return failed(
			"export_differs",
			"The ledger knows of an export with another reason, other batches or other commands.",
		);
	return pass(true, "");
}

export function checkInclusion(
	parts: PackageParts,
	checkpoint: OpenedCheckpoint,
	context: { claims: Claims; enclave: string },
): Judged<true> {
	const signed = { ...checkpoint, bytes: parts.checkpoint };
	for (const { opened, place } of parts.batches) {
		const { header, headerBytes } = opened.batch;
		const { kind, actor, subject } = place.leaf;
		const isOwn =
			kind === "batch" &&
			actor === nodeUri({ enclave: context.enclave, role: "agent", id: header.agent }) &&
			subject === `${hexOf(header.stream)}/${header.seq}`;
		if (!isOwn) return failed("leaf_is_another", `${place.name}: the leaf is not that batch's.`);
		const checked = checkPlace(place, headerBytes, signed);
		if (checked.outcome === "fail") return checked;
	}
	for (const { place, body } of parts.acts) {
		if (place.leaf.kind === "batch") return failed("leaf_is_another", `${place.name}: a batch is no act.`);
		const checked = checkPlace(place, body, signed);
		if (checked.outcome === "fail") return checked;
	}
	const acts = checkActs(parts, context.claims);
	if (acts.outcome === "fail") return acts;
	const batches = counted(parts.batches.length, "batch", "batches");
	return pass(
		true,
		`${batches} and ${counted(parts.acts.length, "act")} stood in the ledger, every command and this export too.`,
	);
}
