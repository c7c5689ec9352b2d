/** One trace: rows × time, the strip above, the drawer beside, events, hops and commands below. */
import { createSignal, For, Match, Show, Switch } from "solid-js";
import type { Hop, TraceCommandView } from "../../../workers/sc/api/answers.ts";
import { UnknownPage } from "../pages/unknown.tsx";
import { TraceForm, type TraceFormProps } from "../signing/trace-form.tsx";
import { useConsole } from "../state/console.ts";
import { DEFAULT_VIEW } from "../state/url-state.ts";
import { Loading, ProblemNote } from "../widgets/states.tsx";
import { CommandList } from "./command-list.tsx";
import { DensityStrip } from "./density-strip.tsx";
import { Drawer } from "./drawer.tsx";
import type { DrawerActions } from "./drawer-actions.ts";
import { EventTable } from "./event-table.tsx";
import { ExportDialog } from "./export-dialog.tsx";
import { HopList, isFollowable } from "./hop-list.tsx";
import { JumpDialog } from "./jump-dialog.tsx";
import { LineageGrid } from "./lineage-grid.tsx";
import { createPlayback } from "./playback.ts";
import { PlaybackBar } from "./playback-bar.tsx";
import { candidatesOf, useTraceCommands } from "./trace-commands.ts";
import { TraceHead } from "./trace-head.tsx";
import { createTraceModel, type TraceModel } from "./trace-model.ts";

const TABS = ["events", "hops", "commands"] as const;
type Tab = (typeof TABS)[number];
type FormRequest = Omit<TraceFormProps, "onClose" | "onSent">;

function followRequest(model: TraceModel, hop: Hop): FormRequest | null {
	if (!isFollowable(hop) || hop.followTarget === null) return null;
	const { agent, process, pid, name } = hop.followTarget;
	const why = `Follow ${hop.from.name} (${hop.from.pid}) on ${hop.from.agent} over ${hop.local} → ${hop.remote}`;
	return {
		title: `Follow to ${agent}`,
		agent,
		candidates: [
			{ process, pid, name, exe: "" },
			...(hop.to && hop.to.process !== process ? [{ ...hop.to, exe: "", relation: "accepted the connection" }] : []),
		],
		traceId: model.traceId,
		parentLink: { agent: hop.from.agent, process: hop.from.process },
		reason: why.slice(0, 400),
	};
}

function stopRequest(model: TraceModel, agent: string): FormRequest | null {
	const start = model.trace
		.data()
		?.commands.findLast(
			(command) => command.act === "start" && command.agent === agent && command.state === "accepted",
		);
	if (!start || model.hostOf(agent)?.seal) return null;
	const known = candidatesOf(model, agent, start.targetProcess)[0];
	const root = known ?? { process: start.targetProcess, pid: start.targetPid, name: "its root", exe: "" };
	return {
		title: `Stop the trace on ${agent}`,
		act: "stop",
		agent,
		candidates: [root],
		traceId: model.traceId,
		reason: "",
	};
}

/** Which host a stop is about: that of the selection. */
function selectedAgent(model: TraceModel): string | null {
	const { selected } = model;
	const chosen = selected.selection();
	if (chosen?.type === "host") return chosen.agent;
	return selected.node()?.agent ?? selected.event()?.agent ?? selected.hop()?.from.agent ?? null;
}

/** Hosts that a stop can be ordered for: their start was accepted, and neither a seal nor an earlier stop is there or on its way. */
function stoppableAgents(model: TraceModel): string[] {
	const commands = model.trace.data()?.commands ?? [];
	return model
		.hosts()
		.map(({ agent }) => agent)
		.filter((agent) => {
			const last = commands.findLast((command) => command.agent === agent && !isVoid(command));
			return last?.act === "start" && last.state === "accepted" && stopRequest(model, agent) !== null;
		});
}

function isVoid({ state }: TraceCommandView): boolean {
	return state === "refused" || state === "expired";
}

/** The selected host where it can be stopped, else the first that can. */
function stoppableAgent(model: TraceModel): string | null {
	const agents = stoppableAgents(model);
	return agents.find((agent) => agent === selectedAgent(model)) ?? agents[0] ?? null;
}

function createForms(model: TraceModel) {
	const state = useConsole();
	const [request, setRequest] = createSignal<FormRequest | null>(null);
	const open = (made: FormRequest | null): boolean => {
		if (made === null || !state.can("analyst")) return false;
		setRequest(made);
		return true;
	};
	return {
		request,
		close: () => setRequest(null),
		openFollow: (hop: Hop | null) => open(hop && followRequest(model, hop)),
		openStop: (agent = selectedAgent(model) ?? stoppableAgent(model)) =>
			open(agent === null ? null : stopRequest(model, agent)),
		openTrace: () => {
			const node = model.selected.node();
			if (node === null) return false;
			return open({
				title: "Trace from here",
				agent: node.agent,
				candidates: candidatesOf(model, node.agent, node.process),
				reason: "",
			});
		},
	};
}

function Lower(props: {
	model: TraceModel;
	actions: DrawerActions;
	tab: Tab;
	setTab: (tab: Tab) => void;
	findInput: (element: HTMLInputElement) => void;
}) {
	const titles: Record<Tab, () => string> = {
		events: () => "Events",
		hops: () => `Network hops ${props.model.hops().length}`,
		commands: () => `Commands ${props.model.trace.data()?.commands.length ?? 0}`,
	};
	const onKeyDown = (event: KeyboardEvent) => {
		const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
		if (by === 0) return;
		event.preventDefault();
		const next = TABS[(TABS.indexOf(props.tab) + by + TABS.length) % TABS.length] as Tab;
		props.setTab(next);
		document.getElementById(`tab-${next}`)?.focus();
	};
	return (
		<section class="lower" aria-label="Below the lanes">
			<div class="tabs" role="tablist" aria-label="Events, hops, commands">
				<For each={TABS}>
					{(tab) => (
						<button
							type="button"
							role="tab"
							id={`tab-${tab}`}
							aria-selected={props.tab === tab}
							aria-controls="lower-panel"
							tabindex={props.tab === tab ? 0 : -1}
							onClick={() => props.setTab(tab)}
							onKeyDown={onKeyDown}
							data-testid={`tab-${tab}`}
						>
							{titles[tab]()}
						</button>
					)}
				</For>
			</div>
			<div class="lower-panel" id="lower-panel" role="tabpanel" aria-labelledby={`tab-${props.tab}`}>
				<Switch>
					<Match when={props.tab === "events"}>
						<EventTable model={props.model} findInput={props.findInput} />
					</Match>
					<Match when={props.tab === "hops"}>
						<HopList model={props.model} actions={props.actions} />
					</Match>
					<Match when={props.tab === "commands"}>
						<CommandList model={props.model} actions={props.actions} stoppable={stoppableAgents(props.model)} />
					</Match>
				</Switch>
			</div>
		</section>
	);
}

type Opened = "export" | "jump" | null;

function Workbench(props: { model: TraceModel }) {
	const { model } = props;
	const state = useConsole();
	const playback = createPlayback(model);
	const forms = createForms(model);
	const [opened, setOpened] = createSignal<Opened>(null);
	const [tab, setTab] = createSignal<Tab>("events");
	let findInput: HTMLInputElement | undefined;
	useTraceCommands(model, playback, {
		openFind: () => {
			setTab("events");
			findInput?.focus();
			findInput?.select();
		},
		openJump: () => setOpened("jump"),
		openExport: () => state.can("exporter") && setOpened("export"),
		openTraceForm: forms.openTrace,
		openFollow: () => forms.openFollow(model.selected.hop()),
		openStop: () => forms.openStop(),
		showTab: setTab,
		isInTable: () => document.activeElement?.closest("[data-pane=events]") !== null,
	});
	const actions: DrawerActions = {
		onTrace: forms.openTrace,
		onFollow: forms.openFollow,
		onStop: (agent) => forms.openStop(agent),
		isAnalyst: state.can("analyst"),
	};
	return (
		<div class="trace">
			<TraceHead
				model={model}
				stoppableAgent={stoppableAgent(model)}
				onStop={forms.openStop}
				onExport={() => setOpened("export")}
			/>
			<Show when={model.feed.problem()}>
				{(failure) => <ProblemNote failure={failure()} isStale onRetry={model.feed.reload} />}
			</Show>
			<div class="trace-body" classList={{ "with-drawer": model.selected.selection() !== null }}>
				<div class="trace-main">
					<PlaybackBar model={model} playback={playback} />
					<DensityStrip model={model} />
					<LineageGrid model={model} />
					<Lower
						model={model}
						actions={actions}
						tab={tab()}
						setTab={setTab}
						findInput={(element) => {
							findInput = element;
						}}
					/>
				</div>
				<Drawer model={model} actions={actions} />
			</div>
			<Show when={forms.request()} keyed>
				{(request) => (
					<TraceForm
						{...request}
						onClose={forms.close}
						onSent={(traceId) => {
							void model.trace.reload();
							if (traceId === model.traceId) return;
							state.navigate({ page: "trace", traceId, view: DEFAULT_VIEW, isUnknownVersion: false });
						}}
					/>
				)}
			</Show>
			<Show when={opened() === "export"}>
				<ExportDialog model={model} onClose={() => setOpened(null)} />
			</Show>
			<Show when={opened() === "jump"}>
				<JumpDialog model={model} onClose={() => setOpened(null)} />
			</Show>
		</div>
	);
}

export function TracePage(props: { traceId: string }) {
	const model = createTraceModel(props.traceId);
	return (
		<Show
			when={model.trace.data() && model.feed.isLoaded()}
			fallback={
				<div class="page">
					<Show
						when={model.trace.problem() ?? model.feed.problem()}
						fallback={<Loading what={`trace ${props.traceId}`} />}
					>
						{(failure) => (
							<Show when={failure().code !== "trace_unknown"} fallback={<UnknownPage traceId={props.traceId} />}>
								<ProblemNote
									failure={failure()}
									onRetry={() => {
										void model.trace.reload();
										model.feed.reload();
									}}
								/>
							</Show>
						)}
					</Show>
				</div>
			}
		>
			<Workbench model={model} />
		</Show>
	);
}
