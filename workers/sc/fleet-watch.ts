/** The FleetWatch over the store: what it judges are the rows of `nodes`, what it raises are alarms without a leaf of their own. */
import type { ProxyState } from "../../durable/faces.ts";
import { FleetWatch as FleetWatchBase } from "../../durable/fleet-watch.ts";
import type { WatchedNode } from "../../durable/silence.ts";
import type { NamedStranger, WatchAlarm } from "../../durable/watch-face.ts";
import { noteAlarm, noteCleared } from "./alarms.ts";
import type { ScEnv } from "./env.ts";
import { standingWatchAlarms } from "./store/alarms.ts";
import { storeOf } from "./store/open.ts";
import { storeProxy, strangersOf, watchedNodes } from "./store/proxies.ts";

/** One alarm per node and code, whatever the sentence says. */
const SAME = { evidence: null, sameAs: "" } as const;

export class FleetWatch extends FleetWatchBase<ScEnv> {
	protected override async watched(): Promise<{ nodes: WatchedNode[]; strangers: NamedStranger[] }> {
		const { reader } = await storeOf(this.env);
		return { nodes: await watchedNodes(reader), strangers: await strangersOf(reader, Date.now()) };
	}

	protected override async standing(): Promise<Pick<WatchAlarm, "agent" | "code">[]> {
		const { reader } = await storeOf(this.env);
		return standingWatchAlarms(reader);
	}

	protected override async raise(alarm: WatchAlarm): Promise<void> {
		const { writer } = await storeOf(this.env);
		await noteAlarm(this.env, writer, { ...alarm, ...SAME });
	}

	protected override async clear({ agent, code }: Pick<WatchAlarm, "agent" | "code">): Promise<void> {
		const { writer } = await storeOf(this.env);
		await noteCleared(this.env, writer, { agent, code, detail: "", ...SAME });
	}

	protected override async storeProxy(state: ProxyState, context: { nowMs: number; silentMs: number }): Promise<void> {
		const { writer } = await storeOf(this.env);
		await storeProxy(writer, state, context);
	}
}
