/**
 * As much of Redis's protocol (RESP2) as the yardstick needs: pipelined XADD to one stream per agent, and its answers counted.
 * Guarantees that an answer which is no entry id is a trouble: then nothing was measured.
 */
import { once } from "node:events";
import { connect } from "node:tls";
import type { Client, ClientEvents, ClientTls } from "./client.ts";

const bulk = (part: string) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`;

/** `XADD STREAM * b BATCH` as one request. */
export function xaddOf(stream: string, batch: Uint8Array): Uint8Array {
	const head = `*5\r\n${bulk("XADD")}${bulk(stream)}${bulk("*")}${bulk("b")}$${batch.length}\r\n`;
	return Buffer.concat([Buffer.from(head, "latin1"), batch, Buffer.from("\r\n")]);
}

/** Counts whole answers in what has come: each XADD answers one bulk string, `$15\r\n1700000000000-0\r\n`. */
export class RedisAnswers {
	#rest = "";

	/** How many entry ids; an error line in their place throws. */
	take(chunk: string): number {
		const text = this.#rest + chunk;
		let at = 0;
		let count = 0;
		for (;;) {
			const end = text.indexOf("\r\n", at);
			if (end < 0) break;
			const line = text.slice(at, end);
			if (!line.startsWith("$")) throw new Error(`redis answered ${line}`);
			const next = end + 2 + Number(line.slice(1)) + 2;
			if (next > text.length) break;
			at = next;
			count++;
		}
		this.#rest = text.slice(at);
		return count;
	}
}

export async function openRedisClient(agent: string, tls: ClientTls, events: ClientEvents): Promise<Client> {
	const socket = connect(tls);
	await once(socket, "secureConnect");
	socket.setNoDelay(true);
	const answers = new RedisAnswers();
	let isClosing = false;
	socket.on("data", (chunk: Buffer) => {
		try {
			const count = answers.take(chunk.toString("latin1"));
			if (count > 0) events.onTaken(count);
		} catch (error) {
			events.onTrouble((error as Error).message);
		}
	});
	socket.on("error", (error) => events.onTrouble(error.message));
	socket.on("close", () => {
		if (!isClosing) events.onTrouble("redis closed the connection");
	});
	return {
		prepare: (batch) => xaddOf(agent, batch),
		send: (request) => void socket.write(request),
		begin: () => undefined,
		async close() {
			isClosing = true;
			socket.end();
			if (!socket.closed) await once(socket, "close");
		},
	};
}
