/**
 * The offline verifier: package bytes and one fingerprint in, a list of named checks and a verdict out. Guarantees that PASS means:
 * every event of the trace was signed on its host by a key that the reader's root vouches for, under a command that the enclave's
 * operators signed, stood in the signed ledger, and is complete by the host's own count; and that no byte of the package is free
 * to differ. Must never take trust from the package: the root is the reader's.
 */
import { readZip } from "#core/package/index.ts";
import type { PinnedTrust } from "#core/trust/trust-document.ts";
import { checkCommands, checkCoverage } from "./check-commands.ts";
import { checkBatches, checkEvents, checkSequence } from "./check-evidence.ts";
import { checkGaps } from "./check-gaps.ts";
import { checkCheckpoint, checkInclusion } from "./check-ledger.ts";
import { checkManifestSignature, checkStatement, checkSubjects, checkView } from "./check-manifest.ts";
import { checkNodes } from "./check-pki.ts";
import { checkRoot, checkTrust } from "./check-trust.ts";
import { type Claims, readClaims } from "./claims.ts";
import { type PackageParts, readParts } from "./package-parts.ts";
import { counted, failed, Judgement, type PackageVerdict, pass } from "./verdict.ts";

export interface ReaderTrust {
	/** SHA-256 of the root certificate's DER: 64 lower-case hex digits. */
	readonly rootFingerprint: string;
	/** The reader's clock; only a package from the future is refused by it. */
	readonly nowMs: number;
}

interface Found {
	readonly package_canonical: ReadonlyMap<string, Uint8Array> | null;
	/** What reads, also when a file is not the one that was signed for: the other checks then say what still holds. */
	readonly manifest_subjects: { readonly parts: PackageParts; readonly claims: Claims } | null;
}

const newestOf = (trust: readonly PinnedTrust[]): PinnedTrust => trust.at(-1) as PinnedTrust;

async function judgeContents(judgement: Judgement, found: Found, reader: ReaderTrust): Promise<void> {
	const { nowMs } = reader;
	const root = await judgement.check("root_given", found, ({ manifest_subjects: { parts } }) =>
		checkRoot(parts, reader.rootFingerprint),
	);
	const rooted = { ...found, root_given: root };
	const trust = await judgement.check("trust_chain", rooted, ({ manifest_subjects: { parts }, root_given }) =>
		checkTrust(parts, root_given),
	);
	const trusted = { ...rooted, trust_chain: trust };
	await judgement.check("manifest_signature", trusted, ({ package_canonical, manifest_subjects, trust_chain }) =>
		checkManifestSignature(package_canonical, newestOf(trust_chain), manifest_subjects.claims),
	);
	const nodes = await judgement.check("pki_chain", trusted, ({ manifest_subjects, root_given, trust_chain }) =>
		checkNodes(manifest_subjects.parts, root_given, newestOf(trust_chain).document.enclave),
	);
	const commands = await judgement.check("command_signatures", trusted, ({ manifest_subjects, trust_chain }) =>
		checkCommands(manifest_subjects.parts, { trust: trust_chain, traceId: manifest_subjects.claims.traceId }),
	);
	const batches = await judgement.check("batch_signatures", { ...found, pki_chain: nodes }, (met) =>
		checkBatches(met.manifest_subjects.parts, met.pki_chain),
	);
	const events = await judgement.check("event_signatures", { batch_signatures: batches }, ({ batch_signatures }) =>
		checkEvents(batch_signatures),
	);
	const believed = { ...found, event_signatures: events };
	await judgement.check("batch_sequence", believed, ({ manifest_subjects: { parts } }) => checkSequence(parts));
	const checkpoint = await judgement.check("ledger_checkpoint", trusted, ({ manifest_subjects, trust_chain }) =>
		checkCheckpoint(manifest_subjects.parts, newestOf(trust_chain).document),
	);
	const logged = { ...trusted, ledger_checkpoint: checkpoint };
	await judgement.check("ledger_inclusion", logged, ({ manifest_subjects, trust_chain, ledger_checkpoint }) =>
		checkInclusion(manifest_subjects.parts, ledger_checkpoint, {
			claims: manifest_subjects.claims,
			enclave: newestOf(trust_chain).document.enclave,
		}),
	);
	await judgement.check("manifest_statement", logged, ({ manifest_subjects, trust_chain }) =>
		checkStatement(manifest_subjects.parts, manifest_subjects.claims, { trust: trust_chain, nowMs }),
	);
	await judgement.check("view_matches_events", found, ({ manifest_subjects: { parts, claims } }) =>
		checkView(parts, claims),
	);
	const covered = await judgement.check("command_covers_trace", { ...believed, command_signatures: commands }, (met) =>
		checkCoverage(met.manifest_subjects.parts, met.command_signatures, met.manifest_subjects.claims.traceId),
	);
	await judgement.check("gaps", { ...believed, command_covers_trace: covered }, (met) =>
		checkGaps(met.manifest_subjects.parts, met.command_covers_trace),
	);
}

/** Judges every check; what the manifest says of itself, null when it does not read. */
async function judge(judgement: Judgement, bytes: Uint8Array, reader: ReaderTrust): Promise<Claims | null> {
	const files = await judgement.check("package_canonical", {}, () => {
		const read = readZip(bytes);
		if (!read.ok) return failed(read.code, read.detail);
		return pass(
			read.value,
			`${counted(read.value.size, "file")} in the one canonical archive form; no byte belongs to none.`,
		);
	});
	const claims = files === null ? null : readClaims(files);
	const parts = files === null ? null : readParts(files);
	await judgement.check("manifest_subjects", { package_canonical: files }, ({ package_canonical }) =>
		checkSubjects(package_canonical, parts as NonNullable<typeof parts>, claims),
	);
	const readable = parts?.ok && claims !== null ? { parts: parts.value, claims } : null;
	await judgeContents(judgement, { package_canonical: files, manifest_subjects: readable }, reader);
	return claims;
}

/** Verifies a package of any origin. Never throws on any bytes: what breaks unforeseen is a FAIL, `verifier_fault`. */
export async function verifyPackage(bytes: Uint8Array, reader: ReaderTrust): Promise<PackageVerdict> {
	const judgement = new Judgement();
	let claims: Claims | null = null;
	try {
		claims = await judge(judgement, bytes, reader);
	} catch (error) {
		judgement.fault(error);
	}
	return {
		verdict: judgement.verdict,
		traceId: claims?.traceId ?? null,
		enclave: claims?.enclave ?? null,
		mode: claims?.mode ?? null,
		exporter: claims?.exporter ?? null,
		checks: judgement.checks,
	};
}
