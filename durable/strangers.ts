/**
 * Nodes that were turned away at the door because they speak another protocol version: whom, and what they speak. Pure and bounded;
 * one entry per node, the newest first. A node that comes in after all is no stranger any more. Must only be told of nodes that have
 * proved who they are: the list is shown to people.
 */
import { LINK_LIMITS } from "#core/protocol/index.ts";

export interface Stranger {
	/** Its node URI, proved by its own signature. */
	readonly node: string;
	readonly protocol: number;
	/** When it last tried. */
	readonly atMs: number;
}

/** Longer than any backoff: a node that has not tried for so long has been stopped or mended. */
export const STRANGER_AGE_MS_MAX = 120_000;

export class Strangers {
	#list: Stranger[] = [];

	came(stranger: Stranger): void {
		this.#list = [stranger, ...this.#list.filter(({ node }) => node !== stranger.node)].slice(
			0,
			LINK_LIMITS.strangersMax,
		);
	}

	admitted(node: string): void {
		this.#list = this.#list.filter((each) => each.node !== node);
	}

	list(nowMs: number): readonly Stranger[] {
		this.#list = this.#list.filter(({ atMs }) => nowMs - atMs <= STRANGER_AGE_MS_MAX);
		return this.#list;
	}
}
