/** What is told of an event in the side panel: what marks it, and its facts in groups. Every value is text of the host. */
import { createSignal, createUniqueId, For, Show } from "solid-js";
import type { EventMark, EventRow } from "../../../workers/sc/api/answers.ts";
import { Foreign } from "../widgets/foreign.tsx";
import { Chip } from "../widgets/states.tsx";
import { type Fact, factGroups } from "./event-facts.ts";
import { MARK_LABEL, WARNING_MARKS } from "./event-text.ts";

/** Characters of a value that are shown at first: a path of some depth, and not so long that it hides the facts below it. */
const SHOWN_FIRST_MAX = 300;

function MarkChip(props: { mark: EventMark }) {
	return <Chip tone={WARNING_MARKS.has(props.mark) ? "warn" : "plain"}>{MARK_LABEL[props.mark]}</Chip>;
}

/** A mark on a row of the table; what most rows of a stretch have is said in a word there. */
export function RowMark(props: { mark: EventMark }) {
	return (
		<Show when={props.mark === "look_back"} fallback={<MarkChip mark={props.mark} />}>
			<Chip tone="plain" title={MARK_LABEL.look_back}>
				before<span class="visually-hidden"> the trace</span>
			</Chip>
		</Show>
	);
}

export function EventMarks(props: { event: EventRow }) {
	return (
		<Show when={props.event.details?.marks}>
			{(marks) => (
				<ul class="mark-list" aria-label="Marks" data-testid="event-marks">
					<For each={marks()}>
						{(mark) => (
							<li>
								<MarkChip mark={mark} />
							</li>
						)}
					</For>
				</ul>
			)}
		</Show>
	);
}

/** A value of a host; a long one stands cut, with a button that shows the rest of it. */
export function LongValue(props: { text: string; of: string }) {
	const [isOpen, setOpen] = createSignal(false);
	const isLong = () => props.text.length > SHOWN_FIRST_MAX;
	return (
		<div class="mono wrap">
			<Foreign text={props.text} isWhole={isOpen() || !isLong()} lengthMax={SHOWN_FIRST_MAX} />
			<Show when={isLong()}>
				{" "}
				<button
					type="button"
					class="link"
					aria-expanded={isOpen()}
					aria-label={`Show ${isOpen() ? "less" : "more"} of ${props.of}`}
					onClick={() => setOpen(!isOpen())}
				>
					Show {isOpen() ? "less" : "more"}
				</button>
			</Show>
		</div>
	);
}

function FactRow(props: { fact: Fact }) {
	return (
		<>
			<dt>{props.fact.name}</dt>
			<dd>
				<For each={props.fact.values}>{(text) => <LongValue text={text} of={props.fact.name} />}</For>
			</dd>
		</>
	);
}

/** The facts of an event, a section for each group that has any. */
export function EventFacts(props: { event: EventRow }) {
	return (
		<For each={factGroups(props.event)}>
			{({ title, facts }) => {
				const titleId = createUniqueId();
				return (
					<section aria-labelledby={titleId}>
						<h3 id={titleId}>{title}</h3>
						<dl class="facts">
							<For each={facts}>{(fact) => <FactRow fact={fact} />}</For>
						</dl>
					</section>
				);
			}}
		</For>
	);
}
