/** Batches that come more than once, in another order, not at all, or in poisoned company. */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { hexOf } from "#core/bytes/bytes.ts";
import { LANES, sealBatch, sealEvent, ZERO_HASH } from "#core/model/batch.ts";
import { ZERO_PROCESS } from "#core/model/event.ts";
import { MODEL_LIMITS } from "#core/model/limits.ts";
import type { TestLink, TestStream } from "../miniflare-tests/test-agent.ts";
import { judgeBox } from "./box.ts";
import { HandAgent, send } from "./hand-agent.ts";
import { inBox } from "./kill.ts";
import type { RowContext, RowOutcome } from "./row.ts";
import type { Wire } from "./truth-line.ts";

const AGENT = "agent-1";

/** Row 23: three times on one link, by two proxies at once, and all of it once more when it is long stored. */
export function sendThrice(context: RowContext): Promise<RowOutcome> {
	return inBox(context, { agents: [AGENT], proxies: 2 }, async (box) => {
		const agent = new HandAgent(box, AGENT);
		const links = [await agent.open(0), await agent.open(1)];
		const streams = LANES.map((lane) => agent.stream(lane));
		const sent = [];
		for (let round = 0; round < 40; round++)
			for (const stream of streams) {
				const batch = agent.seal(stream);
				sent.push(batch);
				for (let copy = 0; copy < 3; copy++) for (const link of links) send(link, batch);
			}
		for (const link of links) for (const stream of streams) await receipted(link, stream, 40);
		await judgeBox(box, context, { agents: [agent] });
		context.step("all stored; everything is sent once more");
		for (const link of links) for (const batch of sent) send(link, batch);
		await sleep(3000);
		for (const link of links) {
			agent.takeReceipts(link);
			link.close();
		}
		return judgeBox(box, context, { agents: [agent] });
	});
}

function receipted(link: TestLink, stream: TestStream, seq: number): Promise<unknown> {
	return link.expect("receipt", (body) => hexOf(body.stream) === hexOf(stream.stream) && body.seq >= seq, 30_000);
}

/** Rows 24 and 25: the agent's own sender over a wire that shuffles or drops batches; the end comes over a clean one. */
function spoil(context: RowContext, wire: Omit<Wire, "seed">): Promise<RowOutcome> {
	return inBox(context, { agents: [AGENT] }, async (box) => {
		const agent = box.agent(AGENT);
		await agent.start();
		agent.spoilWire({ ...wire, seed: context.seed });
		await agent.feed({ rounds: 150, everyMs: 10, events: 3, lanes: LANES });
		agent.spoilWire({ dropOneIn: 0, reorderWindow: 1, seed: 1 });
		await agent.feed({ rounds: 3, everyMs: 50, events: 3, lanes: LANES });
		const outcome = await judgeBox(box, context, { agents: [agent] });
		context.step(`refused on the way: ${agent.logged.get("batch_refused") ?? 0}`);
		const isTried = (agent.logged.get("batch_refused") ?? 0) > 0;
		return isTried
			? outcome
			: { ...outcome, violations: ["no hop noticed anything: the row tries nothing", ...outcome.violations] };
	});
}

/** Row 24. */
export const reorder = (context: RowContext) => spoil(context, { dropOneIn: 0, reorderWindow: 8 });

/** Row 25. */
export const drop = (context: RowContext) => spoil(context, { dropOneIn: 25, reorderWindow: 1 });

/** A batch whose header is right and whose one event carries another's signature. */
function badEventBatch(agent: HandAgent): Uint8Array {
	const nowMs = Date.now();
	const event = sealEvent(
		{
			...{ kind: "exec", process: ZERO_PROCESS, kernelTimeNs: BigInt(nowMs) * 1_000_000n, wallTimeMs: nowMs, seq: 0 },
			...{ tier: "ebpf", payload: { exe: "/bin/true" } },
		},
		new Uint8Array(randomBytes(32)),
	);
	const header = {
		...{ agent: agent.id, stream: new Uint8Array(randomBytes(8)), seq: 1, prevHash: ZERO_HASH, lane: "trace" as const },
		...{ startMs: nowMs, endMs: nowMs, firstEvent: 0 },
	};
	return sealBatch(header, [event], agent.identity.seed).bytes;
}

/** Row 32. */
export function poison(context: RowContext): Promise<RowOutcome> {
	return inBox(context, { agents: [AGENT] }, async (box) => {
		const agent = new HandAgent(box, AGENT);
		const stream = agent.stream("alert");
		const other = agent.stream("bulk");
		let link = await agent.open();
		const violations: string[] = [];
		const good = async () => {
			const batch = agent.seal(stream);
			send(link, batch);
			await receipted(link, stream, batch.seq).catch(() =>
				violations.push(`good batch ${batch.seq} was not acknowledged`),
			);
		};
		const refused = async (what: string, bytes: Uint8Array) => {
			const before = link.frames.filter(({ type }) => type === "reject").length;
			link.send("batch", { bytes });
			const untilMs = performance.now() + 3000;
			const rejects = () => link.frames.filter(({ type }) => type === "reject").length;
			while (rejects() === before && performance.now() < untilMs) await sleep(20);
			if (rejects() === before) violations.push(`${what}: the sender was not told`);
			await good();
		};
		await good();
		await refused("a batch with another's signature", other.next({ seed: new Uint8Array(randomBytes(32)) }).bytes);
		await refused("a batch of another agent", other.next({ agent: "agent-2" }).bytes);
		await refused("bytes that are no batch", new Uint8Array(randomBytes(200)));
		await refused("a batch with a flipped bit", flipped(other.next({ seq: 7 }).bytes));
		agent.takeReceipts(link);
		link.sendRaw(new Uint8Array(MODEL_LIMITS.batchBytesMax + 200_000));
		await link
			.expect("bye", () => true, 3000)
			.catch(() => violations.push("a frame that is too large: the sender was not told"));
		link = await agent.open();
		await good();
		link.send("batch", { bytes: badEventBatch(agent) });
		await good();
		await sleep(500);
		agent.takeReceipts(link);
		link.close();
		const outcome = await judgeBox(box, context, { agents: [agent] });
		const untilMs = performance.now() + 10_000;
		const isAlarmed = () => box.store.view(AGENT)?.alarms.some(({ code }) => code === "batch_events_refused") === true;
		while (!isAlarmed() && performance.now() < untilMs) await sleep(200);
		if (!isAlarmed()) violations.push("a batch whose event is not believed raised no alarm");
		// It is kept verbatim with the reason, and no truth of ours attempted it.
		const rest = outcome.violations.filter((each) => !(each.startsWith("I3") && outcome.violations.length === 1));
		return { ...outcome, violations: [...violations, ...rest] };
	});
}

function flipped(bytes: Uint8Array): Uint8Array {
	const out = bytes.slice();
	const at = out.length - 20;
	out[at] = (out[at] as number) ^ 1;
	return out;
}
