/**
 * Who may import whom. The table is the house's plan (docs/architecture.md); anything not in it is refused, so a new room needs
 * a line here. Reads import statements as text; must never guess: a specifier it cannot place is a finding.
 */
import { dirname, join, normalize } from "node:path";

/** Room → rooms it may import beside itself. `type:` allows type imports only. */
const PLAN: Record<string, readonly string[]> = {
	core: [],
	durable: ["core"],
	"workers/edge": ["core", "durable"],
	"workers/px": ["core", "durable", "workers/edge"],
	"workers/sc": ["core", "durable", "workers/edge", "migrations", "rules"],
	migrations: [],
	rules: ["core"],
	agent: ["core"],
	host: ["core"],
	web: ["core", "type:workers/sc"],
	verify: ["core"],
	cli: ["core", "host", "verify"],
	demo: ["core", "host", "cli"],
	bench: ["core", "host", "cli", "demo", "agent", "tools"],
	faults: ["core", "durable", "host", "cli", "demo", "agent", "tools", "bench", "miniflare-tests"],
	"miniflare-tests": [
		"core",
		"host",
		"durable",
		"workers/edge",
		"workers/px",
		"workers/sc",
		"tools",
		"agent",
		"demo",
		"cli",
		"verify",
	],
	/** Runs the real code of every node in one process. */
	sim: ["core", "durable", "workers/edge", "workers/px", "workers/sc", "agent", "host", "migrations"],
	tools: ["core", "host"],
};

/** Packages that a room may not use, because the room must run where they do not. */
const CORE_BANNED = /^node:|^(ws|hono|drizzle-orm|workerd|solid-js)($|\/)/;
/** The one file of core that may use the platform's own primitives. */
const CORE_NATIVE = "core/crypto/native.ts";

const IMPORT =
	/^\s*(?:import|export)\s+(type\s+)?(?:[^'"()]*?\sfrom\s+)?["']([^"']+)["']|import\(\s*["']([^"']+)["']\s*\)/gm;

export function roomOf(file: string): string | undefined {
	const [first, second] = file.split("/");
	return first === "workers" ? `workers/${second}` : first;
}

function targetOf(file: string, specifier: string): string | null {
	if (specifier.startsWith("#core/")) return `core/${specifier.slice(6)}`;
	if (specifier === "#crypto") return "core/crypto/native.ts";
	if (specifier.startsWith(".")) return normalize(join(dirname(file), specifier));
	return null;
}

function isTest(file: string): boolean {
	return /\.(test|fuzz)\.tsx?$/.test(file) || file.includes("/testing/");
}

/** Findings of one file, each one line `file: what`. */
export function checkImports(file: string, source: string): string[] {
	const findings: string[] = [];
	const room = roomOf(file);
	const allowed = room === undefined ? undefined : PLAN[room];
	if (allowed === undefined) return [`${file}: the folder is in no plan (tools/import-rule.ts)`];
	for (const match of source.matchAll(IMPORT)) {
		const isTypeOnly = match[1] !== undefined;
		const specifier = match[2] ?? match[3] ?? "";
		const target = targetOf(file, specifier);
		if (target === null) {
			if (room === "core" && file !== CORE_NATIVE && !isTest(file) && CORE_BANNED.test(specifier))
				findings.push(`${file}: core may not use ${specifier}`);
			continue;
		}
		const targetRoom = roomOf(target);
		if (targetRoom === room) {
			if (isTest(target) && !isTest(file)) findings.push(`${file}: nobody imports a test (${specifier})`);
			continue;
		}
		if (targetRoom !== undefined && allowed.includes(targetRoom)) continue;
		if (isTypeOnly && allowed.includes(`type:${targetRoom}`)) continue;
		if (isTest(file) && TEST_MAY_USE.has(targetRoom ?? "")) continue;
		findings.push(`${file}: ${room} may not import ${targetRoom} (${specifier})`);
	}
	return findings;
}

/** Tests may stand on the PKI and the evidence code, to use the real thing instead of a stand-in. */
const TEST_MAY_USE = new Set(["core", "host", "rules", "migrations"]);

/** What core may not touch even without an import: clocks, chance, timers, the page. */
const CORE_GLOBALS =
	/(?<![.\w-])(Date\.now|Math\.random|setTimeout|setInterval|console\.|window\.|process\.(env|argv|exit|stdout|stderr|hrtime|cwd))/;

export function checkPurity(file: string, source: string): string[] {
	if (roomOf(file) !== "core" || isTest(file)) return [];
	return source
		.split("\n")
		.flatMap((line, index) =>
			CORE_GLOBALS.test(line) && !/^\s*(\*|\/\/|\/\*)/.test(line)
				? [`${file}:${index + 1}: core takes clock, chance and output as arguments`]
				: [],
		);
}
