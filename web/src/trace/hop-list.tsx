/** Connections of the traced lineage that lead to other hosts: both ends, how sure the match is and why, and the way to follow. */
import { For, Show } from "solid-js";
import { processId } from "#core/lineage/index.ts";
import type { Hop } from "../../../workers/sc/api/answers.ts";
import { utcText } from "../state/time-text.ts";
import { Foreign } from "../widgets/foreign.tsx";
import { Chip } from "../widgets/states.tsx";
import type { DrawerActions } from "./drawer-actions.ts";
import { confidenceText } from "./lineage-grid.tsx";
import type { TraceModel } from "./trace-model.ts";

type End = Hop["to"];

function HopEnd(props: { end: NonNullable<End>; model: TraceModel }) {
	const id = () => processId(props.end.agent, props.end.process);
	const text = () => `${props.end.agent} · ${props.end.name} ${props.end.pid}`;
	return (
		<Show when={props.model.lineage().nodes.has(id())} fallback={<Foreign text={text()} />}>
			<button
				type="button"
				class="link"
				onClick={() => props.model.selected.reveal({ type: "process", id: id() }, null)}
			>
				<Foreign text={text()} />
			</button>
		</Show>
	);
}

/** Whether Follow makes sense: someone is there, and no trace runs on that side yet. */
export function isFollowable(hop: Hop): boolean {
	return hop.followTarget !== null && !hop.isFollowed;
}

export function HopFacts(props: { hop: Hop; model: TraceModel; actions: DrawerActions }) {
	return (
		<div data-testid={`hop-${props.hop.id}`}>
			<dl class="facts">
				<dt>From</dt>
				<dd>
					<HopEnd end={props.hop.from} model={props.model} />
				</dd>
				<dt>To</dt>
				<dd>
					<Show when={props.hop.to} fallback="not seen from its other end yet">
						{(end) => <HopEnd end={end()} model={props.model} />}
					</Show>
				</dd>
				<Show when={props.hop.followTarget}>
					{(end) => (
						<>
							<dt>Served by</dt>
							<dd>
								<HopEnd end={end()} model={props.model} />
							</dd>
						</>
					)}
				</Show>
				<dt>Connection</dt>
				<dd class="mono wrap">
					<Foreign text={`${props.hop.local} → ${props.hop.remote}`} isWhole />
				</dd>
				<dt>When</dt>
				<dd>{utcText(props.hop.timeMs)}</dd>
				<dt>Match</dt>
				<dd>
					<Show when={props.hop.to} fallback={<span class="muted">none yet</span>}>
						<Chip tone={props.hop.confidence >= 0.7 ? "good" : "warn"} testId="hop-confidence">
							{confidenceText(props.hop)}
						</Chip>
					</Show>
					<ul class="reasons" data-testid="hop-reasons">
						<For each={props.hop.reasons}>
							{(reason) => (
								<li>
									<Foreign text={reason} isWhole />
								</li>
							)}
						</For>
					</ul>
				</dd>
			</dl>
			<Show when={props.hop.isFollowed}>
				<p class="muted">The trace runs on the other host.</p>
			</Show>
			<Show when={isFollowable(props.hop) && props.actions.isAnalyst}>
				<button
					type="button"
					class="button button-primary"
					onClick={() => props.actions.onFollow(props.hop)}
					data-testid="follow"
				>
					Follow to {props.hop.followTarget?.agent}…
				</button>
			</Show>
		</div>
	);
}

export function HopList(props: { model: TraceModel; actions: DrawerActions }) {
	return (
		<div class="tab-scroll">
			<Show
				when={props.model.hops().length > 0}
				fallback={<p class="state">No connection of this lineage to another watched host has been seen.</p>}
			>
				<ul class="hop-cards">
					<For each={props.model.hops()}>
						{(hop) => (
							<li class="hop-card">
								<HopFacts hop={hop} model={props.model} actions={props.actions} />
							</li>
						)}
					</For>
				</ul>
			</Show>
		</div>
	);
}
