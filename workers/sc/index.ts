/**
 * The Security Center's worker: the console and its routes on one socket, the links of proxies on another (mTLS), and the objects
 * that hold custody, ledger, commands, detection and the live feed. It holds no key: the ledger's and the CA's are the signer's,
 * operators' are their own.
 */
import { WorkerEntrypoint } from "cloudflare:workers";
import { AgentChannelBase } from "../../durable/agent-channel.ts";
import { Detector as DetectorBase } from "../../durable/detector.ts";
import type { StoreDrain } from "../../durable/drain.ts";
import { WATCH_NAME } from "../../durable/faces.ts";
import { Feed } from "../../durable/feed.ts";
import { Ledger } from "../../durable/ledger.ts";
import { logLine } from "../../durable/log.ts";
import { PeerDirectory } from "../../durable/peer-directory.ts";
import { PeerLink } from "../../durable/peer-link.ts";
import { OBJECT_NAMES } from "../../durable/sc-objects.ts";
import { TraceDesk } from "../../durable/trace-desk.ts";
import { SERVER_RULES } from "../../rules/index.ts";
import { answerLink } from "../edge/link-gate.ts";
import { noteAlarm } from "./alarms.ts";
import type { LiveNote } from "./api/answers.ts";
import { app } from "./app.ts";
import { ScDrain } from "./drain/drain.ts";
import type { ScEnv } from "./env.ts";
import { FleetWatch } from "./fleet-watch.ts";
import type { Store } from "./store/client.ts";
import { evaluateRule, firstOfEachHost, type SteppedOver } from "./store/detect.ts";
import { storeOf } from "./store/open.ts";

export { Feed, FleetWatch, Ledger, PeerDirectory, PeerLink, TraceDesk };

/** The same channel as at a proxy, with the store as its drain. */
export class AgentChannel extends AgentChannelBase<ScEnv> {
	protected override readonly drain: StoreDrain = new ScDrain(this.env);
}

/** The rules that ship, over the store. */
export class Detector extends DetectorBase<ScEnv> {
	protected override async evaluate(since: number, until: number): Promise<void> {
		const store = await storeOf(this.env);
		for (const rule of SERVER_RULES) {
			const { hits, steppedOver } = await evaluateRule(store, rule, { since, until, nowMs: () => Date.now() });
			for (const { agent, stepped } of await firstOfEachHost(store, steppedOver))
				await this.#alarmOf(store, agent, stepped);
			this.#tell(hits);
		}
	}

	async #alarmOf(store: Store, agent: string, { ruleId, first, last, cause }: SteppedOver): Promise<void> {
		const rows = first === last ? `event row ${first}` : `event rows ${first} to ${last}`;
		await noteAlarm(this.env, store.writer, {
			agent,
			code: "rule_row_skipped",
			detail: `Rule ${ruleId} did not judge ${rows}: ${cause}`,
			evidence: null,
			// A host that sends such events sends many: the first is named, the others are counted.
			sameAs: ruleId,
		});
	}

	/** A feed that does not answer must not hold back detection. */
	#tell(hits: readonly number[]): void {
		const notes = hits.map((id): LiveNote => ({ kind: "hit", id }));
		const told = this.env.FEED.getByName(OBJECT_NAMES.feed).publish(notes.map((note) => JSON.stringify(note)));
		told.catch((error: Error) => logLine("warning", "note_not_taken", { detail: error.message }));
	}
}

/** The mTLS socket: proxies. Agents reach the Security Center through one. */
export class Links extends WorkerEntrypoint<ScEnv> {
	override fetch(request: Request): Promise<Response> {
		return answerLink(request, this.env, {
			agent: null,
			peer: this.env.PEER_LINK,
			path: async () => [this.env.NODE_URI],
			watch: this.env.FLEET_WATCH.getByName(WATCH_NAME),
		});
	}
}

export default {
	fetch: (request: Request, env: ScEnv) => app.fetch(request, env),
};
