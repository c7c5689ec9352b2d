/**
 * The open consoles of the live feed, each under the session it was opened with. Guarantees: bounded, a listener that is too slow is
 * dropped and never waited for, and one whose session ended is closed.
 */
import { utf8 } from "#core/bytes/bytes.ts";

export const FEED_LIMITS = {
	/** Open consoles of one enclave. */
	listenersMax: 64,
	/** Proxies and browsers drop a silent stream after about half a minute. */
	heartbeatMs: 15_000,
	/** Bytes a listener may be behind before it is dropped; it reconnects. */
	backlogBytesMax: 64 * 1024,
} as const;

/** Address of a listener's request within the worker; `session` is the hash of the cookie's secret. */
export function feedUrl(session: string): string {
	return `https://feed.invalid/?session=${session}`;
}

type Controller = ReadableStreamDefaultController<Uint8Array>;

export class FeedListeners {
	/** Listeners with their session's hash. */
	readonly #open = new Map<Controller, string>();

	get size(): number {
		return this.#open.size;
	}

	/** The event stream of a new listener; null when there are too many. `onGone` is called when it left by itself. */
	listen(session: string, onGone: () => void): ReadableStream<Uint8Array> | null {
		if (this.#open.size >= FEED_LIMITS.listenersMax) return null;
		let own: Controller | null = null;
		return new ReadableStream<Uint8Array>(
			{
				start: (controller) => {
					own = controller;
					this.#open.set(controller, session);
					controller.enqueue(utf8("retry: 2000\n\n"));
				},
				cancel: () => {
					if (own !== null) this.#open.delete(own);
					onGone();
				},
			},
			{ highWaterMark: FEED_LIMITS.backlogBytesMax, size: (chunk) => chunk?.length ?? 0 },
		);
	}

	send(chunk: Uint8Array): void {
		for (const listener of this.#open.keys()) {
			if ((listener.desiredSize ?? 0) >= chunk.length) listener.enqueue(chunk);
			else {
				this.#open.delete(listener);
				listener.error(new Error("the listener is too slow"));
			}
		}
	}

	sessions(): string[] {
		return [...new Set(this.#open.values())];
	}

	/** Closes the streams of sessions that are not among those alive. */
	keepOnly(alive: ReadonlySet<string>): void {
		for (const [listener, session] of this.#open) {
			if (alive.has(session)) continue;
			this.#open.delete(listener);
			listener.close();
		}
	}
}
