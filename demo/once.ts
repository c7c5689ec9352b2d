/**
 * `npm run demo -- --once`: the whole path, told by two scripted operators, judged at the end. Guarantees that it says `ok` only
 * when every step held on real input: a hit, two accepted traces, a stitched hop, sealed ends, a package that verifies, and every
 * event from the `ebpf` tier. Must never soften a check to pass.
 */
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { fail, ok, type Result } from "#core/result.ts";
import { verifyPackage } from "#core/verify/index.ts";
import { type OperatorClient, operatorClient } from "../cli/operator-client.ts";
import { DEMO_LIMITS, openStage, type Stage } from "./stage.ts";
import {
	commandTogether,
	eventsOf,
	exportTrace,
	newTraceId,
	type StoryEvent,
	type StoryHit,
	type StoryHop,
	type StoryProcess,
	type StoryTrace,
	until,
} from "./story.ts";

export interface OnceOptions {
	readonly signal: AbortSignal;
	readonly onStep: (text: string) => void;
	readonly onTrouble: (text: string) => void;
	/** Where the package is written; it outlives the demo. */
	readonly packagePath: string;
}

/** The last line of `--once`. */
export interface OnceReport {
	readonly ok: boolean;
	readonly trace_id: string;
	readonly hosts: readonly string[];
	readonly hit: { readonly rule: string; readonly latency_ms: number };
	readonly trace: {
		readonly start_to_first_event_ms: number;
		readonly events_by_kind: Readonly<Record<string, number>>;
	};
	readonly stitched: readonly { readonly from: string; readonly to: string; readonly confidence: number }[];
	readonly ledger: { readonly size: number; readonly root: string };
	readonly package: string;
	/** What `daemoneye verify` needs beside the package; the enclave itself is gone when this is read. */
	readonly root_fingerprint: string;
	readonly verdict: string;
}

const RULE = "web-server-spawns-shell";

/** What the database's host must show once it is followed. */
const FOLLOWED_KINDS = ["exec", "file_create", "file_rename", "file_unlink", "connect"] as const;

async function signInBoth(stage: Stage): Promise<Result<{ alice: OperatorClient; bob: OperatorClient }, string>> {
	const clients = stage.enclave.firstLinks.map(({ operatorId, url }) => ({
		client: operatorClient(stage.enclave.consoleUrl, operatorId, new Uint8Array(randomBytes(32))),
		token: url.slice(url.lastIndexOf("/") + 1),
	}));
	for (const { client, token } of clients) {
		const redeemed = await client.redeem(token);
		if (!redeemed.ok) return redeemed;
	}
	for (const { client } of clients) {
		const signedIn = await client.signIn();
		if (!signedIn.ok) return signedIn;
	}
	const of = (id: string) => clients.find(({ client }) => client.operatorId === id)?.client;
	const [alice, bob] = [of("alice"), of("bob")];
	if (alice === undefined || bob === undefined) return fail("story_step_failed", "alice or bob has no invitation");
	return ok({ alice, bob });
}

interface Cast {
	readonly stage: Stage;
	readonly analyst: OperatorClient;
	readonly approver: OperatorClient;
	readonly traceId: string;
	readonly options: OnceOptions;
	readonly signal: AbortSignal;
}

async function firstHit(cast: Cast): Promise<Result<StoryHit, string>> {
	const exploited = await cast.stage.hosts.exploit();
	if (!exploited.ok) return exploited;
	return until(
		`hit of ${RULE}`,
		async () => {
			const hits = await cast.analyst.get<{ hits: StoryHit[] }>("/api/hits?limit=50");
			if (!hits.ok) return null;
			return hits.value.hits.find((hit) => hit.ruleId === RULE && hit.agent === "web-01") ?? null;
		},
		cast.signal,
	);
}

/** Starts the trace and measures from the signed command to the first trace event that is stored. */
async function traceFrom(
	cast: Cast,
	target: StoryProcess,
	aim: { reason: string; hitId?: number; parent?: StoryProcess },
) {
	const startedAtMs = Date.now();
	const started = await commandTogether(
		cast,
		{
			traceId: cast.traceId,
			target,
			reason: aim.reason,
			act: "start",
			...(aim.parent === undefined ? {} : { parent: aim.parent }),
		},
		aim.hitId,
	);
	if (!started.ok) return started;
	const first = await until(
		"first trace event",
		async () => {
			const events = await eventsOf(cast.analyst, cast.traceId);
			return events.ok && events.value.some((event) => event.agent === target.agent) ? Date.now() : null;
		},
		cast.signal,
	);
	return first.ok ? ok(first.value - startedAtMs) : first;
}

async function hopToDatabase(cast: Cast): Promise<Result<StoryHop, string>> {
	const stage2 = await cast.stage.hosts.stage2();
	if (!stage2.ok) return stage2;
	return until(
		"hop from web-01 to db-01",
		async () => {
			const trace = await cast.analyst.get<StoryTrace>(`/api/traces/${cast.traceId}`);
			if (!trace.ok) return null;
			return trace.value.hops.find((hop) => hop.from.agent === "web-01" && hop.followTarget?.agent === "db-01") ?? null;
		},
		cast.signal,
	);
}

async function followedEvents(cast: Cast): Promise<Result<StoryEvent[], string>> {
	const stage3 = await cast.stage.hosts.stage3();
	if (!stage3.ok) return stage3;
	return until(
		`${FOLLOWED_KINDS.join(", ")} on db-01`,
		async () => {
			const events = await eventsOf(cast.analyst, cast.traceId);
			if (!events.ok) return null;
			const kinds = new Set(events.value.filter((event) => event.agent === "db-01").map((event) => event.kind));
			return FOLLOWED_KINDS.every((kind) => kinds.has(kind)) ? events.value : null;
		},
		cast.signal,
	);
}

/** Ends both traces by signed commands and waits for the agents' seals. */
async function sealAll(cast: Cast, targets: readonly StoryProcess[]): Promise<Result<StoryTrace, string>> {
	for (const target of targets) {
		const stopped = await commandTogether(cast, {
			traceId: cast.traceId,
			target,
			reason: "the story is told",
			act: "stop",
		});
		if (!stopped.ok) return stopped;
	}
	return until(
		"seals of both hosts",
		async () => {
			const trace = await cast.analyst.get<StoryTrace>(`/api/traces/${cast.traceId}`);
			if (!trace.ok) return null;
			const sealed = trace.value.hosts.filter((host) => host.seal !== null).map((host) => host.agent);
			return targets.every((target) => sealed.includes(target.agent)) ? trace.value : null;
		},
		cast.signal,
	);
}

function countKinds(events: readonly StoryEvent[]): Record<string, number> {
	const counts: Record<string, number> = {};
	for (const { kind } of events) counts[kind] = (counts[kind] ?? 0) + 1;
	return counts;
}

async function tell(cast: Cast): Promise<Result<OnceReport, string>> {
	const { options, traceId } = cast;
	options.onStep("the attacker sends one HTTP request to web-01");
	const hit = await firstHit(cast);
	if (!hit.ok) return hit;
	options.onStep(`hit: ${hit.value.summary} after ${hit.value.latencyMs} ms`);
	const root: StoryProcess = { agent: hit.value.agent, process: hit.value.process, pid: hit.value.pid, name: "" };
	const first = await traceFrom(cast, root, { reason: "a web server spawned a shell", hitId: hit.value.id });
	if (!first.ok) return first;
	options.onStep(`trace ${traceId} runs on web-01; the attacker goes on with ssh`);
	const hop = await hopToDatabase(cast);
	if (!hop.ok) return hop;
	const followed = hop.value.followTarget as StoryProcess;
	options.onStep(`the hop to db-01 is seen with confidence ${hop.value.confidence}; following`);
	const second = await traceFrom(cast, followed, { reason: "follow the hop", parent: hop.value.from });
	if (!second.ok) return second;
	options.onStep("the trace runs on db-01; the attacker works there");
	const events = await followedEvents(cast);
	if (!events.ok) return events;
	options.onStep("both ends are stopped by signed commands");
	const sealed = await sealAll(cast, [root, followed]);
	if (!sealed.ok) return sealed;
	return judge(cast, { hit: hit.value, startToFirstEventMs: first.value, hop: hop.value, trace: sealed.value });
}

interface Findings {
	readonly hit: StoryHit;
	readonly startToFirstEventMs: number;
	readonly hop: StoryHop;
	readonly trace: StoryTrace;
}

async function judge(cast: Cast, found: Findings): Promise<Result<OnceReport, string>> {
	const { analyst, traceId, options, stage } = cast;
	// The agents free traces only by a proof of custody: when nothing is left to acknowledge, they have verified the ledger's.
	const held = await until(
		"custody of everything",
		async () => {
			const fleet = await analyst.get<{ nodes: { id: string; role: string; behindMs: number }[] }>("/api/fleet");
			const agents = fleet.ok ? fleet.value.nodes.filter(({ role }) => role === "agent") : [];
			return agents.length === 2 && agents.every(({ behindMs }) => behindMs === 0) ? true : null;
		},
		cast.signal,
	);
	if (!held.ok) return held;
	const all = await eventsOf(analyst, traceId);
	if (!all.ok) return all;
	const foreign = all.value.filter((event) => event.tier !== "ebpf" && event.tier !== "agent");
	options.onStep("alice exports the evidence");
	const packed = await exportTrace(analyst, traceId, "evidence for the incident report");
	if (!packed.ok) return packed;
	const ledger = await analyst.get<{ size: number; root: string }>("/api/ledger");
	if (!ledger.ok) return ledger;
	writeFileSync(options.packagePath, packed.value, { mode: 0o600 });
	const verdict = await verifyPackage(packed.value, {
		rootFingerprint: stage.enclave.rootFingerprint,
		nowMs: Date.now(),
	});
	for (const { agent, tier, kind } of foreign.slice(0, 3))
		options.onTrouble(`${agent} sent ${kind} from the tier ${tier}`);
	if (!found.trace.completeness.isComplete) options.onTrouble(`${found.trace.completeness.gaps.length} gaps are named`);
	for (const check of verdict.checks.filter((each) => each.outcome === "fail"))
		options.onTrouble(`${check.name}: ${check.detail}`);
	const { hop, hit } = found;
	return ok({
		ok: verdict.verdict === "PASS" && foreign.length === 0 && found.trace.completeness.isComplete,
		trace_id: traceId,
		hosts: [...found.trace.trace.hosts].sort(),
		hit: { rule: hit.ruleId, latency_ms: hit.latencyMs },
		trace: { start_to_first_event_ms: found.startToFirstEventMs, events_by_kind: countKinds(all.value) },
		stitched: [{ from: hop.from.agent, to: hop.followTarget?.agent ?? "", confidence: hop.confidence }],
		ledger: { size: ledger.value.size, root: ledger.value.root },
		package: options.packagePath,
		root_fingerprint: stage.enclave.rootFingerprint,
		verdict: verdict.verdict,
	});
}

/** Plays the whole story once; the stage is gone when this returns. */
export async function playOnce(options: OnceOptions): Promise<Result<OnceReport, string>> {
	const stage = await openStage({
		policy: { mode: "two_person", traceApprovals: 1, ...DEMO_LIMITS },
		invitees: [
			{ operatorId: "alice", roles: ["viewer", "analyst", "exporter"] },
			{ operatorId: "bob", roles: ["viewer", "approver", "auditor"] },
		],
		signal: options.signal,
		onStep: options.onStep,
		onTrouble: options.onTrouble,
	});
	if (!stage.ok) return stage;
	try {
		options.onStep("alice and bob make their keys and sign in");
		const operators = await signInBoth(stage.value);
		if (!operators.ok) return operators;
		const { alice, bob } = operators.value;
		return await tell({
			stage: stage.value,
			analyst: alice,
			approver: bob,
			traceId: newTraceId(Date.now()),
			options,
			signal: options.signal,
		});
	} finally {
		await stage.value.close();
	}
}
