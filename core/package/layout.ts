/**
 * The files of a forensic package and their places. Guarantees: everything that proves goes in verbatim, everything derived is
 * made from it by pure functions, and equal inputs give equal bytes. Must never hold a key, nor choose what is evidence: the
 * caller gathers, and the verifier says what is missing.
 */
import { hexOf, utf8 } from "#core/bytes/bytes.ts";
import { decodeAs, WALL_MS_MAX } from "#core/codec/index.ts";
import { formatProof, parseCheckpoint, parseNote } from "#core/ledger/index.ts";
import { type BatchCode, type ReadBatch, readBatch } from "#core/model/batch.ts";
import { signedEnvelopeShape } from "#core/model/command.ts";
import { type Event, eventShape } from "#core/model/event.ts";
import { assertInvariant, fail, ok, type Result } from "#core/result.ts";
import { type PinnedTrust, readPinnedTrust } from "#core/trust/trust-document.ts";
import { checkEntries, type EntryCode } from "./entries.ts";
import { declaredGaps, streamRanges } from "./evidence.ts";
import { HOWTO } from "./howto.ts";
import { PACKAGE_LIMITS, type PackageLimits, ZIP_LIMITS } from "./limits.ts";
import {
	MANIFEST_NAME,
	makeManifest,
	makeSignatureFile,
	type PackageHost,
	type PackagePredicate,
	SIGNATURE_NAME,
} from "./manifest.ts";
import { eventsView, type OpenedBatch, scopeOf } from "./view.ts";
import { writeZip } from "./zip.ts";

/** A leaf with its place in the tree. */
export interface LedgerPlace {
	readonly index: number;
	readonly leaf: Uint8Array;
	readonly salt: Uint8Array;
	readonly path: readonly Uint8Array[];
}

export interface PackageInput {
	readonly traceId: string;
	readonly exporter: { readonly operator: string; readonly reason: string };
	readonly preparedAtMs: number;
	readonly toolVersion: string;
	/** DER of the customer's root, and the root key's signature over genesis. */
	readonly root: Uint8Array;
	readonly genesisSignature: Uint8Array;
	/** Genesis and every later trust document. */
	readonly trust: readonly Uint8Array[];
	readonly hosts: readonly (PackageHost & { readonly proofs: readonly Uint8Array[] })[];
	readonly batches: readonly { readonly bytes: Uint8Array; readonly place: LedgerPlace }[];
	readonly acts: readonly { readonly body: Uint8Array; readonly place: LedgerPlace }[];
	/** Envelopes of the trace's commands as they were sent. */
	readonly commands: readonly { readonly commandId: string; readonly envelope: Uint8Array }[];
	/** The signed note under which every place is proved. */
	readonly checkpoint: Uint8Array;
}

/** The part of the predicate that follows from the other files. */
export type DerivedPredicate = Omit<
	PackagePredicate,
	"exporter" | "preparedAt" | "hosts" | "tool" | "hashAlgorithm" | "limitations"
>;

export interface PreparedPackage {
	/** Every file but the signature. */
	readonly files: ReadonlyMap<string, Uint8Array>;
	/** What the exporting operator signs: PAE(packageManifest, these bytes). */
	readonly manifest: Uint8Array;
}

export const PACKAGE_PATHS = {
	root: "pki/root.der",
	genesisSignature: "pki/genesis.sig",
	checkpoint: "ledger/checkpoint",
	view: "view/events.ndjson",
	howto: "verify/HOWTO.txt",
	trust: (version: number) => `trust/${version}.cbor`,
	proof: (agent: string, number: number) => `pki/nodes/${agent}/${number}.cbor`,
	batch: (agent: string, stream: string, seq: number) => `events/${agent}/${stream}/${seq}.cbor`,
	batchPlace: (agent: string, stream: string, seq: number) => `ledger/batches/${agent}/${stream}/${seq}`,
	actPlace: (index: number) => `ledger/acts/${index}`,
	command: (commandId: string) => `commands/${commandId}.cbor`,
} as const;

/** Reads a batch and its events without believing either. */
export function openBatch(bytes: Uint8Array): Result<OpenedBatch, BatchCode> {
	const batch = readBatch(bytes);
	if (!batch.ok) return batch;
	const events: Event[] = [];
	for (const sealed of batch.value.events) {
		const event = decodeAs(eventShape, sealed.bytes);
		if (!event.ok) return event;
		events.push(event.value);
	}
	return ok({ batch: batch.value, events });
}

function byPlace(a: OpenedBatch, b: OpenedBatch): number {
	const name = ({ batch }: { batch: ReadBatch }) => `${batch.header.agent}/${hexOf(batch.header.stream)}`;
	return name(a) < name(b) ? -1 : name(a) > name(b) ? 1 : a.batch.header.seq - b.batch.header.seq;
}

/** The order in which exporter and verifier walk the batches. */
export function inOrder(batches: readonly OpenedBatch[]): OpenedBatch[] {
	return [...batches].sort(byPlace);
}

/** Why there is no package of this input. */
export type PrepareCode = BatchCode | EntryCode | "package_too_many_events";

function openAll(batches: PackageInput["batches"], limits: PackageLimits): Result<OpenedBatch[], PrepareCode> {
	const opened: OpenedBatch[] = [];
	let eventCount = 0;
	for (const { bytes } of batches) {
		const one = openBatch(bytes);
		if (!one.ok) return one;
		eventCount += one.value.events.length;
		if (eventCount > limits.eventsMax)
			return fail("package_too_many_events", `A package has at most ${limits.eventsMax} events.`);
		opened.push(one.value);
	}
	return ok(opened);
}

function addPlace(files: Map<string, Uint8Array>, name: string, place: LedgerPlace, checkpoint: Uint8Array): void {
	const { index, path, leaf, salt } = place;
	files.set(`${name}.tlog-proof`, formatProof({ index, path, checkpoint, extra: salt }));
	files.set(`${name}.leaf`, leaf);
}

function evidenceFiles(input: PackageInput, opened: readonly OpenedBatch[]): Map<string, Uint8Array> {
	const files = new Map<string, Uint8Array>();
	for (const [i, { batch }] of opened.entries()) {
		const { agent, stream, seq } = batch.header;
		files.set(PACKAGE_PATHS.batch(agent, hexOf(stream), seq), batch.bytes);
		const { place } = input.batches[i] as PackageInput["batches"][number];
		addPlace(files, PACKAGE_PATHS.batchPlace(agent, hexOf(stream), seq), place, input.checkpoint);
	}
	for (const { body, place } of input.acts) {
		addPlace(files, PACKAGE_PATHS.actPlace(place.index), place, input.checkpoint);
		files.set(`${PACKAGE_PATHS.actPlace(place.index)}.body`, body);
	}
	for (const { commandId, envelope } of input.commands) files.set(PACKAGE_PATHS.command(commandId), envelope);
	for (const { agent, proofs } of input.hosts)
		for (const [number, proof] of proofs.entries()) files.set(PACKAGE_PATHS.proof(agent, number), proof);
	for (const [version, bytes] of input.trust.entries()) files.set(PACKAGE_PATHS.trust(version), bytes);
	files.set(PACKAGE_PATHS.root, input.root);
	files.set(PACKAGE_PATHS.genesisSignature, input.genesisSignature);
	files.set(PACKAGE_PATHS.checkpoint, input.checkpoint);
	files.set(PACKAGE_PATHS.howto, utf8(HOWTO));
	return files;
}

function newestTrust(trust: readonly Uint8Array[]): PinnedTrust {
	const newest = readPinnedTrust(trust.at(-1) ?? new Uint8Array());
	assertInvariant(newest.ok, "the newest trust document does not read");
	return newest.value;
}

function ledgerOf(checkpoint: Uint8Array): { origin: string; size: number } {
	const note = parseNote(checkpoint);
	const parsed = note.ok ? parseCheckpoint(note.value.text) : note;
	assertInvariant(parsed.ok, "the checkpoint does not read");
	return { origin: parsed.value.origin, size: parsed.value.size };
}

const LIMITATIONS = [
	"Times are those of the hosts' clocks; the clock table says how far each was off by the Security Center's clock.",
	"The command ledger proves when the Security Center stored a batch, not when the kernel saw the event.",
	"Arguments are masked at the host unless the trust document allows otherwise; paths are not.",
];

/** A time that no `Date` can hold is told as the last one that it can. */
const isoOf = (timeMs: number): string => new Date(Math.max(-WALL_MS_MAX, Math.min(WALL_MS_MAX, timeMs))).toISOString();

/**
 * What the manifest says that follows from the other files: the exporter writes it, the verifier makes it again and compares.
 * Trust documents and checkpoint must read; `ordered` are the batches by `inOrder`.
 */
export function derivedPredicate(
	input: Pick<PackageInput, "traceId" | "trust" | "commands" | "checkpoint">,
	ordered: readonly OpenedBatch[],
): DerivedPredicate {
	const { document } = newestTrust(input.trust);
	const signers = input.commands.flatMap(({ envelope }) => {
		const read = decodeAs(signedEnvelopeShape, envelope);
		return read.ok ? read.value.signatures.map(({ operator }) => operator) : [];
	});
	const times = ordered.flatMap(({ events }) => events.map(({ wallTimeMs }) => wallTimeMs));
	return {
		traceId: input.traceId,
		enclave: document.enclave,
		mode: document.mode,
		authorisedBy: [...new Set(signers)].sort(),
		trustVersion: document.version,
		acquiredFrom: isoOf(times.reduce((a, b) => Math.min(a, b), times[0] ?? 0)),
		acquiredTo: isoOf(times.reduce((a, b) => Math.max(a, b), times[0] ?? 0)),
		masking: document.isMaskingRequired ? "arguments masked at the host" : "as each event says",
		streams: streamRanges(ordered),
		gaps: declaredGaps(ordered),
		ledger: ledgerOf(input.checkpoint),
	};
}

/** The package without its signature, and the manifest to sign. */
export function preparePackage(
	input: PackageInput,
	limits: PackageLimits = PACKAGE_LIMITS,
): Result<PreparedPackage, PrepareCode> {
	const opened = openAll(input.batches, limits);
	if (!opened.ok) return opened;
	const files = evidenceFiles(input, opened.value);
	const ordered = inOrder(opened.value);
	files.set(PACKAGE_PATHS.view, eventsView(ordered, scopeOf(input.traceId, input.commands)));
	const entries = checkEntries(files, ZIP_LIMITS);
	if (!entries.ok) return fail(entries.code, entries.detail);
	const manifest = makeManifest(files, {
		...derivedPredicate(input, ordered),
		exporter: input.exporter,
		preparedAt: isoOf(input.preparedAtMs),
		hosts: input.hosts.map(({ agent, hostName, clockOffsetMs, clockSource }) => ({
			agent,
			hostName,
			clockOffsetMs,
			clockSource,
		})),
		tool: { name: "daemoneye", version: input.toolVersion },
		hashAlgorithm: "sha256",
		limitations: LIMITATIONS,
	});
	files.set(MANIFEST_NAME, manifest);
	return ok({ files, manifest });
}

/** The archive, once the operator has signed the manifest. */
export function sealPackage(prepared: PreparedPackage, operator: string, signature: Uint8Array): Uint8Array {
	const files = new Map(prepared.files);
	files.set(SIGNATURE_NAME, makeSignatureFile(prepared.manifest, operator, signature));
	return writeZip(files);
}
