/**
 * The agent's pinned trust: genesis from enrolment, then every version that its predecessor's quorum signed. Guarantees that a
 * version is on disk before it is in force, so a restart cannot fall back to older operators. What does not verify is refused
 * by name and changes nothing. Must never skip a version.
 */
import { existsSync, readFileSync } from "node:fs";
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
import type { Log } from "./log.ts";
import { DiskFailure, isDiskFull, writeFileDurably } from "./outbox/storage.ts";

const fileName = (version: number) => `trust-${version}.cbor`;

export class TrustStore {
	readonly #directory: string;
	readonly #log: Log;
	#pinned: PinnedTrust;

	private constructor(directory: string, pinned: PinnedTrust, log: Log) {
		this.#directory = directory;
		this.#pinned = pinned;
		this.#log = log;
	}

	/** Reads genesis and what was taken since. A stored version that does not verify refuses the start. */
	static open(directory: string, genesis: Uint8Array, log: Log): Result<TrustStore, TrustCode | "trust_not_genesis"> {
		const first = readPinnedTrust(genesis);
		if (!first.ok) return first;
		if (first.value.document.version !== 0)
			return fail("trust_not_genesis", `identity.genesis holds version ${first.value.document.version}, not 0`);
		const store = new TrustStore(directory, first.value, log);
		for (let version = 1; existsSync(join(directory, fileName(version))); version++) {
			const next = verifySuccession(store.#pinned, readFileSync(join(directory, fileName(version))));
			if (!next.ok) return fail(next.code, `${fileName(version)} in data_dir: ${next.detail}`);
			store.#pinned = next.value;
		}
		return ok(store);
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
			writeFileDurably(this.#directory, fileName(next.document.version), next.bytes);
			return true;
		} catch (error) {
			if (!isDiskFull(error))
				throw new DiskFailure(`The trust document could not be written: ${(error as Error).message}.`);
			this.#log("disk_full", { file: fileName(next.document.version) });
			return false;
		}
	}
}
