/** Hits, newest first; one opened beside the list with its ancestry and the way to put a trace on it. */
import { createEffect, createSignal, For, on, Show } from "solid-js";
import type { Hit, HitsAnswer, ProcessAnswer } from "../../../workers/sc/api/answers.ts";
import { onLive } from "../api/live.ts";
import { createQuery } from "../api/query.ts";
import { useCommands } from "../commands/dispatch.ts";
import { TraceForm } from "../signing/trace-form.tsx";
import { useConsole } from "../state/console.ts";
import { dayClockText, isoText, spanText, utcText } from "../state/time-text.ts";
import { DEFAULT_VIEW, formatHash } from "../state/url-state.ts";
import { Foreign } from "../widgets/foreign.tsx";
import { Chip, Empty, Loading, ProblemNote, type Tone } from "../widgets/states.tsx";

/** More than fits any screen; older hits are found by their trace or by search, not by scrolling. */
const HITS_SHOWN_MAX = 500;

export const SEVERITY_TONE: Record<Hit["severity"], Tone> = { high: "bad", medium: "warn", low: "plain" };

function traceLink(traceId: string): string {
	return formatHash({ page: "trace", traceId, view: DEFAULT_VIEW, isUnknownVersion: false });
}

function HitRow(props: { hit: Hit; isOpen: boolean }) {
	return (
		<li>
			<a
				class="hit-row"
				href={formatHash({ page: "hits", hitId: props.hit.id })}
				aria-current={props.isOpen ? "true" : undefined}
				data-testid={`hit-${props.hit.id}`}
			>
				<Chip tone={SEVERITY_TONE[props.hit.severity]}>{props.hit.severity}</Chip>
				<span class="hit-what">
					<span class="strong">
						<Foreign text={props.hit.summary} />
					</span>
					<span class="muted hit-rule">
						<Foreign text={props.hit.ruleTitle} />
					</span>
				</span>
				<span class="mono">
					<Foreign text={props.hit.agent} />
				</span>
				<time class="number muted" datetime={isoText(props.hit.eventTimeMs)}>
					{dayClockText(props.hit.eventTimeMs)}
				</time>
				<span class="number muted" title="From the kernel's event to the stored hit">
					{spanText(props.hit.latencyMs)}
				</span>
				<span class="hit-traced">{props.hit.traceId ? <Chip tone="accent">traced</Chip> : null}</span>
			</a>
		</li>
	);
}

function HitDetail(props: { hit: Hit }) {
	const state = useConsole();
	const [isFormOpen, setFormOpen] = createSignal(false);
	const process = createQuery<ProcessAnswer>(
		() => `/api/agents/${encodeURIComponent(props.hit.agent)}/processes/${encodeURIComponent(props.hit.process)}`,
	);
	const self = () => ({
		process: props.hit.process,
		pid: props.hit.pid,
		name: process.data()?.name ?? props.hit.summary.split("→").at(-1)?.trim() ?? "process",
		exe: process.data()?.exe ?? "",
		hasEnded: process.data()?.isAlive === false,
	});
	useCommands({ "trace.fromHere": () => setFormOpen(true) });
	return (
		<aside class="hit-detail" aria-labelledby="hit-title" data-testid="hit-detail">
			<h2 id="hit-title">
				<Foreign text={props.hit.summary} />
			</h2>
			<p>
				<Chip tone={SEVERITY_TONE[props.hit.severity]}>{props.hit.severity}</Chip>{" "}
				<Foreign text={props.hit.ruleTitle} isWhole />
			</p>
			<dl class="facts">
				<dt>Rule</dt>
				<dd class="mono">
					<Foreign text={props.hit.ruleId} />
				</dd>
				<dt>Host</dt>
				<dd class="mono">
					<Foreign text={props.hit.agent} />
				</dd>
				<dt>Process</dt>
				<dd>
					<span class="mono">{props.hit.pid}</span>
					<Show when={process.data()}>
						{(found) => <span class="muted"> {found().isAlive ? "still running" : "has ended"}</span>}
					</Show>
				</dd>
				<dt>When</dt>
				<dd>{utcText(props.hit.eventTimeMs)}</dd>
				<dt>Noticed after</dt>
				<dd>{spanText(props.hit.latencyMs)}</dd>
			</dl>
			<h3>Ancestry</h3>
			<ol class="ancestry">
				<For each={[...props.hit.ancestry].reverse()}>
					{(ancestor) => (
						<li>
							<Foreign text={ancestor.name || "no name"} /> <span class="mono muted">{ancestor.pid}</span>{" "}
							<span class="mono muted ancestry-exe">
								<Foreign text={ancestor.exe} />
							</span>
						</li>
					)}
				</For>
				<li class="strong">
					<Foreign text={self().name} /> <span class="mono muted">{props.hit.pid}</span>
				</li>
			</ol>
			<div class="actions">
				<Show when={props.hit.traceId}>
					{(id) => (
						<a class="button" href={traceLink(id())} data-testid="open-trace">
							Open trace {id()}
						</a>
					)}
				</Show>
				<button
					type="button"
					class="button button-primary"
					onClick={() => setFormOpen(true)}
					disabled={!state.can("analyst")}
					data-testid="trace-open-form"
				>
					Trace this lineage…
				</button>
			</div>
			<Show when={!state.can("analyst")}>
				<p class="muted">Starting a trace needs the role analyst.</p>
			</Show>
			<Show when={isFormOpen()}>
				<TraceForm
					title="Trace this lineage"
					agent={props.hit.agent}
					candidates={[self(), ...props.hit.ancestry]}
					hitId={props.hit.id}
					reason=""
					onClose={() => setFormOpen(false)}
					onSent={(traceId) => state.navigate({ page: "trace", traceId, view: DEFAULT_VIEW, isUnknownVersion: false })}
				/>
			</Show>
		</aside>
	);
}

export function HitsPage() {
	const state = useConsole();
	const hits = createQuery<HitsAnswer>(() => `/api/hits?limit=${HITS_SHOWN_MAX}`);
	let list: HTMLUListElement | undefined;
	onLive((note) => {
		if (note.kind === "hit" || note.kind === "trace" || note.kind === "resync") hits.refresh();
	});
	const rows = () => hits.data()?.hits ?? [];
	const openId = () => {
		const route = state.route();
		return route.page === "hits" ? route.hitId : null;
	};
	const opened = () => rows().find((hit) => hit.id === openId());
	const moveFocus = (by: number) => {
		const links = [...(list?.querySelectorAll<HTMLElement>("a.hit-row") ?? [])];
		const at = links.indexOf(document.activeElement as HTMLElement);
		const start = at < 0 ? rows().findIndex((hit) => hit.id === openId()) - (by > 0 ? 0 : -1) : at;
		links[Math.max(0, Math.min(links.length - 1, at < 0 && start < 0 ? 0 : start + by))]?.focus();
	};
	useCommands({
		"row.next": () => moveFocus(1),
		"row.previous": () => moveFocus(-1),
		"step.out": () => (openId() === null ? false : state.navigate({ page: "hits", hitId: null })),
	});
	// A hit that is not in the list any more cannot be shown; the address says so no longer.
	createEffect(
		on(hits.data, (answer) => {
			if (answer && openId() !== null && opened() === undefined)
				state.announce("That hit is not in the list.", "plain");
		}),
	);
	return (
		<section class="page page-split" aria-labelledby="page-title">
			<div class="page-main">
				<div class="page-head">
					<h1 id="page-title">Hits</h1>
					<Show when={rows().length > 0}>
						<span class="muted">
							{rows().length === HITS_SHOWN_MAX ? `newest ${HITS_SHOWN_MAX}` : `${rows().length}`}, newest first
						</span>
					</Show>
				</div>
				<Show when={hits.problem()}>
					{(failure) => (
						<ProblemNote failure={failure()} isStale={hits.data() !== undefined} onRetry={() => void hits.reload()} />
					)}
				</Show>
				<Show when={hits.data()} fallback={hits.isLoading() ? <Loading what="hits" /> : null}>
					<Show
						when={rows().length > 0}
						fallback={
							<Empty title="No hits">
								Nothing the active rules look for has been seen. Hits appear here as they come.
							</Empty>
						}
					>
						<ul
							class="hit-list"
							data-testid="hits"
							ref={(element) => {
								list = element;
							}}
						>
							<For each={rows()}>{(hit) => <HitRow hit={hit} isOpen={hit.id === openId()} />}</For>
						</ul>
					</Show>
				</Show>
			</div>
			<Show when={opened()?.id} keyed>
				{(id) => <Show when={rows().find((hit) => hit.id === id)}>{(hit) => <HitDetail hit={hit()} />}</Show>}
			</Show>
		</section>
	);
}
