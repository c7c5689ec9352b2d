/**
 * The form that ends in a signature: start a trace, follow it to another host, or stop it. Says before signing what will be
 * collected, where, for how long, and who else must agree. The signature is made here, by the key of this browser.
 */
import { createSignal, createUniqueId, For, Show } from "solid-js";
import { hexOf } from "#core/bytes/bytes.ts";
import { PAYLOAD_TYPES } from "#core/crypto/dsse.ts";
import type { TraceCommand } from "#core/model/command.ts";
import { MODEL_LIMITS } from "#core/model/limits.ts";
import { type Failure, fail, ok, type Result } from "#core/result.ts";
import type { CommandAnswer } from "../../../workers/sc/api/answers.ts";
import { postJson } from "../api/client.ts";
import { tracked } from "../api/idle.ts";
import { type ConsoleState, useConsole } from "../state/console.ts";
import { spanText } from "../state/time-text.ts";
import { Dialog } from "../widgets/dialog.tsx";
import { Foreign } from "../widgets/foreign.tsx";
import { ProblemNote } from "../widgets/states.tsx";
import { signBody } from "./operator-keys.ts";
import { composeTraceCommand, sealCommand, type TraceRequest } from "./trace-command.ts";

const DURATIONS_SECS = [300, 900, 1800, 3600, 4 * 3600, 12 * 3600, 86_400, 7 * 86_400];
const DEFAULT_DURATION_SECS = 1800;
const DEFAULT_DEPTH = 16;

export interface TraceCandidate {
	readonly process: string;
	readonly pid: number;
	readonly name: string;
	readonly exe: string;
	/** How it stands to the first; by its place among the ancestors where absent. */
	readonly relation?: string;
	/** Its end is stored: a trace on it would be refused by the agent. */
	readonly hasEnded?: boolean;
}

export interface TraceFormProps {
	readonly title: string;
	readonly act?: TraceCommand["act"];
	readonly agent: string;
	/** The first that has not ended is the default; the others are the first one's ancestors, nearest first. */
	readonly candidates: readonly TraceCandidate[];
	readonly hitId?: number;
	/** The trace this belongs to; absent for a new one. */
	readonly traceId?: string;
	readonly parentLink?: { readonly agent: string; readonly process: string };
	readonly reason: string;
	readonly onClose: () => void;
	readonly onSent: (traceId: string) => void;
}

async function signAndSend(
	state: ConsoleState,
	request: TraceRequest,
	hitId: number | undefined,
): Promise<Result<CommandAnswer, string>> {
	const session = state.session.data();
	const operator = state.operator();
	const key = await state.signingKey();
	if (!session || !operator || key === null)
		return fail("key_missing", "This browser does not hold your key. Sign in where you joined.");
	const made = composeTraceCommand(request, {
		operatorId: operator.id,
		trustVersion: session.trustVersion,
		nowMs: state.nowMs(),
		random: crypto.getRandomValues(new Uint8Array(22)),
	});
	if (!made.ok) return made;
	const signature = await signBody(key, PAYLOAD_TYPES.traceCommand, made.value.payload);
	const envelope = sealCommand(made.value.payload, operator.id, signature);
	const sent = await postJson<CommandAnswer>("/api/commands", hitId === undefined ? { envelope } : { envelope, hitId });
	if (!sent.ok) return sent;
	const isSame = sent.value.command.commandId === hexOf(made.value.command.commandId);
	return isSame ? ok(sent.value) : fail("answer_mismatch", "The Security Center answered for another command.");
}

function Scope(props: {
	candidates: readonly TraceCandidate[];
	chosen: string;
	onChoose: (process: string) => void;
	legend: string;
}) {
	const name = createUniqueId();
	return (
		<fieldset class="choice" data-testid="trace-root">
			<legend>{props.legend}</legend>
			<For each={props.candidates}>
				{(candidate, index) => (
					<label class="choice-row">
						<input
							type="radio"
							name={name}
							value={candidate.process}
							checked={candidate.process === props.chosen}
							onChange={() => props.onChoose(candidate.process)}
						/>
						<span>
							<Foreign text={candidate.name || "no name"} /> <span class="mono muted">{candidate.pid}</span>{" "}
							<span class="mono muted">
								<Foreign text={candidate.exe} />
							</span>
							<Show when={candidate.hasEnded}>
								<span class="text-warn"> has ended</span>
							</Show>
							<Show when={index() > 0}>
								<span class="muted"> {candidate.relation ?? (index() === 1 ? "its parent" : `${index()} above`)}</span>
							</Show>
						</span>
					</label>
				)}
			</For>
		</fieldset>
	);
}

function Approvals(props: { count: number; mode: "solo" | "two_person" }) {
	return (
		<p class="note" data-testid="trace-approvals">
			{props.count === 0
				? `Starts as soon as it is signed${props.mode === "solo" ? " (solo mode)" : ""}.`
				: `Starts only after ${props.count} other ${props.count === 1 ? "person" : "people"} with the role approver signed the same bytes, within 15 minutes.`}
		</p>
	);
}

interface Draft {
	/** null until a person chose one. */
	readonly process: string | null;
	readonly depth: number;
	readonly durationSecs: number;
	readonly cmdlines: boolean;
	readonly network: boolean;
	readonly fileMeta: boolean;
	readonly reason: string;
}

function Limits(props: {
	draft: Draft;
	ceilings: { depthMax: number; durationSecsMax: number };
	set: (change: Partial<Draft>) => void;
}) {
	const collects = [
		["cmdlines", "Arguments", "masked by the agent before they leave the host"],
		["network", "Network", "connections, with both ends"],
		["fileMeta", "Files", "names, renames and deletions; never contents"],
	] as const;
	return (
		<>
			<div class="field-row">
				<label class="field">
					<span>Depth</span>
					<input
						type="number"
						min="0"
						max={props.ceilings.depthMax}
						value={props.draft.depth}
						onInput={(event) => props.set({ depth: event.currentTarget.valueAsNumber })}
						data-testid="trace-depth"
					/>
					<span class="sub muted">levels of children, at most {props.ceilings.depthMax}</span>
				</label>
				<label class="field">
					<span>Duration</span>
					<select
						onChange={(event) => props.set({ durationSecs: Number(event.currentTarget.value) })}
						data-testid="trace-duration"
					>
						<For each={DURATIONS_SECS.filter((secs) => secs <= props.ceilings.durationSecsMax)}>
							{(secs) => (
								<option value={secs} selected={secs === props.draft.durationSecs}>
									{spanText(secs * 1000)}
								</option>
							)}
						</For>
					</select>
					<span class="sub muted">then the agent ends it by itself</span>
				</label>
			</div>
			<fieldset class="choice">
				<legend>What is collected</legend>
				<For each={collects}>
					{([key, label, detail]) => (
						<label class="choice-row">
							<input
								type="checkbox"
								checked={props.draft[key]}
								onChange={(event) => props.set({ [key]: event.currentTarget.checked })}
								data-testid={`trace-collect-${key}`}
							/>
							<span>
								{label} <span class="muted">{detail}</span>
							</span>
						</label>
					)}
				</For>
				<p class="sub muted">
					Processes (fork, exec, exit) are always collected. Nobody on the host sees that a trace runs.
				</p>
			</fieldset>
		</>
	);
}

function chosenOf(candidates: readonly TraceCandidate[], process: string | null): TraceCandidate | undefined {
	const byHand = candidates.find((candidate) => candidate.process === process);
	return byHand ?? candidates.find((candidate) => !candidate.hasEnded) ?? candidates[0];
}

export function TraceForm(props: TraceFormProps) {
	const state = useConsole();
	const act = () => props.act ?? "start";
	const ceilings = () => state.session.data()?.ceilings ?? { depthMax: 0, durationSecsMax: 0, approvals: 0 };
	const allowed = DURATIONS_SECS.filter((secs) => secs <= ceilings().durationSecsMax);
	const [draft, setDraft] = createSignal<Draft>({
		process: null,
		depth: Math.min(DEFAULT_DEPTH, ceilings().depthMax),
		durationSecs: allowed.includes(DEFAULT_DURATION_SECS)
			? DEFAULT_DURATION_SECS
			: (allowed.at(-1) ?? ceilings().durationSecsMax),
		cmdlines: true,
		network: true,
		fileMeta: true,
		reason: props.reason,
	});
	const signLabel = () => (act() === "stop" ? "Sign & stop" : props.parentLink ? "Sign & follow" : "Sign & start");
	const [isBusy, setBusy] = createSignal(false);
	const [failure, setFailure] = createSignal<Failure<string> | null>(null);
	/** Whether a process lives may be known only after the form has opened, so the default is not fixed at that moment. */
	const chosen = () => chosenOf(props.candidates, draft().process);
	const set = (change: Partial<Draft>) => setDraft({ ...draft(), ...change });
	const submit = async (event: SubmitEvent) => {
		event.preventDefault();
		const { depth, durationSecs, reason, cmdlines, network, fileMeta } = draft();
		setBusy(true);
		setFailure(null);
		const request: TraceRequest = {
			act: act(),
			traceId: props.traceId ?? null,
			agent: props.agent,
			process: chosen()?.process ?? "",
			pid: chosen()?.pid ?? 0,
			depth,
			durationSecs,
			collects: { cmdlines, network, fileMeta },
			reason,
			parentLink: props.parentLink ?? null,
		};
		const sent = await tracked(signAndSend(state, request, props.hitId));
		setBusy(false);
		if (!sent.ok) return void setFailure(sent);
		const { command, traceId } = sent.value;
		const isWaiting = command.state === "awaiting_approval";
		state.announce(
			isWaiting ? "Signed. It waits for another person's approval." : `Signed and sent to ${command.agent}.`,
			"good",
		);
		props.onClose();
		props.onSent(traceId);
	};
	return (
		<Dialog title={props.title} onClose={props.onClose} testId="trace-form" class="form-dialog">
			<form onSubmit={(event) => void submit(event)} class="form">
				<dl class="facts">
					<dt>Host</dt>
					<dd class="mono" data-testid="trace-target">
						<Foreign text={props.agent} />
					</dd>
					<Show when={props.traceId}>
						<dt>Trace</dt>
						<dd class="mono">{props.traceId}</dd>
					</Show>
				</dl>
				<Scope
					legend={act() === "start" ? "Start the trace at" : "The trace's root"}
					candidates={props.candidates}
					chosen={chosen()?.process ?? ""}
					onChoose={(process) => set({ process })}
				/>
				<Show when={act() === "start"}>
					<Limits draft={draft()} ceilings={ceilings()} set={set} />
				</Show>
				<label class="field">
					<span>Reason</span>
					<textarea
						required
						rows="2"
						maxlength={MODEL_LIMITS.sentenceLengthMax}
						value={draft().reason}
						onInput={(event) => set({ reason: event.currentTarget.value })}
						data-testid="trace-reason"
						autofocus
					/>
					<span class="sub muted">Required. It is signed with the command and stands in the ledger.</span>
				</label>
				<Show when={act() === "start"}>
					<Approvals count={ceilings().approvals} mode={state.session.data()?.mode ?? "two_person"} />
				</Show>
				<Show when={failure()}>{(each) => <ProblemNote failure={each()} />}</Show>
				<div class="actions">
					<button type="button" class="button" onClick={() => props.onClose()}>
						Cancel
					</button>
					<button
						type="submit"
						class="button button-primary"
						disabled={isBusy() || draft().reason.trim() === "" || (state.session.data()?.isAwaitingOperators ?? true)}
						data-testid="trace-sign"
					>
						{isBusy() ? "Signing…" : signLabel()}
					</button>
				</div>
			</form>
		</Dialog>
	);
}
