/**
 * What must hold when a world has settled: I1 to I6 of the design, judged from what the agents sealed and believed, what lies in the
 * store, and what the signer signed. Guarantees that it reads and changes nothing. It trusts no counter of the code it judges.
 */
import { hexOf, utf8 } from "#core/bytes/bytes.ts";
import { type Lane, readBatch } from "#core/model/batch.ts";
import { decodeFrame } from "#core/protocol/index.ts";
import { sha256 } from "#crypto";
import { LedgerTree } from "../durable/ledger-tree.ts";
import { OBJECT_NAMES } from "../durable/sc-objects.ts";
import type { AgentWatch } from "./tree/agent.ts";
import type { Tree } from "./tree/tree.ts";

/** `stalled`: nothing is broken, but what waits does not move any more. */
export type Invariant = "I1" | "I2" | "I3" | "I4" | "I5" | "I6" | "stalled";

export interface Finding {
	readonly invariant: Invariant;
	readonly detail: string;
}

export interface Figures {
	/** Events that hosts made, also while their agent was down. */
	attempted: number;
	/** Batches that were sealed and synced by an agent. */
	held: number;
	/** Of them, batches of which an agent believes that the next hop has them. */
	acked: number;
	/** Batches in the store. */
	stored: number;
	/** Acknowledged and not stored. */
	lost: number;
	/** Stored more than once. */
	duplicated: number;
	/** Batch numbers that never came and that a gap record or an alarm names. */
	gapsNamed: number;
	gapsUnnamed: number;
	forks: number;
}

interface StoredRow {
	readonly agent: string;
	readonly stream: string;
	readonly seq: number;
	readonly bytes: Uint8Array;
	/** Of its header: what the next one names as its predecessor. */
	readonly hash: string;
	readonly ledgerIndex: number | null;
}

const FINDINGS_OF_A_KIND_MAX = 5;

const hashText = (bytes: Uint8Array): string => Buffer.from(sha256(bytes)).toString("base64");
const hex = (value: unknown): string => Buffer.from(value as ArrayBuffer).toString("hex");
const keyOf = (agent: string, stream: string, seq: number): string => `${agent}/${stream}/${seq}`;

/** Whether a stored gap record or an alarm names a batch of `agent/stream`. */
type IsNamed = (stream: string, seq: number) => boolean;

function namesOf({ parts: { store } }: Tree): IsNamed {
	const gaps = store.query(
		"SELECT n.node_id AS agent, g.stream, g.first, g.last FROM gaps g JOIN nodes n ON n.id = g.agent_row WHERE g.scope = 'stream'",
	);
	const ranges = gaps.map((row) => ({
		key: `${row.agent}/${hex(row.stream)}`,
		first: Number(row.first),
		last: Number(row.last),
	}));
	const alarms = store.query("SELECT agent, detail FROM alarms").map((row) => `${row.agent} ${row.detail}`);
	return (stream, seq) => {
		const [agent, id] = stream.split("/") as [string, string];
		return (
			ranges.some(({ key, first, last }) => key === stream && first <= seq && seq <= last) ||
			alarms.some((alarm) => alarm.startsWith(`${agent} `) && alarm.includes(id))
		);
	};
}

/** Gathers what happens; judges at the end. */
export class Checks implements AgentWatch {
	readonly findings: Finding[] = [];
	/** Of each batch number the hashes of what was sealed under it: more than one only after a disk was put back. */
	readonly #held = new Map<string, { readonly hashes: string[]; readonly lane: Lane }>();
	readonly #heads = new Map<string, number>();
	readonly #acked = new Map<string, { a1: number; a2: number }>();
	/** How far the agent's own disk says that a hop has its stream; an older disk says less. */
	readonly #believed = new Map<string, number>();
	/** Hashes of batches of which an agent was told that a hop has them. */
	readonly #taken = new Set<string>();
	/** Hashes of batches that reached a hop; it may have refused them for a hole before them. */
	readonly #arrived = new Set<string>();
	readonly #arrivals: {
		readonly key: string;
		readonly seq: number;
		readonly hash: string;
		readonly follows: string;
	}[] = [];
	#tree: Tree | null = null;

	watch(tree: Tree): void {
		this.#tree = tree;
		tree.network.onBatch = (to, bytes) => {
			const frame = decodeFrame(bytes);
			if (!frame.ok || frame.value.type !== "batch") return;
			const batch = readBatch(frame.value.body.bytes);
			if (!batch.ok) return;
			const { agent, stream, seq } = batch.value.header;
			const key = `${agent}/${hexOf(stream)}`;
			const hash = hashText(frame.value.body.bytes);
			const follows = Buffer.from(batch.value.header.prevHash).toString("base64");
			// Only what came when the agent already knew that the hop had everything before it: the hop has judged it. One whose disk
			// takes nothing judges nothing: it says neither yes nor no, and to the agent the batch never came.
			const isFull = tree.servers.some(({ name, isFull }) => name === to && isFull);
			const isJudged = !isFull && (this.#acked.get(key)?.a1 ?? 0) >= seq - 1;
			if (isJudged) this.#arrivals.push({ key, seq, hash, follows });
			this.#arrived.add(hash);
		};
	}

	readonly onHeld: AgentWatch["onHeld"] = (agent, stream, seq, lane, bytes) => {
		const key = keyOf(agent, stream, seq);
		const hash = hashText(bytes);
		const known = this.#held.get(key);
		if (known === undefined) {
			this.#held.set(key, { hashes: [hash], lane });
			this.#tree?.world.trace(`held ${key} ${lane}`);
		} else if (!known.hashes.includes(hash)) known.hashes.push(hash);
	};

	readonly onHead: AgentWatch["onHead"] = (agent, stream, head) => {
		const key = `${agent}/${stream}`;
		this.#heads.set(key, Math.max(head, this.#heads.get(key) ?? 0));
	};

	readonly onRestored: AgentWatch["onRestored"] = (agent) => {
		for (const key of [...this.#heads.keys()])
			if (key.startsWith(`${agent}/`)) {
				this.#heads.set(key, this.#acked.get(key)?.a1 ?? 0);
				this.#believed.delete(key);
			}
	};

	readonly onAcked: AgentWatch["onAcked"] = (agent, stream, level, seq) => {
		const key = `${agent}/${stream}`;
		const known = this.#acked.get(key) ?? { a1: 0, a2: 0 };
		const before = this.#believed.get(key) ?? 0;
		this.#believed.set(key, Math.max(seq, before));
		for (let each = before + 1; each <= seq; each++) {
			const hash = this.#held.get(keyOf(agent, stream, each))?.hashes.at(-1);
			if (hash !== undefined) this.#taken.add(hash);
		}
		known[level] = Math.max(known[level], seq);
		this.#acked.set(key, known);
		this.#tree?.world.trace(`${level} ${key}/${seq}`);
	};

	fail(invariant: Invariant, detail: string): void {
		// A few of each kind: one lost batch is seldom alone.
		const before = this.findings.filter((each) => each.invariant === invariant).length;
		if (before < FINDINGS_OF_A_KIND_MAX) this.findings.push({ invariant, detail });
	}

	#stored(tree: Tree): Map<string, StoredRow> {
		const rows = tree.parts.store.query(
			`SELECT n.node_id AS agent, b.stream, b.seq, b.bytes, b.hash, b.ledger_index FROM batches b JOIN nodes n ON n.id = b.agent_row`,
		);
		const stored = new Map<string, StoredRow>();
		for (const row of rows) {
			const agent = row.agent as string;
			const seq = row.seq as number;
			const stream = hex(row.stream);
			const bytes = new Uint8Array(row.bytes as ArrayBuffer);
			const key = keyOf(agent, stream, seq);
			if (stored.has(key)) this.fail("I2", `batch ${key} is stored twice`);
			const hash = Buffer.from(row.hash as ArrayBuffer).toString("base64");
			stored.set(key, { agent, stream, seq, bytes, hash, ledgerIndex: row.ledger_index as number | null });
		}
		return stored;
	}

	judge(tree: Tree): Figures {
		const stored = this.#stored(tree);
		const figures: Figures = {
			attempted: tree.agents.reduce((sum, agent) => sum + agent.attempted, 0),
			held: this.#held.size,
			acked: 0,
			stored: stored.size,
			lost: 0,
			duplicated: 0,
			gapsNamed: 0,
			gapsUnnamed: 0,
			forks: 0,
		};
		const isNamed = namesOf(tree);
		this.#judgeAcked(tree, stored, { figures, isNamed });
		this.#judgeDuplicates(tree, figures);
		this.#judgeBytes(stored);
		this.#judgeGaps(stored, { figures, isNamed });
		this.#judgeForks(tree, stored, figures);
		this.#judgeLedger(tree, stored);
		return figures;
	}

	/** I1: what an agent was told is kept, is kept; bulk that one disk alone had, and that was destroyed with it, has its name. */
	#judgeAcked(
		tree: Tree,
		stored: ReadonlyMap<string, StoredRow>,
		{ figures, isNamed }: { figures: Figures; isNamed: IsNamed },
	): void {
		const hasLostDisk = tree.servers.some((server) => server.hasLostDisk);
		for (const [stream, { a1, a2 }] of this.#acked)
			for (let seq = 1; seq <= a1; seq++) {
				const key = `${stream}/${seq}`;
				const held = this.#held.get(key);
				if (held === undefined) continue;
				figures.acked++;
				const row = stored.get(key);
				if (row === undefined) {
					if (hasLostDisk && held.lane === "bulk" && isNamed(stream, seq)) continue;
					figures.lost++;
					this.fail("I1", `${held.lane} batch ${key} was acknowledged (${seq <= a2 ? "a2" : "a1"}) and is not stored`);
				} else if (seq <= a2 && row.ledgerIndex === null)
					this.fail("I1", `batch ${key} is in custody by the agent's belief and has no leaf`);
			}
	}

	/** I2: no batch, no event of one and no leaf for one twice. */
	#judgeDuplicates(tree: Tree, figures: Figures): void {
		const twice = tree.parts.store.query(
			"SELECT batch_row, batch_index, count(*) AS n FROM events GROUP BY batch_row, batch_index HAVING n > 1",
		);
		for (const row of twice) {
			figures.duplicated++;
			this.fail("I2", `event ${row.batch_index} of batch row ${row.batch_row} is stored ${row.n} times`);
		}
		const leaves = tree.parts.store.query(
			"SELECT ledger_index AS at, count(*) AS n FROM batches WHERE ledger_index IS NOT NULL GROUP BY ledger_index HAVING n > 1",
		);
		for (const row of leaves) this.fail("I2", `leaf ${row.at} speaks for ${row.n} batches`);
	}

	/** I3: what is stored is what was sealed. */
	#judgeBytes(stored: ReadonlyMap<string, StoredRow>): void {
		for (const [key, { bytes }] of stored)
			if (this.#held.get(key)?.hashes.includes(hashText(bytes)) !== true)
				this.fail("I3", `batch ${key} is stored with other bytes than were sealed`);
	}

	/** I4: every number that is missing is named by a signed gap record or by an alarm. */
	#judgeGaps(
		stored: ReadonlyMap<string, StoredRow>,
		{ figures, isNamed }: { figures: Figures; isNamed: IsNamed },
	): void {
		for (const [stream, head] of this.#heads)
			for (let seq = 1; seq <= head; seq++) {
				if (stored.has(`${stream}/${seq}`)) continue;
				if (isNamed(stream, seq)) figures.gapsNamed++;
				else {
					figures.gapsUnnamed++;
					this.fail("I4", `batch ${stream}/${seq} of ${head} is missing and nothing names it`);
				}
			}
	}

	/** I5: of two histories under one number both are kept, and somebody is told. */
	#judgeForks(tree: Tree, stored: ReadonlyMap<string, StoredRow>, figures: Figures): void {
		const kept = new Set<string>();
		for (const row of tree.parts.store.query("SELECT evidence FROM alarms WHERE evidence IS NOT NULL"))
			kept.add(hashText(new Uint8Array(row.evidence as ArrayBuffer)));
		for (const server of tree.servers)
			for (const slot of server.host.slots()) {
				if (slot.className !== "AgentChannel" || !slot.disk.hasTable("quarantine")) continue;
				for (const row of slot.disk.sql.exec("SELECT bytes FROM quarantine").toArray())
					kept.add(hashText(new Uint8Array(row.bytes as ArrayBuffer)));
			}
		for (const { bytes } of stored.values()) kept.add(hashText(bytes));
		this.#judgeHistories(stored, { kept, figures });
		for (const [key, { hashes }] of this.#held) {
			const seen = hashes.filter((hash) => this.#arrived.has(hash) && this.#taken.has(hash));
			if (seen.length < 2) continue;
			figures.forks++;
			for (const hash of seen)
				if (!kept.has(hash)) this.fail("I5", `a fork of batch ${key} reached a hop and is not kept`);
		}
	}

	/** A batch that follows another than the one stored before it is of a second history: of each such, one is kept. */
	#judgeHistories(
		stored: ReadonlyMap<string, StoredRow>,
		{ kept, figures }: { kept: ReadonlySet<string>; figures: Figures },
	): void {
		const second = new Map<string, boolean>();
		for (const { key, seq, hash, follows } of this.#arrivals) {
			const before = stored.get(`${key}/${seq - 1}`);
			if (before === undefined || before.hash === follows) continue;
			second.set(key, (second.get(key) ?? false) || kept.has(hash));
		}
		figures.forks += second.size;
		for (const [key, isKept] of second)
			if (!isKept) this.fail("I5", `a second history of stream ${key} reached a hop and nothing of it is kept`);
	}

	/** I6: one tree, which every signed one is the beginning of. */
	#judgeLedger(tree: Tree, stored: ReadonlyMap<string, StoredRow>): void {
		const slot = tree.center.host.slots().find(({ className }) => className === "Ledger");
		if (slot === undefined) return;
		const ledger = new LedgerTree({
			sql: slot.disk.sql as never,
			transactionSync: (write) => slot.disk.transaction(write),
		});
		for (const { size, root } of tree.parts.signed) {
			if (size > ledger.size) this.fail("I6", `size ${size} was signed and ${ledger.size} leaves are there`);
			else if (hashText(ledger.root(size)) !== hashText(root))
				this.fail("I6", `another root was signed for size ${size}`);
		}
		const subjects = new Map<string, number>();
		for (let index = 0; index < ledger.size; index++) {
			const leaf = hashText(ledger.leaf(index) ?? utf8(""));
			const before = subjects.get(leaf);
			if (before !== undefined) this.fail("I6", `leaves ${before} and ${index} of ${OBJECT_NAMES.ledger} are the same`);
			subjects.set(leaf, index);
		}
		for (const [key, { ledgerIndex }] of stored)
			if (ledgerIndex !== null && ledgerIndex >= ledger.size) this.fail("I6", `the leaf of batch ${key} is gone`);
	}
}
