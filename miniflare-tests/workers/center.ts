/**
 * A Security Center for the tests of the evidence path: the real link gate, PeerLink, PeerDirectory and AgentChannel, and a store
 * that records. The store can be told to be unavailable. It keeps every delivery, so a batch stored twice is seen.
 */
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
import { base64Of, bytesOfBase64, hexOf } from "#core/bytes/bytes.ts";
import { ok } from "#core/result.ts";
import { TestLedger } from "#core/testing/test-ledger.ts";
import { AgentChannelBase, type ChannelEnv } from "../../durable/agent-channel.ts";
import type { AgentState, ChannelAlarm, QuarantinedItem, StoreDrain, WalBatch } from "../../durable/drain.ts";
import {
	type AgentChannelFace,
	DIRECTORY_NAME,
	type Namespace,
	type PeerDirectoryFace,
	type ProxyState,
	type ProxyWatch,
	type RefusedWords,
	WATCH_NAME,
} from "../../durable/faces.ts";
import { PeerDirectory } from "../../durable/peer-directory.ts";
import { PeerLink, type PeerLinkEnv } from "../../durable/peer-link.ts";
import type { Stranger } from "../../durable/strangers.ts";
import { answerLink, type LinkGateEnv } from "../../workers/edge/link-gate.ts";

type RecorderFace = Pick<
	Recorder,
	"store" | "note" | "raise" | "setAside" | "setStore" | "recorded" | "noteProxy" | "noteStranger" | "noteRefused"
>;
type Env = ChannelEnv &
	PeerLinkEnv &
	LinkGateEnv & {
		readonly RECORDER: Namespace<RecorderFace>;
		readonly AGENT_CHANNEL: Namespace<AgentChannelFace>;
		readonly PEER_DIRECTORY: Namespace<PeerDirectoryFace>;
		readonly FLEET_WATCH: Namespace<ProxyWatch>;
		readonly PEER_LINK: NonNullable<ChannelEnv["PEER_LINK"]>;
	};

export { PeerDirectory, PeerLink };

export class Recorder extends DurableObject<Env> {
	#isAvailable = true;
	#delayMs = 0;
	/** In memory: a test reads it in the same life. */
	readonly #setAside: unknown[] = [];
	#proxies: ProxyState[] = [];
	#strangers: Stranger[] = [];
	#refused: RefusedWords[] = [];

	constructor(ctx: DurableObjectState, env: Env) {
		super(ctx, env);
		ctx.storage.sql.exec(`
			CREATE TABLE IF NOT EXISTS batches (agent TEXT, stream TEXT, seq INTEGER, lane TEXT, bytes BLOB, at INTEGER PRIMARY KEY AUTOINCREMENT);
			CREATE TABLE IF NOT EXISTS states (agent TEXT, via TEXT, is_up INTEGER, heard INTEGER, waiting TEXT, health TEXT);
			CREATE TABLE IF NOT EXISTS alarms (agent TEXT, code TEXT, detail TEXT, evidence INTEGER, cleared INTEGER)`);
	}

	/** `delayMs`: how long each delivery takes beside its writing. */
	async setStore(isAvailable: boolean, delayMs: number): Promise<void> {
		this.#isAvailable = isAvailable;
		this.#delayMs = delayMs;
	}

	async store(agent: string, batches: readonly WalBatch[]): Promise<boolean> {
		if (!this.#isAvailable) return false;
		if (this.#delayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.#delayMs));
		for (const { stream, seq, lane, bytes } of batches)
			this.ctx.storage.sql.exec(
				"INSERT INTO batches (agent, stream, seq, lane, bytes) VALUES (?, ?, ?, ?, ?)",
				agent,
				hexOf(stream),
				seq,
				lane,
				bytes,
			);
		return true;
	}

	async note(state: AgentState): Promise<void> {
		const { agent, via, isUp, heardAtMs, waiting, health } = state;
		this.ctx.storage.sql.exec(
			"INSERT INTO states VALUES (?, ?, ?, ?, ?, ?)",
			agent,
			via,
			isUp ? 1 : 0,
			heardAtMs,
			waiting?.join() ?? null,
			health === undefined ? null : JSON.stringify({ ...health, streams: health.streams.length }),
		);
	}

	async raise(alarm: ChannelAlarm): Promise<void> {
		const { agent, code, detail, evidence, isCleared } = alarm;
		this.ctx.storage.sql.exec(
			"INSERT INTO alarms VALUES (?, ?, ?, ?, ?)",
			agent,
			code,
			detail,
			evidence?.length ?? 0,
			isCleared === true ? 1 : 0,
		);
	}

	async noteProxy(state: ProxyState): Promise<void> {
		this.#proxies = [...this.#proxies, state].slice(-100);
	}

	async noteStranger(stranger: Stranger): Promise<void> {
		this.#strangers = [...this.#strangers, stranger].slice(-100);
	}

	async noteRefused(refused: RefusedWords): Promise<void> {
		this.#refused = [...this.#refused, refused].slice(-100);
	}

	async setAside(agent: string, items: readonly QuarantinedItem[]): Promise<void> {
		if (!this.#isAvailable) throw new Error("the test said so");
		for (const item of items) this.#setAside.push({ agent, ...item, stream: hexOf(item.stream ?? new Uint8Array()) });
	}

	async recorded(): Promise<unknown> {
		const rows = (query: string) => this.ctx.storage.sql.exec(query).toArray();
		const batches = rows("SELECT * FROM batches ORDER BY at").map((row) => ({
			...row,
			bytes: base64Of(new Uint8Array(row.bytes as ArrayBuffer)),
		}));
		const kept = {
			proxies: this.#proxies,
			strangers: this.#strangers,
			refused: this.#refused,
			setAside: this.#setAside,
		};
		return { batches, states: rows("SELECT * FROM states"), alarms: rows("SELECT * FROM alarms"), ...kept };
	}
}

export class FleetWatch extends DurableObject<Env> implements ProxyWatch {
	async proxyState(state: ProxyState): Promise<void> {
		await this.env.RECORDER.getByName("one").noteProxy(state);
	}

	async strangerCame(stranger: Stranger): Promise<void> {
		await this.env.RECORDER.getByName("one").noteStranger(stranger);
	}

	async wordsRefused(refused: RefusedWords): Promise<void> {
		await this.env.RECORDER.getByName("one").noteRefused(refused);
	}
}

export class AgentChannel extends AgentChannelBase<Env> {
	readonly #ledger = new TestLedger();
	protected override readonly drain: StoreDrain = {
		deliver: async (agent, { batches, onStored }) => {
			const isStored = await this.env.RECORDER.getByName("one").store(agent, batches);
			if (!isStored) return { ok: false, code: "drain_unavailable", detail: "the test said so" };
			onStored();
			const highest = new Map(batches.map((batch) => [hexOf(batch.stream), batch]));
			for (const { bytes } of batches) this.#ledger.appendBatch(bytes);
			const custody = [...highest.values()].map(({ stream, seq }) => {
				return { stream, seq, proof: this.#ledger.custodyOf(agent, { stream, seq }) };
			});
			return ok({ custody, gaps: [] });
		},
		onState: (state) => this.env.RECORDER.getByName("one").note(state),
		onQuarantine: (agent, items) => this.env.RECORDER.getByName("one").setAside(agent, items),
		onAlarm: (alarm) => this.env.RECORDER.getByName("one").raise(alarm),
	};
}

export class Links extends WorkerEntrypoint<Env> {
	override fetch(request: Request): Promise<Response> {
		return answerLink(request, this.env, {
			agent: null,
			peer: this.env.PEER_LINK,
			path: async () => [this.env.NODE_URI],
			watch: this.env.FLEET_WATCH.getByName(WATCH_NAME),
		});
	}
}

/** What the tests ask and tell. */
export default class Control extends WorkerEntrypoint<Env> {
	override async fetch(request: Request): Promise<Response> {
		const { pathname } = new URL(request.url);
		if (pathname === "/healthz") return new Response("ok");
		if (pathname === "/recorded") return Response.json(await this.env.RECORDER.getByName("one").recorded());
		const body = (await request.json()) as Record<string, string>;
		const bytes = (name: string) => bytesOfBase64(body[name] ?? "") ?? new Uint8Array();
		if (pathname === "/store") {
			await this.env.RECORDER.getByName("one").setStore(body.available === "yes", Number(body.delayMs ?? 0));
			return Response.json({});
		}
		if (pathname === "/trust") {
			const directory = this.env.PEER_DIRECTORY.getByName(DIRECTORY_NAME);
			await directory.publishTrust(["document", "more"].filter((name) => name in body).map(bytes));
			return Response.json({});
		}
		const channel = this.env.AGENT_CHANNEL.getByName(body.agent ?? "");
		if (pathname === "/stats") return Response.json(await channel.stats());
		const command = {
			commandId: bytes("commandId"),
			envelope: bytes("envelope"),
			expiresAtMs: Number(body.expiresAtMs),
		};
		return Response.json(await channel.enqueueCommand(body.agent ?? "", command));
	}
}
