/**
 * The frame around every page: navigation, live state, notices, the ledger in the footer. Shows the sign-in page until an operator
 * is signed in.
 */
import { createEffect, createSignal, Match, onMount, Show, Switch } from "solid-js";
import { openLive } from "./api/live.ts";
import { useCommands } from "./commands/dispatch.ts";
import { KeySheet } from "./commands/key-sheet.tsx";
import { Palette } from "./commands/palette.tsx";
import { ApprovalsPage } from "./pages/approvals.tsx";
import { FleetPage } from "./pages/fleet.tsx";
import { HitsPage } from "./pages/hits.tsx";
import { SignInPage } from "./pages/sign-in.tsx";
import { TracesPage } from "./pages/traces.tsx";
import { UnknownPage } from "./pages/unknown.tsx";
import { Footer, TopBar } from "./shell.tsx";
import { ConsoleContext, type ConsoleState, createConsoleState } from "./state/console.ts";
import { switchTheme } from "./state/theme.ts";
import { HOME } from "./state/url-state.ts";
import { TracePage } from "./trace/trace-page.tsx";
import { Loading, ProblemNote } from "./widgets/states.tsx";

const TITLES = {
	hits: "Hits",
	traces: "Traces",
	trace: "Trace",
	fleet: "Fleet",
	approvals: "Approvals",
	join: "Join",
	unknown: "No such page",
} as const;

function Pages(props: { state: ConsoleState }) {
	const traceId = () => {
		const route = props.state.route();
		return route.page === "trace" ? route.traceId : null;
	};
	const unknown = () => {
		const route = props.state.route();
		return route.page === "unknown" ? route : null;
	};
	return (
		<Switch>
			<Match when={unknown()}>{(route) => <UnknownPage traceId={route().traceId} />}</Match>
			<Match when={props.state.route().page === "hits"}>
				<HitsPage />
			</Match>
			<Match when={props.state.route().page === "traces"}>
				<TracesPage />
			</Match>
			<Match when={traceId()} keyed>
				{(id) => <TracePage traceId={id} />}
			</Match>
			<Match when={props.state.route().page === "fleet"}>
				<FleetPage />
			</Match>
			<Match when={props.state.route().page === "approvals"}>
				<ApprovalsPage />
			</Match>
		</Switch>
	);
}

type Opened = "palette" | "keys" | null;

function useConsoleCommands(state: ConsoleState, open: (what: Opened) => void): void {
	const signedIn = () => state.operator() !== null;
	const go = (to: Parameters<typeof state.navigate>[0]) => () => (signedIn() ? state.navigate(to) : false);
	useCommands({
		"go.hits": go(HOME),
		"go.traces": go({ page: "traces" }),
		"go.approvals": go({ page: "approvals" }),
		"go.fleet": go({ page: "fleet" }),
		"palette.open": () => open("palette"),
		"keys.open": () => open("keys"),
		"theme.switch": () => state.announce(`Theme: ${switchTheme()}.`),
	});
}

export function App() {
	const state = createConsoleState();
	const [opened, setOpened] = createSignal<Opened>(null);
	useConsoleCommands(state, setOpened);
	createEffect(() => {
		document.title = `${state.operator() ? TITLES[state.route().page] : "Sign in"} · DaemonEye`;
	});
	let isFeedOpen = false;
	createEffect(() => {
		if (state.operator() !== null && !isFeedOpen) openLive();
		isFeedOpen = state.operator() !== null;
	});
	onMount(() => {
		document.documentElement.dataset.ready = "true";
	});
	const mustSignIn = () => state.operator() === null || state.route().page === "join";
	return (
		<ConsoleContext.Provider value={state}>
			<div class="shell" classList={{ "shell-trace": state.route().page === "trace" && !mustSignIn() }}>
				<TopBar isSignedIn={!mustSignIn()} onPalette={() => setOpened("palette")} />
				<Show when={state.session.data()?.mode === "solo"}>
					<p class="solo-banner" data-testid="solo-banner">
						<strong>Solo mode.</strong> One person starts traces here without a second. Every package says so.
					</p>
				</Show>
				<main id="main" class="main">
					<Show
						when={state.session.data()}
						fallback={
							<Show when={state.session.problem()} fallback={<Loading what="the session" />}>
								{(failure) => <ProblemNote failure={failure()} onRetry={() => void state.session.reload()} />}
							</Show>
						}
					>
						<Show when={!mustSignIn()} fallback={<SignInPage />}>
							<Pages state={state} />
						</Show>
					</Show>
				</main>
				<Footer />
				<div class="notice-place" role="status" aria-live="polite">
					<Show when={state.notice()}>
						{(notice) => (
							<div class={`notice notice-${notice().tone}`} data-testid="notice">
								{notice().text}
							</div>
						)}
					</Show>
				</div>
				<Show when={opened() === "palette"}>
					<Palette onClose={() => setOpened(null)} />
				</Show>
				<Show when={opened() === "keys"}>
					<KeySheet onClose={() => setOpened(null)} />
				</Show>
			</div>
		</ConsoleContext.Provider>
	);
}
