/**
 * What an Uplink knows in memory of the agents behind it: who is here, what was last heard, how much waits. Pure. The durable part
 * (which agents exist at all) is the store's; everything here is heard again after a restart.
 */
import { LANES, type Lane } from "#core/model/batch.ts";
import type { FrameBody } from "#core/protocol/index.ts";
import type { AgentNews, Depth, LaneDepths } from "./faces.ts";
import { UPLINK_LIMITS } from "./limits.ts";

type State = Omit<FrameBody<"agent_state">, "proof" | "route" | "ageMs"> & {
	/** When it was heard, by this node's clock. */
	readonly heardHereMs?: number | undefined;
};

interface Entry {
	news: AgentNews;
	/** Upstream does not believe this agent: nothing of it is sent until it proves itself again. */
	isRefused: boolean;
	/** Null until the channel has said. */
	depths: LaneDepths | null;
	/** News gathered for the next state frame. */
	noted: State | null;
	/** When health of it last went up; 0 = never. */
	healthSentMs: number;
}

export class AgentRegistry {
	readonly #entries = new Map<string, Entry>();

	readonly #agentsMax: number;

	constructor(agents: readonly Omit<AgentNews, "isUp">[], agentsMax: number = UPLINK_LIMITS.agentsMax) {
		this.#agentsMax = agentsMax;
		for (const agent of agents) this.#put({ ...agent, isUp: false });
	}

	#put(news: AgentNews): void {
		const { depths = null, healthSentMs = 0 } = this.#entries.get(news.agent) ?? {};
		this.#entries.set(news.agent, { news, isRefused: false, depths, noted: null, healthSentMs });
	}

	get size(): number {
		return this.#entries.size;
	}

	/** Whether the agent may come: one that is known always may. */
	hasRoomFor(agent: string): boolean {
		return this.#entries.has(agent) || this.#entries.size < this.#agentsMax;
	}

	has(agent: string): boolean {
		return this.#entries.has(agent);
	}

	/** The agent proved itself on a new link. */
	arrived(news: AgentNews): void {
		this.#put(news);
	}

	forget(agent: string): void {
		this.#entries.delete(agent);
	}

	/** News of a registered agent; the newest of each kind is kept until it is taken. */
	note(state: State): void {
		const entry = this.#entries.get(state.agent);
		if (entry === undefined) return;
		// Coming and going is told at once; that it goes on being well can wait for its turn.
		if (entry.news.isUp !== state.isUp || state.status !== undefined) entry.healthSentMs = 0;
		entry.news = { ...entry.news, isUp: state.isUp, heardAtMs: state.heardAtMs };
		entry.noted = { ...entry.noted, ...state };
	}

	/** News that may go up now, each with the lanes in which something of its agent waits here or below. */
	takeNoted(nowMs: number, healthIntervalMs: number): State[] {
		const out: State[] = [];
		for (const entry of this.#entries.values()) {
			const { noted, depths } = entry;
			if (noted === null || Math.abs(nowMs - entry.healthSentMs) < healthIntervalMs) continue;
			if (noted.health !== undefined) entry.healthSentMs = nowMs;
			entry.noted = null;
			const { waiting: below, ...told } = noted;
			// What the channel here or a hop below has not said may be anything.
			const isKnown = depths !== null && below !== undefined;
			const waiting = isKnown ? LANES.filter((lane) => depths[lane].batches > 0 || below.includes(lane)) : null;
			out.push({ ...told, ...(waiting === null ? {} : { waiting }) });
		}
		return out;
	}

	/** Whether some news waits for its turn. */
	get hasNoted(): boolean {
		return [...this.#entries.values()].some(({ noted }) => noted !== null);
	}

	everyone(): AgentNews[] {
		return [...this.#entries.values()].map(({ news }) => news);
	}

	newsOf(agent: string): AgentNews | null {
		return this.#entries.get(agent)?.news ?? null;
	}

	agentsUp(): string[] {
		return this.everyone().flatMap(({ agent, isUp }) => (isUp ? [agent] : []));
	}

	heardAtMs(agent: string): number {
		return this.#entries.get(agent)?.news.heardAtMs ?? 0;
	}

	setRefused(agent: string, isRefused: boolean): void {
		const entry = this.#entries.get(agent);
		if (entry !== undefined) entry.isRefused = isRefused;
	}

	isRefused(agent: string): boolean {
		return this.#entries.get(agent)?.isRefused ?? true;
	}

	setDepths(agent: string, depths: LaneDepths): void {
		const entry = this.#entries.get(agent);
		if (entry !== undefined) entry.depths = depths;
	}

	/** Gone, upstream has been told so, and nothing of it waits here. */
	isDrained(agent: string): boolean {
		const entry = this.#entries.get(agent);
		if (entry === undefined || entry.depths === null || entry.news.isUp || entry.noted !== null) return false;
		const { depths } = entry;
		return LANES.every((lane) => depths[lane].batches === 0);
	}

	totals(): LaneDepths {
		const total = (lane: Lane): Depth => {
			const all = [...this.#entries.values()].flatMap(({ depths }) => (depths === null ? [] : [depths[lane]]));
			const times = all.flatMap(({ oldestMs }) => (oldestMs === null ? [] : [oldestMs]));
			return {
				batches: all.reduce((sum, depth) => sum + depth.batches, 0),
				bytes: all.reduce((sum, depth) => sum + depth.bytes, 0),
				oldestMs: times.length === 0 ? null : times.reduce((oldest, time) => Math.min(oldest, time)),
			};
		};
		return { trace: total("trace"), alert: total("alert"), bulk: total("bulk") };
	}
}
