/**
 * The two doors to the store: one that writes and one whose token can only read. Both speak to sqld through a service binding, so
 * the Worker needs no network. Guarantees that numbers come back as numbers: what may pass 2^53 (kernel time) is always selected
 * as text. Must never be given SQL with a value spliced into it.
 */
import { type Client, createClient, type Row } from "@libsql/client/http";
import { WATCH_LIMITS } from "../../../durable/limits.ts";
import { STORE_LIMITS } from "../limits.ts";
import { AskGate } from "./ask-gate.ts";

export type { Client, InStatement, Row } from "@libsql/client/http";

/** What of a service binding the store uses. */
export interface SqlFetcher {
	fetch(request: Request, init?: { signal: AbortSignal }): Promise<Response>;
}

export interface Store {
	readonly writer: Client;
	readonly reader: Client;
}

/** The largest batch takes under a second; past this the store hangs, and whoever waits is better told so and tries again. */
const ANSWER_MS_MAX = 30_000;

/** The binding carries the request; this name goes nowhere. */
const SQLD_URL = "http://sqld.invalid";

/** One for the isolate: its objects share the store. Readers have their own, so that a console does not wait behind a storm of writes. */
const WRITER_GATE = new AskGate({ ...STORE_LIMITS, atOnce: STORE_LIMITS.writesAtOnce });
const READER_GATE = new AskGate({ ...STORE_LIMITS, atOnce: STORE_LIMITS.readsAtOnce });

/** The watch over silence waits behind nobody: what others want of the store is no reason to see late. */
const WATCH_GATE = new AskGate({ ...STORE_LIMITS, atOnce: STORE_LIMITS.watchAtOnce });

function openClient(fetcher: SqlFetcher, authToken: string, gate: AskGate, answerMsMax = ANSWER_MS_MAX): Client {
	const ask = (request: Request) =>
		gate.run(() => fetcher.fetch(request, { signal: AbortSignal.timeout(answerMsMax) }));
	return createClient({ url: SQLD_URL, authToken, fetch: ask });
}

export function openStore(fetcher: SqlFetcher, tokens: { readWrite: string; readOnly: string }): Store {
	return {
		writer: openClient(fetcher, tokens.readWrite, WRITER_GATE),
		reader: openClient(fetcher, tokens.readOnly, READER_GATE),
	};
}

/** For the watch: a gate of its own, and answers in the time of a look. */
export function openWatchStore(fetcher: SqlFetcher, tokens: { readWrite: string; readOnly: string }): Store {
	const open = (token: string) => openClient(fetcher, token, WATCH_GATE, WATCH_LIMITS.lookMsMax);
	return { writer: open(tokens.readWrite), reader: open(tokens.readOnly) };
}

/** Columns of a row by their declared kind; the store is ours, so another kind is a broken invariant and throws. */
export const column = {
	text(row: Row, name: string): string {
		const value = row[name];
		if (typeof value !== "string") throw new TypeError(`${name} is not text`);
		return value;
	},
	textOrNull(row: Row, name: string): string | null {
		return row[name] === null ? null : column.text(row, name);
	},
	number(row: Row, name: string): number {
		const value = row[name];
		if (typeof value !== "number") throw new TypeError(`${name} is not a number`);
		return value;
	},
	numberOrNull(row: Row, name: string): number | null {
		return row[name] === null ? null : column.number(row, name);
	},
	bytes(row: Row, name: string): Uint8Array {
		const value = row[name];
		if (!(value instanceof ArrayBuffer)) throw new TypeError(`${name} is not bytes`);
		return new Uint8Array(value);
	},
} as const;
