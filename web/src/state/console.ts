/**
 * What every page shares: who is signed in, where we are, and the one line that says what just happened. One instance per window,
 * made by the app and reached through a Solid context.
 */
import { createContext, createSignal, onCleanup, useContext } from "solid-js";
import { assertInvariant } from "#core/result.ts";
import type { Role } from "#core/trust/trust-document.ts";
import type { LedgerAnswer, SessionAnswer } from "../../../workers/sc/api/answers.ts";
import { whenSessionIsLost } from "../api/client.ts";
import { closeLive, onLive, openLive } from "../api/live.ts";
import { createQuery } from "../api/query.ts";
import { listOperatorKeys, type OperatorKey } from "../signing/operator-keys.ts";
import { formatHash, parseHash, type Route } from "./url-state.ts";

/** How long a notice stays; long enough to be read twice. */
const NOTICE_MS = 8000;

export interface Notice {
	readonly text: string;
	readonly tone: "good" | "bad" | "plain";
}

export type ConsoleState = ReturnType<typeof createConsoleState>;

function createRouteState() {
	const [route, setRoute] = createSignal<Route>(parseHash(location.hash));
	const onHashChange = () => setRoute(parseHash(location.hash));
	window.addEventListener("hashchange", onHashChange);
	onCleanup(() => window.removeEventListener("hashchange", onHashChange));
	return {
		route,
		/** Opens a page as a new step of the history. */
		navigate(to: Route): void {
			history.pushState(null, "", formatHash(to));
			setRoute(to);
		},
		/** Writes the present view into the address without a new step; the page already shows it. */
		rewriteAddress(to: Route): void {
			const hash = formatHash(to);
			if (hash !== location.hash) history.replaceState(null, "", hash);
		},
	};
}

export function createConsoleState() {
	const routes = createRouteState();
	const [notice, setNotice] = createSignal<Notice | null>(null);
	const session = createQuery<SessionAnswer>(() => "/api/session");
	const operator = () => session.data()?.operator ?? null;
	const ledger = createQuery<LedgerAnswer>(() => (operator() === null ? null : "/api/ledger"));
	let noticeTimer: ReturnType<typeof setTimeout> | undefined;

	whenSessionIsLost(() => {
		closeLive();
		session.refresh();
	});
	onLive((note) => {
		if (note.kind === "ledger" || note.kind === "resync") ledger.refresh();
	});

	return {
		...routes,
		session,
		operator,
		ledger,
		notice,
		can: (role: Role): boolean => operator()?.roles.includes(role) ?? false,
		/** The Security Center's clock as far as we know it: enclave workstations drift, and a command's expiry is judged elsewhere. */
		nowMs: (): number => Date.now() + clockAheadMs(session.data()),
		announce(text: string, tone: Notice["tone"] = "plain"): void {
			clearTimeout(noticeTimer);
			setNotice({ text, tone });
			noticeTimer = setTimeout(() => setNotice(null), NOTICE_MS);
		},
		/** After signing in or out. */
		async renewSession(): Promise<void> {
			await session.reload();
			if (operator() === null) closeLive();
			else openLive();
		},
		/** The signed-in operator's key, if this browser holds it. */
		async signingKey(): Promise<OperatorKey | null> {
			const keys = await listOperatorKeys();
			if (!keys.ok) return null;
			return keys.value.findLast((key) => key.operatorId !== null && key.operatorId === operator()?.id) ?? null;
		},
	};
}

const offsets = new WeakMap<SessionAnswer, number>();

/** The difference of clocks when this answer came; measured once per answer. */
function clockAheadMs(answer: SessionAnswer | undefined): number {
	if (answer === undefined) return 0;
	let offset = offsets.get(answer);
	if (offset === undefined) {
		offset = answer.serverTimeMs - Date.now();
		offsets.set(answer, offset);
	}
	return offset;
}

export const ConsoleContext = createContext<ConsoleState>();

export function useConsole(): ConsoleState {
	const state = useContext(ConsoleContext);
	assertInvariant(state, "a page is shown outside the console");
	return state;
}
