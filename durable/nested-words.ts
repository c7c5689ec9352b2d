/**
 * What one proxy's link is told of proxies: each word is taken only when it is shown to be the own word of the proxy it speaks of
 * (`core/protocol/proxy-word.ts`) and newer than what this link said of it before. Guarantees that what is refused has a name and is
 * counted, and disturbs nothing else; that a name nobody can prove takes no place; and that a place is free again when its proxy went
 * or was not heard for its time.
 */
import { type ProxyWordCode, verifyProxyWord } from "#core/protocol/index.ts";
import { fail, ok, type Result } from "#core/result.ts";
import type { ProxyState, RefusedWords } from "./faces.ts";
import { PEER_LIMITS } from "./limits.ts";

export type NestedWordCode =
	| ProxyWordCode
	/** The linked proxy spoke of itself as of another: its word is its heartbeat. */
	| "proxy_word_of_itself"
	/** More proxies than a link has places for, or more words than may wait to be judged. */
	| "proxy_words_max";

/** What a link said of a proxy, before anybody has looked at it. */
export interface ToldProxy {
	readonly proxy: string;
	/** Empty: linked to this node. */
	readonly via: string;
	readonly isUp: boolean;
	readonly word?: Uint8Array | undefined;
}

/** What of it is shown to be true; null: nothing new. */
export type TakenWord = Pick<ProxyState, "link" | "word"> | null;

export class NestedWords {
	readonly #link: { readonly peer: string; readonly selfUri: string; readonly root: Uint8Array };
	readonly #known = new Map<string, { readonly number: number; readonly heardAtMs: number }>();
	#refused: RefusedWords | null = null;

	constructor(link: { peer: string; selfUri: string; root: Uint8Array }) {
		this.#link = link;
	}

	get size(): number {
		return this.#known.size;
	}

	/** One that went has no word: it is believed of whom this link has shown to be there. */
	async judge(told: ToldProxy, nowMs: number): Promise<Result<TakenWord, NestedWordCode>> {
		const { proxy, via, isUp, word } = told;
		const { peer, selfUri, root } = this.#link;
		if (proxy === peer && via !== "") return fail("proxy_word_of_itself", "its word of itself is its heartbeat");
		if (!isUp) return ok(this.#known.delete(proxy) ? {} : null);
		if (word === undefined) return fail("proxy_word_missing", "nothing that it signed came with it");
		const afterNumber = this.#known.get(proxy)?.number ?? 0;
		const judged = await verifyProxyWord(word, { proxy, via, selfUri, root, nowMs, afterNumber });
		if (!judged.ok) return judged;
		if (judged.value === null) return ok(null);
		const { number, link } = judged.value;
		if (!this.#known.has(proxy) && this.#known.size >= PEER_LIMITS.nestedMax)
			return fail("proxy_words_max", `${PEER_LIMITS.nestedMax} proxies are behind this one already`);
		this.#known.set(proxy, { number, heardAtMs: nowMs });
		return ok({ link, word: { bytes: word, number } });
	}

	/** Gives the places of those that were not heard for their time to others. */
	forgetOld(nowMs: number): void {
		for (const [proxy, { heardAtMs }] of this.#known)
			if (nowMs - heardAtMs > PEER_LIMITS.nestedAgeMsMax) this.#known.delete(proxy);
	}

	refused(proxy: string, code: NestedWordCode): void {
		this.#refused = { peer: this.#link.peer, proxy, code, words: (this.#refused?.words ?? 0) + 1 };
	}

	/** How many were refused since it was last asked, and the newest of them; null for none. */
	takeRefused(): RefusedWords | null {
		const refused = this.#refused;
		this.#refused = null;
		return refused;
	}
}
