/** What the FleetWatch raises and answers. Types and names only, so that the store and tests can speak of them without the runtime. */
import type { LaneDepths, ProxyWatch } from "./faces.ts";
import type { Stranger } from "./strangers.ts";

/** Shorter times for tests; the host binds none. */
export interface WatchSettings {
	readonly agentSilentMs?: number;
	readonly proxySilentMs?: number;
	readonly tickMs?: number;
	/** How far looks may be apart before it is an alarm. */
	readonly lookGapMsMax?: number;
	/** How long the tail of a stream may be missing. */
	readonly tailMissingMs?: number;
	/** How long what is said to wait may wait without anything of it coming. */
	readonly tailWaitMs?: number;
}

export const WATCH_CODES = [
	"agent_silent",
	"proxy_silent",
	"protocol_differs",
	"proxy_word_refused",
	"watch_late",
] as const;
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

/** What the fleet page and the metrics are told. */
export interface WatchView {
	readonly watchingSinceMs: number;
	readonly agentSilentMs: number;
	readonly proxySilentMs: number;
	/** What waits here for the store, as far as channels have said. */
	readonly store: LaneDepths;
	/** Nodes turned away at our own door. */
	readonly strangers: readonly Stranger[];
	/** Words of proxies that were refused since start. */
	readonly refusedWords: number;
	/** When a look last came to its end. */
	readonly lookedAtMs: number;
	/** Looks since start that failed or came late. */
	readonly lateLooks: number;
}

export interface WatchFace extends ProxyWatch {
	view(): Promise<WatchView>;
	storeBacklog(agent: string, depths: LaneDepths): Promise<void>;
	/** Wakes the watch; asks the store at most once a second, whoever asks. Throws when the store does not answer. */
	health(): Promise<{ storedBatches: number }>;
}
