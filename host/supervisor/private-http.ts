/**
 * What the desks of a box have in common: JSON over HTTP on a Unix socket that only the box's own user may open. Guarantees that the
 * socket is never open to others, not even for a moment. Must never listen on a network.
 */
import { rmSync } from "node:fs";
import type { Server, ServerResponse } from "node:http";

export interface Answer {
	readonly status: number;
	readonly body: unknown;
}

export function sendAnswer(response: ServerResponse, { status, body }: Answer): void {
	response.writeHead(status, { "content-type": "application/json" });
	response.end(JSON.stringify(body));
}

/** Call with the box's lock held: a stale socket is replaced. Answers why it could not be opened; null when it is open. */
export async function listenPrivately(server: Server, socket: string): Promise<string | null> {
	rmSync(socket, { force: true });
	const before = process.umask(0o177);
	const { promise, resolve } = Promise.withResolvers<Error | null>();
	server.once("error", resolve);
	server.listen(socket, () => resolve(null));
	process.umask(before);
	const failed = await promise;
	return failed === null ? null : `The socket ${socket} could not be opened: ${failed.message}`;
}

/** Ends open connections too. */
export function closeServer(server: Server): void {
	server.close();
	server.closeAllConnections();
}
