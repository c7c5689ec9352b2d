/**
 * Requests to the Security Center. Every outcome is a value: the answer, or the problem by code and sentence. Guarantees that only
 * this origin is asked and that a lost session is noticed once, by whoever registered for it.
 */
import { fail, ok, type Result } from "#core/result.ts";
import type { Problem } from "../../../workers/sc/api/answers.ts";
import { tracked } from "./idle.ts";

/** The code of the Security Center's problem, or one of ours when there was no readable answer. */
export type ApiCode = string;

let onSessionLost: () => void = () => undefined;

export function whenSessionIsLost(handler: () => void): void {
	onSessionLost = handler;
}

async function problemOf(response: Response): Promise<Result<never, ApiCode>> {
	let problem: Partial<Problem> = {};
	try {
		problem = (await response.json()) as Partial<Problem>;
	} catch {
		return fail("answer_unreadable", `The Security Center answered ${response.status} without saying why.`);
	}
	const code = problem.code ?? "answer_unreadable";
	if (response.status === 401 && code === "session_missing") onSessionLost();
	return fail(code, problem.detail || problem.title || `The Security Center answered ${response.status}.`);
}

async function send(path: string, init: RequestInit): Promise<Result<Response, ApiCode>> {
	try {
		const response = await fetch(path, { ...init, credentials: "same-origin", redirect: "error", cache: "no-store" });
		return response.ok ? ok(response) : await problemOf(response);
	} catch (error) {
		if (error instanceof DOMException && error.name === "AbortError") return fail("aborted", "No longer needed.");
		return fail("unreachable", "The Security Center cannot be reached.");
	}
}

async function readJson<T>(sent: Result<Response, ApiCode>): Promise<Result<T, ApiCode>> {
	if (!sent.ok) return sent;
	if (sent.value.status === 204) return ok(undefined as T);
	try {
		return ok((await sent.value.json()) as T);
	} catch {
		return fail("answer_unreadable", "The answer broke off or is not JSON.");
	}
}

export function getJson<T>(path: string, signal?: AbortSignal): Promise<Result<T, ApiCode>> {
	const init: RequestInit = { headers: { accept: "application/json" } };
	if (signal) init.signal = signal;
	return tracked(send(path, init).then((sent) => readJson<T>(sent)));
}

function bodyOf(method: string, body: unknown): RequestInit {
	return { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}

export function postJson<T>(path: string, body: unknown): Promise<Result<T, ApiCode>> {
	return tracked(send(path, bodyOf("POST", body)).then((sent) => readJson<T>(sent)));
}

export function deleteAt(path: string): Promise<Result<void, ApiCode>> {
	return tracked(send(path, { method: "DELETE" }).then((sent) => readJson<void>(sent)));
}

/** For answers that are a file. */
export async function postForFile(path: string, body: unknown): Promise<Result<Blob, ApiCode>> {
	const work = send(path, bodyOf("POST", body)).then(async (sent): Promise<Result<Blob, ApiCode>> => {
		if (!sent.ok) return sent;
		try {
			return ok(await sent.value.blob());
		} catch {
			return fail("answer_unreadable", "The file broke off on its way.");
		}
	});
	return tracked(work);
}
