/** Links on the fleet page: the sentence that names the slow one, and what is known of each. */
import { For, type JSX, Show } from "solid-js";
import type { FleetAnswer, FleetLink, FleetNode } from "../../../workers/sc/api/answers.ts";
import { bytesText, clockText, countText, isoText, spanText, utcText } from "../state/time-text.ts";
import { Foreign } from "../widgets/foreign.tsx";
import { SLOW_MS, type SlowLink, slowLinks } from "./links.ts";

/** Strangers named one by one; a site that upgrades its hosts before its proxies has many. */
const STRANGERS_SHOWN_MAX = 3;
const CENTER = "Security Center";

/** Whole seconds: tenths that change with every answer are noise. */
const wholeSpan = (ms: number): string => spanText(ms < 1000 ? ms : Math.floor(ms / 1000) * 1000);

function End(props: { id: string | null }) {
	return (
		<Show when={props.id} fallback={props.id === null ? "its store" : CENTER}>
			{(id) => <Foreign text={id()} />}
		</Show>
	);
}

function Moment(props: { ms: number }) {
	return (
		<time datetime={isoText(props.ms)} title={utcText(props.ms)}>
			{clockText(props.ms).slice(0, 8)}
		</time>
	);
}

function Measure(props: { link: SlowLink }): JSX.Element {
	return (
		<Show
			when={props.link.kind === "waits"}
			fallback={
				<>
					is cut: nothing was heard from <End id={props.link.from} /> for {wholeSpan(props.link.forMs)}, since{" "}
					<Moment ms={props.link.sinceMs} />
					<Show when={props.link.hiddenHosts > 0}>
						; {countText(props.link.hiddenHosts, "host")} behind it {props.link.hiddenHosts === 1 ? "is" : "are"}{" "}
						unknown
					</Show>
					.
				</>
			}
		>
			is the slowest link: {props.link.lane ?? "its oldest batch"} has waited for {wholeSpan(props.link.forMs)}, since{" "}
			<Moment ms={props.link.sinceMs} /> (
			<Show when={props.link.batches} fallback={<>{bytesText(props.link.bytes)} in its outbox</>}>
				{(batches) => (
					<>
						{countText(batches(), "batch", "batches")}, {bytesText(props.link.bytes)}
					</>
				)}
			</Show>
			).
		</Show>
	);
}

/** One calm sentence: which hop, since when, by what measure. Said aloud only when another link or another moment is meant. */
export function SlowSentence(props: { fleet: FleetAnswer; nowMs: number; isStale: boolean }) {
	// What is from before goes on in no clock.
	const links = () => slowLinks(props.fleet, props.isStale ? props.fleet.timeMs : props.nowMs);
	const worst = () => links()[0];
	const spoken = () => {
		const link = worst();
		if (link === undefined) return "Every link keeps up.";
		const to = link.to === null ? "its store" : link.to || CENTER;
		const what = link.kind === "cut" ? "is cut" : "is the slowest link";
		// A minute's precision: an estimate that moves by a second is no news.
		return `${link.from || CENTER} to ${to} ${what}, since ${clockText(link.sinceMs).slice(0, 5)}.`;
	};
	return (
		<div class="slow-link" data-testid="slow-link">
			<p class="visually-hidden" role="status">
				{spoken()}
			</p>
			<p>
				<Show when={props.isStale}>When last heard: </Show>
				<Show
					when={worst()}
					fallback={<span class="muted">Every link keeps up: nothing has waited longer than {spanText(SLOW_MS)}.</span>}
				>
					{(link) => (
						<>
							<strong>
								<End id={link().from} />
								<span aria-hidden="true"> → </span>
								<span class="visually-hidden"> to </span>
								<End id={link().to} />
							</strong>{" "}
							<Measure link={link()} />
							<Show when={links().length > 1}> {countText(links().length - 1, "more link")} behind or cut.</Show>
						</>
					)}
				</Show>
			</p>
			<Strangers fleet={props.fleet} />
		</div>
	);
}

function Strangers(props: { fleet: FleetAnswer }) {
	const nameOf = (uri: string) => uri.split("/").at(-1) ?? uri;
	return (
		<For each={props.fleet.strangers.slice(0, STRANGERS_SHOWN_MAX)}>
			{(stranger) => (
				<p class="text-warn" data-testid="stranger">
					<Foreign text={nameOf(stranger.node)} /> speaks protocol {stranger.protocol} and is turned away at{" "}
					<End id={stranger.at} />, which speaks another version.
				</p>
			)}
		</For>
	);
}

/** How far behind a node is, or was when it was last heard. */
function Behind(props: { node: FleetNode }) {
	const isHeard = () => props.node.state === "alive";
	const text = () => (props.node.behindMs === 0 ? "up to date" : `${wholeSpan(props.node.behindMs)} behind`);
	return (
		<span classList={{ "text-warn": isHeard() && props.node.behindMs > SLOW_MS, muted: !isHeard() }}>
			{isHeard() ? "" : "was "}
			{text()}
		</span>
	);
}

/** What waits on a proxy's link, lane by lane. */
function ProxyLink(props: { node: FleetNode }) {
	const share = (link: FleetLink) =>
		link.windowBytes ? `${Math.round((100 * (link.unackedBytes ?? 0)) / link.windowBytes)} % of its window` : null;
	return (
		<>
			<Behind node={props.node} />
			<For each={props.node.link.lanes}>
				{(lane) => (
					<div class="sub muted" title={`The oldest has waited ${wholeSpan(lane.oldestAgeMs)}`}>
						{lane.lane}: {countText(lane.batches, "batch", "batches")}, {bytesText(lane.bytes)}
					</div>
				)}
			</For>
			<Show when={props.node.link.lanes.length > 0 && share(props.node.link)}>
				{(text) => <div class="sub muted">{text()}</div>}
			</Show>
		</>
	);
}

export function LinkCell(props: { node: FleetNode }) {
	return (
		<Show when={props.node.role === "agent"} fallback={<ProxyLink node={props.node} />}>
			<Behind node={props.node} />
			<div class="sub muted">{bytesText(props.node.outboxBytes)} in its outbox</div>
		</Show>
	);
}

/** To whom, how fast, how often anew, and why the last one ended. */
export function ViaCell(props: { node: FleetNode }) {
	const facts = () => {
		const { roundTripMs, reconnects } = props.node.link;
		const trip = roundTripMs === null ? null : `answers in ${roundTripMs < 1 ? "under 1 ms" : spanText(roundTripMs)}`;
		const again = reconnects === null || reconnects === 0 ? null : countText(reconnects, "reconnect");
		return [trip, again].filter((fact) => fact !== null).join(" · ");
	};
	return (
		<>
			<End id={props.node.link.to} />
			<Show when={facts() !== ""}>
				<div class="sub muted">{facts()}</div>
			</Show>
			<Show when={props.node.link.reconnects ? props.node.link.lastError : null}>
				{(error) => (
					<div class="sub muted last-error" data-testid={`last-error-${props.node.id}`}>
						Last ended: <Foreign text={error()} />
					</div>
				)}
			</Show>
			<Show when={props.node.link.refusedBatches > 0}>
				<div class="sub last-error" data-testid={`refused-${props.node.id}`}>
					{countText(props.node.link.refusedBatches, "batch", "batches")} refused and kept:{" "}
					<Foreign text={props.node.link.refusedFor ?? ""} />
				</div>
			</Show>
			<Show when={props.node.addresses.length > 0}>
				<div class="sub muted mono">
					<Foreign text={props.node.addresses.join(" ")} />
				</div>
			</Show>
		</>
	);
}
