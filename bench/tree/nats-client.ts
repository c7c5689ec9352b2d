/**
 * As much of the NATS protocol as the yardstick needs: publish to a JetStream subject with an inbox for the answer, and answers
 * counted. Guarantees that an answer which is no acknowledgement is a trouble.
 */
import { once } from "node:events";
import { connect as connectPlain } from "node:net";
import { connect } from "node:tls";
import type { Client, ClientEvents, ClientTls } from "./client.ts";

/** One stream for all agents, each its own subject. */
export const NATS_STREAM = "evidence";
const OPTIONS = '{"verbose":false,"pedantic":false,"tls_required":true,"lang":"bench","version":"0","headers":false}';

/** Cuts what a server sends into `MSG` payloads; control lines in between answer for themselves. */
export class NatsMessages {
	#rest = "";

	take(chunk: string): { messages: string[]; control: string[] } {
		const text = this.#rest + chunk;
		const messages: string[] = [];
		const control: string[] = [];
		let at = 0;
		for (;;) {
			const end = text.indexOf("\r\n", at);
			if (end < 0) break;
			const line = text.slice(at, end);
			if (!line.startsWith("MSG ")) {
				control.push(line);
				at = end + 2;
				continue;
			}
			const length = Number(line.slice(line.lastIndexOf(" ") + 1));
			if (end + 2 + length + 2 > text.length) break;
			messages.push(text.slice(end + 2, end + 2 + length));
			at = end + 2 + length + 2;
		}
		this.#rest = text.slice(at);
		return { messages, control };
	}
}

export function publishOf(subject: string, inbox: string, payload: Uint8Array): Uint8Array {
	const head = Buffer.from(`PUB ${subject} ${inbox} ${payload.length}\r\n`, "latin1");
	return Buffer.concat([head, payload, Buffer.from("\r\n")]);
}

/** Opens a TLS connection: the server says INFO in the clear first. */
async function openSocket({ port, ...tls }: ClientTls) {
	const plain = connectPlain({ host: "127.0.0.1", port: Number(port) });
	await once(plain, "data");
	const { host: _, ...identity } = tls;
	const socket = connect({ ...identity, socket: plain });
	await once(socket, "secureConnect");
	plain.setNoDelay(true);
	return socket;
}

/** Makes the stream that keeps every agent's subject on disk. Throws on any other answer. */
export async function createNatsStream(tls: ClientTls): Promise<void> {
	const socket = await openSocket(tls);
	const reader = new NatsMessages();
	const config = { name: NATS_STREAM, subjects: [`${NATS_STREAM}.*`], storage: "file", retention: "limits" };
	const asked = publishOf(`$JS.API.STREAM.CREATE.${NATS_STREAM}`, "_INBOX.create", Buffer.from(JSON.stringify(config)));
	socket.write(`CONNECT ${OPTIONS}\r\nSUB _INBOX.create 1\r\n`);
	socket.write(asked);
	for await (const chunk of socket) {
		const [answer] = reader.take((chunk as Buffer).toString("latin1")).messages;
		if (answer === undefined) continue;
		if (answer.includes('"error"')) throw new Error(`nats made no stream: ${answer.slice(0, 200)}`);
		return;
	}
	throw new Error("nats closed the connection before the stream was made");
}

export async function openNatsClient(agent: string, tls: ClientTls, events: ClientEvents): Promise<Client> {
	const socket = await openSocket(tls);
	const inbox = `_INBOX.${agent}.1`;
	const ready = Promise.withResolvers<void>();
	const reader = new NatsMessages();
	let isClosing = false;
	socket.on("data", (chunk: Buffer) => {
		const { messages, control } = reader.take(chunk.toString("latin1"));
		for (const line of control) {
			if (line === "PONG") ready.resolve();
			else if (line === "PING") socket.write("PONG\r\n");
			else if (line.startsWith("-ERR")) events.onTrouble(`nats answered ${line}`);
		}
		const wrong = messages.find((text) => !text.includes('"seq":') || text.includes('"error"'));
		if (wrong !== undefined) events.onTrouble(`nats answered ${wrong.slice(0, 200)}`);
		else if (messages.length > 0) events.onTaken(messages.length);
	});
	socket.on("error", (error) => events.onTrouble(error.message));
	socket.on("close", () => {
		if (!isClosing) events.onTrouble("nats closed the connection");
	});
	socket.write(`CONNECT ${OPTIONS}\r\nSUB ${inbox} 1\r\nPING\r\n`);
	await ready.promise;
	return {
		prepare: (batch) => publishOf(`${NATS_STREAM}.${agent}`, inbox, batch),
		send: (message) => void socket.write(message),
		begin: () => undefined,
		async close() {
			isClosing = true;
			socket.end();
			if (!socket.closed) await once(socket, "close");
		},
	};
}
