/**
 * Which rows of fixed height are on screen. The rows are absolutely placed in a spacer of full height, so the scroll bar is honest
 * and any row can be reached at once. The kept row is always included: it is what aria-activedescendant names.
 */

/** Rows drawn beyond each edge, so that a fast scroll does not show bare ground. */
const OVERSCAN = 6;

export function rowWindow(view: {
	readonly count: number;
	readonly rowHeight: number;
	readonly scrollTop: number;
	readonly height: number;
	/** Index that must be among the rows; null or out of range keeps none. */
	readonly kept: number | null;
}): readonly number[] {
	const first = Math.max(0, Math.floor(view.scrollTop / view.rowHeight) - OVERSCAN);
	const last = Math.min(view.count - 1, Math.ceil((view.scrollTop + view.height) / view.rowHeight) + OVERSCAN);
	const indexes: number[] = [];
	for (let index = first; index <= last; index++) indexes.push(index);
	if (view.kept !== null && view.kept >= 0 && view.kept < view.count && (view.kept < first || view.kept > last))
		indexes.push(view.kept);
	return indexes;
}

/** The scroll position that shows the row, or null where it is shown already. `coveredTop` is what a sticky header covers. */
export function scrollToShow(view: {
	readonly index: number;
	readonly rowHeight: number;
	readonly scrollTop: number;
	readonly height: number;
	readonly coveredTop: number;
}): number | null {
	const top = view.index * view.rowHeight;
	const visible = view.height - view.coveredTop;
	if (top < view.scrollTop) return top;
	if (top + view.rowHeight > view.scrollTop + visible) return top + view.rowHeight - visible;
	return null;
}
