/**
 * What a person at the box may ask of its running supervisor. HTTP over a Unix socket in the box's private folder: whoever may read the
 * keys there may use it, nobody else.
 *
 *     GET  /processes           → {processes: [{name, pid, isWorker}]}
 *     POST /replace?name=NAME   → {name, stopMs, awayMs}, or 409 {code, detail}
 *
 * Guarantees that one replacement runs at a time, in the order asked. Must never listen on a network.
 */
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { fail, ok, type Result } from "#core/result.ts";
import { HOST_LIMITS } from "../limits.ts";
import { type Answer, closeServer, listenPrivately, sendAnswer } from "./private-http.ts";
import type { Replaced } from "./supervisor.ts";

export type ControlDeskCode = "control_desk_failed";

/** One process as the desk tells of it. */
export interface RunningProcess {
	readonly name: string;
	readonly pid: number;
	readonly isWorker: boolean;
}

export interface ControlDesk {
	close(): void;
}

export interface Controlled {
	/** What is replaced when nothing is named, in this order. */
	readonly workers: readonly string[];
	pids(): ReadonlyMap<string, number>;
	/** Reads the present configuration and replaces the process by it. */
	replace(name: string): Promise<Result<Replaced, string>>;
}

/** Where the supervisor of a data directory listens. */
export function controlSocket(dataDir: string): string {
	return join(dataDir, "run", "control");
}

function processesOf({ workers, pids }: Controlled): RunningProcess[] {
	return [...pids()].map(([name, pid]) => ({ name, pid, isWorker: workers.includes(name) }));
}

function deskServer(box: Controlled): Server {
	let turn: Promise<unknown> = Promise.resolve();
	async function answer(method: string | undefined, url: URL): Promise<Answer> {
		if (method === "GET" && url.pathname === "/processes")
			return { status: 200, body: { processes: processesOf(box) } };
		if (method !== "POST" || url.pathname !== "/replace")
			return { status: 404, body: { code: "not_found", detail: "GET /processes, POST /replace?name=NAME." } };
		const mine = turn.then(() => box.replace(url.searchParams.get("name") ?? ""));
		// Only the order is waited for: what came of it is answered to who asked.
		turn = mine.catch(() => undefined);
		const replaced = await mine;
		return replaced.ok
			? { status: 200, body: replaced.value }
			: { status: 409, body: { code: replaced.code, detail: replaced.detail } };
	}
	return createServer({ requestTimeout: HOST_LIMITS.healthAnswerMs }, (request, response) => {
		request.resume();
		const say = (said: Answer) => sendAnswer(response, said);
		const url = URL.parse(request.url ?? "/", "http://supervisor");
		if (url === null) say({ status: 400, body: { code: "bad_request", detail: "The path does not read." } });
		else
			answer(request.method, url).then(say, (error: Error) =>
				say({ status: 500, body: { code: "not_replaced", detail: error.message } }),
			);
	});
}

/** Call with the box's lock held: a stale socket is replaced. */
export async function openControlDesk(dataDir: string, box: Controlled): Promise<Result<ControlDesk, ControlDeskCode>> {
	const server = deskServer(box);
	const failed = await listenPrivately(server, controlSocket(dataDir));
	return failed === null ? ok({ close: () => closeServer(server) }) : fail("control_desk_failed", failed);
}
