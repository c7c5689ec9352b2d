/**
 * One seed: a tree, its work, its faults, the heal, the settling, the verdict. Guarantees that a seed decides everything that can
 * change the outcome, so that a seed that fails here fails anywhere.
 */
import type { Lane } from "#core/model/batch.ts";
import { decodeFrame, encodeFrame } from "#core/protocol/index.ts";
import { isFreed } from "../agent/outbox/chain.ts";
import { Checks, type Figures, type Finding } from "./checks.ts";
import { frameFaultsOf, planFaults } from "./faults.ts";
import { Harm } from "./harm.ts";
import type { Planted } from "./planted.ts";
import { useWorld } from "./runtime/globals.ts";
import { Network } from "./runtime/network.ts";
import { Random } from "./runtime/random.ts";
import { World } from "./runtime/world.ts";
import { createEnclave, type Enclave } from "./tree/enclave.ts";
import { loadWorkerCode, type WorkerCode } from "./tree/roles.ts";
import { shapeOf, Tree } from "./tree/tree.ts";

export interface Verdict {
	readonly seed: number;
	readonly findings: readonly Finding[];
	readonly figures: Figures;
	readonly faults: number;
	/** Virtual time, and turns of code. */
	readonly virtualMs: number;
	readonly turns: number;
	readonly traceHash: string;
	/** Virtual time from the heal until nothing waited any more; null when something still did at the end. */
	readonly settledMs: number | null;
}

/** From the heal on: the longest pauses one behind the other (an agent's, an uplink's, a stream's) and the alarm of a hole. */
const SETTLE_MS_MAX = 180_000;

/** From the heal until a lost tail is an alarm, and is asked for. */
const TAIL_MS = 75_000;

export interface Ground {
	readonly enclave: Enclave;
	readonly code: WorkerCode;
}

let ground: Promise<Ground> | null = null;

/** What every seed of a process stands on. */
export function prepareGround(): Promise<Ground> {
	ground ??= (async () => ({ code: await loadWorkerCode(), enclave: await createEnclave() }))();
	return ground;
}

/** As a hop of the build before says it: without hashes, an agent cannot see that the hop's watermarks are of another history. */
function withoutHashes(data: Uint8Array): Uint8Array {
	const frame = decodeFrame(data);
	if (!frame.ok || frame.value.type !== "welcome") return data;
	const { watermarks, ...rest } = frame.value.body;
	return encodeFrame("welcome", { ...rest, watermarks: watermarks.map(({ hash: _, ...mark }) => mark) });
}

function planWork(tree: Tree, random: Random, untilMs: number): void {
	for (const agent of tree.agents) {
		const own = random.stream(agent.name);
		const everyMs = own.between(100, 900);
		const weights: readonly Lane[] = ["bulk", "bulk", "bulk", "bulk", "trace", "alert"];
		const next = () => {
			if (tree.world.nowMs > untilMs) return;
			const burst = own.chance(0.03) ? 20 : 1;
			const lane = own.pick(weights);
			for (let at = 0; at < burst; at++) agent.add(lane, own.chance(0.05) ? "x".repeat(own.below(3000)) : "");
			tree.world.schedule(null, own.between(0, 2 * everyMs), next);
		};
		tree.world.schedule(null, own.between(0, everyMs), next);
	}
}

/** What is not where it should be yet, as far as the nodes know. */
function waitingOf(tree: Tree): string[] {
	const waiting: string[] = [];
	for (const { name, outbox, isLinkUp } of tree.agents) {
		if (outbox === null || !isLinkUp) waiting.push(`${name} has no link`);
		for (const chain of outbox?.chains() ?? [])
			if (!isFreed(chain))
				waiting.push(`${name} ${chain.lane} ${chain.id} a1 ${chain.a1} a2 ${chain.a2} of ${chain.head}`);
	}
	for (const server of tree.servers)
		for (const slot of server.host.slots()) {
			if (slot.className !== "AgentChannel" || !slot.disk.hasTable("wal")) continue;
			const [row] = slot.disk.sql
				.exec("SELECT (SELECT count(*) FROM wal) + (SELECT count(*) FROM alarms) AS n")
				.toArray();
			if (row?.n !== 0) waiting.push(`${slot.name} holds ${row?.n} batches and alarms`);
		}
	return waiting;
}

const isSettled = (tree: Tree): boolean => waitingOf(tree).length === 0;

export interface SimulateOptions {
	readonly seed: number;
	readonly planted?: Planted | null;
	readonly onLine?: (line: string) => void;
}

/** Runs one seed to its verdict. One at a time per process. */
export async function simulate({ seed, planted = null, onLine }: SimulateOptions): Promise<Verdict> {
	const { enclave, code } = await prepareGround();
	const world = new World(seed, planted);
	world.onLine = onLine ?? null;
	useWorld(world);
	const random = new Random(seed, "plan");
	const shape = shapeOf(random.stream("shape"));
	const delay = random.stream("delay").chance(0.5) ? ([0.2, 3] as const) : ([5, 60] as const);
	const network = new Network(world, frameFaultsOf(random.stream("frames")), delay);
	const harm = new Harm();
	network.mayHarm = (connection, frame) => harm.mayHarm(connection, frame);
	if (random.stream("hops").chance(0.4)) network.toAgent = withoutHashes;
	network.onAgentState = (connection, frame) => harm.arrived(connection, frame);
	const checks = new Checks();
	const tree = new Tree(world, network, { enclave, code, shape, watch: checks });
	try {
		checks.watch(tree);
		tree.startAll();
		const workMs = random.stream("time").between(4000, 16_000);
		planWork(tree, random.stream("work"), workMs);
		const faults = planFaults(tree, random.stream("faults"), workMs);
		await world.run(workMs);
		tree.heal();
		const settledAt = await settle(tree, world.nowMs);
		if (settledAt === null) checks.fail("stalled", `after ${SETTLE_MS_MAX} ms: ${waitingOf(tree).join("; ")}`);
		const figures = checks.judge(tree);
		return {
			seed,
			findings: checks.findings,
			figures,
			faults,
			virtualMs: world.nowMs,
			turns: world.turns,
			traceHash: world.traceHash(),
			settledMs: settledAt === null ? null : settledAt - workMs,
		};
	} finally {
		useWorld(null);
		tree.close();
	}
}

/** Answers when nothing waited any more; null when something still did after the longest settling. */
async function settle(tree: Tree, healedAtMs: number): Promise<number | null> {
	const { world } = tree;
	while (world.nowMs < healedAtMs + SETTLE_MS_MAX) {
		await world.run(world.nowMs + 500);
		for (const server of tree.servers) server.start();
		for (const agent of tree.agents) agent.start();
		// What a disk alone had is missed when the alarm of a tail is due, and then asked for.
		if (tree.servers.some((server) => server.hasLostDisk) && world.nowMs < healedAtMs + TAIL_MS) continue;
		if (!isSettled(tree)) continue;
		const atMs = world.nowMs;
		// What is on its way arrives, the last heartbeat and state too.
		await world.run(atMs + 3000);
		if (isSettled(tree)) return atMs;
	}
	return null;
}
