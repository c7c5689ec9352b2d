/**
 * Hours of too much, shortened: a store that takes half of what comes, while processes are killed at random. What is shed must be named,
 * what is acknowledged must end in the store, and no process, descriptor or file may grow without an end.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { LANES } from "#core/model/batch.ts";
import type { AgentProcess } from "./agent-process.ts";
import { type FaultBox, judgeBox } from "./box.ts";
import { inBox } from "./kill.ts";
import { FAULT_LIMITS } from "./limits.ts";
import type { RowContext, RowOutcome } from "./row.ts";
import { seededRandom } from "./seeded-random.ts";

const AGENTS = ["agent-1", "agent-2"];
const MIB = 1024 * 1024;

/** Lets the store run a small part of the time; stands aside while it is being killed and started. */
class SlowStore {
	readonly #box: FaultBox;
	#isOn = true;
	readonly #ended: Promise<void>;

	constructor(box: FaultBox) {
		this.#box = box;
		this.#ended = this.#run();
	}

	async #run(): Promise<void> {
		while (this.#isOn) {
			this.#signal("pause");
			await sleep(FAULT_LIMITS.soakStoreStillMs);
			this.#signal("resume");
			await sleep(FAULT_LIMITS.soakStoreRunsMs);
		}
	}

	#signal(what: "pause" | "resume"): void {
		const store = this.#box.process("sqld");
		if (!store.isRunning) return;
		try {
			store[what]();
		} catch (error) {
			// It has just been killed: the next turn finds its successor.
			if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
		}
	}

	async end(): Promise<void> {
		this.#isOn = false;
		await this.#ended;
	}
}

const storedBatches = (box: FaultBox, agents: readonly AgentProcess[]) =>
	agents.reduce((sum, { id }) => sum + (box.store.view(id)?.batches.length ?? 0), 0);

/** Events a second that the slow store takes, measured by a burst of bulk. */
async function takesPerSecond(box: FaultBox, agent: AgentProcess, signal: AbortSignal): Promise<number> {
	const [rounds, events] = [FAULT_LIMITS.soakBurstBatches, 2000];
	const before = storedBatches(box, [agent]);
	await agent.feed({ rounds, everyMs: 20, events, lanes: ["bulk"] });
	// From a moment at which it works, to one at which it still does: neither the way there nor the end counts.
	const reached = async (batches: number) => {
		const untilMs = performance.now() + FAULT_LIMITS.settleMsMax;
		while (storedBatches(box, [agent]) - before < batches && performance.now() < untilMs && !signal.aborted)
			await sleep(100);
		return performance.now();
	};
	const startedAtMs = await reached(Math.floor(rounds / 10));
	const first = storedBatches(box, [agent]);
	const endedAtMs = await reached(Math.floor((rounds * 9) / 10));
	const taken = (storedBatches(box, [agent]) - first) * events;
	return (taken * 1000) / Math.max(1, endedAtMs - startedAtMs);
}

interface Use {
	readonly rssBytes: number;
	readonly descriptors: number;
}

/** Of a running process; null when it has just gone. */
function useOf(pid: number): Use | null {
	try {
		const line = readFileSync(`/proc/${pid}/status`, "utf8").match(/^VmRSS:\s+(\d+)/m)?.[1];
		return { rssBytes: Number(line ?? 0) * 1024, descriptors: readdirSync(`/proc/${pid}/fd`).length };
	} catch {
		return null;
	}
}

/** The most that each process used, and the most that lay on each disk, so far. */
class Peaks {
	readonly rssBytes = new Map<string, number>();
	readonly descriptors = new Map<string, number>();
	readonly diskBytes = new Map<string, number>();

	#raise(map: Map<string, number>, name: string, value: number): void {
		map.set(name, Math.max(value, map.get(name) ?? 0));
	}

	look(box: FaultBox, agents: readonly AgentProcess[]): void {
		const running = box.names.filter((name) => box.process(name).isRunning);
		for (const [name, pid] of [
			...running.map((each) => [each, box.process(each).pid] as const),
			...agents.filter((agent) => agent.isRunning).map((agent) => [agent.id, agent.pid] as const),
		]) {
			const use = useOf(pid);
			if (use === null) continue;
			this.#raise(this.rssBytes, name, use.rssBytes);
			this.#raise(this.descriptors, name, use.descriptors);
		}
		for (const agent of agents) this.#raise(this.diskBytes, agent.id, bytesBelow(agent.outboxDirectory));
		this.#raise(this.diskBytes, "px-1", bytesBelow(join(box.dataDir, "px-1", "wal")));
		this.#raise(this.diskBytes, "sc", bytesBelow(join(box.dataDir, "center")));
	}
}

function bytesBelow(folder: string): number {
	let bytes = 0;
	// What a process removes meanwhile takes no room.
	for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" }))
		bytes += statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0;
	return bytes;
}

async function killOne(
	box: FaultBox,
	agents: readonly AgentProcess[],
	random: (below: number) => number,
): Promise<void> {
	const names = [...box.names, ...agents.map(({ id }) => id)];
	const victim = names[random(names.length)] as string;
	const agent = agents.find(({ id }) => id === victim);
	if (agent !== undefined) {
		await agent.kill();
		await agent.start({ outboxBytesMax: FAULT_LIMITS.smallOutboxBytes });
		return;
	}
	await box.process(victim).kill();
	await sleep(random(300));
	await box.process(victim).start(8);
}

/** Row 40: 24 h in the plan. Minutes as asked for. */
export function soak(context: RowContext): Promise<RowOutcome> {
	return inBox(context, { agents: AGENTS }, async (box) => {
		const random = seededRandom(context.seed);
		const agents = AGENTS.map((id) => box.agent(id));
		for (const agent of agents) await agent.start({ outboxBytesMax: FAULT_LIMITS.smallOutboxBytes });
		for (const agent of agents) await agent.linked();
		await (agents[0] as AgentProcess).feed({ rounds: 5, everyMs: 20, events: 4, lanes: LANES });
		const slow = new SlowStore(box);
		const perSecond = await takesPerSecond(box, agents[0] as AgentProcess, context.signal);
		const everyMs = FAULT_LIMITS.soakEveryMs;
		const events = Math.max(1, Math.round((2 * perSecond * everyMs) / 1000 / agents.length));
		context.step(
			`the slow store takes ${Math.round(perSecond)} events a second; ${events} every ${everyMs} ms come from each agent`,
		);
		const untilMs = performance.now() + context.minutes * 60_000;
		const peaks = new Peaks();
		let kills = 0;
		let sayAtMs = performance.now() + 60_000;
		const feeding = agents.map(async (agent) => {
			while (performance.now() < untilMs && !context.signal.aborted) {
				// Between two lives there is nobody to feed.
				if (!agent.isRunning) await sleep(50);
				else await agent.feed({ rounds: 20, everyMs, events, lanes: LANES, urgentEvents: 4 });
			}
		});
		while (performance.now() < untilMs && !context.signal.aborted) {
			await sleep(1000 + random(FAULT_LIMITS.soakKillEveryMs));
			await killOne(box, agents, random);
			kills++;
			peaks.look(box, agents);
			if (performance.now() < sayAtMs) continue;
			sayAtMs += 60_000;
			const sum = (of: (agent: AgentProcess) => number) => agents.reduce((all, agent) => all + of(agent), 0);
			context.step(
				`${kills} kills; ${sum((each) => each.truth.attempted)} batches attempted, ${sum((each) => each.truth.acked)} acknowledged, ${storedBatches(box, agents)} stored`,
			);
		}
		await Promise.all(feeding);
		await slow.end();
		const outcome = await judgeBox(box, context, { agents, settleMsMax: FAULT_LIMITS.soakSettleMsMax });
		const told = (map: ReadonlyMap<string, number>, unit: number) =>
			[...map].map(([name, most]) => `${name} ${Math.round(most / unit)}`).join(", ");
		context.step(
			`${kills} kills; at most: RSS in MiB ${told(peaks.rssBytes, MIB)}; descriptors ${told(peaks.descriptors, 1)}; disk in MiB ${told(peaks.diskBytes, MIB)}`,
		);
		return { ...outcome, violations: [...grown(peaks, kills), ...outcome.violations] };
	});
}

function grown(peaks: Peaks, kills: number): string[] {
	const over = (map: ReadonlyMap<string, number>, most: number, what: string) =>
		[...map].filter(([, value]) => value > most).map(([name, value]) => `${name} took ${value} ${what}`);
	const { soakRssBytesMax, soakDescriptorsMax, smallOutboxBytes, fullDiskSlackBytes } = FAULT_LIMITS;
	const outboxes = new Map([...peaks.diskBytes].filter(([name]) => AGENTS.includes(name)));
	return [
		...(kills === 0 ? ["nothing was killed: the row tries nothing"] : []),
		...over(peaks.rssBytes, soakRssBytesMax, "bytes of memory"),
		...over(peaks.descriptors, soakDescriptorsMax, "descriptors"),
		// Alerts may use a segment more: the record of a loss must find room.
		...over(outboxes, smallOutboxBytes + smallOutboxBytes / 16 + fullDiskSlackBytes, "bytes of outbox"),
	];
}
