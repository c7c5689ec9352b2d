/** Traces as the console sees them: the desk's commands and seals joined with what the store holds. */
import { base64Of, hexOf } from "#core/bytes/bytes.ts";
import { stitchHops } from "#core/stitch/hop.ts";
import type { SealRow } from "../../../durable/desk-store.ts";
import { OBJECT_NAMES } from "../../../durable/sc-objects.ts";
import type { CommandFacts } from "../../../durable/trace-desk.ts";
import type { Hop, TraceAnswer, TraceCommandView, TraceHost, TraceSummary } from "../api/answers.ts";
import type { ScEnv } from "../env.ts";
import { stitchInputOf } from "../store/hop-rows.ts";
import { storeOf } from "../store/open.ts";
import { completenessOf, nodesOf, type TraceFacts, traceFacts } from "../store/queries.ts";

export function commandView(facts: CommandFacts): TraceCommandView {
	const { command } = facts;
	return {
		commandId: facts.commandId,
		act: facts.act,
		agent: facts.agent,
		targetProcess: hexOf(command.targetProcess),
		targetPid: command.targetPid,
		initiatedBy: command.initiatedBy,
		approvedBy: facts.signers.filter((id) => id !== command.initiatedBy),
		approvalsNeeded: facts.approvalsNeeded,
		state: facts.state,
		cause: facts.cause,
		sentAtMs: facts.sentMs,
		answeredAtMs: facts.answeredMs,
		expiresAtMs: facts.expiresMs,
		maxDurationSecs: command.maxDurationSecs,
		payload: base64Of(facts.payload),
		parentLink:
			command.parentLink === undefined
				? null
				: { agent: command.parentLink.agent, process: hexOf(command.parentLink.process) },
	};
}

/** Sealed when every host that accepted a start has sealed; else the state of the start that got furthest. */
export function traceState(commands: readonly CommandFacts[], seals: readonly SealRow[]): TraceSummary["state"] {
	const starts = commands.filter(({ act }) => act === "start");
	const running = starts.filter(({ state }) => state === "accepted").map(({ agent }) => agent);
	const sealed = new Set(seals.map(({ agent }) => agent));
	if (running.length > 0) return running.every((agent) => sealed.has(agent)) ? "sealed" : "running";
	for (const state of ["sent", "awaiting_approval", "refused"] as const)
		if (starts.some((command) => command.state === state)) return state;
	return "expired";
}

function summaryOf(
	id: string,
	commands: readonly CommandFacts[],
	known: { seals: readonly SealRow[]; facts: TraceFacts | undefined },
): TraceSummary {
	const first = commands.find(({ act }) => act === "start") ?? commands[0];
	return {
		id,
		state: traceState(commands, known.seals),
		reason: first?.command.reason ?? "",
		initiatedBy: first?.command.initiatedBy ?? "",
		startedAtMs: first?.createdMs ?? 0,
		eventCount: known.facts?.eventCount ?? 0,
		hosts: [...new Set(commands.map(({ agent }) => agent))],
		hitId: commands.find(({ hitId }) => hitId !== null)?.hitId ?? null,
	};
}

/** Newest first. */
export async function listTraces(env: ScEnv, limit: number): Promise<TraceSummary[]> {
	const desk = env.TRACE_DESK.getByName(OBJECT_NAMES.desk);
	const byTrace = new Map<string, CommandFacts[]>();
	for (const facts of await desk.commands()) {
		const list = byTrace.get(facts.traceId) ?? [];
		byTrace.set(facts.traceId, list);
		list.unshift(facts);
	}
	const ids = [...byTrace.keys()].slice(0, limit);
	const { reader } = await storeOf(env);
	const [facts, seals] = [await traceFacts(reader, ids), await desk.seals(ids)];
	return ids.map((id) => {
		const own = seals.filter(({ traceId }) => traceId === id);
		return summaryOf(id, byTrace.get(id) ?? [], { seals: own, facts: facts.get(id) });
	});
}

export async function hopsOf(env: ScEnv, traceId: string, commands: readonly CommandFacts[]): Promise<Hop[]> {
	const { reader } = await storeOf(env);
	const followed = new Set(
		commands
			.filter(({ act, state }) => act === "start" && state !== "refused" && state !== "expired")
			.map(({ agent }) => agent),
	);
	return stitchHops(await stitchInputOf(reader, traceId)).map(({ acceptId: _, reasons, ...hop }) => ({
		...hop,
		reasons: [...reasons],
		isFollowed: hop.to !== null && hop.to.agent !== hop.from.agent && followed.has(hop.to.agent),
	}));
}

/** Null: there is no such trace. */
export async function traceAnswer(env: ScEnv, traceId: string): Promise<TraceAnswer | null> {
	const { commands, seals } = await env.TRACE_DESK.getByName(OBJECT_NAMES.desk).trace(traceId);
	if (commands.length === 0) return null;
	const { reader } = await storeOf(env);
	const facts = (await traceFacts(reader, [traceId])).get(traceId);
	const trace = summaryOf(traceId, commands, { seals, facts });
	const nodes = await nodesOf(reader);
	const hosts = trace.hosts.map((agent): TraceHost => {
		const node = nodes.find(({ nodeId }) => nodeId === agent);
		const seal = seals.filter((each) => each.agent === agent).at(-1);
		return {
			agent,
			hostName: node?.hostName ?? "",
			clockOffsetMs: node?.clockOffsetMs ?? 0,
			seal:
				seal === undefined
					? null
					: { cause: seal.cause, eventCount: seal.eventCount, gapCount: seal.gapCount, timeMs: seal.timeMs },
		};
	});
	return {
		trace,
		commands: commands.map(commandView),
		hosts,
		hops: await hopsOf(env, traceId, commands),
		completeness: await completenessOf(reader, facts),
	};
}
