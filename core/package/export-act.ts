/**
 * What the ledger keeps of an export: who, why, and exactly which evidence. The Security Center writes it before the package is
 * signed; the verifier makes it again from the package and compares bytes. Guarantees that a package from which a batch or a
 * command was taken out, or that names another reason, is not the export that the ledger knows of.
 */
import { hexOf, utf8 } from "#core/bytes/bytes.ts";
import { sha256 } from "#crypto";

export interface ExportFacts {
	readonly traceId: string;
	/** Id of the operator who exports. */
	readonly exporter: string;
	readonly reason: string;
	/** The batches as whole files, in any order. */
	readonly batches: readonly Uint8Array[];
	/** Envelopes of the commands, in any order. */
	readonly commands: readonly Uint8Array[];
}

interface SetDigest {
	readonly count: number;
	/** Over the members' own hashes in hex, sorted, one a line: `sha256sum FILES | cut -d" " -f1 | sort | sha256sum`. */
	readonly sha256: string;
}

function digestOf(members: readonly Uint8Array[]): SetDigest {
	const hashes = members.map((member) => hexOf(sha256(member))).sort();
	return { count: members.length, sha256: hexOf(sha256(utf8(hashes.map((hash) => `${hash}\n`).join("")))) };
}

/** The body of the `export` leaf: JSON in this one spelling. */
export function exportActBody(facts: ExportFacts): Uint8Array {
	const { traceId, exporter, reason } = facts;
	const [batches, commands] = [digestOf(facts.batches), digestOf(facts.commands)];
	return utf8(JSON.stringify({ traceId, exporter, reason, batches, commands }));
}
