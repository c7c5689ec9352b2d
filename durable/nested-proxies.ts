/**
 * What an Uplink knows of the proxies below its node, on its way up: the newest word of each, verbatim, told again on every new link.
 * Pure; heard again after a restart. Bounded, and a proxy that is not heard any more takes no place. Must only be given words that are
 * shown to be their proxies' own (`nested-words.ts`).
 */
import type { FrameBody } from "#core/protocol/index.ts";
import type { ProxyState } from "./faces.ts";
import { PEER_LIMITS } from "./limits.ts";

interface Entry {
	readonly state: ProxyState;
	readonly number: number;
	isTold: boolean;
}

export class NestedProxies {
	readonly #entries = new Map<string, Entry>();

	/** False when there are too many and this one is not among them. What is no news of the proxy changes nothing. */
	note(state: ProxyState): boolean {
		const { proxy, isUp, word, broughtBy, heardHereMs } = state;
		const known = this.#entries.get(proxy);
		if (word === undefined) {
			// That it went is for whoever brought its newest word to say.
			if (!isUp && known?.state.broughtBy === broughtBy)
				this.#entries.set(proxy, { state, number: known.number, isTold: false });
			return true;
		}
		if (known !== undefined && word.number <= known.number) return true;
		this.#forgetOld(heardHereMs);
		if (known === undefined && this.#entries.size >= PEER_LIMITS.nestedMax) return false;
		this.#entries.set(proxy, { state, number: word.number, isTold: false });
		return true;
	}

	#forgetOld(nowMs: number): void {
		for (const [proxy, { state }] of this.#entries)
			if (nowMs - state.heardHereMs > PEER_LIMITS.nestedAgeMsMax) this.#entries.delete(proxy);
	}

	/** A new link knows nothing yet. */
	resend(): void {
		for (const entry of this.#entries.values()) entry.isTold = false;
	}

	/** What has not been told on this link. One that went is told once and forgotten. */
	take(nowMs: number): FrameBody<"proxy_state">[] {
		this.#forgetOld(nowMs);
		const out: FrameBody<"proxy_state">[] = [];
		for (const [proxy, entry] of this.#entries) {
			if (entry.isTold) continue;
			entry.isTold = true;
			const { via, isUp, heardHereMs, clock, word } = entry.state;
			out.push({
				...{ proxy, via, isUp, ageMs: Math.max(0, nowMs - heardHereMs) },
				...(clock === undefined ? {} : { clockOffsetMs: clampedInt32(clock.offsetMs) }),
				...(clock === undefined || clock.boundMs === null ? {} : { clockBoundMs: clock.boundMs }),
				...(isUp && word !== undefined ? { word: word.bytes } : {}),
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
