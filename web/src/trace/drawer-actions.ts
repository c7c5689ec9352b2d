/** What the drawer and the list of hops may ask of the page; the page owns the dialogs. Types only. */
import type { Hop } from "../../../workers/sc/api/answers.ts";

export interface DrawerActions {
	readonly onTrace: () => void;
	readonly onFollow: (hop: Hop) => void;
	readonly onStop: (agent: string) => void;
	readonly isAnalyst: boolean;
}
