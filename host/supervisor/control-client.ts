/** Asks the supervisor of a data folder by its control desk. Must never wait for one that does not run. */
import { request } from "node:http";
import { text } from "node:stream/consumers";
import { fail, ok, type Result } from "#core/result.ts";
import { controlSocket, type RunningProcess } from "./control-desk.ts";
import type { Replaced } from "./supervisor.ts";

export type ControlCode = "not_running";

async function ask(dataDir: string, method: string, path: string): Promise<Result<unknown, string>> {
	const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>();
	const question = request({ socketPath: controlSocket(dataDir), method, path, agent: false }, (answer) => {
		text(answer).then((body) => resolve({ status: answer.statusCode ?? 0, body }), reject);
	});
	question.on("error", reject);
	question.end();
	try {
		const { status, body } = await promise;
		const value = JSON.parse(body) as { code: string; detail: string };
		return status === 200 ? ok(value) : fail(value.code, value.detail);
	} catch (error) {
		// The socket is absent, another user's, or of a supervisor that has gone: its own word for it is the best there is.
		const { message } = error as Error;
		return fail("not_running", `The supervisor of ${dataDir} does not answer (${message}): is it started, and by you?`);
	}
}

export async function askProcesses(dataDir: string): Promise<Result<readonly RunningProcess[], string>> {
	const answer = await ask(dataDir, "GET", "/processes");
	return answer.ok ? ok((answer.value as { processes: RunningProcess[] }).processes) : answer;
}

/** Settles when the new process serves, or the former one again. */
export async function askReplacement(dataDir: string, name: string): Promise<Result<Replaced, string>> {
	const answer = await ask(dataDir, "POST", `/replace?name=${encodeURIComponent(name)}`);
	return answer.ok ? ok(answer.value as Replaced) : answer;
}
