/** The FleetWatch over the store: what it judges are the rows of `nodes`, what it raises are alarms without a leaf of their own. */
import type { ProxyState } from "../../durable/faces.ts";
import { FleetWatch as FleetWatchBase } from "../../durable/fleet-watch.ts";
import type { WatchedNode } from "../../durable/silence.ts";
import type { NamedStranger, WatchAlarm } from "../../durable/watch-face.ts";
import { noteAlarm, noteCleared } from "./alarms.ts";
import type { ScEnv } from "./env.ts";
import { standingWatchAlarms } from "./store/alarms.ts";
import { storeOf, watchStoreOf } from "./store/open.ts";
import { storeProxy, strangersOf, watchedNodes } from "./store/proxies.ts";
import { newestBatchRow } from "./store/queries.ts";

/** One alarm per node and code, whatever the sentence says. */
const SAME = { evidence: null, sameAs: "" } as const;

export class FleetWatch extends FleetWatchBase<ScEnv> {
	protected override async watched(): Promise<{ nodes: WatchedNode[]; strangers: NamedStranger[] }> {
		const { reader } = await watchStoreOf(this.env);
		const [nodes, strangers] = await Promise.all([watchedNodes(reader), strangersOf(reader, Date.now())]);
		return { nodes, strangers };
	}

	protected override async standing(): Promise<Pick<WatchAlarm, "agent" | "code">[]> {
		const { reader } = await watchStoreOf(this.env);
		return standingWatchAlarms(reader);
	}

	protected override async raise(alarm: WatchAlarm): Promise<void> {
		const { writer } = await watchStoreOf(this.env);
		await noteAlarm(this.env, writer, { ...alarm, ...SAME });
	}

	protected override async clear({ agent, code }: Pick<WatchAlarm, "agent" | "code">): Promise<void> {
		const { writer } = await watchStoreOf(this.env);
		await noteCleared(this.env, writer, { agent, code, detail: "", ...SAME });
	}

	/** By the door of all writers: what proxies say must not be in the way of what the watch says. */
	protected override async storeProxy(
		state: ProxyState & { readonly upSinceMs: number | null },
		context: { nowMs: number; silentMs: number },
	): Promise<void> {
		const { writer } = await storeOf(this.env);
		await storeProxy(writer, state, context);
	}

	protected override async storedBatches(): Promise<number> {
		const { reader } = await watchStoreOf(this.env);
		return newestBatchRow(reader);
	}

	protected override get selfId(): string {
		return this.env.NODE_URI.slice(this.env.NODE_URI.lastIndexOf("/") + 1);
	}
}
