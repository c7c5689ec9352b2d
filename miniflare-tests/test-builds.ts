/**
 * Builds of the workers that differ from the release by a line: the next protocol version, and planted bugs that a test must find. The
 * switch is in the build and nowhere in the product, so no setting of a running box can turn it. `PLANTED_BUG=name` builds every worker
 * of a test run with that bug; a run in which nothing fails then is a test that proves nothing.
 */
import type { Plugin } from "esbuild";
import { changing, type SourceChange } from "../tools/source-changes.ts";

export const CHANGES = {
	next_protocol: {
		file: "core/identity/hello.ts",
		from: "export const PROTOCOL_VERSION = 1;",
		to: "export const PROTOCOL_VERSION = 2;",
	},
	/** Heads are heard and compared with nothing. */
	tail_unwatched: {
		file: "durable/tail-watch.ts",
		from: "else if (received >= head) this",
		to: "else if (received >= 0) this",
	},
	/** A proxy forgets to pass on what it hears of the proxies below. */
	nested_untold: { file: "durable/nested-proxies.ts", from: "if (entry.isTold) continue;", to: "continue;" },
	/** A word of a proxy is believed whoever signed it. */
	word_unproved: {
		file: "core/protocol/proxy-word.ts",
		from: "if (!ed25519Verify(node.value.signingKey, message, outer.value.signature))",
		to: "if (message.length === 0)",
	},
	/** What nobody signed is believed. */
	word_unsigned: {
		file: "durable/nested-words.ts",
		from: 'if (word === undefined) return fail("proxy_word_missing", "nothing that it signed came with it");',
		to: "if (word === undefined) return ok({});",
	},
	/** The store takes any word for the newest. */
	word_replayed: {
		file: "workers/sc/store/proxies.ts",
		from: "if (word !== undefined && word.number > (before.wordNumber ?? 0)) return true;",
		to: "if (word !== undefined) return true;",
	},
	/** The watch waits for the store behind everybody else. */
	watch_in_queue: {
		file: "workers/sc/store/client.ts",
		from: "openClient(fetcher, token, WATCH_GATE, WATCH_LIMITS.lookMsMax)",
		to: "openClient(fetcher, token, WRITER_GATE)",
	},
	/** A word is heard when the store has it. */
	heard_by_store: {
		file: "durable/fleet-watch.ts",
		from: "stored.map((node) => heardNodes().freshened(node, nowMs))",
		to: "stored",
	},
	/** A look that is waited for is told as a standstill of the watch. */
	look_is_standstill: {
		file: "durable/fleet-watch.ts",
		from: "await this.#within(this.#limits.tickMs, this.#looking);",
		to: "await this.#looking;",
	},
	/** Whoever asks whether all is well asks the store. */
	health_asks_store: {
		file: "durable/fleet-watch.ts",
		from: "if (Math.abs(Date.now() - atMs) < WATCH_LIMITS.healthMs) return { storedBatches };",
		to: "if (atMs > 0) return { storedBatches: await this.storedBatches() };",
	},
	/** What is said to wait may wait for ever. */
	waiting_for_ever: {
		file: "durable/tail-watch.ts",
		from: "return Math.min(stuckMs + this.#waitMs, isWaiting",
		to: "return Math.min(isWaiting ? Number.POSITIVE_INFINITY : stuckMs + this.#waitMs, isWaiting",
	},
	/** A lost link makes young what waits behind it. */
	lost_sight_settles: {
		file: "durable/tail-watch.ts",
		from: "this.#keep({ ...tail, isWaiting: true, lostMs: nowMs });",
		to: "this.#forget(hexOf(tail.stream), tail.stream);",
	},
	/** A silence is never over. */
	silence_uncleared: {
		file: "durable/fleet-watch.ts",
		from: "await this.clear(alarm);",
		to: "await Promise.resolve(alarm);",
	},
	/** An agent behind a silent proxy counts as silent itself. */
	hiding_ignored: {
		file: "durable/silence.ts",
		from: "if (hiding !== undefined && isUnseen)",
		to: 'if (hiding !== undefined && isUnseen && node.role === "px")',
	},
	/** The server turns a stranger away and tells nobody. */
	stranger_untold: {
		file: "workers/edge/link-gate.ts",
		from: "await watch?.strangerCame({ node: uri, protocol, atMs })",
		to: "await Promise.resolve()",
	},
} as const satisfies Readonly<Record<string, SourceChange>>;
export type ChangeName = keyof typeof CHANGES;

function isChangeName(name: string): name is ChangeName {
	return Object.hasOwn(CHANGES, name);
}

/** The bug that the environment plants in every build of this run, or none. */
export function plantedBug(): ChangeName | null {
	const name = process.env.PLANTED_BUG ?? "";
	if (name === "") return null;
	if (!isChangeName(name)) throw new Error(`PLANTED_BUG is one of ${Object.keys(CHANGES).join(", ")}`);
	return name;
}

/** The plugins of a build: the change asked for, and the planted bug. */
export function pluginsOf(change: ChangeName | null): Plugin[] {
	const names = [change, plantedBug()].filter((name) => name !== null);
	// The fault matrix brings its own bugs as they stand in faults/planted.ts.
	const brought = JSON.parse(process.env.PLANTED_CHANGES ?? "[]") as SourceChange[];
	return [changing([...names.map((name) => CHANGES[name]), ...brought])];
}
