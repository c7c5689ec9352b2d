/**
 * The one view state of a trace page: selection, window, kinds, collapsed rows, moment T. Every change is written into the address
 * a moment later, so a copied link reproduces what is on screen; a link opened into this page replaces it. Zooming leaves a trail
 * that can be walked back.
 */
import { createEffect, createSignal, on } from "solid-js";
import { debounced } from "../api/idle.ts";
import { useConsole } from "../state/console.ts";
import { DEFAULT_VIEW, type TimeWindow, type ViewState } from "../state/url-state.ts";

/** Browsers refuse more than a few history writes a second. */
const ADDRESS_DELAY_MS = 250;
const TRAIL_MAX = 50;

export type ViewControl = ReturnType<typeof createViewControl>;

export function createViewControl(traceId: string) {
	const state = useConsole();
	const linked = () => {
		const route = state.route();
		return route.page === "trace" && route.traceId === traceId ? route : null;
	};
	const [view, setView] = createSignal<ViewState>(linked()?.view ?? DEFAULT_VIEW);
	const [trail, setTrail] = createSignal<readonly (TimeWindow | null)[]>([]);
	const rewrite = debounced(
		() => state.rewriteAddress({ page: "trace", traceId, view: view(), isUnknownVersion: false }),
		ADDRESS_DELAY_MS,
	);
	createEffect(
		on(linked, (route, before) => {
			if (route === null) rewrite.cancel();
			else if (before !== undefined) setView(route.view);
		}),
	);
	const change = (part: Partial<ViewState>): void => {
		setView({ ...view(), ...part });
		if (linked() !== null) rewrite();
	};
	return {
		view,
		change,
		isUnknownVersion: () => linked()?.isUnknownVersion ?? false,
		trailLength: () => trail().length,
		/** A window that `back` can return from. Small moves in a row (a pan, a wheel) pass `isStep: false`. */
		setWindow(window: TimeWindow | null, isStep = true): void {
			if (isStep) setTrail([...trail(), view().window].slice(-TRAIL_MAX));
			change({ window });
		},
		back(): boolean {
			const before = trail();
			if (before.length === 0) return false;
			setTrail(before.slice(0, -1));
			change({ window: before.at(-1) ?? null });
			return true;
		},
		toggleCollapsed(id: string): void {
			const closed = view().collapsed;
			change({ collapsed: closed.includes(id) ? closed.filter((each) => each !== id) : [...closed, id] });
		},
	};
}
