/** What a person must see: forks, refusals, events that came where none was asked for. Part of the fleet page. */
import { For, Show } from "solid-js";
import type { AlarmsAnswer, AlarmView } from "../../../workers/sc/api/answers.ts";
import { onLive } from "../api/live.ts";
import { createQuery } from "../api/query.ts";
import { useConsole } from "../state/console.ts";
import { dayClockText, isoText, utcText } from "../state/time-text.ts";
import { Foreign } from "../widgets/foreign.tsx";
import { Empty, Loading, ProblemNote } from "../widgets/states.tsx";
import { alarmTitle } from "./sight.ts";

function AlarmRow(props: { alarm: AlarmView }) {
	const isOver = () => props.alarm.clearedAtMs !== null;
	return (
		<tr data-testid={`alarm-${props.alarm.id}`}>
			<td class="when muted">
				<time datetime={isoText(props.alarm.lastAtMs)}>{dayClockText(props.alarm.lastAtMs)}</time>
				<Show when={props.alarm.times > 1}>
					<div class="sub" title={`First at ${utcText(props.alarm.firstAtMs)}`}>
						{props.alarm.times.toLocaleString("en")} times
					</div>
				</Show>
			</td>
			<th scope="row" class="mono">
				<Foreign text={props.alarm.agent || "no host"} />
			</th>
			<td>
				<code>
					<Foreign text={props.alarm.code} />
				</code>
			</td>
			<td class="cell-wide">
				<Show when={alarmTitle(props.alarm.code)}>
					{(title) => <div classList={{ muted: isOver() }}>{title()}</div>}
				</Show>
				<div classList={{ "sub muted": alarmTitle(props.alarm.code) !== null }}>
					<Foreign text={props.alarm.detail} isWhole />
				</div>
				<Show when={props.alarm.clearedAtMs}>
					{(clearedMs) => (
						<div class="sub muted" data-testid={`alarm-over-${props.alarm.id}`}>
							Over since <time datetime={isoText(clearedMs())}>{dayClockText(clearedMs())}</time>.
						</div>
					)}
				</Show>
				<Show when={props.alarm.hasEvidence}>
					<div class="sub muted">The bytes that prove it are kept.</div>
				</Show>
			</td>
		</tr>
	);
}

function AlarmTable(props: { alarms: readonly AlarmView[] }) {
	return (
		<section class="table-scroll" tabindex="0" aria-label="Alarms, those that stand first">
			<table class="table" data-testid="alarms">
				<thead>
					<tr>
						<th scope="col" class="when">
							Last seen
						</th>
						<th scope="col">Host</th>
						<th scope="col">Code</th>
						<th scope="col">What happened</th>
					</tr>
				</thead>
				<tbody>
					<For each={props.alarms}>{(alarm) => <AlarmRow alarm={alarm} />}</For>
				</tbody>
			</table>
		</section>
	);
}

export function Alarms() {
	const state = useConsole();
	const mayRead = () => state.can("viewer") || state.can("auditor");
	const alarms = createQuery<AlarmsAnswer>(() => (mayRead() ? "/api/alarms" : null));
	onLive((note) => {
		if (mayRead() && (note.kind === "alarm" || note.kind === "resync")) alarms.refresh();
	});
	const rows = () => alarms.data()?.alarms ?? [];
	const standing = () => rows().filter(({ clearedAtMs }) => clearedAtMs === null).length;
	return (
		<section class="page-part" aria-labelledby="alarms-title">
			<h2 id="alarms-title">
				Alarms
				<Show when={rows().length > 0}>
					{" "}
					<span class="muted heading-note" data-testid="alarms-count">
						{standing() === 0 ? "none stands" : `${standing()} standing`}
						{rows().length > standing() ? `, ${rows().length - standing()} over` : ""}
					</span>
				</Show>
			</h2>
			<Show when={!mayRead()}>
				<p class="muted" data-testid="alarms-no-role">
					Reading alarms needs the role viewer or auditor.
				</p>
			</Show>
			<Show when={alarms.problem()}>
				{(failure) => (
					<ProblemNote failure={failure()} isStale={alarms.data() !== undefined} onRetry={() => void alarms.reload()} />
				)}
			</Show>
			<Show when={alarms.data()} fallback={alarms.isLoading() ? <Loading what="alarms" /> : null}>
				<Show
					when={rows().length > 0}
					fallback={
						<Empty title="No alarms">
							Forged, forked or refused data, and events where none were asked for, would be named here.
						</Empty>
					}
				>
					<AlarmTable alarms={rows()} />
				</Show>
			</Show>
		</section>
	);
}
