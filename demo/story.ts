/**
 * The story as an analyst team lives it, by two scripted operators: see the hit, trace the lineage, see the hop, follow it, stop,
 * export, verify. Everything goes through the product's public API with the operators' own keys; nothing here reaches into it.
 * Must never make an event, a hit or a hop.
 */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { base64Of, bytesOfBase64, bytesOfHex, hexOf } from "#core/bytes/bytes.ts";
import { PAYLOAD_TYPES } from "#core/crypto/dsse.ts";
import type { TraceCommand } from "#core/model/command.ts";
import { fail, ok, type Result } from "#core/result.ts";
import type { OperatorClient } from "../cli/operator-client.ts";

export type StoryCode = "story_step_failed" | "story_timeout";

/** What the story reads of the API's answers (workers/sc/api/answers.ts has them whole). */
export interface StoryHit {
	readonly id: number;
	readonly ruleId: string;
	readonly agent: string;
	readonly process: string;
	readonly pid: number;
	readonly summary: string;
	readonly latencyMs: number;
}
export interface StoryProcess {
	readonly agent: string;
	readonly process: string;
	readonly pid: number;
	readonly name: string;
}
export interface StoryHop {
	readonly from: StoryProcess;
	readonly to: StoryProcess | null;
	readonly followTarget: StoryProcess | null;
	readonly confidence: number;
	readonly reasons: string[];
}
export interface StoryCommand {
	readonly commandId: string;
	readonly agent: string;
	readonly act: string;
	readonly state: string;
	readonly cause: string;
	readonly payload: string;
	readonly sentAtMs: number | null;
	readonly answeredAtMs: number | null;
}
export interface StoryTrace {
	readonly trace: {
		readonly id: string;
		readonly state: string;
		readonly eventCount: number;
		readonly hosts: string[];
	};
	readonly commands: StoryCommand[];
	readonly hosts: { readonly agent: string; readonly seal: { readonly cause: string } | null }[];
	readonly hops: StoryHop[];
	readonly completeness: { readonly isComplete: boolean; readonly gaps: unknown[] };
}
export interface StoryEvent {
	readonly row: number;
	readonly agent: string;
	readonly kind: string;
	readonly tier: string;
	readonly timeMs: number;
	readonly name: string | null;
	readonly exe: string | null;
	readonly path: string | null;
}

export const STORY_LIMITS = {
	/** A cold pipeline on two busy cores delivers within a few seconds; a minute means something is broken. */
	waitMsMax: 60_000,
	pollMs: 100,
} as const;

/** Asks until the answer is not null. */
export async function until<T>(
	what: string,
	ask: () => Promise<T | null>,
	signal?: AbortSignal,
): Promise<Result<T, StoryCode>> {
	const untilMs = performance.now() + STORY_LIMITS.waitMsMax;
	while (performance.now() < untilMs) {
		if (signal?.aborted === true) return fail("story_step_failed", `interrupted while waiting for ${what}`);
		const answer = await ask();
		if (answer !== null) return ok(answer);
		await sleep(STORY_LIMITS.pollMs);
	}
	return fail("story_timeout", `no ${what} within ${STORY_LIMITS.waitMsMax / 1000} s`);
}

/** A fresh trace id of today. */
export function newTraceId(nowMs: number): string {
	const day = new Date(nowMs).toISOString().slice(0, 10).replaceAll("-", "");
	return `T-${day}-${randomBytes(3).toString("hex")}`;
}

export interface Aim {
	readonly traceId: string;
	readonly target: StoryProcess;
	readonly reason: string;
	readonly act: "start" | "stop";
	readonly parent?: StoryProcess;
}

/** A command as an operator signs it. */
export async function composeCommand(operator: OperatorClient, aim: Aim): Promise<Result<TraceCommand, string>> {
	const session = await operator.get<{ trustVersion: number }>("/api/session");
	if (!session.ok) return session;
	const nowMs = Date.now();
	const key = (hex: string) => bytesOfHex(hex) ?? new Uint8Array(16);
	return ok({
		traceId: aim.traceId,
		targetAgent: aim.target.agent,
		targetPid: aim.target.pid,
		depth: 16,
		collectCmdlines: true,
		collectNetwork: true,
		collectFileMeta: true,
		maxDurationSecs: 600,
		initiatedBy: operator.operatorId,
		timestampMs: nowMs,
		targetProcess: key(aim.target.process),
		commandId: new Uint8Array(randomBytes(16)),
		expiresAtMs: nowMs + 10 * 60_000,
		reason: aim.reason,
		trustVersion: session.value.trustVersion,
		act: aim.act,
		...(aim.parent === undefined ? {} : { parentLink: { agent: aim.parent.agent, process: key(aim.parent.process) } }),
	});
}

/** One signs, the other reads what it says and signs the same bytes, then both wait for the agent's answer. */
export async function commandTogether(
	operators: {
		readonly analyst: OperatorClient;
		readonly approver: OperatorClient | null;
		readonly signal: AbortSignal;
	},
	aim: Aim,
	hitId?: number,
): Promise<Result<StoryCommand, string>> {
	const composed = await composeCommand(operators.analyst, aim);
	if (!composed.ok) return composed;
	const sent = await operators.analyst.command<{ command: StoryCommand }>(composed.value, hitId);
	if (!sent.ok) return sent;
	const { commandId, payload } = sent.value.command;
	if (operators.approver !== null) {
		const approved = await operators.approver.approve(
			{ commandId, payload },
			(command) => command.targetAgent === aim.target.agent && hexOf(command.targetProcess) === aim.target.process,
		);
		if (!approved.ok) return approved;
	}
	const answered = await until(
		`answer of ${aim.target.agent} to ${aim.act}`,
		async () => {
			const trace = await operators.analyst.get<StoryTrace>(`/api/traces/${aim.traceId}`);
			if (!trace.ok) return null;
			return trace.value.commands.find((each) => each.commandId === commandId && each.answeredAtMs !== null) ?? null;
		},
		operators.signal,
	);
	if (!answered.ok) return answered;
	if (answered.value.state !== "accepted")
		return fail("story_step_failed", `${aim.target.agent} refused: ${answered.value.cause}`);
	return answered;
}

/** Every stored event of a trace. */
export async function eventsOf(operator: OperatorClient, traceId: string): Promise<Result<StoryEvent[], string>> {
	const events: StoryEvent[] = [];
	for (let after = 0; ; ) {
		const page = await operator.get<{ events: StoryEvent[]; nextAfter: number; hasMore: boolean }>(
			`/api/traces/${traceId}/events?after=${after}&limit=1000`,
		);
		if (!page.ok) return page;
		events.push(...page.value.events);
		if (!page.value.hasMore) return ok(events);
		after = page.value.nextAfter;
	}
}

/** Prepares, signs the manifest, and fetches the package. */
export async function exportTrace(
	operator: OperatorClient,
	traceId: string,
	reason: string,
): Promise<Result<Uint8Array, string>> {
	const prepared = await operator.post<{ exportId: string; manifest: string }>(
		`/api/traces/${traceId}/export/prepare`,
		{ reason },
	);
	if (!prepared.ok) return prepared;
	const manifest = bytesOfBase64(prepared.value.manifest);
	if (manifest === null || base64Of(manifest) !== prepared.value.manifest)
		return fail("story_step_failed", "the manifest is no base64");
	const signature = hexOf(operator.sign(PAYLOAD_TYPES.packageManifest, manifest));
	return operator.postForBytes(`/api/exports/${prepared.value.exportId}`, { signature });
}
