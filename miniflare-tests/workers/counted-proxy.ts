/**
 * The proxy's own worker, and beside it how often each channel came into memory: what shows that an object slept and was woken, which
 * nothing in the product tells.
 */
import { AgentChannel as ProxyChannel, default as Supervision } from "../../workers/px/index.ts";

export { Links, PeerLink, Uplink } from "../../workers/px/index.ts";

export class AgentChannel extends ProxyChannel {
	constructor(...args: ConstructorParameters<typeof ProxyChannel>) {
		super(...args);
		const { sql } = args[0].storage;
		sql.exec("CREATE TABLE IF NOT EXISTS wakes (at INTEGER PRIMARY KEY AUTOINCREMENT)");
		sql.exec("INSERT INTO wakes DEFAULT VALUES");
	}

	/** This question wakes it too. */
	async wakes(): Promise<number> {
		return Number(this.ctx.storage.sql.exec("SELECT count(*) AS wakes FROM wakes").one().wakes);
	}
}

export default class Counting extends Supervision {
	override async fetch(request: Request): Promise<Response> {
		const agent = new URL(request.url).searchParams.get("wakes");
		if (agent === null) return super.fetch(request);
		const channel = this.env.AGENT_CHANNEL.getByName(agent) as unknown as { wakes(): Promise<number> };
		return Response.json(await channel.wakes());
	}
}
