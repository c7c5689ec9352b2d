/**
 * What an Uplink knows of the proxies below its node, on its way up: the newest word of each, told again on every new link. Pure;
 * heard again after a restart. Bounded: a captured proxy could name any number of others.
 */
import type { FrameBody } from "#core/protocol/index.ts";
import type { ProxyState } from "./faces.ts";
import { PEER_LIMITS } from "./limits.ts";

interface Entry {
	readonly state: ProxyState;
	isTold: boolean;
}

export class NestedProxies {
	readonly #entries = new Map<string, Entry>();

	/** False when there are too many and this one is not among them. */
	note(state: ProxyState): boolean {
		if (!this.#entries.has(state.proxy) && this.#entries.size >= PEER_LIMITS.nestedMax) return false;
		this.#entries.set(state.proxy, { state, isTold: false });
		return true;
	}

	/** A new link knows nothing yet. */
	resend(): void {
		for (const entry of this.#entries.values()) entry.isTold = false;
	}

	/** What has not been told on this link. One that went is told once and forgotten. */
	take(nowMs: number): FrameBody<"proxy_state">[] {
		const out: FrameBody<"proxy_state">[] = [];
		for (const [proxy, entry] of this.#entries) {
			if (entry.isTold) continue;
			entry.isTold = true;
			const { via, isUp, heardHereMs, clock, link } = entry.state;
			out.push({
				...{ proxy, via, isUp, ageMs: Math.max(0, nowMs - heardHereMs) },
				...(clock === undefined ? {} : { clockOffsetMs: clampedInt32(clock.offsetMs) }),
				...(clock === undefined || clock.boundMs === null ? {} : { clockBoundMs: clock.boundMs }),
				...(link === undefined ? {} : { link }),
			});
			if (!isUp) this.#entries.delete(proxy);
		}
		return out;
	}
}

/** The wire's integer ends at 24 days; a clock that is off by more is off by that much at least. */
function clampedInt32(value: number): number {
	return Math.max(-0x7fff_ffff, Math.min(0x7fff_ffff, Math.round(value)));
}
