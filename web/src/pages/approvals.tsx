/**
 * Commands that wait for a second person. What an approver reads is decoded from the very bytes that the signature will cover; where
 * the Security Center's list says something else, the difference is named and approving is not offered.
 */
import { createSignal, For, Match, Show, Switch } from "solid-js";
import { hexOf } from "#core/bytes/bytes.ts";
import { PAYLOAD_TYPES } from "#core/crypto/dsse.ts";
import { type Failure, fail } from "#core/result.ts";
import type { CommandAnswer, CommandsAnswer } from "../../../workers/sc/api/answers.ts";
import { postJson } from "../api/client.ts";
import { tracked } from "../api/idle.ts";
import { onLive } from "../api/live.ts";
import { createQuery } from "../api/query.ts";
import { signBody } from "../signing/operator-keys.ts";
import { type ReadCommand, readListedCommand } from "../signing/trace-command.ts";
import { useConsole } from "../state/console.ts";
import { spanText, utcText } from "../state/time-text.ts";
import { Dialog } from "../widgets/dialog.tsx";
import { Foreign } from "../widgets/foreign.tsx";
import { Empty, Loading, ProblemNote } from "../widgets/states.tsx";

export type WaitingCommand = CommandsAnswer["commands"][number];

function SignedFacts(props: { read: ReadCommand }) {
	const command = () => props.read.command;
	const collects = () =>
		[
			command().collectCmdlines ? "arguments (masked)" : "",
			command().collectNetwork ? "network" : "",
			command().collectFileMeta ? "file names" : "",
		].filter((each) => each !== "");
	return (
		<dl class="facts" data-testid="approval-facts">
			<dt>Act</dt>
			<dd>{command().act === "start" ? "Start a trace" : "Stop a trace"}</dd>
			<dt>Reason</dt>
			<dd>
				<Foreign text={command().reason} isWhole />
			</dd>
			<dt>Trace</dt>
			<dd class="mono">{command().traceId}</dd>
			<dt>Host</dt>
			<dd class="mono">{command().targetAgent}</dd>
			<dt>Process</dt>
			<dd class="mono wrap">
				{command().targetPid} · {hexOf(command().targetProcess)}
			</dd>
			<dt>Depth</dt>
			<dd>{command().depth} levels</dd>
			<dt>Duration</dt>
			<dd>at most {spanText(command().maxDurationSecs * 1000)}</dd>
			<dt>Collects</dt>
			<dd>processes{collects().map((each) => `, ${each}`)}</dd>
			<Show when={command().parentLink}>
				{(link) => (
					<>
						<dt>Follows</dt>
						<dd class="mono wrap">
							{link().agent} · {hexOf(link().process)}
						</dd>
					</>
				)}
			</Show>
			<dt>Initiated by</dt>
			<dd>{command().initiatedBy}</dd>
			<dt>Signed at</dt>
			<dd>{utcText(command().timestampMs)}</dd>
			<dt>Expires</dt>
			<dd>{utcText(command().expiresAtMs)}</dd>
			<dt>Trust version</dt>
			<dd>{command().trustVersion}</dd>
			<dt>Command</dt>
			<dd class="mono wrap">{hexOf(command().commandId)}</dd>
		</dl>
	);
}

export function ApproveDialog(props: { command: WaitingCommand; onClose: () => void; onDone: () => void }) {
	const state = useConsole();
	const [failure, setFailure] = createSignal<Failure<string> | null>(null);
	const [isBusy, setBusy] = createSignal(false);
	const read = readListedCommand(props.command);
	const approve = async (payload: Uint8Array) => {
		const key = await state.signingKey();
		if (key === null) return fail("key_missing", "This browser does not hold your key. Sign in where you joined.");
		const signature = hexOf(await signBody(key, PAYLOAD_TYPES.traceCommand, payload));
		return postJson<CommandAnswer>(`/api/commands/${props.command.commandId}/approvals`, { signature });
	};
	const onApprove = async (payload: Uint8Array) => {
		setBusy(true);
		setFailure(null);
		const sent = await tracked(approve(payload));
		setBusy(false);
		if (!sent.ok) return void setFailure(sent);
		state.announce("Approved with your signature.", "good");
		props.onClose();
		props.onDone();
	};
	return (
		<Dialog title="Approve this command" onClose={props.onClose} testId="approve-dialog" class="form-dialog">
			<Show when={read.ok ? read.value : null} fallback={<ProblemNote failure={read as Failure<string>} />}>
				{(value) => (
					<>
						<p class="muted form-lead">
							Read from the {value().payload.length} bytes that you will sign, not from the list.
						</p>
						<SignedFacts read={value()} />
						<Show when={value().differences.length > 0}>
							<div class="note note-bad" role="alert" data-testid="approval-differences">
								<div>
									<strong>The Security Center's list does not say what these bytes say.</strong> It differs in:{" "}
									{value().differences.join(", ")}. Do not approve; tell your administrator.
								</div>
							</div>
						</Show>
						<Show when={failure()}>{(each) => <ProblemNote failure={each()} />}</Show>
						<div class="actions">
							<button type="button" class="button" onClick={() => props.onClose()}>
								Cancel
							</button>
							<button
								type="button"
								class="button button-primary"
								disabled={isBusy() || value().differences.length > 0}
								onClick={() => void onApprove(value().payload)}
								data-testid="approve-sign"
							>
								{isBusy() ? "Signing…" : "Sign & approve"}
							</button>
						</div>
					</>
				)}
			</Show>
		</Dialog>
	);
}

function WaitingCard(props: { command: WaitingCommand; onApprove: () => void }) {
	const state = useConsole();
	return (
		<li class="card-row" data-testid={`waiting-${props.command.commandId}`}>
			<div class="card-row-main">
				<div class="strong">
					<Foreign text={props.command.reason} />
				</div>
				<div class="muted">
					{props.command.act === "start" ? "Start" : "Stop"} on <span class="mono">{props.command.agent}</span>, pid{" "}
					<span class="mono">{props.command.targetPid}</span>, {spanText(props.command.maxDurationSecs * 1000)} · by{" "}
					<Foreign text={props.command.initiatedBy} /> · {props.command.approvedBy.length} of{" "}
					{props.command.approvalsNeeded} approvals · expires in{" "}
					{spanText(Math.max(0, props.command.expiresAtMs - state.nowMs()))}
				</div>
			</div>
			<Switch>
				<Match when={props.command.initiatedBy === state.operator()?.id}>
					<span class="muted">Your own: another person must approve it</span>
				</Match>
				<Match when={!state.can("approver")}>
					<span class="muted">Needs the role approver</span>
				</Match>
				<Match when={true}>
					<button
						type="button"
						class="button"
						onClick={() => props.onApprove()}
						data-testid={`approve-${props.command.commandId}`}
					>
						Review & approve…
					</button>
				</Match>
			</Switch>
		</li>
	);
}

/** The waiting commands, of all traces or of one; nothing at all where none waits and `isQuiet`. */
export function WaitingCommands(props: { traceId?: string; isQuiet?: boolean }) {
	const waiting = createQuery<CommandsAnswer>(() => "/api/commands?state=awaiting_approval");
	const [opened, setOpened] = createSignal<WaitingCommand | null>(null);
	onLive((note) => {
		if (note.kind === "trace" || note.kind === "resync") waiting.refresh();
	});
	const commands = () =>
		(waiting.data()?.commands ?? []).filter(({ traceId }) => props.traceId === undefined || traceId === props.traceId);
	return (
		<>
			<Show when={waiting.problem()}>
				{(failure) => <ProblemNote failure={failure()} onRetry={() => void waiting.reload()} />}
			</Show>
			<Show
				when={commands().length > 0}
				fallback={
					<Show when={!props.isQuiet}>
						<Show when={waiting.data()} fallback={waiting.isLoading() ? <Loading what="commands" /> : null}>
							<Empty title="Nothing waits for approval">Commands that need a second person appear here.</Empty>
						</Show>
					</Show>
				}
			>
				<ul class="card-list" data-testid="waiting">
					<For each={commands()}>
						{(command) => <WaitingCard command={command} onApprove={() => setOpened(command)} />}
					</For>
				</ul>
			</Show>
			<Show when={opened()}>
				{(command) => (
					<ApproveDialog command={command()} onClose={() => setOpened(null)} onDone={() => void waiting.reload()} />
				)}
			</Show>
		</>
	);
}

export function ApprovalsPage() {
	return (
		<section class="page" aria-labelledby="page-title">
			<div class="page-head">
				<h1 id="page-title">Approvals</h1>
			</div>
			<WaitingCommands />
		</section>
	);
}
