/**
 * FleetWatch: the Security Center's one watch over its links. It keeps the newest word of every proxy, sees who has fallen silent, and
 * raises an alarm in a stated time; the alarm is cleared when the node is heard again. Guarantees that it accuses nobody for its own
 * absence: after a start, a standstill or a set clock every node has its whole time again; and that a slow store is no absence: who was
 * heard is in memory (`heard-nodes.ts`), and a look that came late is said by name. Store and alarms are the subclass's.
 */
import { DurableObject } from "cloudflare:workers";
import { LANES } from "#core/model/batch.ts";
import type { LaneDepths, ProxyState, RefusedWords } from "./faces.ts";
import { forgetOldest } from "./forget-oldest.ts";
import { heardNodes } from "./heard-nodes.ts";
import { PEER_LIMITS, WATCH_LIMITS } from "./limits.ts";
import { logLine } from "./log.ts";
import { judgeSilence, type WatchedNode } from "./silence.ts";
import { StateTellers } from "./state-teller.ts";
import { STRANGER_AGE_MS_MAX, type Stranger, Strangers } from "./strangers.ts";
import type { NamedStranger, WatchAlarm, WatchFace, WatchSettings, WatchView } from "./watch-face.ts";

/** A channel that still waits says so at every try, at most this far apart; one that does not has gone or been served. */
const BACKLOG_AGE_MS_MAX = 60_000;

const keyOf = ({ agent, code }: Pick<WatchAlarm, "agent" | "code">): string => `${code} ${agent}`;
const utcOf = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19).replace("T", " ")} UTC`;

export abstract class FleetWatch<Env extends { readonly WATCH?: WatchSettings }>
	extends DurableObject<Env>
	implements WatchFace
{
	readonly #limits: Required<Omit<WatchSettings, "tailMissingMs" | "tailWaitMs">>;
	readonly #strangers = new Strangers();
	/** The newest refusal of what each proxy told of others. */
	readonly #refused = new Map<string, RefusedWords & { readonly atMs: number }>();
	#refusedWords = 0;
	readonly #backlogs = new Map<string, { readonly depths: LaneDepths; readonly atMs: number }>();
	readonly #words = new StateTellers<ProxyState & { readonly upSinceMs: number | null }>({
		nodesMax: WATCH_LIMITS.wordsMax,
		tell: (state) => this.storeProxy(state, { nowMs: Date.now(), silentMs: this.#limits.proxySilentMs }),
		onError: (error, way) => logLine("warning", "proxy_not_stored", { way, detail: error.message }),
	});
	#watchingSinceMs = Date.now();
	#tickedAtMs = Date.now();
	#looking: Promise<void> | null = null;
	#lookedAtMs = Date.now();
	#lateLooks = 0;
	#health: { readonly atMs: number; readonly storedBatches: number } | null = null;
	#askingHealth: Promise<number> | null = null;

	constructor(ctx: DurableObjectState, env: Env) {
		super(ctx, env);
		const { agentSilentMs, proxySilentMs, tickMs, lookGapMsMax } = WATCH_LIMITS;
		this.#limits = { agentSilentMs, proxySilentMs, tickMs, lookGapMsMax, ...env.WATCH };
		heardNodes().begin();
		// Floating on purpose: the first look is set whatever else happens, and found again after a crash.
		void ctx.storage.setAlarm(Date.now() + this.#limits.tickMs);
	}

	/** Every node that was ever heard, and the strangers that proxies name. Throws when the store does not answer. */
	protected abstract watched(): Promise<{ nodes: readonly WatchedNode[]; strangers: readonly NamedStranger[] }>;
	/** Alarms of the watch's codes that stand. */
	protected abstract standing(): Promise<readonly Pick<WatchAlarm, "agent" | "code">[]>;
	protected abstract raise(alarm: WatchAlarm): Promise<void>;
	protected abstract clear(alarm: Pick<WatchAlarm, "agent" | "code">): Promise<void>;
	/** Keeps a proxy's word. `upSinceMs`: since when it is heard without a silence, where this word says so. */
	protected abstract storeProxy(
		state: ProxyState & { readonly upSinceMs: number | null },
		context: { nowMs: number; silentMs: number },
	): Promise<void>;
	protected abstract storedBatches(): Promise<number>;
	/** Node id of the Security Center itself. */
	protected abstract readonly selfId: string;

	/** Heard at once, written as soon as the store takes it; who tells waits for that only so long. */
	async proxyState(state: ProxyState): Promise<void> {
		const upSinceMs = heardNodes().proxyHeard(state, { nowMs: Date.now(), silentMs: this.#limits.proxySilentMs });
		// By way: what one says of a proxy is not mixed with what another says of it.
		const way = `${state.proxy} by ${state.broughtBy}`;
		if (!this.#words.tell(way, { ...state, upSinceMs })) {
			logLine("warning", "proxy_not_stored", { way, detail: "too many words wait for the store" });
			return;
		}
		await this.#within(WATCH_LIMITS.wordWriteMsMax, this.#words.told(way));
	}

	/** Waits for the work, but no longer. */
	async #within(ms: number, work: Promise<void>): Promise<void> {
		let timer: ReturnType<typeof setTimeout> | undefined;
		const over = new Promise<void>((resolve) => {
			timer = setTimeout(resolve, ms);
		});
		await Promise.race([work, over]);
		clearTimeout(timer);
	}

	async health(): Promise<{ storedBatches: number }> {
		const { atMs = 0, storedBatches = 0 } = this.#health ?? {};
		if (Math.abs(Date.now() - atMs) < WATCH_LIMITS.healthMs) return { storedBatches };
		// Whoever asks meanwhile waits for the same answer.
		this.#askingHealth ??= this.storedBatches().finally(() => {
			this.#askingHealth = null;
		});
		const fresh = await this.#askingHealth;
		this.#health = { atMs: Date.now(), storedBatches: fresh };
		return { storedBatches: fresh };
	}

	async strangerCame(stranger: Stranger): Promise<void> {
		this.#strangers.came(stranger);
	}

	async wordsRefused(refused: RefusedWords): Promise<void> {
		this.#refusedWords += refused.words;
		this.#refused.delete(refused.peer);
		this.#refused.set(refused.peer, { ...refused, atMs: Date.now() });
		forgetOldest(this.#refused, PEER_LIMITS.peersMax);
	}

	async storeBacklog(agent: string, depths: LaneDepths): Promise<void> {
		const isEmpty = LANES.every((lane) => depths[lane].batches === 0);
		this.#backlogs.delete(agent);
		if (!isEmpty && this.#backlogs.size < WATCH_LIMITS.backlogAgentsMax)
			this.#backlogs.set(agent, { depths, atMs: Date.now() });
	}

	#storeDepths(nowMs: number): LaneDepths {
		const none = () => ({ batches: 0, bytes: 0, oldestMs: null as number | null });
		const sum = { trace: none(), alert: none(), bulk: none() };
		for (const [agent, { depths, atMs }] of this.#backlogs) {
			if (nowMs - atMs > BACKLOG_AGE_MS_MAX) {
				this.#backlogs.delete(agent);
				continue;
			}
			for (const lane of LANES) {
				const { batches, bytes, oldestMs } = depths[lane];
				const before = sum[lane];
				sum[lane] = {
					batches: before.batches + batches,
					bytes: before.bytes + bytes,
					oldestMs: oldestMs === null ? before.oldestMs : Math.min(oldestMs, before.oldestMs ?? oldestMs),
				};
			}
		}
		return sum;
	}

	async view(): Promise<WatchView> {
		const nowMs = Date.now();
		const { agentSilentMs, proxySilentMs } = this.#limits;
		return {
			...{ watchingSinceMs: this.#watchingSinceMs, agentSilentMs, proxySilentMs },
			...{ store: this.#storeDepths(nowMs), strangers: this.#strangers.list(nowMs) },
			refusedWords: this.#refusedWords,
			...{ lookedAtMs: this.#lookedAtMs, lateLooks: this.#lateLooks },
		};
	}

	override async alarm(): Promise<void> {
		const nowMs = Date.now();
		// Our own: late by much means that this process stood still or our clock was set, and nobody could be heard meanwhile.
		const sinceTickMs = nowMs - this.#tickedAtMs;
		if (sinceTickMs < 0 || sinceTickMs > this.#limits.proxySilentMs / 2) this.#watchingSinceMs = nowMs;
		this.#tickedAtMs = nowMs;
		await this.ctx.storage.setAlarm(nowMs + this.#limits.tickMs);
		// A tick does not wait for a look that is still waiting for the store: else a slow store would be told as a standstill of ours.
		this.#looking ??= this.#lookOnce().finally(() => {
			this.#looking = null;
		});
		await this.#within(this.#limits.tickMs, this.#looking);
	}

	async #lookOnce(): Promise<void> {
		try {
			await this.#look();
			this.#lookedAtMs = Date.now();
		} catch (error) {
			// Who is heard meanwhile is in memory: the next look knows it.
			this.#lateLooks++;
			logLine("warning", "fleet_not_watched", { detail: (error as Error).message });
		}
	}

	async #look(): Promise<void> {
		const [{ nodes: stored, strangers }, standing] = await Promise.all([this.watched(), this.standing()]);
		const nowMs = Date.now();
		const nodes = stored.map((node) => heardNodes().freshened(node, nowMs));
		const { agentSilentMs, proxySilentMs } = this.#limits;
		const context = { nowMs, watchingSinceMs: this.#watchingSinceMs, agentSilentMs, proxySilentMs };
		const verdicts = judgeSilence(nodes, context);
		const wanted = new Map<string, WatchAlarm>();
		const kept = new Set<string>();
		for (const node of nodes) {
			const verdict = verdicts.get(node.id);
			const code = node.role === "px" ? "proxy_silent" : "agent_silent";
			const alarm = { agent: node.id, code, detail: detailOf(node, nodes) } as const;
			if (verdict?.state === "silent") wanted.set(keyOf(alarm), alarm);
			// Nothing is known of it: what was said of it stands, nothing new is.
			if (verdict?.state === "unknown") kept.add(keyOf(alarm));
		}
		const told = [...toldStrangerAlarms(strangers), ...this.#refusalAlarms(nowMs), ...this.#lateAlarm(nowMs)];
		for (const alarm of [...this.#strangers.list(nowMs).map(strangerAlarm), ...told]) wanted.set(keyOf(alarm), alarm);
		const known = new Set(standing.map(keyOf));
		const raised = [...wanted.values()].filter((alarm) => !known.has(keyOf(alarm)));
		const cleared = standing.filter((alarm) => !wanted.has(keyOf(alarm)) && !kept.has(keyOf(alarm)));
		await this.#write(raised, (alarm) => this.raise(alarm), nowMs);
		await this.#write(cleared, (alarm) => this.clear(alarm), nowMs);
	}

	/** As many as one look may write; the next look goes on. */
	async #write<Alarm>(
		alarms: readonly Alarm[],
		write: (alarm: Alarm) => Promise<void>,
		sinceMs: number,
	): Promise<void> {
		for (const alarm of alarms.slice(0, WATCH_LIMITS.alarmsPerTickMax)) {
			if (Date.now() - sinceMs > WATCH_LIMITS.lookMsMax) return;
			await write(alarm);
		}
	}

	/** Said by the first look that comes to its end again, over with the next one in time. */
	#lateAlarm(nowMs: number): WatchAlarm[] {
		const lateMs = nowMs - this.#lookedAtMs;
		if (lateMs <= this.#limits.lookGapMsMax) return [];
		this.#lateLooks++;
		const seconds = Math.round(lateMs / 1000);
		const detail = `The watch did not look for ${seconds} s: the store did not answer, or answered late. Who fell silent is told late by that.`;
		return [{ agent: this.selfId, code: "watch_late", detail }];
	}

	#refusalAlarms(nowMs: number): WatchAlarm[] {
		for (const [peer, { atMs }] of this.#refused) if (nowMs - atMs > STRANGER_AGE_MS_MAX) this.#refused.delete(peer);
		return [...this.#refused.values()].map(({ peer, proxy, code }) => {
			const detail = `${peer} tells of ${proxy} what is not shown to be its own word: ${code}.`;
			return { agent: peer, code: "proxy_word_refused", detail };
		});
	}
}

function detailOf({ id, role, via, heardMs }: WatchedNode, nodes: readonly WatchedNode[]): string {
	const since = `${id} has said nothing since ${utcOf(heardMs)}`;
	if (role === "agent") return via === "" ? `${since}.` : `${since}; its proxy ${via} is heard.`;
	const behind = nodes.filter((node) => node.role === "agent" && node.via === id).length;
	return `${since}. What it carries is not known until it returns; ${behind} hosts came by it last.`;
}

const idOf = (node: string): string => node.slice(node.lastIndexOf("/") + 1);

/** At our own door, where it has proved its name. */
function strangerAlarm({ node, protocol }: Stranger): WatchAlarm {
	const agent = idOf(node);
	const detail = `${agent} speaks protocol ${protocol} and is turned away at the Security Center, which speaks another version.`;
	return { agent, code: "protocol_differs", detail };
}

/** By the proxy that names them: it may name whom it likes, and can fill no list but its own. */
function toldStrangerAlarms(strangers: readonly NamedStranger[]): WatchAlarm[] {
	return [...Map.groupBy(strangers, ({ at }) => at)].map(([at, named]) => {
		const who = named.map(({ node, protocol }) => `${idOf(node)} speaks protocol ${protocol}`).join(", ");
		const are = named.length === 1 ? "is" : "are";
		const detail = `${who} and ${are} turned away at ${at}, which speaks another version.`;
		return { agent: at, code: "protocol_differs", detail };
	});
}
