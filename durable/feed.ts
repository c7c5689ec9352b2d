/**
 * The live feed of the console: notes that something changed, as server-sent events. Guarantees: bounded listeners, a comment
 * every few seconds so that a dead one is found, no note waits for a slow listener, and no note goes to a session that has ended: at
 * sign-out at once, otherwise within a heartbeat. Notes carry ids, never evidence: the listener asks the routes, which judge it
 * again. Losing a note costs a console one refresh and nothing else.
 */
import { DurableObject } from "cloudflare:workers";
import { utf8 } from "#core/bytes/bytes.ts";
import type { Namespace } from "./faces.ts";
import { FEED_LIMITS, FeedListeners } from "./feed-listeners.ts";
import { logLine } from "./log.ts";
import { OBJECT_NAMES } from "./sc-objects.ts";

export interface FeedFace {
	/** Opens a stream; its address (`feedUrl`) names the session it belongs to. */
	fetch(request: Request): Promise<Response>;
	/** Each note is JSON of the console's `LiveNote`. */
	publish(notes: readonly string[]): Promise<void>;
	/** Closes the streams of a session that has ended. */
	endSession(session: string): Promise<void>;
}

export interface FeedEnv {
	/** Of sessions, by hash, those that have not ended. */
	readonly TRACE_DESK: Namespace<{ aliveSessions(sessions: readonly string[]): Promise<readonly string[]> }>;
}

export class Feed extends DurableObject<FeedEnv> implements FeedFace {
	readonly #listeners = new FeedListeners();
	#heartbeat: ReturnType<typeof setInterval> | null = null;

	override async fetch(request: Request): Promise<Response> {
		const session = new URL(request.url).searchParams.get("session") ?? "";
		const body = this.#listeners.listen(session, () => this.#rest());
		if (body === null) return new Response(null, { status: 503 });
		this.#heartbeat ??= setInterval(() => void this.#beat(), FEED_LIMITS.heartbeatMs);
		return new Response(body, { headers: { "content-type": "text/event-stream", "cache-control": "no-store" } });
	}

	async publish(notes: readonly string[]): Promise<void> {
		if (notes.length > 0) this.#listeners.send(utf8(notes.map((note) => `data: ${note}\n\n`).join("")));
	}

	async endSession(session: string): Promise<void> {
		this.#listeners.keepOnly(new Set(this.#listeners.sessions().filter((each) => each !== session)));
		this.#rest();
	}

	/** A session also ends by age, by idleness and by a new trust document; nobody tells the feed. */
	async #beat(): Promise<void> {
		this.#listeners.send(utf8(": \n\n"));
		try {
			const desk = this.env.TRACE_DESK.getByName(OBJECT_NAMES.desk);
			const alive = new Set(await desk.aliveSessions(this.#listeners.sessions()));
			this.#listeners.keepOnly(alive);
		} catch (error) {
			// Nobody can say who may still listen: everybody asks again, with a session.
			logLine("warning", "sessions_not_judged", { detail: (error as Error).message });
			this.#listeners.keepOnly(new Set());
		}
		this.#rest();
	}

	#rest(): void {
		if (this.#listeners.size > 0 || this.#heartbeat === null) return;
		clearInterval(this.#heartbeat);
		this.#heartbeat = null;
	}
}
