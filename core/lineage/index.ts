/** The public face of lineage: trees from events, the rows that views draw, and foreign text made visible. */
export { type GapRecord, type GapSpan, gapSpans } from "./gap-spans.ts";
export { TEXT_LIMITS } from "./limits.ts";
export {
	buildLineage,
	compareEvents,
	type HostLineage,
	type Lineage,
	type LineageEvent,
	type ProcessNode,
	processId,
	type RootCause,
} from "./lineage.ts";
export {
	type HopEdge,
	hopEdges,
	hopRowId,
	hostRowId,
	idsAbove,
	type LineageHop,
	type LineageRow,
	lineageRows,
} from "./rows.ts";
export { type TextSegment, visibleSegments, visibleText } from "./visible-text.ts";
