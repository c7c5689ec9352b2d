/** The fleet: which link is slow, who is alive, what each collector sees and what it cannot see, and why; and its alarms. */
import { createSignal, For, Index, onCleanup, Show } from "solid-js";
import type { FleetAnswer, FleetNode } from "../../../workers/sc/api/answers.ts";
import { onLive } from "../api/live.ts";
import { createQuery } from "../api/query.ts";
import { useConsole } from "../state/console.ts";
import { bytesText, countText, spanText, utcText } from "../state/time-text.ts";
import { Foreign } from "../widgets/foreign.tsx";
import { Chip, Empty, Loading, ProblemNote, type Tone } from "../widgets/states.tsx";
import { Alarms } from "./alarms.tsx";
import { inTreeOrder, type PlacedNode } from "./links.ts";
import { LinkCell, SlowSentence, ViaCell } from "./links.tsx";
import { Quarantine } from "./quarantine.tsx";
import { fidelityText, missingParts } from "./sight.ts";

/** Proxies pass beats on every ten seconds; twice missed and more is worth a colour before the node counts as silent. */
const HEARD_WARN_MS = 20_000;
const REFETCH_INTERVAL_MS = 10_000;
/** What a node does not tell, or what a proxy has none of. */
const UNKNOWN = "–";
/** Stitching across hosts matches within this; beyond it, order between hosts is doubtful. */
const CLOCK_WARN_MS = 500;

/** Beyond this a line is a wall of words. */
const MISSING_IN_LINE_MAX = 4;
const MISSING_IN_LINE_CHARACTERS_MAX = 140;
/** A collector names a few dozen at most; a hostile one must not make the page long. */
const MISSING_LISTED_MAX = 60;

const TIER_TONE: Record<FleetNode["tier"], Tone> = {
	ebpf: "good",
	netlink: "warn",
	proc: "warn",
	agent: "plain",
	"": "plain",
};

/** What it cannot see: a short list as a line, a long one behind its count. */
function Missing(props: { node: FleetNode }) {
	const parts = () => missingParts(props.node.missing);
	const isLong = () =>
		parts().length > MISSING_IN_LINE_MAX || props.node.missing.length > MISSING_IN_LINE_CHARACTERS_MAX;
	return (
		<Show when={parts().length > 0}>
			<div class="sub" data-testid={`missing-${props.node.id}`}>
				<Show
					when={isLong()}
					fallback={
						<>
							Cannot see: <Foreign text={parts().join(", ")} isWhole />
						</>
					}
				>
					<details class="missing">
						<summary>
							Cannot see {countText(parts().length, "thing")}
							<span class="visually-hidden">
								{" on "}
								<Foreign text={props.node.id} />
							</span>
						</summary>
						<ul>
							<For each={parts().slice(0, MISSING_LISTED_MAX)}>
								{(part) => (
									<li>
										<Foreign text={part} />
									</li>
								)}
							</For>
							<Show when={parts().length > MISSING_LISTED_MAX}>
								<li>{parts().length - MISSING_LISTED_MAX} more</li>
							</Show>
						</ul>
					</details>
				</Show>
			</div>
		</Show>
	);
}

function Sight(props: { node: FleetNode }) {
	return (
		<Show when={props.node.tier !== ""} fallback={<span class="muted">relays only</span>}>
			<Chip tone={TIER_TONE[props.node.tier]}>{props.node.tier}</Chip>
			<Show when={fidelityText(props.node)}>
				{(text) => (
					<>
						{" "}
						<Chip
							tone="warn"
							title={`Since ${utcText(props.node.fidelityMs)} by the host's clock. Events that were given up are counted as gaps.`}
							testId={`fidelity-${props.node.id}`}
						>
							<Foreign text={text()} />
						</Chip>
					</>
				)}
			</Show>
			<Show when={props.node.cause !== ""}>
				<div class="sub muted">
					Because: <Foreign text={props.node.cause} isWhole />
				</div>
			</Show>
			<Missing node={props.node} />
		</Show>
	);
}

function Heard(props: { node: FleetNode; nowMs: number }) {
	const silentMs = () => Math.max(0, props.nowMs - props.node.lastHeardMs);
	return (
		<div
			class="sub"
			classList={{ muted: silentMs() <= HEARD_WARN_MS, "text-warn": silentMs() > HEARD_WARN_MS }}
			title={utcText(props.node.lastHeardMs)}
			data-testid={`heard-${props.node.id}`}
		>
			{silentMs() < 1000 ? "heard just now" : `heard ${spanText(Math.floor(silentMs() / 1000) * 1000)} ago`}
		</div>
	);
}

const STATE_TONE: Record<FleetNode["state"], Tone> = { alive: "good", silent: "bad", unknown: "plain" };

function StateCell(props: { node: FleetNode; nowMs: number }) {
	const isCut = () => props.node.state === "alive" && !props.node.isUp;
	return (
		<>
			<Chip tone={isCut() ? "warn" : STATE_TONE[props.node.state]} testId={`state-${props.node.id}`}>
				{isCut() ? "link down" : props.node.state}
			</Chip>
			<Show when={props.node.hiddenBy !== ""} fallback={<Heard node={props.node} nowMs={props.nowMs} />}>
				<div class="sub muted">
					behind <Foreign text={props.node.hiddenBy} />
				</div>
			</Show>
		</>
	);
}

function ClockCell(props: { node: FleetNode }) {
	return (
		<Show when={props.node.role === "agent" || props.node.clockBoundMs !== null} fallback={UNKNOWN}>
			<span classList={{ "text-warn": Math.abs(props.node.clockOffsetMs) > CLOCK_WARN_MS }}>
				{props.node.clockOffsetMs > 0 ? "+" : ""}
				{spanText(props.node.clockOffsetMs)}
			</span>
			<Show when={props.node.clockBoundMs}>{(bound) => <div class="sub muted">± {spanText(bound())}</div>}</Show>
		</Show>
	);
}

function NodeRow(props: { placed: PlacedNode; nowMs: number }) {
	const node = () => props.placed.node;
	const isProxy = () => node().role === "px";
	return (
		<tr data-testid={`node-${node().id}`}>
			<th scope="row" class={`depth-${props.placed.depth}`}>
				<span class="strong">
					<Foreign text={node().id} />
				</span>
				<div class="sub muted">
					{isProxy() ? "proxy" : "agent"}
					<Show when={!isProxy()}>
						{" "}
						· <Foreign text={node().siteTag || "no site"} />
					</Show>
					<Show when={node().softwareVersion !== ""}>
						{" "}
						· <Foreign text={node().softwareVersion} />
					</Show>
				</div>
			</th>
			<td>
				<StateCell node={node()} nowMs={props.nowMs} />
			</td>
			<td>
				<LinkCell node={node()} />
			</td>
			<td class="cell-wide">
				<Sight node={node()} />
			</td>
			<td>
				<ViaCell node={node()} />
			</td>
			<td>
				<ClockCell node={node()} />
			</td>
			<td class="number">
				<Show when={node().gapCount > 0} fallback={isProxy() ? UNKNOWN : "none"}>
					<Chip tone="warn">
						{node().gapCount.toLocaleString("en")} {node().gapCount === 1 ? "gap" : "gaps"}
					</Chip>
				</Show>
			</td>
			<td class="number">
				{isProxy() ? UNKNOWN : node().eventCount.toLocaleString("en")}
				<Show when={node().rssBytes > 0}>
					<div class="sub muted">{bytesText(node().rssBytes)} memory</div>
				</Show>
			</td>
		</tr>
	);
}

export function FleetPage() {
	const state = useConsole();
	const fleet = createQuery<FleetAnswer>(() => "/api/fleet");
	onLive((note) => {
		if (note.kind === "fleet" || note.kind === "resync") fleet.refresh();
	});
	const [nowMs, setNowMs] = createSignal(state.nowMs());
	const clock = setInterval(() => setNowMs(state.nowMs()), 1000);
	// A node that falls silent sends no note.
	const refetch = setInterval(() => {
		if (!document.hidden && !fleet.isLoading()) void fleet.reload();
	}, REFETCH_INTERVAL_MS);
	onCleanup(() => {
		clearInterval(clock);
		clearInterval(refetch);
	});
	const nodes = () => inTreeOrder(fleet.data()?.nodes ?? []);
	const count = (state: FleetNode["state"]) => nodes().filter(({ node }) => node.state === state).length;
	const states = () => {
		const told = [
			[count("silent"), "silent"],
			[count("unknown"), "unknown"],
		].flatMap(([n, state]) => (n === 0 ? [] : [`${n} ${state}`]));
		return told.length === 0 ? "all alive" : told.join(", ");
	};
	return (
		<section class="page" aria-labelledby="page-title">
			<div class="page-head">
				<h1 id="page-title">Fleet</h1>
				<Show when={nodes().length > 0}>
					<span class="muted">
						{countText(nodes().length, "node")}, {states()}
					</span>
				</Show>
			</div>
			<Show when={fleet.problem()}>
				{(failure) => (
					<ProblemNote failure={failure()} isStale={fleet.data() !== undefined} onRetry={() => void fleet.reload()} />
				)}
			</Show>
			<Show when={fleet.data()} fallback={fleet.isLoading() ? <Loading what="the fleet" /> : null}>
				<Show
					when={nodes().length > 0}
					fallback={
						<Empty title="No host yet">
							Hosts appear here when their agent connects; <code>npm run demo</code> brings two.
						</Empty>
					}
				>
					<Show when={fleet.data()}>
						{(data) => <SlowSentence fleet={data()} nowMs={nowMs()} isStale={fleet.problem() !== null} />}
					</Show>
					{/* Wide tables scroll sideways; a scrolling region must be reachable by keyboard. */}
					<section class="table-scroll" tabindex="0" aria-label="Nodes of the fleet">
						<table class="table" data-testid="fleet">
							<thead>
								<tr>
									<th scope="col">Node</th>
									<th scope="col">State</th>
									<th scope="col">Waits</th>
									<th scope="col">What it sees</th>
									<th scope="col">Link to</th>
									<th scope="col">Clock</th>
									<th scope="col" class="number">
										Gaps
									</th>
									<th scope="col" class="number">
										Events
									</th>
								</tr>
							</thead>
							<tbody>
								{/* By place: every answer holds new objects, and a row drawn anew would lose its focus and close its list. */}
								<Index each={nodes()}>{(placed) => <NodeRow placed={placed()} nowMs={nowMs()} />}</Index>
							</tbody>
						</table>
					</section>
				</Show>
			</Show>
			<Alarms />
			<Quarantine />
		</section>
	);
}
