/** Something that watches programs start, and can be switched on and off: our endpoint, and the yardsticks beside it. */
import type { Result } from "#core/result.ts";

export interface Watcher {
	readonly name: string;
	/** Settles when it watches. */
	start(signal: AbortSignal): Promise<Result<void, string>>;
	/**
	 * Waits until it has recorded all programs of the given names, or for a while; ends it; how many of each it recorded. When this
	 * settles it watches no more and has left nothing running.
	 */
	finish(expected: ReadonlyMap<string, number>, signal: AbortSignal): Promise<ReadonlyMap<string, number>>;
	/** Ends it in any state, for good. Safe to call twice. */
	close(): Promise<void>;
}
