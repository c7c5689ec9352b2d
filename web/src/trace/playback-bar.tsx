/** Replay controls: play, step by event and by hit, speed, and the scrubber of moment T. */
import { For, Show } from "solid-js";
import { runCommand } from "../commands/dispatch.ts";
import { clockText, spanText, utcText } from "../state/time-text.ts";
import { type Playback, SPEEDS } from "./playback.ts";
import type { TraceModel } from "./trace-model.ts";

export function PlaybackBar(props: { model: TraceModel; playback: Playback }) {
	const { model, playback } = props;
	const moment = () => model.cursorMs() ?? model.bounds().endMs;
	return (
		<section class="playback" aria-label="Replay">
			<button
				type="button"
				class="icon-button"
				aria-label={playback.isPlaying() ? "Pause" : "Play"}
				aria-pressed={playback.isPlaying()}
				title="Space"
				onClick={() => playback.toggle()}
				data-testid="play"
			>
				{playback.isPlaying() ? "❚❚" : "▶"}
			</button>
			<button
				type="button"
				class="icon-button"
				aria-label="Previous event"
				title=","
				onClick={() => runCommand("event.previous")}
			>
				‹
			</button>
			<button
				type="button"
				class="icon-button"
				aria-label="Next event"
				title="."
				onClick={() => runCommand("event.next")}
			>
				›
			</button>
			<button
				type="button"
				class="button button-quiet"
				title="n"
				disabled={model.pins().length === 0}
				onClick={() => runCommand("hit.next")}
				data-testid="next-hit"
			>
				Next hit <span class="muted">{model.pins().length}</span>
			</button>
			<label class="speed">
				<span class="visually-hidden">Speed</span>
				<select onChange={(event) => playback.setSpeed(Number(event.currentTarget.value))} data-testid="speed">
					<For each={SPEEDS}>
						{(speed) => (
							<option value={speed} selected={speed === playback.speed()}>
								{speed}×
							</option>
						)}
					</For>
				</select>
			</label>
			<input
				class="scrubber"
				type="range"
				min="0"
				max={model.bounds().endMs - model.bounds().startMs}
				step="1"
				value={moment() - model.bounds().startMs}
				aria-label="Moment T"
				aria-valuetext={model.cursorMs() === null ? "the end" : utcText(moment())}
				onInput={(event) =>
					model.control.change({ cursorMs: model.bounds().startMs + event.currentTarget.valueAsNumber })
				}
				data-testid="scrubber"
			/>
			<span class="moment mono" data-testid="moment">
				<Show when={model.cursorMs() !== null} fallback="end">
					{clockText(moment())}
				</Show>
			</span>
			<span class="muted window-text" data-testid="window-text">
				{model.view().window ? "window" : "all"} {spanText(model.window().endMs - model.window().startMs)}
			</span>
			<Show when={model.view().window}>
				<button
					type="button"
					class="button button-quiet"
					title="Backspace"
					onClick={() => runCommand("time.back")}
					disabled={model.control.trailLength() === 0}
				>
					Back
				</button>
				<button
					type="button"
					class="button button-quiet"
					onClick={() => model.control.setWindow(null)}
					data-testid="fit"
				>
					Fit all
				</button>
			</Show>
		</section>
	);
}
