/**
 * What runs on a proxy's and on the Security Center's machine: the real classes with their real bindings. The modules are loaded by
 * path because they are typed for workerd. Not the real ones: the detector and the feed, which promise nothing about custody.
 */
import { base64Of } from "#core/bytes/bytes.ts";
import { ed25519Signer, merkleRoot, signCheckpoint } from "#core/ledger/index.ts";
import { DIRECTORY_NAME, UPLINK_NAME } from "../../durable/faces.ts";
import { openCheckpointDesk } from "../../host/signer/checkpoint-desk.ts";
import { readCheckpointRequest } from "../../host/signer/requests.ts";
import { currentWorld } from "../runtime/globals.ts";
import { SimResponse } from "../runtime/http.ts";
import type { SimRequest } from "../runtime/network.ts";
import type { ObjectClass } from "../runtime/object-host.ts";
import { webSocketPair } from "../runtime/object-host.ts";
import { forgetFile, writeFileDurably } from "../runtime/signer-file.ts";
import type { StoreRequest, StoreResult } from "../runtime/store-client.ts";
import type { World } from "../runtime/world.ts";
import { ENCLAVE, LEDGER_ORIGIN, LEDGER_SEED } from "./enclave.ts";
import type { Server, ServerRole } from "./server.ts";
import { Service } from "./service.ts";
import { Store } from "./store.ts";

type Module = Record<string, unknown>;
type Gate = (request: SimRequest, env: object, doors: object, nonces: unknown) => Promise<SimResponse>;
type Namespaces = Record<string, { getByName(id: string): Record<string, (...args: unknown[]) => Promise<unknown>> }>;

const load = (path: string): Promise<Module> => import(new URL(`../../${path}`, import.meta.url).href);

/** The real modules that are typed for workerd. */
export interface WorkerCode {
	readonly px: Module;
	readonly sc: Module;
	readonly gate: Module;
}

export async function loadWorkerCode(): Promise<WorkerCode> {
	// The classes make their pairs by this global; whose world it is, is known when they do.
	Object.assign(globalThis, {
		WebSocketPair: function WebSocketPair() {
			return webSocketPair(networkOf(currentWorld()), () => slotOf(currentWorld()));
		},
	});
	// The worker migrates its store once per process; every world's store is migrated before it begins.
	const { storeOf } = await load("workers/sc/store/open.ts");
	const scratch = new Store();
	const binding = {
		SQLD: { fetch: async (request: StoreRequest) => scratch.run(request) },
		SQLD_RW_TOKEN: "",
		SQLD_RO_TOKEN: "",
	};
	await (storeOf as (env: object) => Promise<unknown>)(binding);
	scratch.close();
	return {
		px: await load("workers/px/index.ts"),
		sc: await load("workers/sc/index.ts"),
		gate: await load("workers/edge/link-gate.ts"),
	};
}

const servers = new WeakMap<World, Server[]>();

export function registerServer(server: Server): void {
	servers.set(server.world, [...(servers.get(server.world) ?? []), server]);
}

function networkOf(world: World) {
	const [server] = servers.get(world) ?? [];
	if (server === undefined) throw new Error("no server runs in this world");
	return server.network;
}

/** The object whose code runs now. */
function slotOf(world: World) {
	const all = (servers.get(world) ?? []).flatMap((server) => server.host.slots());
	return all.find((slot) => slot.place() !== null && slot.place() === world.current) ?? null;
}

const answerWith =
	(code: WorkerCode, hasAgents: boolean): ServerRole["answer"] =>
	(request, env, nonces) => {
		const { AGENT_CHANNEL, PEER_LINK, UPLINK } = env as unknown as Namespaces;
		const path = async () => (await UPLINK?.getByName(UPLINK_NAME).path?.()) ?? [env.NODE_URI];
		const doors = {
			path,
			agent: hasAgents ? AGENT_CHANNEL : null,
			peer: PEER_LINK ?? null,
		};
		return (code.gate.answerLink as Gate)(request, env, doors, nonces);
	};

const newNonces = (code: WorkerCode) => () => new (code.gate.Nonces as new () => unknown)();

export function proxyRole(code: WorkerCode, upstream: { id: string; uri: string }): ServerRole {
	const { AgentChannel, Uplink, PeerLink } = code.px as Record<string, ObjectClass>;
	return {
		classes: { AgentChannel, Uplink, PeerLink } as Record<string, ObjectClass>,
		newNonces: newNonces(code),
		answer: answerWith(code, true),
		env: (server) => ({
			NODE_URI: server.identity.uri,
			NODE_PROOF: server.identity.proofText,
			SIGNING_SEED: base64Of(server.identity.seed),
			GENESIS: base64Of(server.enclave.genesis.bytes),
			ROOT_CERT: server.enclave.rootText,
			UPSTREAM_0: server.serviceTo(upstream.id),
			UPSTREAMS: [{ binding: "UPSTREAM_0", uri: upstream.uri, host: upstream.id }],
			AGENT_CHANNEL: server.host.namespace("AgentChannel"),
			UPLINK: server.host.namespace("Uplink"),
			PEER_LINK: server.host.namespace("PeerLink"),
		}),
		wake: (env) => {
			(env as unknown as Namespaces).UPLINK?.getByName(UPLINK_NAME)
				.health?.()
				.catch(() => undefined);
		},
	};
}

/** What runs beside workerd at the Security Center, and what the checks look at. */
export interface Center {
	readonly role: ServerRole;
	readonly store: Store;
	readonly sqld: Service;
	readonly signer: Service;
	/** Every tree that was signed. */
	readonly signed: { readonly size: number; readonly root: Uint8Array }[];
	/** Every leaf that anyone was told of is in a tree; checked at the end by the real ledger object. */
	close(): void;
}

function openSigner(world: World, signed: { size: number; root: Uint8Array }[]) {
	const path = `signer-${world.seed}`;
	const empty = { origin: LEDGER_ORIGIN, size: 0, root: merkleRoot([]) };
	writeFileDurably(path, signCheckpoint(empty, ed25519Signer(LEDGER_ORIGIN, LEDGER_SEED)));
	const answer = (body: string): SimResponse => {
		// Opened at every request: what the signer knows is what lies in its file.
		const desk = openCheckpointDesk({ path, origin: LEDGER_ORIGIN, seed: LEDGER_SEED });
		const request = readCheckpointRequest(JSON.parse(body));
		if (!desk.ok || !request.ok) return SimResponse.json({}, { status: 400 });
		const note = desk.value.sign(request.value);
		if (note.ok) signed.push({ size: request.value.size, root: request.value.root });
		if (note.ok) return SimResponse.json({ note: note.value });
		const { code, detail } = note;
		const lastNote = code === "not_from_last" ? { lastNote: desk.value.last().note } : {};
		return SimResponse.json({ code, detail, ...lastNote }, { status: 409 });
	};
	return { answer, close: () => forgetFile(path) };
}

export function centerOf(code: WorkerCode, world: World): Center {
	const { AgentChannel, PeerLink, PeerDirectory, Ledger, TraceDesk, FleetWatch } = code.sc as Record<
		string,
		ObjectClass
	>;
	const store = new Store();
	const sqld = new Service(world, "sqld");
	const signer = new Service(world, "signer");
	const signed: { size: number; root: Uint8Array }[] = [];
	const desk = openSigner(world, signed);
	const silent = { getByName: () => ({ notify: async () => undefined, publish: async () => undefined }) };
	return {
		store,
		sqld,
		signer,
		signed,
		close: () => {
			store.close();
			desk.close();
		},
		role: {
			classes: { AgentChannel, PeerLink, PeerDirectory, Ledger, TraceDesk, FleetWatch } as Record<string, ObjectClass>,
			newNonces: newNonces(code),
			answer: answerWith(code, false),
			env: (server) => ({
				NODE_URI: server.identity.uri,
				ENCLAVE,
				ROOT_CERT: server.enclave.rootText,
				GENESIS: base64Of(server.enclave.genesis.bytes),
				INVITATIONS: "[]",
				SQLD: {
					fetch: (request: StoreRequest, init?: { signal: AbortSignal }): Promise<StoreResult[]> =>
						sqld.ask(() => store.run(request), init?.signal),
				},
				SQLD_RW_TOKEN: "",
				SQLD_RO_TOKEN: "",
				SIGNER: {
					fetch: (_url: string, init: { body: string; signal?: AbortSignal }) =>
						signer.ask(() => desk.answer(init.body), init.signal),
				},
				AGENT_CHANNEL: server.host.namespace("AgentChannel"),
				PEER_LINK: server.host.namespace("PeerLink"),
				PEER_DIRECTORY: server.host.namespace("PeerDirectory"),
				LEDGER: server.host.namespace("Ledger"),
				TRACE_DESK: server.host.namespace("TraceDesk"),
				FLEET_WATCH: server.host.namespace("FleetWatch"),
				DETECTOR: silent,
				FEED: silent,
			}),
			wake: (env) => {
				(env as unknown as Namespaces).PEER_DIRECTORY?.getByName(DIRECTORY_NAME)
					.peers?.()
					.catch(() => undefined);
			},
		},
	};
}
