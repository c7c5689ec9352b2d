/**
 * Runs every fuzz target of the house: `x.fuzz.ts` beside a parser exports `name`, `corpus()` and `run(bytes)`, and `run` must
 * not throw, whatever the bytes. Mutations are seeded and the seed is printed, so a finding repeats. Must never write a corpus.
 */
import { globSync } from "node:fs";
import { pathToFileURL } from "node:url";

const HELP = `usage: node tools/fuzz.ts [--seconds N | --inputs N] [--seed N] [--only NAME]
Mutates each target's corpus for N seconds in all, or N inputs each.
  example: node tools/fuzz.ts --inputs 1000000 --only zip
Exit 0 nothing found, 1 a target threw or hung, 2 usage.
`;

/** One input may take this much CPU, ms, before it counts as a hang: a peer that can buy more time than that with one message can stop its reader. */
const INPUT_MS_MAX = 100;

interface Target {
	readonly name: string;
	corpus(): Uint8Array[];
	run(bytes: Uint8Array): void;
}

/** xorshift32: enough for mutation, and repeats from its seed. */
function randomFrom(seed: number): (below: number) => number {
	let state = seed >>> 0 || 1;
	return (below) => {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		return (state >>> 0) % Math.max(1, below);
	};
}

function mutate(input: Uint8Array, random: (below: number) => number): Uint8Array {
	let bytes = Uint8Array.from(input);
	for (let i = 1 + random(4); i > 0; i--) {
		const at = random(bytes.length);
		switch (random(5)) {
			case 0:
				if (bytes.length > 0) bytes[at] = (bytes[at] as number) ^ (1 << random(8));
				break;
			case 1:
				bytes = bytes.slice(0, at);
				break;
			case 2:
				if (bytes.length > 0) bytes[at] = [0, 0xff, 0x7f, 0x80, 0x9f, 0xbf, 0x1b, 0x5b][random(8)] as number;
				break;
			case 3: {
				const piece = bytes.slice(at, at + random(32));
				bytes = Uint8Array.from([...bytes.subarray(0, at), ...piece, ...bytes.subarray(at)]);
				break;
			}
			default:
				bytes = Uint8Array.from([...bytes.subarray(0, at), random(256), ...bytes.subarray(at)]);
		}
	}
	return bytes;
}

/** CPU time of one run, ms: a machine that stands still for a while is not the parser's doing. */
function costMs(target: Target, input: Uint8Array): number {
	const before = process.cpuUsage();
	target.run(input);
	const { user, system } = process.cpuUsage(before);
	return (user + system) / 1000;
}

/** A collection of garbage or a compilation may fall into one run; what is slow is slow each time. */
function isSlow(target: Target, input: Uint8Array, firstMs: number): boolean {
	return firstMs > INPUT_MS_MAX && costMs(target, input) > INPUT_MS_MAX && costMs(target, input) > INPUT_MS_MAX;
}

function fuzzTarget(target: Target, limit: { untilMs: number; inputs: number }, seed: number): boolean {
	const random = randomFrom(seed);
	const corpus = target.corpus();
	let count = 0;
	for (const entry of corpus) target.run(entry);
	while (count < limit.inputs && (count % 64 !== 0 || performance.now() < limit.untilMs)) {
		const input = mutate(corpus[random(corpus.length)] as Uint8Array, random);
		try {
			const tookMs = costMs(target, input);
			if (isSlow(target, input, tookMs)) {
				process.stdout.write(`FAIL ${target.name}: seed ${seed} input ${count} takes ${tookMs} ms of CPU\n`);
				process.stdout.write(`     bytes ${Buffer.from(input).toString("hex").slice(0, 2000)}\n`);
				return false;
			}
		} catch (error) {
			process.stdout.write(`FAIL ${target.name}: seed ${seed} input ${count}: ${(error as Error).stack}\n`);
			process.stdout.write(`     bytes ${Buffer.from(input).toString("hex").slice(0, 2000)}\n`);
			return false;
		}
		count++;
	}
	process.stdout.write(`ok   ${target.name}: ${count} inputs, seed ${seed}\n`);
	return true;
}

function option(name: string): string | undefined {
	const at = process.argv.indexOf(name);
	return at < 0 ? undefined : process.argv[at + 1];
}

if (process.argv.includes("--help")) {
	process.stdout.write(HELP);
	process.exit(0);
}
const seconds = Number(option("--seconds") ?? 60);
const inputs = Number(option("--inputs") ?? Number.POSITIVE_INFINITY);
const seed = Number(option("--seed") ?? Math.floor(Math.random() * 0x7fff_ffff) + 1);
const only = option("--only");
if (Number.isNaN(seconds) || Number.isNaN(inputs) || Number.isNaN(seed)) {
	process.stderr.write(HELP);
	process.exit(2);
}
const files = globSync("{core,agent,durable,workers,host,verify}/**/*.fuzz.ts").sort();
const targets = await Promise.all(files.map((file) => import(pathToFileURL(file).href) as Promise<Target>));
const chosen = targets.filter((target) => only === undefined || target.name === only);
if (chosen.length === 0) {
	process.stderr.write(
		`no target${only === undefined ? "" : ` is called ${only}`}; known: ${targets.map((t) => t.name).join(", ")}\n`,
	);
	process.exit(2);
}
let isFine = true;
for (const target of chosen) {
	const untilMs = Number.isFinite(inputs)
		? Number.POSITIVE_INFINITY
		: performance.now() + (seconds * 1000) / chosen.length;
	isFine = fuzzTarget(target, { untilMs, inputs }, seed) && isFine;
}
process.exit(isFine ? 0 : 1);
