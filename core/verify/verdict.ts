/**
 * What the verifier says: a closed list of checks, each with an outcome, a code and the claim in words. Guarantees that a check
 * which could not be judged is never counted as passed: it is `skipped` and names the check it stands on.
 */
import type { IdentityCode } from "#core/identity/binding.ts";
import type { CheckpointCode, LeafCode, MerkleCode, NoteCode, ProofCode } from "#core/ledger/index.ts";
import type { BatchCode } from "#core/model/batch.ts";
import type { ZipCode } from "#core/package/index.ts";
import type { ManifestCode } from "#core/package/manifest.ts";
import { assertInvariant } from "#core/result.ts";
import type { AnchorCode } from "#core/trust/genesis-anchor.ts";
import type { TrustCode } from "#core/trust/trust-document.ts";
import type { CommandCode } from "#core/trust/verify-command.ts";
import type { PartCode } from "./package-parts.ts";

/** In the order in which they are judged and shown. Append-only: programs read the names. */
export const CHECK_NAMES = [
	"package_canonical",
	"manifest_subjects",
	"root_given",
	"trust_chain",
	"manifest_signature",
	"pki_chain",
	"command_signatures",
	"batch_signatures",
	"event_signatures",
	"batch_sequence",
	"ledger_checkpoint",
	"ledger_inclusion",
	"manifest_statement",
	"view_matches_events",
	"command_covers_trace",
	"gaps",
] as const;
export type CheckName = (typeof CHECK_NAMES)[number];

/** `gaps`: what is there is sound, and something that is missing is named. */
export type Outcome = "pass" | "gaps" | "fail" | "skipped";

/** Why a check did not pass. */
export type VerifyCode =
	| ZipCode
	| ManifestCode
	| PartCode
	| AnchorCode
	| TrustCode
	| IdentityCode
	| CommandCode
	| BatchCode
	| NoteCode
	| CheckpointCode
	| ProofCode
	| MerkleCode
	| LeafCode
	/** A check it stands on did not pass. */
	| "check_not_reached"
	/** The fingerprint the reader gave is not 64 hex digits. */
	| "root_fingerprint_malformed"
	| "root_is_another"
	| "exporter_unknown"
	| "exporter_role_missing"
	| "manifest_signature_invalid"
	| "node_is_another"
	| "node_unproved"
	/** Neither by the host's clock nor by the ledger's was a certificate in force when the batch was made. */
	| "batch_outside_certificate"
	| "command_misplaced"
	| "command_other_trace"
	| "package_empty"
	/** Two histories of one stream. */
	| "stream_forked"
	| "stream_hole"
	| "proof_other_checkpoint"
	| "leaf_is_another"
	| "leaf_body_mismatch"
	| "command_not_in_ledger"
	| "export_not_in_ledger"
	/** The ledger's export is of another reason or of other batches or commands. */
	| "export_differs"
	| "statement_differs"
	| "exported_in_future"
	| "view_differs"
	/** A host told events under the trace's id without a command: they are not of the trace. */
	| "not_commanded"
	/** Nothing of the trace is under a command. */
	| "command_missing"
	| "command_refused"
	| "command_unanswered"
	| "trace_empty"
	| "gap_declared"
	/** The verifier itself broke on this package: our mistake, and no reason to believe the package. */
	| "verifier_fault";

export interface Check {
	readonly name: CheckName;
	readonly outcome: Outcome;
	/** null when it passed. */
	readonly code: VerifyCode | null;
	/** The claim, or what is wrong with it, as a sentence. May hold text from the package: escape it before a screen sees it. */
	readonly detail: string;
}

/** What a check found, and what later checks may stand on. */
export type Judged<T> =
	| { readonly outcome: "pass"; readonly detail: string; readonly value: T }
	| { readonly outcome: "gaps"; readonly code: VerifyCode; readonly detail: string; readonly value: T }
	| { readonly outcome: "fail"; readonly code: VerifyCode; readonly detail: string };

export function pass<T>(value: T, detail: string): Judged<T> {
	return { outcome: "pass", value, detail };
}

export function gaps<T>(value: T, code: VerifyCode, detail: string): Judged<T> {
	return { outcome: "gaps", value, code, detail };
}

export function failed(code: VerifyCode, detail: string): Judged<never> {
	return { outcome: "fail", code, detail };
}

type Needs = Partial<Record<CheckName, unknown>>;
type Met<N extends Needs> = { readonly [K in keyof N]: NonNullable<N[K]> };

export interface PackageVerdict {
	readonly verdict: "PASS" | "PASS WITH GAPS" | "FAIL";
	/** What the manifest says of itself, null when it does not read; only worth what the checks make of it. */
	readonly traceId: string | null;
	readonly enclave: string | null;
	readonly mode: "solo" | "two_person" | null;
	readonly exporter: string | null;
	/** One per name of `CHECK_NAMES`, in that order. */
	readonly checks: readonly Check[];
}

/** Judges checks one after the other and keeps what each found. */
export class Judgement {
	readonly checks: Check[] = [];

	/**
	 * Judges one check. `needs` names the checks it stands on with what they found, null for one that failed or was skipped: then
	 * this one is skipped too. Returns what this one found, or null.
	 */
	async check<const N extends Needs, T>(
		name: CheckName,
		needs: N,
		judge: (met: Met<N>) => Judged<T> | Promise<Judged<T>>,
	): Promise<T | null> {
		const missing = Object.entries(needs).flatMap(([need, value]) => (value === null ? [need] : []));
		if (missing.length > 0) {
			const detail = `Not judged: it stands on ${missing.join(" and ")}.`;
			this.checks.push({ name, outcome: "skipped", code: "check_not_reached", detail });
			return null;
		}
		const judged = await judge(needs as Met<N>);
		const { outcome, detail } = judged;
		this.checks.push({ name, outcome, code: judged.outcome === "pass" ? null : judged.code, detail });
		return judged.outcome === "fail" ? null : judged.value;
	}

	/** What broke unforeseen fails the check that was being judged; the later ones are not reached. */
	fault(error: unknown): void {
		const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
		const [broken, ...later] = CHECK_NAMES.slice(this.checks.length);
		assertInvariant(broken !== undefined, "every check was judged");
		this.checks.push({ name: broken, outcome: "fail", code: "verifier_fault", detail: `The verifier broke: ${what}.` });
		const detail = `Not judged: the verifier broke at ${broken}.`;
		for (const name of later) this.checks.push({ name, outcome: "skipped", code: "check_not_reached", detail });
	}

	get verdict(): PackageVerdict["verdict"] {
		// A skipped check always has a failed one before it; counted here as well, so that no mistake can turn it into a pass.
		if (this.checks.some(({ outcome }) => outcome === "fail" || outcome === "skipped")) return "FAIL";
		return this.checks.some(({ outcome }) => outcome === "gaps") ? "PASS WITH GAPS" : "PASS";
	}
}

/** `3 batches`, `1 batch`. */
export function counted(count: number, one: string, many = `${one}s`): string {
	return `${count} ${count === 1 ? one : many}`;
}
