/**
 * Opens damaged copies of a real outbox in memory and says what each damage costs. A bundle of its own, so that a planted bug is in
 * it. Reads one JSON order from its argument; writes one JSON line: how many copies were opened, and the first findings.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { equalBytes } from "#core/bytes/bytes.ts";
import { DiskSeal } from "../agent/disk-key/disk-seal.ts";
import { Outbox } from "../agent/outbox/outbox.ts";
import { MemoryStorage } from "../agent/testing/memory-storage.ts";

export interface ProbeOrder {
	/** The agent's folder: `outbox/` and `disk.key`. */
	readonly directory: string;
	/** `truncate` at every byte of the last so many records; `flip` every byte; `zero` every block of so many bytes. */
	readonly kind: "truncate" | "flip" | "zero";
	readonly reach: number;
}

export interface ProbeAnswer {
	readonly opened: number;
	readonly findings: readonly string[];
}

const FINDINGS_MAX = 5;
const order = JSON.parse(process.argv[2] as string) as ProbeOrder;
const disk = new DiskSeal(new Uint8Array(readFileSync(join(order.directory, "disk.key"))));
const files = new Map(
	readdirSync(join(order.directory, "outbox")).map((name) => [
		name,
		new Uint8Array(readFileSync(join(order.directory, "outbox", name))),
	]),
);

interface Opened {
	readonly outbox: Outbox;
	/** Bytes by `chain/seq`, of all that reads. */
	readonly batches: ReadonlyMap<string, Uint8Array>;
}

function open(changed: { name: string; bytes: Uint8Array } | null): Opened {
	const storage = new MemoryStorage();
	for (const [name, bytes] of files) storage.files.set(name, name === changed?.name ? changed.bytes : bytes.slice());
	const options = { bytesMax: 256 * 1024 * 1024, disk, nowMs: Date.now, log: () => undefined };
	const outbox = new Outbox(storage, { ...options, randomBytes: (length) => new Uint8Array(length).fill(1) });
	const batches = new Map<string, Uint8Array>();
	for (const chain of outbox.chains())
		for (let seq = 1; seq <= chain.head; seq++) {
			const bytes = outbox.read(chain, seq);
			if (bytes !== null) batches.set(`${chain.id}/${seq}`, bytes);
		}
	return { outbox, batches };
}

const whole = open(null);
const findings: string[] = [];
let opened = 0;

/** Everything but what `mayLose` allows must read as it was; what does not read must be named by the agent's own repair. */
function judge(what: string, damaged: Opened, losesMax: number): void {
	opened++;
	const complain = (text: string) => {
		if (findings.length < FINDINGS_MAX) findings.push(`${what}: ${text}`);
	};
	const lost: string[] = [];
	for (const [key, bytes] of whole.batches) {
		const now = damaged.batches.get(key);
		if (now === undefined) lost.push(key);
		else if (!equalBytes(now, bytes)) complain(`${key} reads as other bytes`);
	}
	for (const key of damaged.batches.keys()) if (!whole.batches.has(key)) complain(`${key} was never there`);
	if (lost.length > losesMax) complain(`${lost.length} batches do not read, ${losesMax} at most were hit`);
	const isNamed = (key: string) => {
		const chain = damaged.outbox.chains().find(({ id }) => key.startsWith(`${id}/`));
		return damaged.outbox.lostEvents > 0 || (chain !== undefined && damaged.outbox.firstHole(chain) !== null);
	};
	if (lost[0] !== undefined && !isNamed(lost[0])) complain(`${lost[0]} is gone and nothing names it`);
}

/** The segment that most batches lie in. */
function largest(): { name: string; bytes: Uint8Array } {
	const [first] = [...files].sort((a, b) => b[1].length - a[1].length);
	if (first === undefined) throw new Error("the outbox is empty");
	return { name: first[0], bytes: first[1] };
}

function offsets(name: string): number[] {
	return whole.outbox
		.chains()
		.flatMap(({ segments }) => segments)
		.filter((segment) => segment.name === name)
		.flatMap((segment) => [...segment.offsets]);
}

const { name, bytes } = largest();
if (order.kind === "truncate") {
	const ends = [...offsets(name), bytes.length];
	for (let size = ends.at(-1 - order.reach) ?? 0; size < bytes.length; size++) {
		const isBoundary = ends.includes(size);
		const cut = ends
			.slice(0, -1)
			.filter((start, index) => (ends[index + 1] as number) > size && start < bytes.length).length;
		// A file cut between two records shows nothing: what the hop holds beyond it is found by the next welcome.
		if (!isBoundary) judge(`cut at ${size}`, open({ name, bytes: bytes.slice(0, size) }), cut);
	}
} else if (order.kind === "flip") {
	for (let at = 0; at < bytes.length; at++) {
		const flipped = bytes.slice();
		flipped[at] = (flipped[at] as number) ^ 0x55;
		judge(`byte ${at} flipped`, open({ name, bytes: flipped }), 1);
	}
} else {
	for (let at = 0; at < bytes.length; at += order.reach) {
		const zeroed = bytes.slice();
		zeroed.fill(0, at, at + order.reach);
		const starts = [...offsets(name), bytes.length];
		const hit = starts
			.slice(0, -1)
			.filter((start, index) => start < at + order.reach && (starts[index + 1] as number) > at);
		judge(`block ${at} zeroed`, open({ name, bytes: zeroed }), hit.length);
	}
}
const answer: ProbeAnswer = { opened, findings };
process.stdout.write(`${JSON.stringify(answer)}\n`);
