/**
 * The live feed: server-sent notes that something changed. A note never carries evidence; who hears it asks again. A lost feed is
 * shown and the browser reconnects by itself; after it did, everything is refreshed, because notes may have been missed.
 */
import { createSignal, onCleanup } from "solid-js";
import type { LiveNote } from "../../../workers/sc/api/answers.ts";

export type LiveState = "off" | "connecting" | "live" | "lost";

/** Sent to every listener after a reconnect. */
export type FeedNote = LiveNote | { kind: "resync" };

const [state, setState] = createSignal<LiveState>("off");
const listeners = new Set<(note: FeedNote) => void>();
/** A refused feed (the server restarts, the session is new) is closed for good by the browser: we ask again. */
const REOPEN_DELAY_MS = 3000;
let source: EventSource | undefined;
let reopenTimer: ReturnType<typeof setTimeout> | undefined;

export const liveState = state;

function tell(note: FeedNote): void {
	for (const listener of [...listeners]) listener(note);
}

function readNote(data: string): LiveNote | null {
	try {
		const note: unknown = JSON.parse(data);
		return typeof note === "object" && note !== null && "kind" in note ? (note as LiveNote) : null;
	} catch {
		return null;
	}
}

export function openLive(): void {
	closeLive();
	setState("connecting");
	let wasLost = false;
	const feed = new EventSource("/api/live");
	source = feed;
	feed.onopen = () => {
		setState("live");
		if (wasLost) tell({ kind: "resync" });
		wasLost = false;
	};
	feed.onerror = () => {
		wasLost = true;
		setState("lost");
		if (feed.readyState === EventSource.CLOSED) {
			reopenTimer = setTimeout(() => {
				openLive();
				tell({ kind: "resync" });
			}, REOPEN_DELAY_MS);
		}
	};
	feed.onmessage = ({ data }) => {
		const note = typeof data === "string" ? readNote(data) : null;
		// An unreadable note still means that something happened.
		tell(note ?? { kind: "resync" });
	};
}

export function closeLive(): void {
	clearTimeout(reopenTimer);
	source?.close();
	source = undefined;
	setState("off");
}

/** Hears every note until the owner is disposed. */
export function onLive(listener: (note: FeedNote) => void): void {
	listeners.add(listener);
	onCleanup(() => listeners.delete(listener));
}
