/**
 * A package's files sorted into what they are. Guarantees that each file is known: a name that this format has no place for is
 * refused, so nothing rides along unlooked at. Attacker-controlled throughout: names and numbers are taken from the bytes they
 * name, and a file in the wrong place is refused.
 */
import { hexOf } from "#core/bytes/bytes.ts";
import { decodeLeaf, type Leaf, parseProof } from "#core/ledger/index.ts";
import { openBatch, PACKAGE_PATHS } from "#core/package/layout.ts";
import { PACKAGE_LIMITS, type PackageLimits } from "#core/package/limits.ts";
import { MANIFEST_NAME, SIGNATURE_NAME } from "#core/package/manifest.ts";
import type { OpenedBatch } from "#core/package/view.ts";
import { fail, ok, type Result } from "#core/result.ts";

export type PartCode = "file_unknown" | "file_missing" | "file_misplaced" | "file_malformed" | "too_many_events";

/** A leaf and its proof file, both as bytes and read. */
export interface ProvedLeaf {
	readonly name: string;
	readonly leafBytes: Uint8Array;
	readonly leaf: Leaf;
	readonly proof: Uint8Array;
	readonly salt: Uint8Array;
	readonly index: number;
}

export interface BatchPart {
	readonly opened: OpenedBatch;
	readonly place: ProvedLeaf;
}

export interface ActPart {
	readonly place: ProvedLeaf;
	readonly body: Uint8Array;
}

export interface PackageParts {
	readonly root: Uint8Array;
	readonly genesisSignature: Uint8Array;
	readonly trust: readonly Uint8Array[];
	/** Proofs by agent. */
	readonly proofs: ReadonlyMap<string, readonly Uint8Array[]>;
	readonly batches: readonly BatchPart[];
	readonly acts: readonly ActPart[];
	readonly commands: ReadonlyMap<string, Uint8Array>;
	readonly checkpoint: Uint8Array;
	readonly view: Uint8Array;
}

type Files = ReadonlyMap<string, Uint8Array>;

class Reader {
	readonly #files: Files;
	readonly #used = new Set<string>([MANIFEST_NAME, SIGNATURE_NAME]);

	constructor(files: Files) {
		this.#files = files;
	}

	take(name: string): Result<Uint8Array, PartCode> {
		const bytes = this.#files.get(name);
		if (bytes === undefined) return fail("file_missing", `${name} is not in the package.`);
		this.#used.add(name);
		return ok(bytes);
	}

	matching(pattern: RegExp): { name: string; bytes: Uint8Array; parts: string[] }[] {
		return [...this.#files].flatMap(([name, bytes]) => {
			const match = pattern.exec(name);
			return match === null ? [] : [{ name, bytes, parts: match.slice(1) }];
		});
	}

	unused(): string | undefined {
		return [...this.#files.keys()].find((name) => !this.#used.has(name));
	}
}

function readPlace(reader: Reader, name: string): Result<ProvedLeaf, PartCode> {
	const proof = reader.take(`${name}.tlog-proof`);
	if (!proof.ok) return proof;
	const leafBytes = reader.take(`${name}.leaf`);
	if (!leafBytes.ok) return leafBytes;
	const parsed = parseProof(proof.value);
	if (!parsed.ok) return fail("file_malformed", `${name}.tlog-proof: ${parsed.detail}`);
	const leaf = decodeLeaf(leafBytes.value);
	if (!leaf.ok) return fail("file_malformed", `${name}.leaf: ${leaf.detail}`);
	const { index, extra } = parsed.value;
	return ok({
		name,
		leafBytes: leafBytes.value,
		leaf: leaf.value,
		proof: proof.value,
		salt: extra ?? new Uint8Array(),
		index,
	});
}

function readBatches(reader: Reader, limits: PackageLimits): Result<BatchPart[], PartCode> {
	const batches: BatchPart[] = [];
	let eventCount = 0;
	for (const { name } of reader.matching(/^events\/.+\.cbor$/)) {
		const bytes = reader.take(name);
		if (!bytes.ok) return bytes;
		const opened = openBatch(bytes.value);
		if (!opened.ok) return fail("file_malformed", `${name}: ${opened.detail}`);
		eventCount += opened.value.events.length;
		if (eventCount > limits.eventsMax)
			return fail("too_many_events", `A package has at most ${limits.eventsMax} events.`);
		const { agent, stream, seq } = opened.value.batch.header;
		if (PACKAGE_PATHS.batch(agent, hexOf(stream), seq) !== name)
			return fail("file_misplaced", `${name} holds another batch.`);
		const place = readPlace(reader, PACKAGE_PATHS.batchPlace(agent, hexOf(stream), seq));
		if (!place.ok) return place;
		batches.push({ opened: opened.value, place: place.value });
	}
	return ok(batches);
}

function readActs(reader: Reader): Result<ActPart[], PartCode> {
	const acts: ActPart[] = [];
	for (const { name } of reader.matching(/^ledger\/acts\/(0|[1-9][0-9]*)\.body$/)) {
		const body = reader.take(name);
		if (!body.ok) return body;
		const place = readPlace(reader, name.slice(0, -".body".length));
		if (!place.ok) return place;
		if (PACKAGE_PATHS.actPlace(place.value.index) !== place.value.name)
			return fail("file_misplaced", `${name} stands under another number than its proof names.`);
		acts.push({ place: place.value, body: body.value });
	}
	return ok(acts);
}

function readTrust(reader: Reader): Result<Uint8Array[], PartCode> {
	const trust: Uint8Array[] = [];
	const count = reader.matching(/^trust\/(0|[1-9][0-9]*)\.cbor$/).length;
	for (let version = 0; version < Math.max(1, count); version++) {
		const document = reader.take(PACKAGE_PATHS.trust(version));
		if (!document.ok) return document;
		trust.push(document.value);
	}
	return ok(trust);
}

function readNumbered(reader: Reader): { proofs: Map<string, Uint8Array[]>; commands: Map<string, Uint8Array> } {
	const proofs = new Map<string, Uint8Array[]>();
	for (const { name, bytes, parts } of reader.matching(/^pki\/nodes\/([^/]+)\/(?:0|[1-9][0-9]*)\.cbor$/)) {
		reader.take(name);
		const agent = parts[0] as string;
		proofs.set(agent, [...(proofs.get(agent) ?? []), bytes]);
	}
	const commands = new Map<string, Uint8Array>();
	for (const { name, bytes, parts } of reader.matching(/^commands\/([0-9a-f]{32})\.cbor$/)) {
		reader.take(name);
		commands.set(parts[0] as string, bytes);
	}
	return { proofs, commands };
}

/** Sorts the files; refuses the first that is missing, misplaced, unreadable or unknown. */
export function readParts(files: Files, limits: PackageLimits = PACKAGE_LIMITS): Result<PackageParts, PartCode> {
	const reader = new Reader(files);
	const single: Record<string, Uint8Array> = {};
	for (const name of ["root", "genesisSignature", "checkpoint", "view", "howto"] as const) {
		const taken = reader.take(PACKAGE_PATHS[name]);
		if (!taken.ok) return taken;
		single[name] = taken.value;
	}
	const trust = readTrust(reader);
	if (!trust.ok) return trust;
	const batches = readBatches(reader, limits);
	if (!batches.ok) return batches;
	const acts = readActs(reader);
	if (!acts.ok) return acts;
	const { proofs, commands } = readNumbered(reader);
	const unknown = reader.unused();
	if (unknown !== undefined) return fail("file_unknown", `${unknown} has no place in a package.`);
	const { root, genesisSignature, checkpoint, view } = single as Record<
		"root" | "genesisSignature" | "checkpoint" | "view",
		Uint8Array
	>;
	return ok({
		root,
		genesisSignature,
		trust: trust.value,
		proofs,
		batches: batches.value,
		acts: acts.value,
		commands,
		checkpoint,
		view,
	});
}
