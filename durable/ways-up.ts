/**
 * The way up of a proxy: which of its upstreams it is linked to, and the path above it. Guarantees one link at a time; that a dead
 * upstream is passed over for the next of the list and a preferred one taken back when it has been well for a while; that no link is
 * made to, or kept with, an upstream whose path holds this node; and that nothing flows unless the path leads to a Security Center: a
 * loop of proxies leads to none, so however it came about, nothing ever runs round in it.
 */
import { judgePath, leadsToCenter } from "#core/identity/path.ts";
import { type Frame, type FrameBody, Parents, type ParentTimes } from "#core/protocol/index.ts";
import { assertInvariant } from "#core/result.ts";
import { UPLINK_LIMITS } from "./limits.ts";
import { logLine } from "./log.ts";
import { type Upstream, UpstreamLink } from "./upstream-link.ts";

export interface WaysUpParts {
	/** In order of preference. */
	readonly upstreams: readonly Upstream[];
	readonly selfUri: string;
	readonly times: ParentTimes;
	readonly onWelcome: (body: FrameBody<"welcome">) => void;
	/** Any other frame but `path`, after the welcome. */
	readonly onFrame: (frame: Frame) => void;
	/** Whether evidence and news may go up from now on. */
	readonly onFlow: (isFlowing: boolean) => void;
	/** The path that the nodes below are to have above them. */
	readonly onPath: (path: readonly string[]) => void;
}

export interface WayHealth {
	readonly isUp: boolean;
	/** Linked, and the path leads to a Security Center. */
	readonly isForwarding: boolean;
	/** The one in use, or tried next. */
	readonly upstream: string;
	/** All, in order of preference. */
	readonly upstreams: readonly string[];
	readonly path: readonly string[];
	readonly sinceMs: number;
	readonly lastError: string | null;
}

export class WaysUp {
	readonly #parts: WaysUpParts;
	readonly #parents: Parents;
	#link: UpstreamLink | null = null;
	/** True from `welcome` on. */
	#isUp = false;
	#isFlowing = false;
	#isConnecting = false;
	#isMoving = false;
	#above: readonly string[] = [];
	#waiting: ReturnType<typeof setTimeout> | null = null;
	#probing: ReturnType<typeof setTimeout> | null = null;
	#failures = 0;
	#sinceMs = Date.now();
	#lastError: string | null = null;

	constructor(parts: WaysUpParts) {
		this.#parts = parts;
		this.#parents = new Parents(parts.upstreams.length, Math.random, parts.times);
	}

	get isUp(): boolean {
		return this.#isUp;
	}

	get isFlowing(): boolean {
		return this.#isFlowing;
	}

	get upstream(): Upstream {
		const upstream = this.#parts.upstreams[this.#parents.current];
		assertInvariant(upstream !== undefined, "a parent stands in the list");
		return upstream;
	}

	/** What the nodes below have above them: this node first. */
	get path(): readonly string[] {
		return [this.#parts.selfUri, ...this.#above];
	}

	health(): WayHealth {
		return {
			isUp: this.#isUp,
			isForwarding: this.#isFlowing,
			upstream: this.upstream.uri,
			upstreams: this.#parts.upstreams.map(({ uri }) => uri),
			path: this.path,
			sinceMs: this.#sinceMs,
			lastError: this.#lastError,
		};
	}

	/** False when there is no link. */
	send(frame: Uint8Array): boolean {
		return this.#isUp && this.#link?.send(frame) === true;
	}

	close(code: string, detail: string): void {
		this.#link?.close(code, detail);
	}

	/** Drops a link on which nothing was heard for too long; makes sure that one is tried. */
	check(nowMs: number): void {
		if (this.#link === null) this.connect();
		else if (nowMs - this.#link.heardAtMs > UPLINK_LIMITS.silentMsMax) this.close("silent", "nothing was heard");
	}

	connect(): void {
		if (this.#isConnecting || this.#waiting !== null || this.#link !== null) return;
		this.#isConnecting = true;
		const { upstream } = this;
		const { length } = this.#parts.upstreams;
		const events = {
			onPath: (path: readonly string[]) => this.#claim(path),
			onFrame: (frame: Frame) => this.#take(frame),
			onClosed: (reason: string) => this.#closed(reason),
		};
		const timeoutMs = length > 1 ? UPLINK_LIMITS.tryTimeoutMs : UPLINK_LIMITS.connectTimeoutMs;
		void UpstreamLink.open(upstream, events, timeoutMs).then((opened) => {
			this.#isConnecting = false;
			// One that has ended by now has said so.
			if (opened.ok && opened.value.isOpen) this.#link = opened.value;
			if (!opened.ok) this.#closed(`${opened.code}: ${opened.detail}`);
		});
	}

	/** Before the hello: from now on the path stands, so that of two nodes that try each other at once one hears of it. */
	#claim(path: readonly string[]): ReturnType<typeof judgePath> {
		const judged = judgePath(path, this.#parts.selfUri);
		if (judged.ok) this.#setAbove(path);
		return judged;
	}

	#setAbove(above: readonly string[]): void {
		const isChanged = above.length !== this.#above.length || above.some((uri, index) => uri !== this.#above[index]);
		this.#above = above;
		if (isChanged) this.#parts.onPath(this.path);
		const isFlowing = this.#isUp && leadsToCenter(above);
		if (isFlowing === this.#isFlowing) return;
		this.#isFlowing = isFlowing;
		if (this.#isUp && !isFlowing) logLine("warning", "upstream_cut_off", { upstream: this.upstream.uri, path: above });
		this.#parts.onFlow(isFlowing);
	}

	#take(frame: Frame): void {
		const { type, body } = frame;
		if (!this.#isUp && type !== "welcome") this.close("frame_unexpected", `${type} before the welcome`);
		else if (type === "welcome") this.#welcome(body);
		else if (type === "path") this.#follow(body.path);
		else this.#parts.onFrame(frame);
	}

	/** A path from upstream; false when it may not be ours, and the link has ended. */
	#follow(path: readonly string[]): boolean {
		const judged = judgePath(path, this.#parts.selfUri);
		if (judged.ok) this.#setAbove(path);
		else this.close(judged.code, judged.detail);
		return judged.ok;
	}

	#welcome(body: FrameBody<"welcome">): void {
		const { upstream } = this;
		const path = body.path ?? [upstream.uri];
		const judged = judgePath(path, this.#parts.selfUri);
		if (!judged.ok) {
			this.close(judged.code, judged.detail);
			return;
		}
		this.#isUp = true;
		this.#failures = 0;
		this.#sinceMs = Date.now();
		this.#parents.up();
		logLine("info", "uplink_up", { upstream: upstream.uri, path });
		this.#parts.onWelcome(body);
		this.#setAbove(path);
		this.#probeLater();
	}

	#closed(reason: string): void {
		const nowMs = Date.now();
		const livedMs = this.#isUp ? nowMs - this.#sinceMs : 0;
		const { uri: upstream } = this.upstream;
		if (this.#isUp) this.#sinceMs = nowMs;
		if (this.#probing !== null) clearTimeout(this.#probing);
		this.#probing = null;
		this.#link = null;
		this.#isUp = false;
		this.#setAbove([]);
		const waitMs = this.#isMoving ? 0 : this.#parents.ended(livedMs);
		if (!this.#isMoving) {
			this.#lastError = reason;
			this.#failures++;
			const { failures, upstream: next } = { failures: this.#failures, upstream: this.upstream.uri };
			logLine("warning", "uplink_down", { upstream, reason, failures, waitMs, next });
		}
		this.#isMoving = false;
		this.#waiting = setTimeout(() => {
			this.#waiting = null;
			this.connect();
		}, waitMs);
	}

	// ── the way back ─────────────────────────────────────────────────────────────────────────────────────────────────────

	#probeLater(): void {
		if (this.#parts.upstreams.length === 1) return;
		this.#probing = setTimeout(() => void this.#probe(this.#link), this.#parents.probeInMs());
	}

	/** Asks the preferred upstreams whether they lead to the center; all others, where the one in use does not. */
	async #probe(link: UpstreamLink | null): Promise<void> {
		const places = this.#parts.upstreams.flatMap((upstream, index) => {
			const isAsked = index < this.#parents.current || (!this.#isFlowing && index !== this.#parents.current);
			return isAsked ? [{ upstream, index }] : [];
		});
		for (const { upstream, index } of places) {
			const path = await UpstreamLink.probe(upstream, UPLINK_LIMITS.tryTimeoutMs);
			if (link === null || link !== this.#link) return;
			const isGood = path.ok && judgePath(path.value, this.#parts.selfUri).ok && leadsToCenter(path.value);
			if (isGood && !this.#isFlowing) {
				this.#move(index);
				return;
			}
			this.#parents.heard(index, isGood, Date.now());
		}
		const better = this.#parents.better(Date.now());
		if (better === null) this.#probeLater();
		else this.#move(better);
	}

	#move(index: number): void {
		const from = this.upstream.uri;
		this.#parents.moveTo(index);
		this.#isMoving = true;
		logLine("info", "uplink_moves", { from, to: this.upstream.uri });
		this.close("moved", "a preferred upstream is back");
	}
}
