/**
 * The agent's pinned trust: genesis from enrolment, then every version that its predecessor's quorum signed, all of them sealed,
 * because they name operators. Guarantees that a version is on disk before it is in force, so a restart cannot fall back to older
 * operators; that genesis is taken from its file once, at the first start, and another one later is refused. What does not
 * verify is refused by name and changes nothing. Must never skip a version.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { equalBytes } from "#core/bytes/bytes.ts";
import { fail, ok, type Result } from "#core/result.ts";
import {
	type PinnedTrust,
	readPinnedTrust,
	type TrustCode,
	type TrustDocument,
	verifySuccession,
} from "#core/trust/trust-document.ts";
import { SEALED_SUFFIX, type SealedFile, type SealedFiles } from "./disk-key/sealed-files.ts";
import type { Log } from "./log.ts";
import { DiskFailure, isDiskFull } from "./outbox/storage.ts";

export type TrustStoreCode =
	| TrustCode
	/** The file of genesis holds a later version. */
	| "trust_not_genesis"
	/** Nothing was imported and there is nothing to import, or what was imported is gone. */
	| "trust_genesis_missing"
	/** The file holds another genesis than the one imported at the first start. */
	| "trust_genesis_changed"
	/** A stored version does not open. */
	| "trust_damaged";

/** Genesis is version 0. */
const fileOf = (files: SealedFiles, version: number): SealedFile => files.file(`trust-${version}`);

/** Whether a genesis was imported into this data directory. */
export function isGenesisImported(dataDir: string): boolean {
	return existsSync(join(dataDir, `trust-0${SEALED_SUFFIX}`));
}

function importGenesis(files: SealedFiles, genesis: Uint8Array | null): Result<PinnedTrust, TrustStoreCode> {
	if (genesis === null)
		return fail(
			"trust_genesis_missing",
			"identity.genesis is not there, and none was imported before; enrol this agent again",
		);
	// Who can remove the pinned document must not get another one pinned by it.
	if (!files.isEmpty())
		return fail(
			"trust_genesis_missing",
			"data_dir was in use, but its pinned trust document is gone; enrol this agent again",
		);
	const first = readPinnedTrust(genesis);
	if (!first.ok) return first;
	if (first.value.document.version !== 0)
		return fail("trust_not_genesis", `identity.genesis holds version ${first.value.document.version}, not 0`);
	try {
		fileOf(files, 0).write(first.value.bytes);
	} catch (error) {
		throw new DiskFailure(`The trust document could not be written: ${(error as Error).message}.`);
	}
	return first;
}

function openGenesis(files: SealedFiles, genesis: Uint8Array | null): Result<PinnedTrust, TrustStoreCode> {
	const stored = fileOf(files, 0).read();
	if (!stored.ok) return fail("trust_damaged", stored.detail);
	if (stored.value === null) return importGenesis(files, genesis);
	if (genesis !== null && !equalBytes(genesis, stored.value))
		return fail("trust_genesis_changed", "identity.genesis is another document than the one pinned at the first start");
	return readPinnedTrust(stored.value);
}

export class TrustStore {
	readonly #files: SealedFiles;
	readonly #log: Log;
	#pinned: PinnedTrust;

	private constructor(files: SealedFiles, pinned: PinnedTrust, log: Log) {
		this.#files = files;
		this.#pinned = pinned;
		this.#log = log;
	}

	/**
	 * Reads genesis and what was taken since. `genesis`: the file from enrolment, null when it is not there any more. A stored version
	 * that does not verify refuses the start. Throws `DiskFailure`.
	 */
	static open(files: SealedFiles, genesis: Uint8Array | null, log: Log): Result<TrustStore, TrustStoreCode> {
		const first = openGenesis(files, genesis);
		if (!first.ok) return first;
		const store = new TrustStore(files, first.value, log);
		for (let version = 1; ; version++) {
			const file = fileOf(files, version);
			const stored = file.read();
			if (!stored.ok) return fail("trust_damaged", stored.detail);
			if (stored.value === null) return ok(store);
			const next = verifySuccession(store.#pinned, stored.value);
			if (!next.ok) return fail(next.code, `${file.path}: ${next.detail}`);
			store.#pinned = next.value;
		}
	}

	get document(): TrustDocument {
		return this.#pinned.document;
	}

	/** Takes documents from a hop, oldest first. Returns whether a new version is in force. */
	take(documents: readonly Uint8Array[]): boolean {
		let hasChanged = false;
		for (const bytes of documents) {
			const read = readPinnedTrust(bytes);
			// Versions we hold come with every welcome.
			if (read.ok && read.value.document.version <= this.#pinned.document.version) {
				this.#compare(read.value);
				continue;
			}
			const next = verifySuccession(this.#pinned, bytes);
			if (!next.ok) {
				this.#log("trust_refused", { reason: next.code });
				return hasChanged;
			}
			if (!this.#persist(next.value)) return hasChanged;
			this.#pinned = next.value;
			this.#log("trust_changed", { version: next.value.document.version });
			hasChanged = true;
		}
		return hasChanged;
	}

	/** Two documents of one version are two histories: ours stays, and the log says so. */
	#compare(other: PinnedTrust): void {
		const isCurrent = other.document.version === this.#pinned.document.version;
		if (isCurrent && !equalBytes(other.payload, this.#pinned.payload))
			this.#log("trust_refused", { reason: "trust_forked" });
	}

	#persist(next: PinnedTrust): boolean {
		try {
			fileOf(this.#files, next.document.version).write(next.bytes);
			return true;
		} catch (error) {
			if (!isDiskFull(error))
				throw new DiskFailure(`The trust document could not be written: ${(error as Error).message}.`);
			this.#log("disk_full", { file: `trust-${next.document.version}` });
			return false;
		}
	}
}
