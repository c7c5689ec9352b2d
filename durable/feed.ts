/**
 * The live feed of the console: notes that something changed, as server-sent events. Guarantees: bounded listeners, a comment
 * every few seconds so that a dead one is found, no note waits for a slow listener. Notes carry ids, never evidence: the listener
 * asks the routes, which judge it again. Losing a note costs a console one refresh and nothing else.
 */
import { DurableObject } from "cloudflare:workers";
import { utf8 } from "#core/bytes/bytes.ts";

export const FEED_LIMITS = {
	/** Open consoles of one enclave. */
	listenersMax: 64,
	/** Proxies and browsers drop a silent stream after about half a minute. */
	heartbeatMs: 15_000,
	/** Bytes a listener may be behind before it is dropped; it reconnects. */
	backlogBytesMax: 64 * 1024,
} as const;

export interface FeedFace {
	fetch(request: Request): Promise<Response>;
	/** Each note is JSON of the console's `LiveNote`. */
	publish(notes: readonly string[]): Promise<void>;
}

export class Feed extends DurableObject implements FeedFace {
	readonly #listeners = new Set<ReadableStreamDefaultController<Uint8Array>>();
	#heartbeat: ReturnType<typeof setInterval> | null = null;

	override async fetch(): Promise<Response> {
		if (this.#listeners.size >= FEED_LIMITS.listenersMax) return new Response(null, { status: 503 });
		let own: ReadableStreamDefaultController<Uint8Array> | null = null;
		const body = new ReadableStream<Uint8Array>(
			{
				start: (controller) => {
					own = controller;
					this.#listeners.add(controller);
					this.#heartbeat ??= setInterval(() => this.#send(utf8(": \n\n")), FEED_LIMITS.heartbeatMs);
					controller.enqueue(utf8("retry: 2000\n\n"));
				},
				cancel: () => {
					if (own !== null) this.#drop(own);
				},
			},
			{ highWaterMark: FEED_LIMITS.backlogBytesMax, size: (chunk) => chunk?.length ?? 0 },
		);
		return new Response(body, { headers: { "content-type": "text/event-stream", "cache-control": "no-store" } });
	}

	async publish(notes: readonly string[]): Promise<void> {
		if (notes.length > 0) this.#send(utf8(notes.map((note) => `data: ${note}\n\n`).join("")));
	}

	#drop(listener: ReadableStreamDefaultController<Uint8Array>): void {
		this.#listeners.delete(listener);
		if (this.#listeners.size > 0 || this.#heartbeat === null) return;
		clearInterval(this.#heartbeat);
		this.#heartbeat = null;
	}

	#send(chunk: Uint8Array): void {
		for (const listener of this.#listeners) {
			if ((listener.desiredSize ?? 0) >= chunk.length) listener.enqueue(chunk);
			else {
				this.#drop(listener);
				listener.error(new Error("the listener is too slow"));
			}
		}
	}
}
