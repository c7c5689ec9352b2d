/** What a page shows when it has nothing to show: loading, empty, or the problem with what can be done. */
import { type JSX, Show } from "solid-js";
import type { Failure } from "#core/result.ts";

export function Loading(props: { what: string }) {
	return (
		<p class="state" role="status">
			Loading {props.what}…
		</p>
	);
}

export function Empty(props: { title: string; children: JSX.Element }) {
	return (
		<div class="state" data-testid="empty">
			<p class="state-title">{props.title}</p>
			<div class="state-detail">{props.children}</div>
		</div>
	);
}

export function ProblemNote(props: { failure: Failure<string>; onRetry?: () => void; isStale?: boolean }) {
	return (
		<div class="note note-bad" role="alert" data-testid="problem">
			<div>
				<strong>{props.failure.detail}</strong> <code class="muted">{props.failure.code}</code>
				<Show when={props.isStale}>
					<div class="muted">What you see is from before.</div>
				</Show>
			</div>
			<Show when={props.onRetry}>
				{(retry) => (
					<button type="button" class="button" onClick={() => retry()()}>
						Try again
					</button>
				)}
			</Show>
		</div>
	);
}

export type Tone = "plain" | "good" | "warn" | "bad" | "accent";

/** A short fact in a frame; the words carry the meaning, the colour only helps. */
export function Chip(props: { tone?: Tone; title?: string; children: JSX.Element; testId?: string }) {
	return (
		<span class={`chip chip-${props.tone ?? "plain"}`} title={props.title} data-testid={props.testId}>
			{props.children}
		</span>
	);
}
