/** Jump to a moment: type a UTC time, with or without a date. */
import { createSignal, Show } from "solid-js";
import { parseMoment, utcText } from "../state/time-text.ts";
import { Dialog } from "../widgets/dialog.tsx";
import type { TraceModel } from "./trace-model.ts";

export function JumpDialog(props: { model: TraceModel; onClose: () => void }) {
	const { startMs, endMs } = props.model.bounds();
	const [typed, setTyped] = createSignal("");
	const [problem, setProblem] = createSignal("");
	const jump = (event: SubmitEvent) => {
		event.preventDefault();
		const moment = parseMoment(typed(), props.model.cursorMs() ?? startMs);
		if (moment === null) return void setProblem("That is no time. Type 13:07, 13:07:55.250 or 2026-11-22 13:07.");
		if (moment < startMs || moment > endMs) return void setProblem("That is outside the trace.");
		props.model.control.change({ cursorMs: moment });
		props.onClose();
	};
	return (
		<Dialog title="Jump to a time" onClose={props.onClose} testId="jump-dialog" class="form-dialog">
			<form class="form" onSubmit={jump}>
				<label class="field">
					<span>Time (UTC)</span>
					<input
						type="text"
						autofocus
						autocomplete="off"
						value={typed()}
						onInput={(event) => setTyped(event.currentTarget.value)}
						data-testid="jump-time"
					/>
					<span class="sub muted">
						The trace runs from {utcText(startMs)} to {utcText(endMs)}.
					</span>
				</label>
				<Show when={problem() !== ""}>
					<p class="text-bad" role="alert">
						{problem()}
					</p>
				</Show>
				<div class="actions">
					<button type="submit" class="button button-primary">
						Jump
					</button>
				</div>
			</form>
		</Dialog>
	);
}
