import { deepEqual, equal, ok } from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { isFoundBy, PLANTED } from "./planted.ts";

const SEEDS = 1000;
/** A planted bug must show within so many seeds. */
const PLANTED_SEEDS = 300;

function run(args: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
	return new Promise((resolve) => {
		const child = spawn(process.execPath, ["sim/main.ts", ...args], { stdio: ["ignore", "pipe", "pipe"] });
		let stdout = "";
		let stderr = "";
		child.stdout.on("data", (chunk) => {
			stdout += chunk;
		});
		child.stderr.on("data", (chunk) => {
			stderr += chunk;
		});
		child.on("close", (code) => resolve({ code, stdout, stderr }));
	});
}

const lastLineOf = (text: string): string => text.trimEnd().slice(text.trimEnd().lastIndexOf("\n") + 1);

test(`${SEEDS} seeds hold: nothing acknowledged is lost, doubled or changed, and every gap is named`, async () => {
	const { code, stdout, stderr } = await run(["--seeds", String(SEEDS), "--json"]);
	const report = JSON.parse(lastLineOf(stdout));
	deepEqual(report.failed, [], stderr);
	equal(code, 0, stderr);
	equal(report.seeds, SEEDS);
	deepEqual([report.lost, report.duplicated, report.gapsUnnamed], [0, 0, 0]);
	// A run in which nothing goes wrong proves nothing.
	ok(report.held > SEEDS && report.gapsNamed > 0 && report.forks > 0, JSON.stringify(report));
});

test("the same seed is the same run in another process, and after other seeds", async () => {
	const [first, second] = await Promise.all([run(["--seed", "7"]), run(["--seed", "7"])]);
	const hashOf = (text: string) => JSON.parse(lastLineOf(text)).traceHash;
	equal(hashOf(first.stdout), hashOf(second.stdout));
	await import("./hooks.ts");
	const { simulate } = await import("./simulate.ts");
	await simulate({ seed: 6 });
	equal((await simulate({ seed: 7 })).traceHash, hashOf(first.stdout));
});

test("planted bugs", { concurrency: 2 }, async (context) => {
	const results = PLANTED.map((bug) =>
		context.test(`the planted bug ${bug.name} turns the run red within ${PLANTED_SEEDS} seeds`, async () => {
			const args = ["--seeds", String(PLANTED_SEEDS), "--processes", "1", "--planted", bug.name, "--json"];
			const { code, stdout, stderr } = await run(args);
			equal(code, 1, stderr);
			const { failed, broken } = JSON.parse(lastLineOf(stdout));
			const invariants = broken[failed[0]] as string[];
			ok(isFoundBy(bug, invariants), `${bug.breaks} was to break, found: ${invariants.join(" ")}`);
		}),
	);
	await Promise.all(results);
});

test("usage is told from a failure, and help says how a seed is repeated", async () => {
	equal((await run(["--seeds", "few"])).code, 2);
	equal((await run(["--planted", "nothing-of-that-name"])).code, 2);
	ok((await run(["--help"])).stdout.includes("--seed N"));
});
