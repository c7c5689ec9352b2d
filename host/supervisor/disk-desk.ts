/**
 * Says how full a box's disk is to the workers that keep evidence on it: the runtime cannot ask the file system itself. HTTP over a
 * Unix socket in the box's private folder, one per worker, because each names its own directory.
 *
 *     GET /disk  → {freeBytes, totalBytes}
 *
 * Guarantees that every answer is measured when it is asked for, and that blocks reserved for root do not count as free. Must never
 * listen on a network, and never say more of the machine than these two numbers.
 */
import { statfsSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { fail, ok, type Result } from "#core/result.ts";
import { type Answer, closeServer, listenPrivately, sendAnswer } from "./private-http.ts";

export type DiskDeskCode = "disk_desk_failed";

export interface DiskDesk {
	close(): void;
}

function answerOf(directory: string): Answer {
	try {
		const { bavail, blocks, bsize } = statfsSync(directory);
		return { status: 200, body: { freeBytes: bavail * bsize, totalBytes: blocks * bsize } };
	} catch (error) {
		return { status: 503, body: { code: "disk_not_measured", detail: (error as Error).message } };
	}
}

function serverFor(directory: string): Server {
	return createServer((request, response) => {
		const isAsked = request.method === "GET" && request.url === "/disk";
		const unknown = { status: 404, body: { code: "not_found", detail: "GET /disk only." } };
		sendAnswer(response, isAsked ? answerOf(directory) : unknown);
	});
}

/** Listens on every socket of `directories` (socket path → directory). Call with the box's lock held: stale sockets are replaced. */
export async function openDiskDesk(directories: ReadonlyMap<string, string>): Promise<Result<DiskDesk, DiskDeskCode>> {
	const servers: Server[] = [];
	const close = () => {
		for (const server of servers) closeServer(server);
	};
	for (const [socket, directory] of directories) {
		const server = serverFor(directory);
		servers.push(server);
		const failed = await listenPrivately(server, socket);
		if (failed === null) continue;
		close();
		return fail("disk_desk_failed", failed);
	}
	return ok({ close });
}
