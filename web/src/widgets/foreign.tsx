/** Text of a watched host on the screen: escaped, capped, and isolated so that it cannot reorder what stands beside it. */
import { For } from "solid-js";
import { TEXT_LIMITS, visibleSegments } from "#core/lineage/index.ts";

/** `lengthMax`: where the text is cut unless it is shown whole; the length of a cell unless it is said. */
export function Foreign(props: { text: string; isWhole?: boolean; lengthMax?: number }) {
	const segments = () =>
		visibleSegments(
			props.text,
			props.isWhole ? TEXT_LIMITS.detailLengthMax : (props.lengthMax ?? TEXT_LIMITS.cellLengthMax),
		);
	return (
		<bdi class="foreign">
			<For each={segments()}>
				{(segment) => (segment.isEscape ? <span class="escape">{segment.text}</span> : segment.text)}
			</For>
		</bdi>
	);
}
