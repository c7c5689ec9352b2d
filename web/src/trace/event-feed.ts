/**
 * All events of one trace, loaded page by page and followed live. Rows arrive in ascending row id and are appended; a row that comes
 * twice counts once. The completeness of the last answer is kept, because a hole can be found later than its neighbours.
 */
import { batch, createSignal, onCleanup } from "solid-js";
import type { Failure } from "#core/result.ts";
import type { Completeness, EventRow, EventsAnswer } from "../../../workers/sc/api/answers.ts";
import { getJson } from "../api/client.ts";
import { debounced } from "../api/idle.ts";
import { onLive } from "../api/live.ts";

const PAGE_ROWS = 2000;
const FOLLOW_DELAY_MS = 80;

export function createEventFeed(traceId: string) {
	const [rows, setRows] = createSignal<readonly EventRow[]>([]);
	const [completeness, setCompleteness] = createSignal<Completeness | null>(null);
	const [problem, setProblem] = createSignal<Failure<string> | null>(null);
	const [isLoaded, setLoaded] = createSignal(false);
	const abort = new AbortController();
	let after = 0;
	let running: Promise<void> | null = null;
	let isAskedAgain = false;

	async function loadPages(): Promise<void> {
		for (;;) {
			const path = `/api/traces/${traceId}/events?after=${after}&limit=${PAGE_ROWS}`;
			const answer = await getJson<EventsAnswer>(path, abort.signal);
			if (abort.signal.aborted) return;
			if (!answer.ok) return void setProblem(answer);
			const { events, nextAfter, hasMore, completeness: known } = answer.value;
			batch(() => {
				const fresh = events.filter((event) => event.row > after);
				if (fresh.length > 0) setRows([...rows(), ...fresh]);
				setCompleteness(known);
				setProblem(null);
			});
			const isForward = nextAfter > after;
			after = Math.max(after, nextAfter);
			if (hasMore && isForward) continue;
			setLoaded(true);
			return;
		}
	}

	function load(): void {
		if (running !== null) {
			isAskedAgain = true;
			return;
		}
		running = loadPages().finally(() => {
			running = null;
			if (!isAskedAgain || abort.signal.aborted) return;
			isAskedAgain = false;
			load();
		});
	}

	const follow = debounced(load, FOLLOW_DELAY_MS);
	onLive((note) => {
		if (note.kind === "resync" || (note.kind === "events" && note.traceId === traceId && note.lastRow > after))
			follow();
	});
	onCleanup(() => {
		follow.cancel();
		abort.abort();
	});
	load();
	return { rows, completeness, problem, isLoaded, reload: load };
}
