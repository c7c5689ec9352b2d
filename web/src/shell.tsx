/** Top bar and footer: where one can go, whether the picture is live, who is signed in, and what the ledger has last signed. */
import { createSignal, For, Show } from "solid-js";
import { visibleText } from "#core/lineage/index.ts";
import type { CommandsAnswer, LedgerAnswer } from "../../workers/sc/api/answers.ts";
import { deleteAt } from "./api/client.ts";
import { type LiveState, liveState, onLive } from "./api/live.ts";
import { createQuery } from "./api/query.ts";
import { useCommands } from "./commands/dispatch.ts";
import { useConsole } from "./state/console.ts";
import { utcText } from "./state/time-text.ts";
import { formatHash, HOME, type Route } from "./state/url-state.ts";
import { Dialog } from "./widgets/dialog.tsx";

const LIVE_TEXT: Record<LiveState, { label: string; detail: string }> = {
	off: { label: "Off", detail: "No live feed before signing in." },
	connecting: { label: "Connecting", detail: "The live feed is being opened." },
	live: { label: "Live", detail: "Changes show as they come." },
	lost: { label: "Reconnecting", detail: "The live feed is lost. What you see stays; it is refreshed on reconnect." },
};

const NAV: readonly { label: string; route: Route; pages: readonly Route["page"][] }[] = [
	{ label: "Hits", route: HOME, pages: ["hits"] },
	{ label: "Traces", route: { page: "traces" }, pages: ["traces", "trace"] },
	{ label: "Approvals", route: { page: "approvals" }, pages: ["approvals"] },
	{ label: "Fleet", route: { page: "fleet" }, pages: ["fleet"] },
];

function Navigation() {
	const state = useConsole();
	const waiting = createQuery<CommandsAnswer>(() => "/api/commands?state=awaiting_approval");
	onLive((note) => {
		if (note.kind === "trace" || note.kind === "resync") waiting.refresh();
	});
	const count = () => waiting.data()?.commands.length ?? 0;
	return (
		<nav class="nav" aria-label="Pages">
			<For each={NAV}>
				{(item) => (
					<a
						class="nav-link"
						href={formatHash(item.route)}
						aria-current={item.pages.includes(state.route().page) ? "page" : undefined}
						data-testid={`nav-${item.route.page}`}
					>
						{item.label}
						<Show when={item.route.page === "approvals" && count() > 0}>
							<span class="count" data-testid="approvals-count">
								{count()}
								<span class="visually-hidden"> waiting</span>
							</span>
						</Show>
					</a>
				)}
			</For>
		</nav>
	);
}

export function TopBar(props: { isSignedIn: boolean; onPalette: () => void }) {
	const state = useConsole();
	const signOut = async () => {
		await deleteAt("/api/session");
		await state.renewSession();
	};
	const roles = () => (state.operator()?.roles ?? []).join(", ");
	useCommands({ "session.end": () => (props.isSignedIn ? void signOut() : false) });
	return (
		<header class="topbar">
			<span class="brand">
				<span class="brand-mark" aria-hidden="true" />
				DaemonEye
			</span>
			<Show when={props.isSignedIn}>
				<Navigation />
			</Show>
			<span class="spacer" />
			<Show when={props.isSignedIn}>
				<span
					class={`live live-${liveState()}`}
					role="status"
					title={LIVE_TEXT[liveState()].detail}
					data-testid="live"
					data-state={liveState()}
				>
					<span class="live-dot" aria-hidden="true" />
					{LIVE_TEXT[liveState()].label}
				</span>
				<button type="button" class="button button-quiet" onClick={() => props.onPalette()} data-testid="open-palette">
					Commands <kbd>Ctrl K</kbd>
				</button>
				<span class="operator" title={roles()} data-testid="operator">
					{visibleText(state.operator()?.name ?? "")}
					<span class="muted operator-roles"> {roles()}</span>
				</span>
				<button type="button" class="button button-quiet" onClick={() => void signOut()} data-testid="sign-out">
					Sign out
				</button>
			</Show>
		</header>
	);
}

/** First and last characters: enough to compare by eye with another screen. */
function rootShort(root: string): string {
	return root.length > 16 ? `${root.slice(0, 8)}…${root.slice(-6)}` : root;
}

function LedgerDialog(props: { ledger: LedgerAnswer; onClose: () => void }) {
	return (
		<Dialog title="Newest signed checkpoint" onClose={props.onClose} testId="ledger-dialog">
			<dl class="facts">
				<dt>Log</dt>
				<dd class="mono">{visibleText(props.ledger.origin)}</dd>
				<dt>Leaves</dt>
				<dd>{props.ledger.size.toLocaleString("en")}</dd>
				<dt>Root</dt>
				<dd class="mono wrap">{props.ledger.root}</dd>
				<dt>Signed</dt>
				<dd>{utcText(props.ledger.signedAtMs)}</dd>
			</dl>
			<p class="muted">The signed note as any C2SP witness or verifier reads it:</p>
			{/* A wide note scrolls, so it can be reached by keyboard. */}
			<pre class="note-text" tabindex="0">
				{visibleText(props.ledger.checkpoint, 4096).replaceAll("\\n", "\n")}
			</pre>
		</Dialog>
	);
}

export function Footer() {
	const state = useConsole();
	const [isOpen, setOpen] = createSignal(false);
	useCommands({ "ledger.open": () => (state.ledger.data() ? setOpen(true) : false) });
	return (
		<footer class="footer">
			<Show when={state.session.data()}>
				{(session) => (
					<span class="muted" data-testid="enclave">
						Enclave {visibleText(session().enclave)} · trust version {session().trustVersion} ·{" "}
						{session().mode === "solo" ? "solo mode" : "two-person mode"}
					</span>
				)}
			</Show>
			<Show when={state.session.data()?.isAwaitingOperators}>
				<span class="chip chip-warn" data-testid="awaiting-operators">
					{state.session.data()?.mode === "solo"
						? "Nobody has joined yet: open the invitation link"
						: "Waiting for other operators to redeem their invitations: nothing can be signed yet"}
				</span>
			</Show>
			<span class="spacer" />
			<span class="muted">Times are UTC</span>
			<Show when={state.ledger.data()}>
				{(ledger) => (
					<button type="button" class="ledger-chip" onClick={() => setOpen(true)} data-testid="ledger-chip">
						Ledger {ledger().size.toLocaleString("en")} · <span class="mono">{rootShort(ledger().root)}</span> · signed{" "}
						{utcText(ledger().signedAtMs).slice(11, 19)}
					</button>
				)}
			</Show>
			<Show when={isOpen() && state.ledger.data()}>
				{(ledger) => <LedgerDialog ledger={ledger()} onClose={() => setOpen(false)} />}
			</Show>
		</footer>
	);
}
