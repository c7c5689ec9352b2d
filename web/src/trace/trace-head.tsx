/** The head of a trace page: which trace, in what state, whether the picture is whole, and what can be done with it. */
import { createSignal, For, Show } from "solid-js";
import { visibleText } from "#core/lineage/index.ts";
import { WaitingCommands } from "../pages/approvals.tsx";
import { TRACE_STATE } from "../pages/traces.tsx";
import { useConsole } from "../state/console.ts";
import { clockText, utcText } from "../state/time-text.ts";
import { Foreign } from "../widgets/foreign.tsx";
import { Chip } from "../widgets/states.tsx";
import type { TraceModel } from "./trace-model.ts";

function CompletenessBanner(props: { model: TraceModel }) {
	const [isOpen, setOpen] = createSignal(false);
	const gaps = () => props.model.gaps();
	return (
		<Show when={props.model.completeness()}>
			{(completeness) => (
				<Show
					when={!completeness().isComplete || gaps().length > 0}
					fallback={
						<span class="complete" data-testid="completeness" data-complete="true">
							<Chip tone="good">complete</Chip> <span class="muted">no sequence is missing</span>
						</span>
					}
				>
					<div class="gap-banner" role="status" data-testid="completeness" data-complete="false">
						<span class="hatch" aria-hidden="true" />
						<strong>Not complete.</strong>
						<span>
							{gaps().length === 0
								? "Events are missing that no gap record explains yet."
								: `${gaps().length} ${gaps().length === 1 ? "gap" : "gaps"}, drawn as hatched spans.`}
						</span>
						<Show when={gaps().length > 0}>
							<button
								type="button"
								class="button button-quiet"
								aria-expanded={isOpen()}
								onClick={() => setOpen(!isOpen())}
							>
								{isOpen() ? "Hide" : "Show"} causes
							</button>
						</Show>
						<Show when={isOpen()}>
							<ul class="gap-list">
								<For each={gaps()}>
									{({ gap, startMs, missingCount }) => (
										<li>
											<span class="mono">{gap.agent}</span> {clockText(startMs)} to {clockText(gap.atMs)}:{" "}
											{missingCount === null ? "some" : missingCount.toLocaleString("en")}{" "}
											{gap.scope === "stream" ? "batches" : "events"}, <Foreign text={gap.cause} isWhole />
										</li>
									)}
								</For>
							</ul>
						</Show>
					</div>
				</Show>
			)}
		</Show>
	);
}

/** Why an agent refused, in its own words; the newest refusal counts. */
function RefusalCause(props: { model: TraceModel }) {
	const cause = () => {
		const answer = props.model.trace.data();
		if (answer?.trace.state !== "refused") return "";
		return answer.commands.findLast(({ state }) => state === "refused")?.cause ?? "";
	};
	return (
		<Show when={cause() !== ""}>
			<span
				class="trace-cause text-bad"
				title={`Why the agent refused: ${visibleText(cause())}`}
				data-testid="trace-cause"
			>
				<Foreign text={cause()} />
			</span>
		</Show>
	);
}

interface TraceHeadProps {
	readonly model: TraceModel;
	/** The host that a stop would be about; null where none can be stopped. */
	readonly stoppableAgent: string | null;
	readonly onStop: (agent: string) => void;
	readonly onExport: () => void;
}

export function TraceHead(props: TraceHeadProps) {
	const state = useConsole();
	const summary = () => props.model.trace.data()?.trace;
	return (
		<header class="trace-head">
			<div class="trace-title">
				<h1 class="mono">{props.model.traceId}</h1>
				<Show when={summary()}>
					{(trace) => (
						<>
							<Chip tone={TRACE_STATE[trace().state].tone} testId="trace-state">
								{TRACE_STATE[trace().state].label}
							</Chip>
							<RefusalCause model={props.model} />
							<span class="trace-reason" title="Reason">
								<Foreign text={trace().reason} />
							</span>
							<span class="muted trace-by">
								by <Foreign text={trace().initiatedBy} />, {utcText(trace().startedAtMs)}
							</span>
						</>
					)}
				</Show>
				<span class="spacer" />
				<CompletenessBanner model={props.model} />
				<Show when={state.can("analyst") && props.stoppableAgent}>
					{(agent) => (
						<button
							type="button"
							class="button"
							onClick={() => props.onStop(agent())}
							title="Ends the trace on this host by a signed command"
							data-testid="stop-trace-head"
						>
							Stop on {agent()}…
						</button>
					)}
				</Show>
				<button
					type="button"
					class="button"
					onClick={() => props.onExport()}
					disabled={!state.can("exporter")}
					title={state.can("exporter") ? "e" : "Needs the role exporter"}
					data-testid="export"
				>
					Export…
				</button>
			</div>
			<Show when={props.model.control.isUnknownVersion()}>
				<p class="note">This link is from another version of the console; the view is the default one.</p>
			</Show>
			<WaitingCommands traceId={props.model.traceId} isQuiet />
		</header>
	);
}
