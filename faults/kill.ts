/**
 * Processes that end or stand still in the middle of something: killed at every Nth system call that touches the disk, killed at
 * random, stopped and let go on. What was acknowledged must be there afterwards, once, as it was sent.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { LANES } from "#core/model/batch.ts";
import type { AgentProcess } from "./agent-process.ts";
import { type FaultBox, judgeBox, openBox } from "./box.ts";
import { FAULT_LIMITS } from "./limits.ts";
import type { RowContext, RowOutcome } from "./row.ts";
import { seededRandom } from "./seeded-random.ts";

const AGENT = "agent-1";
/** Calls that change what is on a disk. */
const DISK_CALLS = ["pwrite64", "fdatasync", "fsync", "ftruncate", "unlink", "rename"];
const SMALL = { rounds: 3, everyMs: 5, events: 4, lanes: LANES };
/** Nobody listens here: what the agent holds then, it holds alone. */
const DEAD_PORT = 9;

/** Opens a box, runs a row in it, closes it whatever happens. */
export async function inBox(
	context: RowContext,
	options: Parameters<typeof openBox>[1],
	run: (box: FaultBox) => Promise<RowOutcome>,
): Promise<RowOutcome> {
	context.step("starting the enclave");
	const box = await openBox(context, options);
	try {
		return await run(box);
	} finally {
		await box.close();
	}
}

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** One life of an agent with a call that kills it; false when the call never came. */
async function oneAgentLife(
	agent: AgentProcess,
	at: { call: string; nth: number; isOffline: boolean },
): Promise<boolean> {
	const { call, nth, isOffline } = at;
	await agent.start({
		until: isOffline ? "held" : "freed",
		feed: SMALL,
		injection: { call, what: "signal=KILL", when: String(nth) },
		...(isOffline ? { port: DEAD_PORT } : {}),
	});
	const ended = await Promise.race([agent.ended, sleep(20_000, null, { ref: false })]);
	if (ended === null) await agent.kill();
	return ended === null || ended.status !== 0;
}

/** Row 1. */
export function killAgentAtEveryCall(context: RowContext): Promise<RowOutcome> {
	// One agent per call: each begins with an empty outbox, so that what makes its files is hit too.
	const ids = DISK_CALLS.map((call) => `agent-${call}`);
	return inBox(context, { agents: ids }, async (box) => {
		let kills = 0;
		for (const [index, call] of DISK_CALLS.entries()) {
			const agent = box.agent(ids[index] as string);
			const killed = { true: 0, false: 0 };
			for (const isOffline of [true, false]) {
				let nth = 1;
				while (
					nth <= FAULT_LIMITS.killsMax &&
					!context.signal.aborted &&
					(await oneAgentLife(agent, { call, nth, isOffline }))
				)
					nth++;
				killed[`${isOffline}`] = nth - 1;
				kills += nth - 1;
			}
			await agent.start({ until: "freed" });
			context.step(`${call}: killed at each of ${killed.true} calls without a hop, of ${killed.false} with one`);
		}
		const agents = ids.map((id) => box.agent(id));
		const outcome = await judgeBox(box, context, { agents });
		const restartMs = median(agents.flatMap((agent) => agent.restartsMs));
		context.step(`${kills} kills, median restart ${restartMs} ms`);
		if (restartMs < FAULT_LIMITS.agentRestartMsMax) return outcome;
		return { ...outcome, violations: [...outcome.violations, `restart took ${restartMs} ms`] };
	});
}

type Killed = "killed" | "not_called" | "broken";

/** Kills one process at its Nth call while the agent feeds, and lets everything come through again. */
async function oneHopKill(box: FaultBox, name: string, at: { call: string; nth: number }): Promise<Killed> {
	const agent = box.agent(AGENT);
	const hop = box.process(name);
	const tracer = await hop.attach({ call: at.call, what: "signal=KILL", when: String(at.nth) });
	const feeding = agent.feed({ rounds: 12, everyMs: 15, events: 4, lanes: LANES });
	const gone = await Promise.race([hop.gone().then(() => true), sleep(4000, false, { ref: false })]);
	await tracer.detach();
	await feeding;
	if (!gone) return "not_called";
	// At a proxy the agent's disk dies too: its history would heal what the proxy had promised and lost.
	if (name === "px-1") await agent.destroy();
	else await agent.stop();
	await hop.start();
	// A new life of the agent comes at once; the old one would wait longer after each kill.
	await agent.start();
	await agent.linked();
	const isWell = await settled(box, agent);
	// Links that live for moments only are tried ever later, as they should be: what is killed here has lived for a while.
	await sleep(FAULT_LIMITS.lifeBetweenKillsMs);
	return isWell ? "killed" : "broken";
}

/** Waits until all that the agent holds is stored: then every hop works again. False: it does not come to that. */
async function settled(box: FaultBox, agent: AgentProcess): Promise<boolean> {
	const untilMs = performance.now() + FAULT_LIMITS.betweenKillsMsMax;
	for (;;) {
		const view = box.store.view(agent.id);
		if (view !== null && agent.truth.isSettled(view)) return true;
		if (performance.now() > untilMs) return false;
		await sleep(FAULT_LIMITS.settlePollMs);
	}
}

async function killHops(
	context: RowContext,
	box: FaultBox,
	targets: readonly { name: string; calls: readonly string[] }[],
): Promise<RowOutcome> {
	const agent = box.agent(AGENT);
	await agent.start();
	await agent.feed(SMALL);
	let kills = 0;
	const violations: string[] = [];
	for (const { name, call } of targets.flatMap(({ name, calls }) => calls.map((call) => ({ name, call })))) {
		let last: Killed = "killed";
		let killed = 0;
		for (const nth of FAULT_LIMITS.hopKillsAt) {
			if (last !== "killed" || context.signal.aborted) break;
			last = await oneHopKill(box, name, { call, nth });
			if (last !== "not_called") killed++;
		}
		kills += killed;
		context.step(`${name}, ${call}: killed ${killed} times`);
		// Another kill could only hide what hangs, and a row that stops early must not pass.
		if (last === "broken") {
			violations.push(
				`after a kill of ${name} not everything came through within ${FAULT_LIMITS.betweenKillsMsMax} ms`,
			);
			break;
		}
	}
	const outcome = await judgeBox(box, context, { agents: [agent] });
	if (kills === 0) violations.push("nothing was ever killed: the row tries nothing");
	return { ...outcome, violations: [...violations, ...outcome.violations] };
}

/** Row 2. */
export function killProxyAtEveryCall(context: RowContext): Promise<RowOutcome> {
	return inBox(context, { agents: [AGENT] }, (box) =>
		killHops(context, box, [{ name: "px-1", calls: ["pwrite64", "fsync"] }]),
	);
}

/** Row 3. */
export function killCenterAtEveryCall(context: RowContext): Promise<RowOutcome> {
	return inBox(context, { agents: [AGENT] }, (box) =>
		killHops(context, box, [
			{ name: "sc", calls: ["pwrite64", "fsync"] },
			{ name: "sqld", calls: ["pwrite64", "fsync"] },
			{ name: "signer", calls: ["fsync", "rename"] },
		]),
	);
}

/** Row 4: 1,000 rounds in the plan. */
export function killAtRandom(context: RowContext): Promise<RowOutcome> {
	return inBox(context, { agents: [AGENT, "agent-2"], proxies: 2 }, async (box) => {
		const random = seededRandom(context.seed);
		const agents = [box.agent(AGENT), box.agent("agent-2")];
		for (const agent of agents) await agent.start();
		for (let round = 1; round <= FAULT_LIMITS.randomKills && !context.signal.aborted; round++) {
			const feeding = agents.map((agent) => agent.feed({ rounds: 10, everyMs: 20, events: 4, lanes: LANES }));
			await sleep(random(400));
			const victims = [...box.names, ...agents.map(({ id }) => id)];
			const victim = victims[random(victims.length)] as string;
			const agent = agents.find(({ id }) => id === victim);
			if (agent !== undefined) {
				await agent.kill();
				await agent.start();
			} else {
				await box.process(victim).kill();
				await sleep(random(300));
				await box.process(victim).start();
			}
			await Promise.all(feeding);
			if (round % 10 === 0) context.step(`${round} of ${FAULT_LIMITS.randomKills} kills`);
		}
		return judgeBox(box, context, { agents });
	});
}

/** Row 22: 60 s in the plan. The signer stands still for longer than its caller waits, so that a delivery is repeated. */
export function stopAndContinue(context: RowContext): Promise<RowOutcome> {
	return inBox(context, { agents: [AGENT] }, async (box) => {
		const agent = box.agent(AGENT);
		await agent.start();
		for (const { name, ms } of FAULT_LIMITS.stops) {
			if (context.signal.aborted) break;
			const feeding = agent.feed({ rounds: 20, everyMs: 25, events: 4, lanes: LANES });
			const target = name === "agent" ? agent : box.process(name);
			await sleep(100);
			target.pause();
			await sleep(ms);
			target.resume();
			await feeding;
			context.step(`${name} stood still for ${ms / 1000} s`);
		}
		return judgeBox(box, context, { agents: [agent] });
	});
}
