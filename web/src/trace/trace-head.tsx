/** The head of a trace page: which trace, in what state, whether the picture is whole, and what can be done with it. */
import { createSignal, For, Show } from "solid-js";
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
											{gap.scope === "cpu" ? "events" : "batches"}, <Foreign text={gap.cause} isWhole />
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

export function TraceHead(props: { model: TraceModel; onExport: () => void }) {
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
