/**
 * Bugs that exist in the simulator only, put into the loaded code on request: a simulator that stays green with one of them proves
 * nothing. Each names the invariant it must break. A patch names a line of the real source that must be there exactly once.
 */
export interface Planted {
	readonly name: string;
	/** What must turn red. */
	readonly breaks: "I1" | "I2" | "I3" | "I4" | "I5" | "I6" | "stalled";
	/** The class of objects that speak before they have written; `*` = all. */
	readonly opensGateOf?: string;
	/** No proxy's disk is lost: where nobody asks for what is missing, that alone would be found. */
	readonly sparesDisks?: true;
	/** Changes of sources; without any the runtime itself misbehaves. */
	readonly patches?: readonly { readonly file: string; readonly find: string; readonly replace: string }[];
}

/** A hop of before says no hash with its watermarks, so an agent cannot see that they are of another history. */
const BLIND_AGENT = {
	file: "agent/link/sender.ts",
	find: "const held = a1 === 0 || hash === undefined ? null",
	replace: "const held = a1 >= 0 || hash === undefined ? null",
};

/** A clock that is set forward ends a link for silence as a rule, and the next one brings on what the bug held back. */
const LINKS_OUTLIVE_CLOCKS = [
	{
		file: "durable/peer-link.ts",
		find: "if (Date.now() - link.heardAtMs > PEER_LIMITS.silentMsMax)",
		replace: "if (link.heardAtMs < 0)",
	},
	{
		file: "durable/ways-up.ts",
		find: "else if (nowMs - this.#link.heardAtMs > UPLINK_LIMITS.silentMsMax)",
		replace: "else if (nowMs < 0)",
	},
];

/** What upstream waits for is asked for by whoever misses it, which alone would bring on what a bug held back. */
const NOBODY_ASKS = [
	{
		file: "durable/intake.ts",
		find: "		if (!this.mayAsk(stream, nowMs)) return false;",
		replace: "		if (nowMs > 0) return false;",
	},
	{
		file: "durable/agent-channel.ts",
		find: "			if (!this.#intakeOf().mayAsk(stream, Date.now())) continue;",
		replace: "			if (Date.now() > 0) continue;",
	},
];

export const PLANTED: readonly Planted[] = [
	/** The output gate is open: what is said leaves before what was written is on the disk. */
	{ name: "ack-before-durable", breaks: "I1", opensGateOf: "AgentChannel", sparesDisks: true, patches: NOBODY_ASKS },
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
	/** A proxy reads batches and writes them anew, and loses what the header does not sign: the events' own signatures. */
	{
		name: "re-encoded",
		breaks: "I3",
		patches: [
			{
				file: "durable/carrier-pump.ts",
				find: "carried.push({ agent, bytes: row.bytes });",
				replace: "carried.push({ agent, bytes: rewritten(row.bytes) });",
			},
			{
				file: "durable/carrier-pump.ts",
				find: "function newWindow(): SendWindow {",
				replace: `function rewritten(bytes: Uint8Array): Uint8Array {
	const decoded = decodeCbor(bytes, LINK_LIMITS.frame);
	const batch = (decoded as { value: Map<number, unknown> }).value;
	for (const event of batch.get(3) as Map<number, unknown>[]) event.delete(2);
	return encodeCbor(batch as never);
}
function newWindow(): SendWindow {`,
			},
			{
				file: "durable/carrier-pump.ts",
				find: `import { hexOf } from "#core/bytes/bytes.ts";`,
				replace: `import { hexOf } from "#core/bytes/bytes.ts"; import { decodeCbor, encodeCbor } from "#core/codec/index.ts";`,
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
				find: "const { events } = pending;\n\t\tif (events.count === 0) events.firstSeq",
				replace:
					'if (draft.kind === "gap") return;\n\t\tconst { events } = pending;\n\t\tif (events.count === 0) events.firstSeq',
			},
		],
	},
	/** A fork is refused and nothing is kept of it. */
	{
		name: "fork-forgotten",
		breaks: "I5",
		patches: [
			BLIND_AGENT,
			{
				file: "durable/intake.ts",
				find: `		store.quarantine.keep({ cause: code, detail, atMs: nowMs, hop: "", teller, ...place }, bytes);
		if (code !== "forked") return;`,
				replace: `		if (code === "forked") return;
		store.quarantine.keep({ cause: code, detail, atMs: nowMs, hop: "", teller, ...place }, bytes);`,
			},
		],
	},
	/** Leaves are sent to the signer before they are on the disk, and the signer signs whatever it is shown. */
	{
		name: "ledger-forgets",
		breaks: "I6",
		opensGateOf: "Ledger",
		patches: [
			{
				file: "host/signer/checkpoint-desk.ts",
				find: "	if (size < last.size) return fail(",
				replace: "	if (size >= 0) return ok(true);\n	if (size < last.size) return fail(",
			},
			{
				file: "host/signer/checkpoint-desk.ts",
				find: "if (request.size > last.size) store(",
				replace: "store(",
			},
		],
	},
	// What follows was in the code once, and the simulator found it.
	/** A proxy's clock an hour off holds its agents' evidence back. */
	{
		name: "clock-holds-evidence",
		breaks: "stalled",
		patches: [
			...LINKS_OUTLIVE_CLOCKS,
			{
				file: "durable/peer-link.ts",
				find: "if (!route.ok && CLOCK_CODES.includes(route.code))",
				replace: "if (!route.ok && nowMs < 0)",
			},
			// Nor is it shown again: that alone would bring the evidence on.
			{
				file: "durable/carrier-pump.ts",
				find: "			this.#parts.prove(agent);",
				replace: "			if (!isForAWhile) return;\n			this.#parts.prove(agent);",
			},
		],
	},
	/** A batch that was lost on a living link with nothing behind it is never sent again. */
	{
		name: "lost-not-resent",
		breaks: "stalled",
		sparesDisks: true,
		patches: [
			{
				file: "agent/link/sender.ts",
				find: "if (this.#isOverdue(progress, AGENT_LIMITS.resendMs))",
				replace: "if (this.#isOverdue(progress, Number.POSITIVE_INFINITY))",
			},
			...NOBODY_ASKS,
		],
	},
	/** An Uplink that lost its memory lets go of agents that are connected and silent. */
	{
		name: "uplink-forgets",
		breaks: "stalled",
		patches: [
			{
				file: "durable/agent-channel.ts",
				find: "if (isKnown === false && state.isUp)",
				replace: "if (isKnown === false && state.heardAtMs < 0)",
			},
		],
	},
	/** An agent whose proof upstream could not take is never proved to it again. */
	{
		name: "proof-once",
		breaks: "stalled",
		patches: [{ file: "durable/carrier-pump.ts", find: "			this.#parts.prove(agent);\n", replace: "" }],
	},
	/** A receipt that the agent's channel could not take is thrown away. */
	{
		name: "receipt-once",
		breaks: "stalled",
		patches: [
			{
				file: "durable/carrier-pump.ts",
				find: "if (generation !== this.#generation) break;",
				replace: "if (generation >= 0) break;",
			},
		],
	},
	/** A channel that slept forgets what its link has brought, and lets a stream resume past a hole. */
	{
		name: "sleep-forgets",
		breaks: "stalled",
		sparesDisks: true,
		patches: [
			{
				file: "durable/intake.ts",
				find: "const known = parts.store.linkStreams();",
				replace: "const known = parts.store.linkStreams().slice(0, 0);",
			},
			...NOBODY_ASKS,
		],
	},
	/** What an agent sheds on a full disk is on record in its memory alone. */
	{
		name: "shed-in-memory",
		breaks: "I4",
		patches: [
			{
				file: "agent/stream/lanes.ts",
				find: "else outbox.bury(victim, cause);",
				replace: "else outbox.shed(chain);",
			},
		],
	},
	/** A hop whose disk was lost asks nobody for what upstream waits for. */
	{
		name: "hole-not-asked",
		breaks: "stalled",
		patches: [
			{
				file: "durable/intake.ts",
				find: "		if (!this.mayAsk(stream, nowMs)) return false;",
				replace: "		if (nowMs > 0) return false;",
			},
		],
	},
];

/** Whether the findings are those that the bug must cause; a ledger that halts instead of forking stalls the tree. */
export function isFoundBy(bug: Planted, invariants: readonly string[]): boolean {
	return invariants.includes(bug.breaks) || (bug.breaks === "I6" && invariants.includes("stalled"));
}

export function plantedByName(name: string): Planted | null {
	if (name === "") return null;
	const found = PLANTED.find((each) => each.name === name);
	if (found === undefined) throw new Error(`no planted bug is called ${name}`);
	return found;
}
