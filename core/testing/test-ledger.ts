/** A ledger for tests: a leaf per batch as the Security Center makes it, and proofs of custody under a known key. */
import { hexOf, textOf } from "#core/bytes/bytes.ts";
import { nodeUri } from "#core/identity/node-uri.ts";
import {
	batchSubject,
	bodyHash,
	ed25519Signer,
	encodeLeaf,
	formatCustody,
	inclusionProof,
	type LogIdentity,
	leafHash,
	merkleRoot,
	type NoteSigner,
	SALT_BYTES,
	signCheckpoint,
} from "#core/ledger/index.ts";
import { readBatch } from "#core/model/batch.ts";
import { ed25519PublicKey } from "#crypto";
import { bytesNamed } from "./test-agent.ts";

/** Of the ledgers of tests whose own key does not matter. */
export const TEST_LEDGER = { enclave: "lab.test", seed: bytesNamed("test ledger", 32) } as const;

export class TestLedger {
	readonly #enclave: string;
	readonly #signer: NoteSigner;
	readonly #seed: Uint8Array;
	readonly #hashes: Uint8Array[] = [];
	readonly #leaves = new Map<string, { leaf: Uint8Array; salt: Uint8Array; index: number }>();

	constructor({ enclave, seed }: { enclave: string; seed: Uint8Array } = TEST_LEDGER) {
		this.#enclave = enclave;
		this.#seed = seed;
		this.#signer = ed25519Signer(`sc.${enclave}/ledger`, seed);
	}

	/** What a reader needs to believe it. */
	get log(): LogIdentity {
		const { name, keyId } = this.#signer;
		return { origin: name, keys: [{ name, keyId, publicKey: ed25519PublicKey(this.#seed) }] };
	}

	/** Puts a batch there, once. */
	append(agent: string, batch: { stream: Uint8Array; seq: number; headerBytes: Uint8Array }): void {
		const { stream, seq, headerBytes } = batch;
		const subject = batchSubject(stream, seq);
		const key = `${agent}/${subject}`;
		if (this.#leaves.has(key)) return;
		const salt = bytesNamed(`salt ${key} ${hexOf(headerBytes)}`, SALT_BYTES);
		const actor = nodeUri({ enclave: this.#enclave, role: "agent", id: agent });
		const hash = bodyHash(salt, headerBytes);
		const leaf = encodeLeaf({ kind: "batch", tsMs: 1_780_000_000_000, actor, subject, bodyHash: hash });
		this.#leaves.set(key, { leaf, salt, index: this.#hashes.length });
		this.#hashes.push(leafHash(leaf));
	}

	/** The same for a whole batch. */
	appendBatch(bytes: Uint8Array): void {
		const read = readBatch(bytes);
		if (!read.ok) throw new Error(read.detail);
		const { agent, stream, seq } = read.value.header;
		this.append(agent, { stream, seq, headerBytes: read.value.headerBytes });
	}

	/** The proof of custody of a batch that was appended, in the tree as it stands. */
	custodyOf(agent: string, batch: { stream: Uint8Array; seq: number }, signer = this.#signer): string {
		const subject = batchSubject(batch.stream, batch.seq);
		const held = this.#leaves.get(`${agent}/${subject}`);
		if (held === undefined) throw new Error(`${subject} of ${agent} is not in this ledger`);
		const size = this.#hashes.length;
		const note = signCheckpoint({ origin: signer.name, size, root: merkleRoot(this.#hashes) }, signer);
		const hashes = inclusionProof(this.#hashes, held.index, size);
		return formatCustody({ ...held, hashes, checkpoint: textOf(note) ?? "" });
	}
}
