/**
 * `npm run check`: format, lint, types, import rule, size rule, in under 15 seconds. Runs everything and reports everything;
 * exit 1 when anything was found. Must never change a file: `npm run check -- --fix` asks Biome to.
 */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { checkImports, checkPurity } from "./import-rule.ts";
import { checkSize } from "./size-rule.ts";

const HELP = `usage: npm run check -- [--fix] [--json]
Checks format, lint, types, import rule and size rule. Exit 0 clean, 1 findings, 2 usage.
  example: npm run check -- --fix
`;

interface Outcome {
	readonly name: string;
	readonly ms: number;
	readonly findings: string[];
}

function run(name: string, argv: readonly string[]): Promise<Outcome> {
	const startedAtMs = performance.now();
	return new Promise((resolve) => {
		const child = spawn(`node_modules/.bin/${argv[0]}`, argv.slice(1), { stdio: ["ignore", "pipe", "pipe"] });
		let output = "";
		child.stdout.on("data", (chunk) => {
			output += chunk;
		});
		child.stderr.on("data", (chunk) => {
			output += chunk;
		});
		child.on("close", (code) => {
			const findings = code === 0 ? [] : [output.trim() || `exit ${code}`];
			resolve({ name, ms: performance.now() - startedAtMs, findings });
		});
	});
}

function trackedFiles(): string[] {
	const output = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { encoding: "utf8" });
	return output.split("\n").filter((file) => file !== "" && existsSync(file));
}

function ownRules(): Outcome {
	const startedAtMs = performance.now();
	const findings: string[] = [];
	for (const file of trackedFiles()) {
		if (!/\.(tsx?|[ch]|css|sh)$/.test(file)) continue;
		const source = readFileSync(file, "utf8");
		findings.push(...checkSize(file, source));
		if (/\.tsx?$/.test(file)) findings.push(...checkImports(file, source), ...checkPurity(file, source));
	}
	return { name: "imports and sizes", ms: performance.now() - startedAtMs, findings };
}

const flags = new Set(process.argv.slice(2));
if (flags.has("--help")) {
	process.stdout.write(HELP);
	process.exit(0);
}
const unknown = [...flags].find((flag) => !["--fix", "--json"].includes(flag));
if (unknown !== undefined) {
	process.stderr.write(`unknown option ${unknown}\n${HELP}`);
	process.exit(2);
}
if (flags.has("--fix")) await run("fix", ["biome", "check", "--write", "."]);
const outcomes = await Promise.all([
	run("format and lint", ["biome", "check", "."]),
	run("types: node", ["tsc", "-p", "tsconfig.json"]),
	run("types: workers", ["tsc", "-p", "tsconfig.workers.json"]),
	run("types: web", ["tsc", "-p", "tsconfig.web.json"]),
	ownRules(),
]);
if (flags.has("--json")) process.stdout.write(`${JSON.stringify(outcomes)}\n`);
else
	for (const { name, ms, findings } of outcomes) {
		process.stdout.write(`${findings.length === 0 ? "ok  " : "FAIL"} ${name} (${Math.round(ms)} ms)\n`);
		for (const finding of findings) process.stdout.write(`     ${finding}\n`);
	}
process.exit(outcomes.some(({ findings }) => findings.length > 0) ? 1 : 0);
