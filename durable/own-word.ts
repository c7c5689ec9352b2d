/**
 * A proxy's word of itself, made anew for every heartbeat: its link's health under its own signature, for the nodes above its upstream.
 * Guarantees that its number rises while the process lives, also when the clock is set back; a new process goes on with the clock.
 */
import type { NodeProof } from "#core/identity/binding.ts";
import { type LinkHealth, PROXY_WORD_LIMITS, signProxyWord } from "#core/protocol/index.ts";

export class OwnWord {
	readonly #signer: { readonly uri: string; readonly seed: Uint8Array; readonly proof: NodeProof };
	#number = 0;

	constructor(signer: { uri: string; seed: Uint8Array; proof: NodeProof }) {
		this.#signer = signer;
	}

	of(link: LinkHealth): Uint8Array {
		const { uri, seed, proof } = this.#signer;
		// One that a clock far ahead left behind is no number of now: readers would refuse it.
		const isAhead = this.#number > link.timeMs + PROXY_WORD_LIMITS.ageMsMax;
		this.#number = isAhead ? link.timeMs : Math.max(this.#number + 1, link.timeMs);
		return signProxyWord({ uri, number: this.#number, link }, seed, proof);
	}
}
