/** All traces, newest first. */
import { For, Show } from "solid-js";
import type { TraceSummary, TracesAnswer } from "../../../workers/sc/api/answers.ts";
import { onLive } from "../api/live.ts";
import { createQuery } from "../api/query.ts";
import { dayClockText } from "../state/time-text.ts";
import { DEFAULT_VIEW, formatHash } from "../state/url-state.ts";
import { Foreign } from "../widgets/foreign.tsx";
import { Chip, Empty, Loading, ProblemNote, type Tone } from "../widgets/states.tsx";

export const TRACE_STATE: Record<TraceSummary["state"], { label: string; tone: Tone }> = {
	awaiting_approval: { label: "awaiting approval", tone: "warn" },
	sent: { label: "sent", tone: "accent" },
	running: { label: "running", tone: "good" },
	sealed: { label: "sealed", tone: "plain" },
	refused: { label: "refused", tone: "bad" },
	expired: { label: "expired", tone: "plain" },
};

function TraceRow(props: { trace: TraceSummary }) {
	const link = () =>
		formatHash({ page: "trace", traceId: props.trace.id, view: DEFAULT_VIEW, isUnknownVersion: false });
	return (
		<tr>
			<th scope="row">
				<a class="mono" href={link()} data-testid={`trace-${props.trace.id}`}>
					{props.trace.id}
				</a>
			</th>
			<td>
				<Chip tone={TRACE_STATE[props.trace.state].tone}>{TRACE_STATE[props.trace.state].label}</Chip>
			</td>
			<td class="cell-wide">
				<Foreign text={props.trace.reason} />
			</td>
			<td class="mono">
				<Foreign text={props.trace.hosts.join(" → ")} />
			</td>
			<td>
				<Foreign text={props.trace.initiatedBy} />
			</td>
			<td class="number">{props.trace.eventCount.toLocaleString("en")}</td>
			<td class="number muted">{dayClockText(props.trace.startedAtMs)}</td>
		</tr>
	);
}

export function TracesPage() {
	const traces = createQuery<TracesAnswer>(() => "/api/traces");
	onLive((note) => {
		if (note.kind === "trace" || note.kind === "events" || note.kind === "resync") traces.refresh();
	});
	const rows = () => traces.data()?.traces ?? [];
	return (
		<section class="page" aria-labelledby="page-title">
			<div class="page-head">
				<h1 id="page-title">Traces</h1>
				<Show when={rows().length > 0}>
					<span class="muted">{rows().length}, newest first</span>
				</Show>
			</div>
			<Show when={traces.problem()}>
				{(failure) => (
					<ProblemNote failure={failure()} isStale={traces.data() !== undefined} onRetry={() => void traces.reload()} />
				)}
			</Show>
			<Show when={traces.data()} fallback={traces.isLoading() ? <Loading what="traces" /> : null}>
				<Show
					when={rows().length > 0}
					fallback={<Empty title="No traces">Open a hit and choose “Trace this lineage” to start one.</Empty>}
				>
					<section class="table-scroll" tabindex="0" aria-label="List of traces">
						<table class="table" data-testid="traces">
							<thead>
								<tr>
									<th scope="col">Trace</th>
									<th scope="col">State</th>
									<th scope="col">Reason</th>
									<th scope="col">Hosts</th>
									<th scope="col">Started by</th>
									<th scope="col" class="number">
										Events
									</th>
									<th scope="col" class="number">
										Started
									</th>
								</tr>
							</thead>
							<tbody>
								<For each={rows()}>{(trace) => <TraceRow trace={trace} />}</For>
							</tbody>
						</table>
					</section>
				</Show>
			</Show>
		</section>
	);
}
