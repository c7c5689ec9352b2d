/**
 * Joining by invitation and signing in. Says in words what happens: which key is made, where it lies, what its fingerprint is, and
 * what to do where this browser holds none. The invitation's token leaves the address bar and the history at once.
 */
import { createRenderEffect, createResource, createSignal, For, Match, on, Show, Switch } from "solid-js";
import { bytesOfHex } from "#core/bytes/bytes.ts";
import { visibleText } from "#core/lineage/index.ts";
import { type Failure, fail } from "#core/result.ts";
import type { RedeemAnswer } from "../../../workers/sc/api/answers.ts";
import { tracked } from "../api/idle.ts";
import { createOperatorKey, fingerprintOf, listOperatorKeys, type OperatorKey } from "../signing/operator-keys.ts";
import { redeemInvitation, signIn } from "../signing/sign-in.ts";
import { useConsole } from "../state/console.ts";
import { dayClockText } from "../state/time-text.ts";
import { HOME } from "../state/url-state.ts";
import { ProblemNote } from "../widgets/states.tsx";

function Fingerprint(props: { publicKey: string }) {
	return (
		<code class="fingerprint" data-testid="fingerprint">
			{fingerprintOf(bytesOfHex(props.publicKey) ?? new Uint8Array())}
		</code>
	);
}

type Joined = { key: OperatorKey; answer: RedeemAnswer };

/** Makes the key once; a second try after a lost answer registers the same one. */
function createJoining(token: string) {
	const state = useConsole();
	const [isBusy, setBusy] = createSignal(false);
	const [failure, setFailure] = createSignal<Failure<string> | null>(null);
	const [joined, setJoined] = createSignal<Joined | null>(null);
	let made: OperatorKey | null = null;
	const join = async (): Promise<void> => {
		setFailure(null);
		if (made === null) {
			const key = await createOperatorKey(state.session.data()?.enclave ?? "");
			if (!key.ok) return void setFailure(key);
			made = key.value;
		}
		const redeemed = await redeemInvitation(made, token);
		if (!redeemed.ok) return void setFailure(redeemed);
		setJoined(redeemed.value);
		const session = await signIn(redeemed.value.key);
		if (!session.ok) return void setFailure(session);
		await state.renewSession();
	};
	const start = async () => {
		setBusy(true);
		await tracked(join());
		setBusy(false);
	};
	return { isBusy, failure, joined, start };
}

function Join(props: { token: string; keys: readonly OperatorKey[]; onLeave: () => void }) {
	const state = useConsole();
	const { isBusy, failure, joined, start } = createJoining(props.token);
	const isUsed = () => failure()?.code === "invitation_used";
	return (
		<section class="card" aria-labelledby="join-title" data-testid="join">
			<Show
				when={joined()}
				fallback={
					<>
						<h1 id="join-title">{isUsed() ? "This invitation is used" : "You are invited"}</h1>
						<Show when={!isUsed()}>
							<p>
								This browser will make your signing key. It cannot be copied out, by nobody and by no program: it stays
								in this browser on this machine, and everything you order here is signed with it.
							</p>
							<p class="muted">The invitation works once. It has already been removed from the address bar.</p>
							<button
								type="button"
								class="button button-primary"
								disabled={isBusy()}
								onClick={() => void start()}
								data-testid="join-start"
							>
								{isBusy() ? "Making your key…" : "Make my key and sign in"}
							</button>
						</Show>
					</>
				}
			>
				{(done) => (
					<>
						<h1 id="join-title">You are signed up as {visibleText(done().answer.operatorId)}</h1>
						<ol class="steps">
							<li>A key was made in this browser. It cannot be extracted.</li>
							<li>Its public half was registered by your invitation, which is now used up.</li>
							<li>
								{done().answer.isTrustComplete
									? `Trust version ${done().answer.trustVersion} names you and is on its way to every agent.`
									: "Other invitations are still open; traces can be signed when all are redeemed."}
							</li>
							<Show when={state.operator() !== null}>
								<li data-testid="join-signed-in">You are signed in.</li>
							</Show>
						</ol>
						<p>Fingerprint of your key. Note it; others can compare it with the trust document:</p>
						<Fingerprint publicKey={done().key.publicKey} />
						<Show when={state.operator() !== null}>
							<button
								type="button"
								class="button button-primary"
								onClick={() => props.onLeave()}
								data-testid="join-continue"
							>
								Continue to the console
							</button>
						</Show>
					</>
				)}
			</Show>
			<Show when={failure()}>{(each) => <ProblemNote failure={each()} />}</Show>
			<Show when={isUsed() && props.keys.length > 0}>
				<section aria-labelledby="key-title" data-testid="join-key-instead">
					<h2 id="key-title">Sign in with this browser's key</h2>
					<ReturnWithKey keys={props.keys} onEntered={props.onLeave} />
				</section>
			</Show>
		</section>
	);
}

function ReturnWithKey(props: { keys: readonly OperatorKey[]; onEntered?: () => void }) {
	const state = useConsole();
	const [busy, setBusy] = createSignal<string | null>(null);
	const [failure, setFailure] = createSignal<Failure<string> | null>(null);
	const enter = async (key: OperatorKey) => {
		setBusy(key.publicKey);
		setFailure(null);
		const session = await tracked(
			signIn(key).catch(() => fail("key_store_refused", "The browser did not sign with this key.")),
		);
		if (session.ok) await state.renewSession();
		else setFailure(session);
		setBusy(null);
		if (session.ok) props.onEntered?.();
	};
	return (
		<>
			<p>This browser holds {props.keys.length === 1 ? "a key" : `${props.keys.length} keys`} for this enclave.</p>
			<ul class="key-choice">
				<For each={props.keys}>
					{(key) => (
						<li>
							<button
								type="button"
								class="button button-primary"
								disabled={busy() !== null}
								onClick={() => void enter(key)}
								data-testid={`sign-in-${key.operatorId}`}
							>
								{busy() === key.publicKey ? "Signing in…" : `Sign in as ${visibleText(key.operatorId ?? "")}`}
							</button>
							<div class="muted">Key made {dayClockText(key.madeAtMs)} UTC</div>
							<Fingerprint publicKey={key.publicKey} />
						</li>
					)}
				</For>
			</ul>
			<Show when={failure()}>{(each) => <ProblemNote failure={each()} />}</Show>
		</>
	);
}

function NoKey() {
	return (
		<div data-testid="no-key">
			<p>
				This browser holds no key for this enclave. An operator is a key, not a password, so there is nothing to type in
				here.
			</p>
			<ul>
				<li>
					<strong>You were invited:</strong> open the link of your invitation in this browser.
				</li>
				<li>
					<strong>You joined in another browser or on another machine:</strong> sign in there. The key cannot be moved.
				</li>
				<li>
					<strong>That machine is gone:</strong> ask whoever holds the trust keys of this enclave to replace your key
					and send a new invitation.
				</li>
			</ul>
		</div>
	);
}

export function SignInPage() {
	const state = useConsole();
	const [token, setToken] = createSignal<string | null>(null);
	const [keys, { refetch }] = createResource(() => tracked(listOperatorKeys()));
	// Before anything else happens: neither the address bar nor the history keeps the token. A link may be opened into this page too.
	createRenderEffect(
		on(state.route, (route) => {
			if (route.page !== "join") return;
			setToken(route.token);
			history.replaceState(null, "", "#/hits");
		}),
	);
	const known = () => {
		const read = keys();
		const enclave = state.session.data()?.enclave;
		return read?.ok ? read.value.filter((key) => key.operatorId !== null && key.enclave === enclave) : [];
	};
	const leave = () => {
		setToken(null);
		void refetch();
		state.navigate(HOME);
	};
	return (
		<div class="sign-in">
			<Show
				when={token()}
				fallback={
					<section class="card" aria-labelledby="sign-in-title" data-testid="sign-in">
						<h1 id="sign-in-title">Sign in</h1>
						<Switch>
							<Match when={keys.loading}>
								<p class="muted">Looking for your key…</p>
							</Match>
							<Match when={known().length > 0}>
								<ReturnWithKey keys={known()} />
							</Match>
							<Match when={true}>
								<NoKey />
							</Match>
						</Switch>
					</section>
				}
			>
				{(given) => <Join token={given()} keys={known()} onLeave={leave} />}
			</Show>
		</div>
	);
}
