/**
 * Rows that a test of another suite proves: the row runs it by its name, and its planted bug goes into the sources that the test loads
 * and into the builds that it makes. Guarantees that a name that matches no test fails the row, and that an interrupted test leaves no
 * process.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { PLANTED_BUGS } from "./planted.ts";
import type { FaultRow, RowContext, RowOutcome } from "./row.ts";

export interface ProvedBy {
	/** Path in the project. */
	readonly file: string;
	/** The test's whole name. */
	readonly title: string;
}

const quoted = (title: string) => `^${title.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")}$`;

async function runTest({ file, title }: ProvedBy, { builds, signal }: RowContext): Promise<string[]> {
	const { NODE_TEST_CONTEXT: _, ...env } = process.env;
	const changes = builds.planted === "" ? [] : PLANTED_BUGS[builds.planted].changes;
	const hooks = changes.length === 0 ? [] : [`--import=${join(import.meta.dirname, "planted-hooks.ts")}`];
	const args = [...hooks, "--test", "--test-reporter=tap", `--test-name-pattern=${quoted(title)}`, file];
	// A group of its own, with what the test starts: all of it ends with an interrupt.
	const child = spawn(process.execPath, args, {
		env: { ...env, PLANTED_CHANGES: JSON.stringify(changes) },
		stdio: ["ignore", "pipe", "ignore"],
		detached: true,
	});
	const stop = () => {
		if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGKILL");
	};
	signal.addEventListener("abort", stop, { once: true });
	const [said] = await Promise.all([text(child.stdout), once(child, "exit")]);
	signal.removeEventListener("abort", stop);
	const lines = said.split("\n").map((line) => line.trim());
	const failed = lines.filter((line) => line.startsWith("not ok ") && line.includes(title));
	if (failed.length > 0) return failed.map((line) => `${file}: ${line}`);
	return lines.some((line) => line.startsWith("ok ") && line.endsWith(title))
		? []
		: [`${file} holds no test "${title}"`];
}

/** All of them must hold; a planted bug must make at least one fail. */
export function provedBy(...tests: readonly ProvedBy[]): FaultRow["run"] {
	return async (context): Promise<RowOutcome> => {
		const violations: string[] = [];
		for (const test of tests) {
			context.step(`${test.file}: ${test.title}`);
			violations.push(...(await runTest(test, context)));
		}
		return { report: null, violations };
	};
}
