/**
 * When each node was last heard, in memory, as the watch over silence needs it whatever the store is doing: what the store knows may
 * wait behind thousands of writes. Guarantees that nobody is accused because a word of his is not written yet, and that a word which is
 * not news (an older one of a proxy below another) is no sign of life. Channels and the watch share it, because they share one isolate;
 * the watch empties it when it starts, and then gives everybody his whole time.
 */
import type { ProxyState } from "./faces.ts";
import { forgetOldest } from "./forget-oldest.ts";
import { WATCH_LIMITS } from "./limits.ts";
import type { WatchedNode } from "./silence.ts";

interface HeardProxy {
	readonly atMs: number;
	/** Since when it is heard without a silence. */
	readonly upSinceMs: number;
	/** Of its newest signed word; null: linked here, and has signed none. */
	readonly number: number | null;
	readonly isDirect: boolean;
	readonly broughtBy: string;
	readonly isUp: boolean;
}

/** Objects of one isolate do not have quite the same time; a word further ahead was heard before the clock was set back. */
const AHEAD_MS_MAX = 1000;

export class HeardNodes {
	readonly #agents = new Map<string, number>();
	readonly #proxies = new Map<string, HeardProxy>();

	/** The watch starts: what was heard for an earlier one is over. */
	begin(): void {
		this.#agents.clear();
		this.#proxies.clear();
	}

	/** A channel was told by the agent's own way that it is there. */
	agentHeard(agent: string, atMs: number): void {
		this.#agents.delete(agent);
		this.#agents.set(agent, atMs);
		forgetOldest(this.#agents, WATCH_LIMITS.heardMax);
	}

	/** Answers since when the proxy is heard without a silence; null when what was said is no news of it. */
	proxyHeard(state: ProxyState, { nowMs, silentMs }: { nowMs: number; silentMs: number }): number | null {
		const { proxy, via, isUp, word, broughtBy } = state;
		const known = this.#proxies.get(proxy);
		if (!isUp) {
			if (known?.broughtBy === broughtBy) this.#proxies.set(proxy, { ...known, isUp: false });
			return null;
		}
		const isDirect = via === "";
		if (!isDirect && (word === undefined || word.number <= (known?.number ?? 0))) return null;
		const atMs = Math.min(state.heardHereMs, nowMs);
		const goesOn = known?.isUp === true && atMs - known.atMs <= silentMs;
		const upSinceMs = goesOn ? known.upSinceMs : nowMs;
		this.#proxies.delete(proxy);
		this.#proxies.set(proxy, {
			...{ atMs, upSinceMs, isDirect, broughtBy, isUp },
			number: word?.number ?? known?.number ?? null,
		});
		forgetOldest(this.#proxies, WATCH_LIMITS.heardMax);
		return upSinceMs;
	}

	/** The node as the store knows it, with what was heard since that was written. */
	freshened(node: WatchedNode, nowMs: number): WatchedNode {
		const heardMs = (atMs: number) => (atMs > nowMs + AHEAD_MS_MAX ? 0 : Math.min(atMs, nowMs));
		if (node.role === "agent") {
			const atMs = this.#agents.get(node.id);
			return atMs === undefined ? node : { ...node, heardMs: Math.max(node.heardMs, heardMs(atMs)) };
		}
		const known = this.#proxies.get(node.id);
		// What the store has taken is newer than what a start found in the hands of others.
		if (known === undefined || (!known.isDirect && (known.number ?? 0) < (node.wordNumber ?? 0))) return node;
		return {
			...node,
			heardMs: Math.max(node.heardMs, heardMs(known.atMs)),
			upSinceMs: Math.max(node.upSinceMs, heardMs(known.upSinceMs)),
		};
	}
}

const shared = new HeardNodes();

/** The one of this isolate. */
export function heardNodes(): HeardNodes {
	return shared;
}
