/** What the FleetWatch raises, by name. Types and names only, so that the store can speak of them without the runtime. */
import type { Stranger } from "./strangers.ts";

export const WATCH_CODES = ["agent_silent", "proxy_silent", "protocol_differs"] as const;
export type WatchCode = (typeof WATCH_CODES)[number];

export interface WatchAlarm {
	/** Node id. */
	readonly agent: string;
	readonly code: WatchCode;
	readonly detail: string;
}

/** A stranger and whose door it came to. */
export interface NamedStranger extends Stranger {
	readonly at: string;
}
