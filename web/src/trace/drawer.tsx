/**
 * The side panel of the selection: an event, a process, a host or a hop, with everything that is stored of it and how it is proved.
 * Values of the host are text with unseen characters written out; masked values look masked.
 */
import { For, type JSX, Match, Show, Switch } from "solid-js";
import { visibleText } from "#core/lineage/index.ts";
import type { EventRow } from "../../../workers/sc/api/answers.ts";
import { clockText, countText, spanText, utcText } from "../state/time-text.ts";
import { Foreign } from "../widgets/foreign.tsx";
import { Chip } from "../widgets/states.tsx";
import type { DrawerActions } from "./drawer-actions.ts";
import { EventFacts, EventMarks } from "./event-details.tsx";
import { eventText, isLookBack, KIND_GROUP, KIND_LABEL } from "./event-text.ts";
import { HopFacts } from "./hop-list.tsx";
import { lastExec, rootReason } from "./lineage-grid.tsx";
import { partialCauseText } from "./partial-view.ts";
import { selectEvent } from "./trace-commands.ts";
import type { ProcessNode, TraceModel } from "./trace-model.ts";

/** Events of a process that the panel lists; the table below has all. */
const LISTED_MAX = 50;

function Fact(props: { name: string; children: JSX.Element }) {
	return (
		<>
			<dt>{props.name}</dt>
			<dd>{props.children}</dd>
		</>
	);
}

/** A fact whose value is text of the host; nothing where there is none. */
function ForeignFact(props: { name: string; text: string | null }) {
	return (
		<Show when={props.text !== null && props.text !== ""}>
			<Fact name={props.name}>
				<span class="mono wrap">
					<Foreign text={props.text ?? ""} isWhole />
				</span>
			</Fact>
		</Show>
	);
}

function NumberFact(props: { name: string; value: number | null }) {
	return (
		<Show when={props.value !== null}>
			<Fact name={props.name}>
				<span class="mono">{props.value}</span>
			</Fact>
		</Show>
	);
}

function Arguments(props: { event: EventRow }) {
	return (
		<Show when={props.event.cmdline}>
			{(cmdline) => (
				<section aria-label="Arguments">
					<h3>
						Arguments{" "}
						<Show when={props.event.isMasked}>
							<Chip
								tone="plain"
								title="Values were replaced by the agent before anything left the host"
								testId="masked"
							>
								masked
							</Chip>
						</Show>
					</h3>
					<ol class="argv" classList={{ masked: props.event.isMasked }} start="0">
						<For each={cmdline()}>
							{(argument) => (
								<li>
									<Foreign text={argument} isWhole />
								</li>
							)}
						</For>
					</ol>
				</section>
			)}
		</Show>
	);
}

function Proof(props: { event: EventRow }) {
	const isOwn = () => props.event.verdict === "event_signed";
	return (
		<section aria-label="Proof">
			<h3>Proof</h3>
			<p>
				<Chip tone="good" testId="verdict">
					{isOwn() ? "verified: own signature" : "verified: by its batch"}
				</Chip>
			</p>
			<p class="sub muted">
				{isOwn()
					? "The agent signed this event by itself; the Security Center checked the signature when it stored it."
					: "The event is under the Merkle root of a batch whose signature the Security Center checked when it stored it."}
			</p>
			<dl class="facts">
				<Fact name="Batch">
					<span class="mono">{props.event.batchSeq}</span>
				</Fact>
				<Fact name="Sequence">
					<span class="mono">{props.event.seq}</span>
				</Fact>
				<Fact name="Stream">
					<span class="mono">{visibleText(props.event.stream)}</span>
				</Fact>
				<Fact name="Kernel time">
					<span class="mono">{visibleText(props.event.kernelTimeNs)} ns</span>
				</Fact>
				<Fact name="Seen by">{props.event.tier}</Fact>
			</dl>
		</section>
	);
}

function EventPanel(props: { event: EventRow; model: TraceModel }) {
	return (
		<>
			<h2 class={`kind-${KIND_GROUP[props.event.kind]}`}>
				<span class="kind-shape" aria-hidden="true" /> {KIND_LABEL[props.event.kind]}{" "}
				<Foreign text={props.event.name ?? ""} /> <span class="mono muted">{props.event.pid ?? ""}</span>
			</h2>
			<EventMarks event={props.event} />
			<dl class="facts">
				<Fact name="Time">{utcText(props.event.alignedTimeMs)}</Fact>
				<Show when={props.event.timeMs !== props.event.alignedTimeMs}>
					<Fact name="Host's clock">
						{clockText(props.event.timeMs)} ({spanText(props.event.timeMs - props.event.alignedTimeMs)} off)
					</Fact>
				</Show>
				<Fact name="Host">
					<span class="mono">{props.event.agent}</span>
				</Fact>
			</dl>
			<Arguments event={props.event} />
			<EventFacts event={props.event} />
			<Show when={props.model.selected.node()}>
				{(node) => (
					<button
						type="button"
						class="button"
						onClick={() => props.model.selected.select({ type: "process", id: node().id })}
					>
						Show its process
					</button>
				)}
			</Show>
			<Proof event={props.event} />
		</>
	);
}

function ProcessEvents(props: { node: ProcessNode; model: TraceModel }) {
	return (
		<section aria-label="Events of this process">
			<h3>
				Events <span class="muted">{props.node.events.length}</span>
			</h3>
			<ul class="mini-events">
				<For each={props.node.events.slice(0, LISTED_MAX)}>
					{(event) => (
						<li>
							<button type="button" class="mini-event" onClick={() => selectEvent(props.model, event)}>
								<span class="mono muted">{clockText(event.alignedTimeMs)}</span>{" "}
								<span class={`kind-${KIND_GROUP[event.kind]}`}>
									<span class="kind-shape" aria-hidden="true" />
									{KIND_LABEL[event.kind]}
								</span>{" "}
								<span class="mini-text">
									<Foreign text={eventText(event)} />
								</span>
							</button>
						</li>
					)}
				</For>
			</ul>
			<Show when={props.node.events.length > LISTED_MAX}>
				<p class="sub muted">
					{LISTED_MAX} of {props.node.events.length}; the table has all.
				</p>
			</Show>
		</section>
	);
}

/** The user it ran as at first, and whom it became. */
function userIdText({ events }: ProcessNode): string {
	const first = events.find((event) => event.uid !== null)?.uid;
	const later = events.flatMap(({ kind, uid }) => (kind === "set_id" && uid !== null ? [uid] : []));
	const ids = first === undefined || first === null ? later : [first, ...later];
	return ids.filter((id, i) => id !== ids[i - 1]).join(" → ");
}

function ProcessPanel(props: { node: ProcessNode; model: TraceModel; onTrace: () => void; canTrace: boolean }) {
	const exec = () => lastExec(props.node);
	const lived = () => (props.node.endMs === null ? null : spanText(props.node.endMs - props.node.startMs));
	return (
		<>
			<h2>
				<Foreign text={props.node.name ?? "no name"} /> <span class="mono muted">{props.node.pid ?? "?"}</span>
			</h2>
			<dl class="facts">
				<Fact name="Host">
					<span class="mono">{props.node.agent}</span>
				</Fact>
				<ForeignFact name="Program" text={props.node.exe} />
				<Show when={props.node.names.length > 1}>
					<ForeignFact name="Was called" text={props.node.names.join(" → ")} />
				</Show>
				<Fact name="Start">
					{utcText(props.node.startMs)}
					<Show when={!props.node.isStartSeen}>
						<div class="sub muted">its first event here; it started before</div>
					</Show>
				</Fact>
				<Fact name="End">
					{props.node.endMs === null ? "no end seen" : `${utcText(props.node.endMs)} after ${lived()}`}
				</Fact>
				<NumberFact name="Exit code" value={props.node.exitCode} />
				<NumberFact name="Signal" value={props.node.exitSignal || null} />
				<ForeignFact name="User id" text={userIdText(props.node)} />
				<Fact name="Parent">
					<Show when={props.node.parent} fallback={<>none: {rootReason(props.node)}</>}>
						{(parent) => (
							<button
								type="button"
								class="link"
								onClick={() => props.model.selected.reveal({ type: "process", id: parent().id }, null)}
							>
								<Foreign text={parent().name ?? "no name"} /> {parent().pid}
							</button>
						)}
					</Show>
					<Show when={props.node.parentLink === "current"}>
						<div class="sub muted">who held it later; its creator is outside the trace</div>
					</Show>
				</Fact>
				<Show when={props.model.partial().get(props.node.id)}>
					{(views) => (
						<Fact name="View">
							<Chip tone="warn">may be partial</Chip>
							<For each={views()}>
								{({ cause, sinceMs, from }) => (
									<div class="sub" data-testid="partial-cause">
										<Foreign text={partialCauseText(cause)} isWhole />
										{from === null ? `, from ${clockText(sinceMs)} on` : ", inherited from "}
										<Show when={from}>
											{(above) => (
												<button
													type="button"
													class="link"
													onClick={() => props.model.selected.reveal({ type: "process", id: above().id }, null)}
												>
													<Foreign text={above().name ?? "no name"} /> {above().pid}
												</button>
											)}
										</Show>
									</div>
								)}
							</For>
						</Fact>
					)}
				</Show>
				<Fact name="Below it">{countText(props.node.descendantCount, "process", "processes")}</Fact>
				<Fact name="Key">
					<span class="mono wrap">{visibleText(props.node.process)}</span>
				</Fact>
			</dl>
			<Show when={exec()}>{(event) => <Arguments event={event()} />}</Show>
			<Show when={props.canTrace}>
				<button type="button" class="button" onClick={() => props.onTrace()} data-testid="trace-process">
					Trace from here…
				</button>
			</Show>
			<ProcessEvents node={props.node} model={props.model} />
		</>
	);
}

function HostPanel(props: { agent: string; model: TraceModel; onStop: () => void; canStop: boolean }) {
	const host = () => props.model.hostOf(props.agent);
	const gaps = () => props.model.gaps().filter(({ gap }) => gap.agent === props.agent);
	const lookBackCount = () =>
		props.model.lineage().events.filter((event) => event.agent === props.agent && isLookBack(event)).length;
	return (
		<>
			<h2 class="mono">
				<Foreign text={props.agent} />
			</h2>
			<dl class="facts">
				<ForeignFact name="Host name" text={host()?.hostName ?? null} />
				<Show when={props.model.starts().get(props.agent)}>
					{(startMs) => (
						<Fact name="Trace starts">
							{clockText(startMs())}
							<div class="sub muted">{countText(lookBackCount(), "event")} before it, told from the agent's memory</div>
						</Fact>
					)}
				</Show>
				<Fact name="Clock">{spanText(host()?.clockOffsetMs ?? 0)} off; times here are aligned</Fact>
				<Show when={host()?.seal} fallback={<Fact name="Seal">not sealed: the trace may go on here</Fact>}>
					{(seal) => (
						<>
							<ForeignFact name="Sealed" text={seal().cause} />
							<Fact name="At">{utcText(seal().timeMs)}</Fact>
							<Fact name="Counts">
								{countText(seal().eventCount, "event")}, {countText(seal().gapCount, "gap")}
							</Fact>
						</>
					)}
				</Show>
			</dl>
			<Show when={gaps().length > 0}>
				<h3>Missing here</h3>
				<ul class="gap-list">
					<For each={gaps()}>
						{({ gap, startMs, endMs, missingCount }) => (
							<li>
								<strong>
									{missingCount === null ? "some" : missingCount.toLocaleString("en")}{" "}
									{gap.scope === "stream" ? "batches" : "events"}
								</strong>{" "}
								between {clockText(startMs)} and {clockText(endMs)}: <Foreign text={gap.cause} isWhole />
							</li>
						)}
					</For>
				</ul>
			</Show>
			<Show when={props.canStop && host()?.seal === null}>
				<button type="button" class="button" onClick={() => props.onStop()} data-testid="stop-trace">
					Stop the trace here…
				</button>
			</Show>
		</>
	);
}

export function Drawer(props: { model: TraceModel; actions: DrawerActions }) {
	const { selected } = props.model;
	const hostAgent = () => {
		const chosen = selected.selection();
		return chosen?.type === "host" ? chosen.agent : null;
	};
	return (
		<Show when={selected.selection()}>
			{/* It scrolls by itself, so it can be reached by keyboard. */}
			<aside class="drawer" aria-label="Details of the selection" tabindex="0" data-testid="drawer">
				<button
					type="button"
					class="icon-button drawer-close"
					aria-label="Close the details"
					onClick={() => selected.select(null)}
				>
					×
				</button>
				<Switch fallback={<p class="muted">What this link selects is not in the trace.</p>}>
					<Match when={selected.event()}>{(event) => <EventPanel event={event()} model={props.model} />}</Match>
					<Match when={selected.node()}>
						{(node) => (
							<ProcessPanel
								node={node()}
								model={props.model}
								onTrace={props.actions.onTrace}
								canTrace={props.actions.isAnalyst}
							/>
						)}
					</Match>
					<Match when={selected.hop()}>
						{(hop) => (
							<>
								<h2>Network hop</h2>
								<HopFacts hop={hop()} model={props.model} actions={props.actions} />
							</>
						)}
					</Match>
					<Match when={hostAgent()}>
						{(agent) => (
							<HostPanel
								agent={agent()}
								model={props.model}
								onStop={() => props.actions.onStop(agent())}
								canStop={props.actions.isAnalyst}
							/>
						)}
					</Match>
				</Switch>
			</aside>
		</Show>
	);
}
