/**
 * One answer of the Security Center, kept and refreshed. While a refresh runs or fails the last good answer stays, with the problem
 * beside it: a console that blanks on a lost link shows less than it knows.
 */
import { createEffect, createSignal, on, onCleanup } from "solid-js";
import type { Failure } from "#core/result.ts";
import { type ApiCode, getJson } from "./client.ts";
import { debounced } from "./idle.ts";

/** Live notes come in bursts; one refresh serves them all. */
const REFRESH_DELAY_MS = 120;

export interface Query<T> {
	/** The last good answer for the present path. */
	data(): T | undefined;
	problem(): Failure<ApiCode> | null;
	isLoading(): boolean;
	/** Soon, once for many calls. */
	refresh(): void;
	/** At once; resolves when the answer stands. */
	reload(): Promise<void>;
}

/** Asks `path()` whenever it changes; null asks nothing. Must be created under a Solid owner. */
export function createQuery<T>(path: () => string | null): Query<T> {
	const [data, setData] = createSignal<T | undefined>(undefined, { equals: false });
	const [problem, setProblem] = createSignal<Failure<ApiCode> | null>(null);
	const [isLoading, setLoading] = createSignal(false);
	let abort: AbortController | undefined;

	async function load(target: string | null): Promise<void> {
		abort?.abort();
		if (target === null) return;
		const own = new AbortController();
		abort = own;
		setLoading(true);
		const answer = await getJson<T>(target, own.signal);
		if (own !== abort || own.signal.aborted) return;
		setLoading(false);
		if (answer.ok) setData(() => answer.value);
		setProblem(answer.ok ? null : answer);
	}

	createEffect(
		on(path, (target) => {
			setData(undefined);
			setProblem(null);
			void load(target);
		}),
	);
	const refresh = debounced(() => void load(path()), REFRESH_DELAY_MS);
	onCleanup(() => {
		refresh.cancel();
		abort?.abort();
	});
	return { data, problem, isLoading, refresh, reload: () => load(path()) };
}
