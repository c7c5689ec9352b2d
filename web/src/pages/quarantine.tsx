/** What hops refused for good and keep: who sent it, which batch, why, and how much of it is kept where. Part of the fleet page. */
import { For, Show } from "solid-js";
import type { QuarantineAnswer, QuarantineView } from "../../../workers/sc/api/answers.ts";
import { onLive } from "../api/live.ts";
import { createQuery } from "../api/query.ts";
import { useConsole } from "../state/console.ts";
import { bytesText, dayClockText, isoText } from "../state/time-text.ts";
import { Foreign } from "../widgets/foreign.tsx";
import { Loading, ProblemNote } from "../widgets/states.tsx";

/** What the item says of itself; a dash where it could not be read. */
const UNREADABLE = "–";

function ItemRow(props: { item: QuarantineView }) {
	return (
		<tr data-testid={`quarantine-${props.item.id}`}>
			<td class="when muted">
				<time datetime={isoText(props.item.atMs)}>{dayClockText(props.item.atMs)}</time>
			</td>
			<th scope="row" class="mono">
				<Foreign text={props.item.agent} />
			</th>
			<td>
				<Foreign text={props.item.lane || UNREADABLE} />
			</td>
			<td class="number">
				{props.item.seq?.toLocaleString("en") ?? UNREADABLE}
				<Show when={props.item.stream !== ""}>
					<div class="sub muted mono">
						<Foreign text={props.item.stream} />
					</div>
				</Show>
			</td>
			<td class="cell-wide">
				<code>
					<Foreign text={props.item.cause} />
				</code>
				<div class="sub muted">
					<Foreign text={props.item.detail} isWhole />
				</div>
			</td>
			<td>
				{bytesText(props.item.bytesKept)}
				<div class="sub muted">
					at <Foreign text={props.item.hop} />
				</div>
			</td>
		</tr>
	);
}

function ItemTable(props: { items: readonly QuarantineView[] }) {
	return (
		<section class="table-scroll" tabindex="0" aria-label="Refused items, told last first">
			<table class="table" data-testid="quarantine">
				<thead>
					<tr>
						<th scope="col" class="when">
							When
						</th>
						<th scope="col">Host</th>
						<th scope="col">Lane</th>
						<th scope="col" class="number">
							Batch
						</th>
						<th scope="col">Why it was refused</th>
						<th scope="col">Kept</th>
					</tr>
				</thead>
				<tbody>
					<For each={props.items}>{(item) => <ItemRow item={item} />}</For>
				</tbody>
			</table>
		</section>
	);
}

/** Nothing for who may not read it: the alarms above say which role it needs. */
export function Quarantine() {
	const state = useConsole();
	const mayRead = () => state.can("viewer") || state.can("auditor");
	const answer = createQuery<QuarantineAnswer>(() => (mayRead() ? "/api/quarantine" : null));
	onLive((note) => {
		// Every refusal raises or counts up an alarm.
		if (mayRead() && (note.kind === "alarm" || note.kind === "resync")) answer.refresh();
	});
	const items = () => answer.data()?.items ?? [];
	return (
		<Show when={mayRead()}>
			<section class="page-part" aria-labelledby="quarantine-title">
				<h2 id="quarantine-title">Refused items</h2>
				<Show when={answer.problem()}>
					{(failure) => (
						<ProblemNote
							failure={failure()}
							isStale={answer.data() !== undefined}
							onRetry={() => void answer.reload()}
						/>
					)}
				</Show>
				<Show when={answer.data()} fallback={answer.isLoading() ? <Loading what="refused items" /> : null}>
					<Show
						when={items().length > 0}
						fallback={
							<p class="muted" data-testid="quarantine-none">
								Nothing was refused. What no hop can take, for a wrong signature or because it cannot be read, is kept
								where it came and named here; what follows it goes on.
							</p>
						}
					>
						<ItemTable items={items()} />
					</Show>
				</Show>
			</section>
		</Show>
	);
}
