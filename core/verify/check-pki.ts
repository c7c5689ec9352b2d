/**
 * pki_chain: which Ed25519 keys each host signed with, and that the reader's root vouched for them when the batches were made.
 * Certificates are short-lived and most have expired by the time a package is read, so they are judged at the time of the batches.
 * Revocation is not judged here: a revoked host's data is quarantined by the Security Center and does not reach a package.
 */
import { nodeUri } from "#core/identity/node-uri.ts";
import { type NodeKey, proveNodeFile } from "./node-keys.ts";
import type { BatchPart, PackageParts } from "./package-parts.ts";
import { counted, failed, type Judged, pass } from "./verdict.ts";

/** Keys by agent. */
export type NodeKeys = ReadonlyMap<string, readonly NodeKey[]>;

/**
 * Keys that were certified when the batch was made: by the host's clock or, because a host's clock can be wrong, by the Security
 * Center's when the batch came into the ledger.
 */
export function keysOf(part: BatchPart, keys: NodeKeys): readonly NodeKey[] {
	const { agent, endMs } = part.opened.batch.header;
	const moments = [endMs, part.place.leaf.tsMs];
	return (keys.get(agent) ?? []).filter(({ fromMs, toMs }) => moments.some((ms) => ms >= fromMs && ms <= toMs));
}

export async function checkNodes(parts: PackageParts, root: Uint8Array, enclave: string): Promise<Judged<NodeKeys>> {
	const keys = new Map<string, NodeKey[]>();
	for (const [agent, proofs] of parts.proofs) {
		const own: NodeKey[] = [];
		for (const bytes of proofs) {
			const key = await proveNodeFile(bytes, root);
			if (!key.ok) return failed(key.code, `A certificate of ${agent}: ${key.detail}.`);
			if (key.value.uri !== nodeUri({ enclave, role: "agent", id: agent }))
				return failed("node_is_another", `A certificate of ${key.value.uri} is filed under ${agent}.`);
			own.push(key.value);
		}
		keys.set(agent, own);
	}
	const agents = new Set(parts.batches.map(({ opened }) => opened.batch.header.agent));
	for (const agent of agents)
		if (!keys.has(agent)) return failed("node_unproved", `There is no certificate of ${agent}.`);
	for (const part of parts.batches) {
		const { agent, seq } = part.opened.batch.header;
		if (keysOf(part, keys).length === 0)
			return failed("batch_outside_certificate", `No certificate of ${agent} was in force at its batch ${seq}.`);
	}
	const names = [...agents].sort().join(", ");
	return pass(
		keys,
		`${counted(agents.size, "host")} (${names || "none"}): certified under your root at the time of the batches, each for the ` +
			"signing key bound to its certificate. Whether one was revoked since is not in a package.",
	);
}
