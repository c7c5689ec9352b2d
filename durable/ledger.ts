/**
 * The ledger: one object that holds the enclave's Merkle log. Append order is Sunlight's (TRUST.md §1): leaves and their hashes
 * durable → the signer checks consistency against the last checkpoint it stored itself and signs → the signed checkpoint durable
 * → only then do the waiting callers get their answer. Guarantees: nobody is told of an index that no signed checkpoint covers;
 * appends that come together share one signature. When the tree and a signed checkpoint disagree the ledger halts: it refuses to
 * grow and says so, and never signs two roots for a size.
 */
import { DurableObject } from "cloudflare:workers";
import { base64Of, bytesOfBase64 } from "#core/bytes/bytes.ts";
import {
	consistencyProof,
	ed25519Verifier,
	inclusionProof,
	LEDGER_LIMITS,
	type LogIdentity,
} from "#core/ledger/index.ts";
import { assertInvariant, fail, ok, type Result } from "#core/result.ts";
import { readPinnedTrust } from "#core/trust/trust-document.ts";
import { LedgerTree, type SignedCheckpoint } from "./ledger-tree.ts";
import { logLine } from "./log.ts";

/** Appends within this long share one signature: a signature costs the signer an fsync. */
const GROUP_MS = 20;
/** The signer answers within a few fsyncs; a hung one must not hold receipts for ever. */
const SIGNER_TIMEOUT_MS = 10_000;
/** One call's leaves: a delivery of the evidence path holds fewer. */
const LEAVES_MAX = 4096;

export type LedgerCode =
	/** The tree and a signed checkpoint disagree: the ledger is read-only until a person has looked. */
	| "ledger_halted"
	/** The leaves are durable, no signature came. Appending the same leaves again takes up where this stopped. */
	| "signer_unavailable";

export interface Appended {
	readonly indexes: readonly number[];
	/** The signed note that covers all of them. */
	readonly checkpoint: string;
}

export interface LatestCheckpoint extends SignedCheckpoint {
	readonly origin: string;
	readonly root: Uint8Array;
}

/** What others call on the ledger, by RPC. */
export interface LedgerFace {
	append(leaves: readonly Uint8Array[]): Promise<Result<Appended, LedgerCode>>;
	latest(): Promise<LatestCheckpoint | null>;
	/** Leaves with their paths in the tree of a size that was signed, and the note for it. */
	prove(indexes: readonly number[], size: number): Promise<ProvenLeaves>;
	consistency(oldSize: number, newSize: number): Promise<readonly Uint8Array[]>;
	/** Empty, or why the ledger takes nothing more. */
	halted(): Promise<string>;
}

export interface ProvenLeaves {
	readonly checkpoint: string;
	readonly leaves: readonly {
		readonly index: number;
		readonly leaf: Uint8Array;
		readonly path: readonly Uint8Array[];
	}[];
}

export interface LedgerEnv {
	readonly SIGNER: { fetch(url: string, init: RequestInit): Promise<Response> };
	/** Base64 of the signed trust document version 0: it names the log's origin and key. */
	readonly GENESIS: string;
}

interface Waiter {
	readonly size: number;
	readonly settle: (outcome: Result<string, LedgerCode>) => void;
}

function logOf(genesis: string): LogIdentity {
	const pinned = readPinnedTrust(bytesOfBase64(genesis) ?? new Uint8Array());
	assertInvariant(pinned.ok, "GENESIS is no trust document");
	const { ledgerOrigin, ledgerKey } = pinned.value.document;
	return { origin: ledgerOrigin, keys: [ed25519Verifier(ledgerOrigin, ledgerKey)] };
}

export class Ledger extends DurableObject<LedgerEnv> implements LedgerFace {
	readonly #tree: LedgerTree;
	readonly #log: LogIdentity;
	#waiters: Waiter[] = [];
	#isSigning = false;
	#halted = "";

	constructor(ctx: DurableObjectState, env: LedgerEnv) {
		super(ctx, env);
		this.#log = logOf(env.GENESIS);
		this.#tree = new LedgerTree(ctx.storage);
		const last = this.#tree.signed();
		const believed = last === null ? ok({ size: 0 }) : this.#tree.believe(last.note, this.#log);
		if (!believed.ok) this.#halt(believed.detail);
	}

	#halt(detail: string): void {
		this.#halted = detail;
		logLine("error", "ledger_halted", { detail });
	}

	async append(leaves: readonly Uint8Array[]): Promise<Result<Appended, LedgerCode>> {
		if (this.#halted !== "") return fail("ledger_halted", this.#halted);
		assertInvariant(leaves.length > 0 && leaves.length <= LEAVES_MAX, `1 to ${LEAVES_MAX} leaves are appended at once`);
		assertInvariant(
			leaves.every(({ length }) => length <= LEDGER_LIMITS.leafBytesMax),
			"a leaf is larger than the ledger takes",
		);
		const indexes = this.#tree.append(leaves);
		const size = Math.max(...indexes) + 1;
		const signed = this.#tree.signed();
		// A repeated append whose checkpoint was signed meanwhile needs no new one.
		if (signed !== null && signed.size >= size) return ok({ indexes, checkpoint: signed.note });
		const outcome = await new Promise<Result<string, LedgerCode>>((settle) => {
			this.#waiters.push({ size, settle });
			void this.#signLoop();
		});
		return outcome.ok ? ok({ indexes, checkpoint: outcome.value }) : outcome;
	}

	async #signLoop(): Promise<void> {
		if (this.#isSigning) return;
		this.#isSigning = true;
		try {
			while (this.#waiters.length > 0) {
				await new Promise((resolve) => setTimeout(resolve, GROUP_MS));
				// A checkpoint that could not be stored is the same to those who wait as one that was not signed: they try again.
				const outcome = await this.#sign().catch((error: Error) => fail("signer_unavailable", error.message));
				const isDone = (waiter: Waiter) => !outcome.ok || waiter.size <= outcome.value.size;
				const done = this.#waiters.filter(isDone);
				this.#waiters = this.#waiters.filter((waiter) => !isDone(waiter));
				for (const { settle } of done) settle(outcome.ok ? ok(outcome.value.note) : outcome);
			}
		} finally {
			this.#isSigning = false;
		}
	}

	/** Has the tree as it stands signed and stores the note. */
	async #sign(): Promise<Result<SignedCheckpoint, LedgerCode>> {
		const size = this.#tree.size;
		let oldSize = this.#tree.signed()?.size ?? 0;
		// A crash between the signer's write and ours leaves the signer ahead: it names its size and one more round follows.
		for (let round = 0; round < 2; round++) {
			const answer = await this.#ask(size, oldSize);
			if (!answer.ok) return answer;
			const { note, lastNote, code, detail } = answer.value;
			if (note !== undefined) return this.#keep(note);
			if (code !== "not_from_last" || lastNote === undefined) {
				this.#halt(`the signer refused size ${size}: ${code ?? ""} ${detail ?? ""}`);
				return fail("ledger_halted", this.#halted);
			}
			const believed = this.#tree.believe(lastNote, this.#log);
			if (!believed.ok) {
				this.#halt(believed.detail);
				return fail("ledger_halted", this.#halted);
			}
			oldSize = believed.value.size;
		}
		return fail("signer_unavailable", "the signer's last size changed twice under one request");
	}

	#keep(note: string): Result<SignedCheckpoint, LedgerCode> {
		const believed = this.#tree.believe(note, this.#log);
		if (!believed.ok) {
			this.#halt(believed.detail);
			return fail("ledger_halted", this.#halted);
		}
		const checkpoint = { size: believed.value.size, note, signedAtMs: Date.now() };
		this.#tree.storeSigned(checkpoint);
		return ok(checkpoint);
	}

	async #ask(
		size: number,
		oldSize: number,
	): Promise<Result<{ note?: string; code?: string; detail?: string; lastNote?: string }, "signer_unavailable">> {
		const consistency = oldSize === 0 ? [] : consistencyProof(this.#tree, oldSize, size);
		const body = {
			origin: this.#log.origin,
			size,
			root: base64Of(this.#tree.root(size)),
			oldSize,
			consistency: consistency.map(base64Of),
		};
		try {
			const response = await this.env.SIGNER.fetch("http://signer/checkpoint", {
				method: "POST",
				headers: { "content-type": "application/json" },
				body: JSON.stringify(body),
				signal: AbortSignal.timeout(SIGNER_TIMEOUT_MS),
			});
			if (response.status !== 200 && response.status !== 409)
				return fail("signer_unavailable", `the signer answered ${response.status}`);
			return ok(await response.json());
		} catch (error) {
			return fail("signer_unavailable", `the signer did not answer: ${(error as Error).message}`);
		}
	}

	async latest(): Promise<LatestCheckpoint | null> {
		const signed = this.#tree.signed();
		if (signed === null) return null;
		return { ...signed, origin: this.#log.origin, root: this.#tree.root(signed.size) };
	}

	async prove(indexes: readonly number[], size: number): Promise<ProvenLeaves> {
		const signed = this.#tree.signed(size);
		assertInvariant(signed?.size === size, `no checkpoint was signed for size ${size}`);
		const leaves = indexes.map((index) => {
			const leaf = this.#tree.leaf(index);
			assertInvariant(leaf !== null && index < size, `leaf ${index} is not in the tree of ${size}`);
			return { index, leaf, path: inclusionProof(this.#tree, index, size) };
		});
		return { checkpoint: signed.note, leaves };
	}

	async consistency(oldSize: number, newSize: number): Promise<readonly Uint8Array[]> {
		return consistencyProof(this.#tree, oldSize, newSize);
	}

	async halted(): Promise<string> {
		return this.#halted;
	}
}
