/**
 * The whole endpoint, switched on and off: collector and agent with a supervisor of their own, in an enclave that stays. Guarantees
 * that `on` means attached, linked and settled, and that after `off` neither process is left. What the endpoint watches is a
 * cgroup: the enclave's own boxes would be other machines.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { fail, ok, type Result } from "#core/result.ts";
import { agentProcess, makeAgentFiles } from "../../host/enclave/agent-process.ts";
import { settleAgentUser } from "../../host/enclave/agent-user.ts";
import { addNode } from "../../host/pki/enclave.ts";
import { type ProcessSpec, runSupervisor, type Supervisor } from "../../host/supervisor/supervisor.ts";
import type { BenchContext } from "../bench.ts";
import { type Box, openBox, within } from "../box.ts";
import { type Lineage, openLineage } from "../lineage.ts";
import { collectorOf } from "../process-cost.ts";
import { openStoreReader } from "../store-reader.ts";
import { CAPTURE_LIMITS } from "./limits.ts";
import { pause, until } from "./waiting.ts";

export const ENDPOINT_ID = "endpoint-01";

export interface EndpointPids {
	readonly agent: number;
	readonly procmond: number;
}

/** An enclave without agents, a cgroup, and the endpoint that may watch it. */
export interface EndpointBox extends Box {
	readonly lineage: Lineage;
	/** Read-only. */
	readonly store: DatabaseSync;
	/** Starts collector and agent; settles when their first batch is stored and the rest is over. */
	switchOn(): Promise<Result<EndpointPids, string>>;
	switchOff(): Promise<void>;
}

/** What has been stored so far: later rows are newer. */
export interface StoreMark {
	readonly event: number;
	readonly gap: number;
}

export function markStore(store: DatabaseSync): StoreMark {
	const newest = (table: string) => Number(store.prepare(`SELECT coalesce(max(id), 0) AS id FROM ${table}`).get()?.id);
	return { event: newest("events"), gap: newest("gaps") };
}

/** Programs without arguments called `name` whose start is stored. */
export function countStored(store: DatabaseSync, since: StoreMark, name: string): number {
	const counted = store.prepare("SELECT count(*) AS count FROM events WHERE id > ? AND kind = 'exec' AND cmdline = ?");
	return Number(counted.get(since.event, JSON.stringify([name]))?.count);
}

/** Events that the endpoint itself says are missing, by cause. */
export function lossSince(
	store: DatabaseSync,
	since: StoreMark,
): { readonly count: number; readonly causes: string[] } {
	const rows = store.prepare("SELECT first, last, cause FROM gaps WHERE id > ?").all(since.gap);
	const count = rows.reduce(
		(sum, { first, last }) => sum + Number(BigInt(String(last)) - BigInt(String(first))) + 1,
		0,
	);
	return { count, causes: [...new Set(rows.map(({ cause }) => String(cause)))] };
}

/** Waits until nothing more arrives in the store. */
export async function waitForQuiet(store: DatabaseSync, signal: AbortSignal): Promise<void> {
	const endMs = performance.now() + CAPTURE_LIMITS.drainMsMax;
	let before = -1;
	while (markStore(store).event !== before && performance.now() < endMs && !signal.aborted) {
		before = markStore(store).event;
		await pause(CAPTURE_LIMITS.quietMs, signal);
	}
}

async function startEndpoint(
	box: Box,
	spec: ProcessSpec,
	{ store, signal }: { readonly store: DatabaseSync; readonly signal: AbortSignal },
): Promise<Result<{ readonly supervisor: Supervisor; readonly pids: EndpointPids }, string>> {
	const before = markStore(store).event;
	const directory = join(box.directory, "endpoint");
	mkdirSync(directory, { recursive: true, mode: 0o700 });
	const started = await runSupervisor({ dataDir: directory, processes: [spec], signal });
	if (!started.ok) return started;
	const supervisor = started.value;
	const isFlowing = await until(() => markStore(store).event > before, { maxMs: CAPTURE_LIMITS.startMsMax, signal });
	await pause(CAPTURE_LIMITS.endpointSettleMs, signal);
	const agent = supervisor.pids().get(spec.name);
	const collector = agent === undefined ? null : collectorOf(agent);
	if (isFlowing && agent !== undefined && collector?.ok === true)
		return ok({ supervisor, pids: { agent, procmond: collector.value } });
	await supervisor.stop();
	if (signal.aborted) return fail("interrupted", "interrupted while the endpoint started");
	return fail("endpoint_silent", "the endpoint was started and nothing of it has reached the store");
}

async function open(context: BenchContext, lineage: Lineage, box: Box): Promise<Result<EndpointBox, string>> {
	const node = await addNode(box.dataDir, { role: "agent", id: ENDPOINT_ID }, Date.now());
	if (!node.ok) return node;
	const options = { id: ENDPOINT_ID, siteTag: "bench", scopeCgroup: lineage.cgroupPath, source: "ebpf" } as const;
	const files = makeAgentFiles(box.dataDir, options, { proxy: box.enclave.proxy, node: node.value });
	const settled = settleAgentUser(box.dataDir, [files]);
	if (!settled.ok) return settled;
	context.onStep(settled.value.sentence);
	const spec = agentProcess(ENDPOINT_ID, files, settled.value.user);
	const opened = await openStoreReader(box.dataDir, context.signal);
	if (!opened.ok) return opened;
	const store = opened.value;
	let running: Supervisor | null = null;
	return ok({
		...box,
		lineage,
		store,
		async switchOn() {
			const started = await startEndpoint(box, spec, { store, signal: context.signal });
			if (!started.ok) return started;
			running = started.value.supervisor;
			return ok(started.value.pids);
		},
		async switchOff() {
			await running?.stop();
			running = null;
		},
		async close() {
			await running?.stop();
			store.close();
			await lineage.close();
			await box.close();
		},
	});
}

/** Opens an enclave with the endpoint switched off, and measures in it; closes it, whatever happens. */
export async function withEndpoint(
	context: BenchContext,
	measure: (box: EndpointBox) => Promise<Result<void, string>>,
): Promise<Result<void, string>> {
	context.onStep("starting an enclave");
	const lineage = await openLineage();
	if (!lineage.ok) return lineage;
	const box = await openBox(context);
	if (!box.ok) {
		await lineage.value.close();
		return box;
	}
	const opened = await open(context, lineage.value, box.value);
	if (opened.ok) return within(context, opened.value, measure);
	await lineage.value.close();
	await box.value.close();
	return opened;
}
