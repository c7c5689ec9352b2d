/**
 * `npm test`: every suite, one after the other, each with its time. Failures and skips are printed by name; REQUIRE (a comma
 * list of root,btf,chromium,apache2,sshd,sqld) turns every skip into a failure, as CI does. Exit 1 when anything failed. Must
 * never count a suite without a test as passed.
 */
import { spawnSync } from "node:child_process";
import { existsSync, globSync } from "node:fs";
import { relative } from "node:path";
import { run } from "node:test";

const HELP = `usage: npm test -- [SUITE...] [--json]
Runs all suites, or the named ones. Suites: unit evidence procmond kernel sim fuzz fuzz-c flows faults browser e2e.
  example: npm test -- unit flows
Exit 0 all passed, 1 a failure (or a skip while REQUIRE is set), 2 usage.
`;

interface Suite {
	readonly name: string;
	/** Budget on 2 cores, seconds: beyond it the suite is named slow, not failed. */
	readonly budgetSecs: number;
	readonly files?: readonly string[];
	readonly command?: readonly string[];
	/** Files at once: real servers and kernels do not share well. */
	readonly concurrency?: number;
}

interface Counts {
	readonly passed: number;
	readonly failed: number;
	readonly skipped: number;
	/** Of the skipped: those that count as a failure nowhere. */
	readonly excused: number;
}

interface Outcome extends Counts {
	readonly suite: string;
	readonly seconds: number;
	readonly budgetSecs: number;
}

/** Public vectors and rule collections that are not part of this tree: their tests may be skipped anywhere. */
const SHARED_ABSENT = /^shared .*absent/;
const BROWSER = /\.browser\.test\.ts$/;
const E2E = /\.e2e\.test\.ts$/;
/** Packages flipped byte by byte take their time; everyday tests do not wait for them. */
const EVIDENCE = /^(core\/(verify|package)|verify)\//;
/** Kills and starves real processes: minutes, and alone. */
const FAULTS = /^faults\/rows\.test\.ts$/;
/** A thousand worlds and the planted bugs: uses every CPU by itself. */
const SIM = /^sim\//;
/** Waits for the kernel, not for the CPU: minutes, and alone, since other work makes it late. */
const KERNEL = /^agent\/procmond\/kernel\.test\.ts$/;

function testFiles(): string[] {
	const roots = [
		"core",
		"durable",
		"workers",
		"agent",
		"host",
		"cli",
		"verify",
		"web",
		"demo",
		"rules",
		"migrations",
		"tools",
		"bench",
		"sim",
		"faults",
	];
	return globSync(roots.map((root) => `${root}/**/*.test.ts`)).filter((file) => !file.includes("node_modules"));
}

function suites(): Suite[] {
	const files = testFiles();
	return [
		{
			name: "unit",
			budgetSecs: 60,
			files: files.filter((file) => ![BROWSER, E2E, EVIDENCE, FAULTS, KERNEL, SIM].some((other) => other.test(file))),
			concurrency: 2,
		},
		{ name: "evidence", budgetSecs: 240, files: files.filter((file) => EVIDENCE.test(file)), concurrency: 2 },
		{
			name: "procmond",
			budgetSecs: 60,
			command: ["make", "-C", "agent/procmond", "--no-print-directory", "-s", "test"],
		},
		{ name: "kernel", budgetSecs: 420, files: files.filter((file) => KERNEL.test(file)), concurrency: 1 },
		{ name: "sim", budgetSecs: 180, files: files.filter((file) => SIM.test(file)), concurrency: 1 },
		{ name: "fuzz", budgetSecs: 60, command: [process.execPath, "tools/fuzz.ts", "--seconds", "30"] },
		{
			name: "fuzz-c",
			budgetSecs: 60,
			// Four parsers, so 20 s; the binaries take as long to build the first time.
			command: ["make", "-C", "agent/procmond", "--no-print-directory", "-s", "fuzz", "FUZZ_SECONDS=5"],
		},
		{ name: "flows", budgetSecs: 180, files: globSync("miniflare-tests/**/*.test.ts"), concurrency: 1 },
		{ name: "faults", budgetSecs: 480, files: files.filter((file) => FAULTS.test(file)), concurrency: 1 },
		{ name: "browser", budgetSecs: 360, files: files.filter((file) => BROWSER.test(file)), concurrency: 1 },
		{ name: "e2e", budgetSecs: 300, files: files.filter((file) => E2E.test(file)), concurrency: 1 },
	];
}

/** Results of `node:test` events, each test that holds no other counted once. */
async function runFiles(suite: Suite): Promise<Counts> {
	const counts = { passed: 0, failed: 0, skipped: 0, excused: 0 };
	const stream = run({
		files: (suite.files ?? []).map((file) => `${process.cwd()}/${file}`),
		concurrency: suite.concurrency ?? 1,
	});
	stream.on("test:pass", (event) => {
		if (event.details.type === "suite") return;
		if (event.skip === undefined) counts.passed++;
		else {
			counts.skipped++;
			process.stdout.write(`  skip ${event.name}: ${event.skip}\n`);
			if (SHARED_ABSENT.test(String(event.skip))) counts.excused++;
		}
	});
	stream.on("test:fail", (event) => {
		if (
			event.details.type === "suite" &&
			(event.details.error as { failureType?: string }).failureType === "subtestsFailed"
		)
			return;
		counts.failed++;
		const cause = event.details.error.cause as Error | undefined;
		const where = event.file === undefined ? "" : ` (${relative(process.cwd(), event.file)}:${event.line})`;
		process.stdout.write(`  FAIL ${event.name}${where}\n${cause?.stack ?? event.details.error.message}\n`);
	});
	stream.on("test:stderr", (event) => process.stderr.write(event.message));
	for await (const _ of stream) {
		// Draining the stream is what runs the tests.
	}
	return counts;
}

function runCommand(suite: Suite): Counts {
	const [command, ...args] = suite.command as string[];
	const result = spawnSync(command as string, args, { stdio: ["ignore", "inherit", "inherit"] });
	const isFine = result.status === 0;
	return { passed: isFine ? 1 : 0, failed: isFine ? 0 : 1, skipped: 0, excused: 0 };
}

async function runSuite(suite: Suite): Promise<Outcome> {
	process.stdout.write(`suite ${suite.name}\n`);
	const startedAtMs = performance.now();
	const counts = suite.command === undefined ? await runFiles(suite) : runCommand(suite);
	const seconds = Math.round((performance.now() - startedAtMs) / 100) / 10;
	const slow = seconds > suite.budgetSecs ? ` (over its budget of ${suite.budgetSecs} s)` : "";
	process.stdout.write(
		`suite ${suite.name}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped in ${seconds} s${slow}\n`,
	);
	return { suite: suite.name, ...counts, seconds, budgetSecs: suite.budgetSecs };
}

async function main(): Promise<number> {
	const args = process.argv.slice(2);
	if (args.includes("--help")) {
		process.stdout.write(HELP);
		return 0;
	}
	const names = args.filter((arg) => arg !== "--json");
	const all = suites();
	const unknown = names.find((name) => !all.some((suite) => suite.name === name));
	if (unknown !== undefined) {
		process.stderr.write(`no suite is called ${unknown}\n${HELP}`);
		return 2;
	}
	if (!existsSync("dist/workers")) {
		process.stderr.write("nothing is built yet: run `npm run setup` first\n");
		return 2;
	}
	const outcomes: Outcome[] = [];
	for (const suite of all) if (names.length === 0 || names.includes(suite.name)) outcomes.push(await runSuite(suite));
	const total = (pick: (outcome: Outcome) => number) => outcomes.reduce((sum, outcome) => sum + pick(outcome), 0);
	const empty = outcomes.filter((outcome) => outcome.passed + outcome.failed + outcome.skipped === 0);
	for (const { suite } of empty) process.stdout.write(`suite ${suite} holds no test\n`);
	const skipped = total((outcome) => outcome.skipped);
	const unexcused = skipped - total((outcome) => outcome.excused);
	const isRequired = (process.env.REQUIRE ?? "") !== "";
	const failed = total((outcome) => outcome.failed) + empty.length + (isRequired ? unexcused : 0);
	if (isRequired && unexcused > 0)
		process.stdout.write(`REQUIRE is set: ${unexcused} skipped tests count as failures\n`);
	if (args.includes("--json")) process.stdout.write(`${JSON.stringify(outcomes)}\n`);
	process.stdout.write(
		`${total((outcome) => outcome.passed)} passed, ${failed} failed, ${isRequired ? skipped - unexcused : skipped} skipped\n`,
	);
	return failed > 0 ? 1 : 0;
}

process.exitCode = await main();
