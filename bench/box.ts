/**
 * A throw-away enclave for one measurement: real sqld, signer, Security Center and proxy in a temporary directory on free ports.
 * Guarantees that `close` leaves no process and no file, also after a start that failed half-way.
 */
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ok, type Result } from "#core/result.ts";
import type { BoxPorts } from "../host/config/box-config.ts";
import type { AgentOptions } from "../host/enclave/agent-process.ts";
import { type RunningEnclave, startEnclave } from "../host/enclave/enclave.ts";
import { freeLoopbackPort } from "../host/supervisor/free-port.ts";
import type { StateChange } from "../host/supervisor/supervisor.ts";
import type { BenchContext } from "./bench.ts";

export interface Box {
	readonly directory: string;
	readonly dataDir: string;
	readonly enclave: RunningEnclave;
	close(): Promise<void>;
}

/** The last line of every log: said when a measurement fails, because the logs go with the box. */
function lastWords(dataDir: string): string[] {
	const directory = join(dataDir, "logs");
	return readdirSync(directory).flatMap((name) => {
		const lines = readFileSync(join(directory, name), "utf8").trimEnd().split("\n");
		// A native stack trace says nothing here: the line before it does.
		const last = lines.findLast((line) => !line.startsWith("stack:"))?.slice(0, 400);
		return last === undefined || last === "" ? [] : [`${name}: ${last}`];
	});
}

/** Measures in a box and closes it, whatever happens. */
export async function within<B extends Box, T>(
	context: BenchContext,
	box: B,
	measure: (box: B) => Promise<Result<T, string>>,
): Promise<Result<T, string>> {
	try {
		const measured = await measure(box);
		if (!measured.ok && !context.signal.aborted) for (const line of lastWords(box.dataDir)) context.onStep(line);
		return measured;
	} finally {
		await box.close();
	}
}

/** One person, no approvals: a bench measures the machine, not people. */
export const POLICY = {
	mode: "solo",
	traceApprovals: 0,
	isMaskingRequired: true,
	traceDepthMax: 64,
	traceDurationSecsMax: 3600,
} as const;

export const OPERATOR_ID = "operator";

async function freePorts(): Promise<BoxPorts> {
	const ports = new Set<number>();
	while (ports.size < 6) ports.add(await freeLoopbackPort());
	const [console, centerLinks, proxyLinks, proxyHealth, storeHttp, storeAdmin] = [...ports] as [
		number,
		number,
		number,
		number,
		number,
		number,
	];
	return { console, centerLinks, proxyLinks, proxyHealth, storeHttp, storeAdmin };
}

/** `grow` changes the data directory of an enclave that started once, which is then started again: a second proxy, for one. */
export async function openBox(
	context: BenchContext,
	agents: readonly AgentOptions[] = [],
	grow?: (dataDir: string) => Promise<Result<unknown, string>>,
): Promise<Result<Box, string>> {
	const directory = mkdtempSync(join(tmpdir(), "daemoneye-bench-"));
	// The agent runs as a user of its own, who must pass through; everything below is private.
	chmodSync(directory, 0o711);
	const dataDir = join(directory, "data");
	const remove = () => rmSync(directory, { recursive: true, force: true });
	const start = {
		dataDir,
		enclave: "bench",
		ports: await freePorts(),
		policy: POLICY,
		invitees: [{ operatorId: OPERATOR_ID, roles: ["viewer", "analyst", "approver", "exporter"] }] as const,
		agents,
		onState: ({ name, state, detail }: StateChange) => {
			if (state === "waiting" || state === "failed") context.onStep(detail ?? `${name} ${state}`);
		},
		signal: context.signal,
	};
	let started = await startEnclave(start);
	if (started.ok && grow !== undefined) {
		await started.value.supervisor.stop();
		const grown = await grow(dataDir);
		started = grown.ok ? await startEnclave(start) : grown;
	}
	if (!started.ok) {
		remove();
		return started;
	}
	const enclave = started.value;
	return ok({
		directory,
		dataDir,
		enclave,
		async close() {
			await enclave.supervisor.stop();
			remove();
		},
	});
}
