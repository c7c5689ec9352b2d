/** What an address shows that leads nowhere: that it does, and the way back. Never shows another page in its place. */
import { Show } from "solid-js";
import { formatHash, HOME } from "../state/url-state.ts";
import { Empty } from "../widgets/states.tsx";

export function UnknownPage(props: { traceId: string | null }) {
	return (
		<section class="page" aria-labelledby="page-title" data-testid="unknown-page">
			<h1 id="page-title" class="visually-hidden">
				Not found
			</h1>
			<Show
				when={props.traceId}
				fallback={
					<Empty title="There is no page here">
						<a href={formatHash(HOME)}>Go to the hits</a>
					</Empty>
				}
			>
				{(traceId) => (
					<Empty title={`No trace ${traceId()}`}>
						<a href={formatHash({ page: "traces" })}>See all traces</a>
					</Empty>
				)}
			</Show>
		</section>
	);
}
