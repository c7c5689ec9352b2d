/**
 * A throw-away enclave with one or two tiers of proxies: real sqld, signer, Security Center and proxies. Guarantees what a `Box`
 * does: nothing is left. The last proxy is the one that agents connect to.
 */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { splitHostPort } from "#core/config/strict-tree.ts";
import type { Lane } from "#core/model/batch.ts";
import { fail, ok, type Result } from "#core/result.ts";
import type { ProxyConfig } from "../../host/config/box-config.ts";
import { proxyConfigSetting } from "../../host/config/box-config.ts";
import { readYamlFile } from "../../host/config/yaml-file.ts";
import { addProxy } from "../../host/enclave/added-proxy.ts";
import { boxPaths, CENTER_ID, FIRST_PROXY } from "../../host/enclave/layout.ts";
import { serverNameOf } from "../../host/pki/certificates.ts";
import { enclavePaths } from "../../host/pki/layout.ts";
import { freeLoopbackPort } from "../../host/supervisor/free-port.ts";
import type { BenchContext } from "../bench.ts";
import { type Box, openBox } from "../box.ts";
import { BENCH_LIMITS } from "../limits.ts";
import { TREE_LIMITS } from "./limits.ts";
import type { Destination } from "./plan.ts";

/** What a proxy says of itself on its loopback socket, as far as it is asked here. */
export interface ProxyHealth {
	readonly uplink: { readonly isUp: boolean };
	readonly disk: { readonly waitingBytes: Readonly<Record<Lane, number>>; readonly commits: number };
}

export interface Forest extends Box {
	readonly tiers: number;
	/** PEM of the root. */
	readonly ca: string;
	/** Where agents connect. */
	readonly destination: Extract<Destination, { kind: "tree" }>;
	/** By tier, that of the agents first. */
	readonly health: readonly (() => Promise<ProxyHealth>)[];
	/** Names of the supervised processes of the proxies, in the same order. */
	readonly proxyNames: readonly string[];
}

const LEAF = "px-2";

function askerOf({ health }: ProxyConfig): () => Promise<ProxyHealth> {
	return async () => (await fetch(`http://${health}/healthz`)).json() as Promise<ProxyHealth>;
}

function destinationOf(box: Box, id: string, config: ProxyConfig): Forest["destination"] {
	const { enclave } = box.enclave.pki;
	const { port } = splitHostPort(config.listen);
	return { kind: "tree", port, serverName: serverNameOf(enclave, "px", id), serverUri: `spiffe://${enclave}/px/${id}` };
}

/** An enclave with a second proxy below the first. */
async function growTier(context: BenchContext): Promise<Result<Box, string>> {
	return openBox(context, [], async (dataDir) =>
		addProxy({
			...{ dataDir, id: LEAF, upstream: [FIRST_PROXY], isElsewhere: false, dnsNames: [], ips: [], nowMs: Date.now() },
			listen: `127.0.0.1:${await freeLoopbackPort()}`,
			health: `127.0.0.1:${await freeLoopbackPort()}`,
		}),
	);
}

function describeForest(box: Box, tiers: 1 | 2): Result<Forest, string> {
	const { proxy } = box.enclave;
	const ca = readFileSync(enclavePaths(box.dataDir).ca, "utf8");
	if (tiers === 1) {
		const destination = destinationOf(box, FIRST_PROXY, proxy);
		return ok({ ...box, tiers, ca, destination, health: [askerOf(proxy)], proxyNames: [FIRST_PROXY] });
	}
	const leaf = readYamlFile(boxPaths(box.dataDir).proxyConfig(LEAF), proxyConfigSetting);
	if (!leaf.ok) return leaf;
	const destination = destinationOf(box, LEAF, leaf.value.proxy);
	const health = [askerOf(leaf.value.proxy), askerOf(proxy)];
	return ok({ ...box, tiers, ca, destination, health, proxyNames: [LEAF, FIRST_PROXY] });
}

/** Waits until every proxy's way up stands. */
export async function waitForLinks(forest: Forest, signal: AbortSignal): Promise<Result<void, string>> {
	const untilMs = performance.now() + BENCH_LIMITS.readyMsMax;
	for (;;) {
		const answers = await Promise.all(forest.health.map((ask) => ask()));
		if (answers.every(({ uplink }) => uplink.isUp)) return ok(undefined);
		if (signal.aborted || performance.now() > untilMs)
			return fail("link_missing", `a proxy has no link up to ${CENTER_ID}`);
		await sleep(TREE_LIMITS.pollMs);
	}
}

export async function openForest(context: BenchContext, tiers: 1 | 2): Promise<Result<Forest, string>> {
	context.onStep(`starting an enclave with ${tiers === 1 ? "one proxy" : "two tiers of proxies"}`);
	const box = tiers === 1 ? await openBox(context) : await growTier(context);
	if (!box.ok) return box;
	const described = describeForest(box.value, tiers);
	const ready = described.ok ? await waitForLinks(described.value, context.signal) : described;
	if (described.ok && ready.ok) return described;
	await box.value.close();
	return ready as Extract<typeof ready, { ok: false }>;
}

/** Waits until the agents' proxy holds nothing that its upstream has not receipted; milliseconds since the call. */
export async function waitForForwarded(forest: Forest, signal: AbortSignal): Promise<Result<number, string>> {
	const startedAtMs = performance.now();
	for (;;) {
		const { disk } = await (forest.health[0] as Forest["health"][number])();
		const sinceMs = performance.now() - startedAtMs;
		if (Object.values(disk.waitingBytes).every((bytes) => bytes === 0)) return ok(sinceMs);
		if (signal.aborted || sinceMs > TREE_LIMITS.runMsMax)
			return fail("not_forwarded", `${JSON.stringify(disk.waitingBytes)} bytes still wait`);
		await sleep(TREE_LIMITS.pollMs);
	}
}
