/**
 * `daemoneye restart`: the running workers are replaced by what is built and configured now, one after the other. Nobody is refused
 * meanwhile: connections wait in the kernel's queue. Asks the running supervisor; must never start or stop anything itself.
 */
import { resolve } from "node:path";
import type { Result } from "#core/result.ts";
import { askProcesses, askReplacement } from "../host/supervisor/control-client.ts";
import type { Replaced } from "../host/supervisor/supervisor.ts";
import { complain, say, visible } from "./console-output.ts";
import { EXIT, type Verb } from "./verb.ts";

function sentenceOf({ name, stopMs, awayMs }: Replaced): string {
	return `${name} is replaced: the old one had ${stopMs} ms to finish, connections waited ${awayMs} ms`;
}

/** The first failure ends it: what is below a worker that does not come up should not be touched. */
async function replaceAll(
	dataDir: string,
	names: readonly string[],
	onReplaced: (replaced: Replaced) => void,
): Promise<Result<void, string>> {
	for (const name of names) {
		const replaced = await askReplacement(dataDir, name);
		if (!replaced.ok) return replaced;
		onReplaced(replaced.value);
	}
	return { ok: true, value: undefined };
}

async function run(values: Readonly<Record<string, unknown>>, positionals: readonly string[]): Promise<number> {
	const dataDir = resolve(String(values.data ?? "data"));
	const isJson = values.json === true;
	const done: Replaced[] = [];
	const running = await askProcesses(dataDir);
	const names = running.ok ? running.value.filter(({ isWorker }) => isWorker).map(({ name }) => name) : [];
	const ended = running.ok
		? await replaceAll(dataDir, positionals.length > 0 ? positionals : names, (replaced) => {
				done.push(replaced);
				if (!isJson) say(visible(sentenceOf(replaced)));
			})
		: running;
	if (isJson)
		say(
			JSON.stringify({ ok: ended.ok, replaced: done, ...(ended.ok ? {} : { code: ended.code, detail: ended.detail }) }),
		);
	if (ended.ok) return EXIT.fine;
	complain(visible(ended.detail));
	return EXIT.failed;
}

export const restartVerb: Verb = {
	name: "restart",
	summary: "Replaces the running workers by what is built and configured now; nobody is refused meanwhile.",
	usage: "[NAME...] [--data DIR] [--json]",
	example: "daemoneye restart px-1 --data /var/lib/daemoneye",
	options: { data: { type: "string" } },
	optionHelp: { data: "the data folder of a running `start` or `proxy run` (default: data)" },
	exitHelp: "0 all replaced, 1 not: the former one runs again, 2 usage",
	run,
};
