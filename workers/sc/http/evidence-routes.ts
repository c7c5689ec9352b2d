/** Reading: fleet, alarms, hits, traces, events, processes, ledger. Every signed-in operator may read what no role is named for. Contract: api/answers.ts. */
import { Hono } from "hono";
import { bytesOfHex, hexOf } from "#core/bytes/bytes.ts";
import { feedUrl } from "../../../durable/feed-listeners.ts";
import { OBJECT_NAMES } from "../../../durable/sc-objects.ts";
import { sessionHash } from "../../../durable/sign-in.ts";
import { SERVER_RULES } from "../../../rules/index.ts";
import type {
	AlarmsAnswer,
	EventsAnswer,
	HitsAnswer,
	LedgerAnswer,
	QuarantineAnswer,
	TracesAnswer,
} from "../api/answers.ts";
import { fleetOf } from "../fleet.ts";
import { ROUTE_LIMITS } from "../limits.ts";
import { alarmsOf } from "../store/alarms.ts";
import { storeOf } from "../store/open.ts";
import { quarantinedItems } from "../store/quarantine.ts";
import { completenessOf, eventsOf, hitsOf, processOf, traceFacts } from "../store/queries.ts";
import { type ScHono, sessionSecret, withRole } from "./guard.ts";
import { problem } from "./problems.ts";
import { listTraces, traceAnswer } from "./traces.ts";

function describeRule(ruleId: string): { ruleTitle: string; severity: "low" | "medium" | "high" } {
	const rule = SERVER_RULES.find(({ id }) => id === ruleId);
	return { ruleTitle: rule?.title ?? ruleId, severity: rule?.severity ?? "medium" };
}

function countIn(text: string | undefined, most: number): number {
	const value = Number(text ?? most);
	return Number.isSafeInteger(value) && value > 0 ? Math.min(value, most) : most;
}

export const evidenceRoutes = new Hono<ScHono>()
	.get("/fleet", async (context) => context.json(await fleetOf(context.env, { hasCounts: true })))
	.get("/hits", async (context) => {
		const { reader } = await storeOf(context.env);
		const limit = countIn(context.req.query("limit"), ROUTE_LIMITS.hitsListed);
		return context.json({ hits: await hitsOf(reader, limit, describeRule) } satisfies HitsAnswer);
	})
	.get("/alarms", withRole("viewer", "auditor"), async (context) => {
		const { reader } = await storeOf(context.env);
		const limits = { max: ROUTE_LIMITS.alarmsListed, perAgentMax: ROUTE_LIMITS.alarmsListedPerAgent };
		return context.json({ alarms: await alarmsOf(reader, limits) } satisfies AlarmsAnswer);
	})
	.get("/quarantine", withRole("viewer", "auditor"), async (context) => {
		const { reader } = await storeOf(context.env);
		const limits = { max: ROUTE_LIMITS.quarantineListed, perTellerMax: ROUTE_LIMITS.quarantineListedPerTeller };
		return context.json({ items: await quarantinedItems(reader, limits) } satisfies QuarantineAnswer);
	})
	.get("/traces", async (context) => {
		const traces = await listTraces(context.env, ROUTE_LIMITS.tracesListed);
		return context.json({ traces } satisfies TracesAnswer);
	})
	.get("/traces/:id", async (context) => {
		const answer = await traceAnswer(context.env, context.req.param("id"));
		if (answer === null) return problem({ code: "trace_unknown", detail: "There is no such trace." });
		return context.json(answer);
	})
	.get("/traces/:id/events", async (context) => {
		const { reader } = await storeOf(context.env);
		const id = context.req.param("id");
		const after = Number(context.req.query("after") ?? "0");
		if (!Number.isSafeInteger(after) || after < 0)
			return problem({ code: "request_malformed", detail: "`after` is the row of the last event seen." });
		const page = { after, limit: countIn(context.req.query("limit"), ROUTE_LIMITS.eventsPage) };
		const { events, hasMore } = await eventsOf(reader, id, page);
		const facts = (await traceFacts(reader, [id])).get(id);
		return context.json({
			events,
			nextAfter: events.at(-1)?.row ?? after,
			hasMore,
			completeness: await completenessOf(reader, facts),
		} satisfies EventsAnswer);
	})
	.get("/agents/:agent/processes/:process", async (context) => {
		const key = bytesOfHex(context.req.param("process"));
		const { reader } = await storeOf(context.env);
		const answer = key?.length === 16 ? await processOf(reader, context.req.param("agent"), key) : null;
		if (answer === null) return problem({ code: "not_found", detail: "No stored event names this process." });
		return context.json(answer);
	})
	.get("/ledger", async (context) => {
		const latest = await context.env.LEDGER.getByName(OBJECT_NAMES.ledger).latest();
		return context.json({
			origin: latest?.origin ?? "",
			size: latest?.size ?? 0,
			root: latest === null ? "" : hexOf(latest.root),
			checkpoint: latest?.note ?? "",
			signedAtMs: latest?.signedAtMs ?? 0,
		} satisfies LedgerAnswer);
	})
	.get("/live", async (context) => {
		const session = sessionHash(sessionSecret(context) ?? "");
		const response = await context.env.FEED.getByName(OBJECT_NAMES.feed).fetch(new Request(feedUrl(session)));
		if (response.status === 503) return problem({ code: "too_many_listeners", detail: "Too many consoles are open." });
		return response;
	});
