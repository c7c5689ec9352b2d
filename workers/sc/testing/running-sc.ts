/**
 * The Security Center's worker on the real runtime, with a real sqld and the signer's real desks behind it. Only the proxy's link
 * is left out: a batch goes straight into the agent's channel, as a PeerLink would put it there.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, type Plugin } from "esbuild";
import { Miniflare, type MiniflareOptions, Response as WorkerResponse } from "miniflare";
import { type AgentChannelFace, WATCH_NAME } from "../../../durable/faces.ts";
import type { WatchFace } from "../../../durable/watch-face.ts";
import { certificatesOfPem } from "../../../host/pki/certificates.ts";
import { createEnclavePki, openEnclavePki } from "../../../host/pki/enclave.ts";
import { enclavePaths } from "../../../host/pki/layout.ts";
import { openCheckpointDesk } from "../../../host/signer/checkpoint-desk.ts";
import { openGenesisDesk } from "../../../host/signer/genesis-desk.ts";
import { createSignerServer } from "../../../host/signer/server.ts";
import { type RunningStore, startStore } from "./running-store.ts";

export const ORIGIN = "http://localhost:8470";

/** The worker as production bundles it. */
async function bundle(plugins: Plugin[] = []) {
	const built = await build({
		entryPoints: ["workers/sc/index.ts"],
		bundle: true,
		format: "esm",
		platform: "neutral",
		mainFields: ["module", "main"],
		conditions: ["workerd", "worker", "browser"],
		external: ["cloudflare:*", "node:*"],
		target: "es2024",
		loader: { ".wasm": "copy" },
		...{ assetNames: "[name]", outfile: "index.js", write: false },
		logLevel: "error",
		plugins,
	});
	const fileOf = (name: string) => {
		const file = built.outputFiles.find(({ path }) => path.endsWith(`/${name}`));
		if (file === undefined) throw new Error(`the bundle has no ${name}`);
		return file;
	};
	return [
		{ type: "ESModule" as const, path: "index.js", contents: fileOf("index.js").text },
		{ type: "CompiledWasm" as const, path: "sha256.wasm", contents: fileOf("sha256.wasm").contents },
	];
}

/** What a test adds to the worker as production has it. */
export interface ScExtra {
	readonly bindings?: Readonly<Record<string, unknown>>;
	readonly plugins?: Plugin[];
}

export interface RunningSc {
	readonly store: RunningStore;
	readonly root: Uint8Array;
	readonly rootFingerprint: string;
	readonly invitations: readonly { operatorId: string; token: string }[];
	readonly dataDir: string;
	fetch(path: string, init?: { method?: string; headers?: Record<string, string>; body?: string }): Promise<Response>;
	channel(agent: string): Promise<AgentChannelFace>;
	watch(): Promise<WatchFace>;
	/** `down`: no answer; `fork`: it has signed another tree than this one. */
	setSigner(mode: "up" | "down" | "fork"): void;
	/** From now on every request to the store takes so much longer. */
	setStoreDelay(ms: number): void;
	/** How many requests the store got. */
	storeRequests(): number;
	stop(): Promise<void>;
}

function bindingsOf(dataDir: string, store: RunningStore): Record<string, string> {
	const paths = enclavePaths(dataDir);
	const root = certificatesOfPem(readFileSync(paths.ca, "utf8"))[0];
	if (root === undefined) throw new Error("no root");
	const base64 = (path: string) => readFileSync(path).toString("base64");
	return {
		NODE_URI: "spiffe://lab/sc/sc",
		ENCLAVE: "lab",
		ROOT_CERT: Buffer.from(root.rawData).toString("base64"),
		GENESIS: base64(paths.genesis),
		GENESIS_SIGNATURE: base64(paths.genesisSignature),
		INVITATIONS: readFileSync(paths.signer.invitations, "utf8"),
		CONSOLE_ORIGIN: ORIGIN,
		SOFTWARE_VERSION: "test",
		SQLD_RW_TOKEN: store.tokens.readWrite,
		SQLD_RO_TOKEN: store.tokens.readOnly,
	};
}

async function startSigner(dataDir: string): Promise<{ url: string; stop: () => Promise<void> }> {
	const paths = enclavePaths(dataDir).signer;
	const enclave = openEnclavePki(dataDir, Date.now());
	if (!enclave.ok) throw new Error(enclave.detail);
	const { genesis } = enclave.value;
	const checkpoints = openCheckpointDesk({
		path: paths.checkpoint,
		origin: genesis.document.ledgerOrigin,
		seed: new Uint8Array(readFileSync(paths.ledgerKey)),
	});
	if (!checkpoints.ok) throw new Error(checkpoints.detail);
	const server = createSignerServer(
		{ checkpoints: checkpoints.value, genesis: openGenesisDesk(paths, genesis) },
		(error) => {
			throw error;
		},
	);
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const { port } = server.address() as { port: number };
	return {
		url: `http://127.0.0.1:${port}`,
		stop: () =>
			new Promise((resolve) => {
				server.closeAllConnections();
				server.close(() => resolve());
			}),
	};
}

const OBJECTS = [
	"AgentChannel",
	"PeerLink",
	"PeerDirectory",
	"Ledger",
	"TraceDesk",
	"Detector",
	"Feed",
	"FleetWatch",
] as const;
const bindingName = (className: string): string =>
	className.replace(/(?!^)[A-Z]/g, (letter) => `_${letter}`).toUpperCase();

/** Passes a request on to a loopback server of the test. */
async function forward(request: Request, base: string): Promise<WorkerResponse> {
	const { pathname, search } = new URL(request.url);
	const body = request.method === "GET" ? undefined : await request.arrayBuffer();
	const headers = Object.fromEntries(
		[...request.headers].filter(([name]) => name !== "host" && name !== "content-length"),
	);
	const answer = await fetch(`${base}${pathname}${search}`, {
		method: request.method,
		headers,
		...(body === undefined ? {} : { body }),
	});
	return new WorkerResponse(await answer.arrayBuffer(), {
		status: answer.status,
		headers: { "content-type": answer.headers.get("content-type") ?? "application/json" },
	});
}

export async function startSc(mode: "solo" | "two_person", extra: ScExtra = {}): Promise<RunningSc> {
	const directory = mkdtempSync(join(tmpdir(), "daemoneye-sc-"));
	const dataDir = join(directory, "data");
	const all = ["viewer", "analyst", "approver", "exporter", "auditor"] as const;
	const made = await createEnclavePki(dataDir, {
		enclave: "lab",
		policy: {
			mode,
			traceApprovals: mode === "solo" ? 0 : 1,
			isMaskingRequired: true,
			traceDepthMax: 6,
			traceDurationSecsMax: 3600,
		},
		nodes: [{ role: "sc", id: "sc" }],
		invitees:
			mode === "solo"
				? [{ operatorId: "ana", roles: all }]
				: ["ana", "ben"].map((operatorId) => ({ operatorId, roles: all })),
		nowMs: Date.now(),
	});
	if (!made.ok) throw new Error(made.detail);
	const store = await startStore();
	const signer = await startSigner(dataDir);
	let signerMode: "up" | "down" | "fork" = "up";
	let storeDelayMs = 0;
	let storeRequests = 0;
	const options: MiniflareOptions = {
		modules: await bundle(extra.plugins),
		compatibilityDate: "2026-07-30",
		compatibilityFlags: ["nodejs_compat"],
		bindings: { ...bindingsOf(dataDir, store), ...extra.bindings } as MiniflareOptions["bindings"],
		durableObjects: Object.fromEntries(
			OBJECTS.map((className) => [bindingName(className), { className, useSQLite: true }]),
		),
		serviceBindings: {
			SQLD: async (request: unknown) => {
				storeRequests++;
				if (storeDelayMs > 0) await new Promise((resolve) => setTimeout(resolve, storeDelayMs));
				return forward(request as Request, store.url);
			},
			SIGNER: (request: unknown) => {
				if (signerMode === "up") return forward(request as Request, signer.url);
				const refusal = JSON.stringify({ code: "other_root_same_size", detail: "another root was signed" });
				return signerMode === "fork"
					? new WorkerResponse(refusal, { status: 409 })
					: new WorkerResponse("down", { status: 503 });
			},
			CONSOLE: (request: unknown) => {
				const { pathname } = new URL((request as Request).url);
				const isPage = pathname === "/index.html" || pathname === "/";
				return isPage
					? new WorkerResponse("<!doctype html>", { headers: { "content-type": "text/html" } })
					: new WorkerResponse("no file", { status: 404 });
			},
		},
	};
	const miniflare = new Miniflare(options);
	await miniflare.ready;
	return {
		store,
		root: new Uint8Array(Buffer.from(bindingsOf(dataDir, store).ROOT_CERT ?? "", "base64")),
		rootFingerprint: made.value.rootFingerprint,
		invitations: made.value.invitations,
		dataDir,
		fetch: async (path, init) => (await miniflare.dispatchFetch(`${ORIGIN}${path}`, init)) as unknown as Response,
		channel: async (agent) => {
			const namespace = await miniflare.getDurableObjectNamespace("AGENT_CHANNEL");
			return namespace.getByName(agent) as unknown as AgentChannelFace;
		},
		watch: async () => {
			const namespace = await miniflare.getDurableObjectNamespace("FLEET_WATCH");
			return namespace.getByName(WATCH_NAME) as unknown as WatchFace;
		},
		setSigner(mode) {
			signerMode = mode;
		},
		setStoreDelay(ms) {
			storeDelayMs = ms;
		},
		storeRequests: () => storeRequests,
		async stop() {
			await miniflare.dispose();
			await signer.stop();
			await store.stop();
			rmSync(directory, { recursive: true });
		},
	};
}
