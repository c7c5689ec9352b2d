/** The signed commands of a trace: who ordered what, who agreed, and what the agent answered. */
import { For, Show } from "solid-js";
import type { TraceCommandView } from "../../../workers/sc/api/answers.ts";
import { clockText, spanText } from "../state/time-text.ts";
import { Foreign } from "../widgets/foreign.tsx";
import { Chip, type Tone } from "../widgets/states.tsx";
import type { DrawerActions } from "./drawer-actions.ts";
import type { TraceModel } from "./trace-model.ts";

const STATE: Record<TraceCommandView["state"], { label: string; tone: Tone }> = {
	awaiting_approval: { label: "awaiting approval", tone: "warn" },
	sent: { label: "sent, no answer yet", tone: "accent" },
	accepted: { label: "accepted by the agent", tone: "good" },
	refused: { label: "refused by the agent", tone: "bad" },
	expired: { label: "expired", tone: "plain" },
};

function CommandRow(props: { command: TraceCommandView }) {
	return (
		<tr data-testid={`command-${props.command.commandId}`}>
			<td>{props.command.act}</td>
			<td class="mono">
				<Foreign text={props.command.agent} />
			</td>
			<td class="mono">{props.command.targetPid}</td>
			<td>
				<Chip tone={STATE[props.command.state].tone}>{STATE[props.command.state].label}</Chip>
				<Show when={props.command.cause !== ""}>
					<div class="sub">
						<Foreign text={props.command.cause} isWhole />
					</div>
				</Show>
			</td>
			<td>
				<Foreign text={props.command.initiatedBy} />
			</td>
			<td>
				<Show when={props.command.approvalsNeeded > 0} fallback="none needed">
					{props.command.approvedBy.length} of {props.command.approvalsNeeded}
					<Show when={props.command.approvedBy.length > 0}>
						: <Foreign text={props.command.approvedBy.join(", ")} />
					</Show>
				</Show>
			</td>
			<td class="number">{spanText(props.command.maxDurationSecs * 1000)}</td>
			<td class="number">{props.command.sentAtMs === null ? "" : clockText(props.command.sentAtMs)}</td>
			<td class="number">{props.command.answeredAtMs === null ? "" : clockText(props.command.answeredAtMs)}</td>
		</tr>
	);
}

interface CommandListProps {
	readonly model: TraceModel;
	readonly actions: DrawerActions;
	/** Hosts that a stop can be ordered for. */
	readonly stoppable: readonly string[];
}

export function CommandList(props: CommandListProps) {
	return (
		<section class="tab-scroll" tabindex="0" aria-label="Signed commands">
			<Show when={props.actions.isAnalyst && props.stoppable.length > 0}>
				<div class="actions command-actions">
					<For each={props.stoppable}>
						{(agent) => (
							<button
								type="button"
								class="button"
								onClick={() => props.actions.onStop(agent)}
								data-testid={`stop-${agent}`}
							>
								Stop on {agent}…
							</button>
						)}
					</For>
				</div>
			</Show>
			<table class="table" data-testid="commands">
				<thead>
					<tr>
						<For each={["Act", "Host", "PID", "State", "Ordered by", "Approvals"]}>
							{(title) => <th scope="col">{title}</th>}
						</For>
						<For each={["Duration", "Sent", "Answered"]}>
							{(title) => (
								<th scope="col" class="number">
									{title}
								</th>
							)}
						</For>
					</tr>
				</thead>
				<tbody>
					<For each={props.model.trace.data()?.commands ?? []}>{(command) => <CommandRow command={command} />}</For>
				</tbody>
			</table>
		</section>
	);
}
