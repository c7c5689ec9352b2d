/**
 * Bugs that exist in the simulator only, put into the loaded code on request: a simulator that stays green with one of them proves
 * nothing. Each names the invariant it must break. A patch names a line of the real source that must be there exactly once.
 */
export interface Planted {
	readonly name: string;
	/** What must turn red. */
	readonly breaks: "I1" | "I2" | "I3" | "I4" | "I5" | "I6";
	/** Changes of sources; without any the runtime itself misbehaves. */
	readonly patches?: readonly { readonly file: string; readonly find: string; readonly replace: string }[];
}

export const PLANTED: readonly Planted[] = [
	/** The output gate is open: what is said leaves before what was written is on the disk. */
	{ name: "ack-before-durable", breaks: "I1" },
	/** A receipt names one batch more than was stored. */
	{
		name: "receipt-ahead",
		breaks: "I1",
		patches: [
			{
				file: "durable/agent-channel.ts",
				find: `return encodeFrame("receipt", { agent, stream, level, seq, `,
				replace: `return encodeFrame("receipt", { agent, stream, level, seq: level === "a1" ? seq + 1 : seq, `,
			},
		],
	},
	/** The store takes the events of a batch it has once more. */
	{
		name: "dedup-off",
		breaks: "I2",
		patches: [
			{
				file: "workers/sc/store/ingest.ts",
				find: "AND b.hash = ?4 AND b.has_events = 0`",
				replace: "AND b.hash = ?4`",
			},
		],
	},
	/** A hop forgets what it took and asks nobody whether it knows a batch. */
	{
		name: "re-encoded",
		breaks: "I3",
		patches: [
			{
				file: "durable/admission.ts",
				find: `batch: { stream, seq, lane, bytes: batch.bytes, hash }, state`,
				replace: `batch: { stream, seq, lane, bytes: Uint8Array.of(...batch.bytes.subarray(0, -1), (batch.bytes.at(-1) ?? 0) ^ (lane === "bulk" ? 1 : 0)), hash }, state`,
			},
		],
	},
	/** Loss is not told. */
	{
		name: "gaps-off",
		breaks: "I4",
		patches: [
			{
				file: "agent/stream/lanes.ts",
				find: `		const pending = this.#pending[lane];
		pending.drafts.push(draft);`,
				replace: `		if (draft.kind === "gap") return;
		const pending = this.#pending[lane];
		pending.drafts.push(draft);`,
			},
		],
	},
	/** A fork is refused and nothing is kept of it. */
	{
		name: "fork-forgotten",
		breaks: "I5",
		patches: [
			{
				file: "durable/intake.ts",
				find: `		store.quarantine(code, detail, { bytes, atMs: nowMs });
		if (code !== "forked") return;`,
				replace: `		if (code === "forked") return;
		store.quarantine(code, detail, { bytes, atMs: nowMs });`,
			},
		],
	},
	/** The signer signs whatever it is shown, and the ledger's last leaves are made anew after a crash. */
	{
		name: "ledger-forgets",
		breaks: "I6",
		patches: [
			{
				file: "durable/ledger-tree.ts",
				find: `const known = this.#recent.get(hexOf(hash));`,
				replace: `const known = this.#recent.get("");`,
			},
		],
	},
];

export function plantedByName(name: string): Planted | null {
	if (name === "") return null;
	const found = PLANTED.find((each) => each.name === name);
	if (found === undefined) throw new Error(`no planted bug is called ${name}`);
	return found;
}
