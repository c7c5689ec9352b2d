/**
 * Which frames the network may lose or let others overtake, beyond what TCP can do. A relay believes the first batch of a stream on a
 * new link when it starts later than expected (the agent was elsewhere meanwhile), so it cannot notice that exactly this one was
 * lost; whether anything is missing is judged where all paths meet. So the first of each stream on a link is left alone.
 */
import { hexOf } from "#core/bytes/bytes.ts";
import { readBatch } from "#core/model/batch.ts";
import { decodeFrame } from "#core/protocol/index.ts";
import { unpackCarrier } from "../durable/carrier.ts";
import type { Connection } from "./runtime/network.ts";

export class Harm {
	readonly #seen = new WeakMap<Connection, Map<string, Set<string>>>();

	/** Asked for every frame that is sent. */
	mayHarm(connection: Connection, bytes: Uint8Array): boolean {
		const frame = decodeFrame(bytes);
		if (!frame.ok) return true;
		const seen = this.#seen.get(connection) ?? new Map<string, Set<string>>();
		this.#seen.set(connection, seen);
		const { type, body } = frame.value;
		if (type === "batch") return !this.#isFirst(seen, body.bytes);
		if (type !== "carrier") return true;
		const carried = unpackCarrier(body);
		if (!carried.ok) return true;
		// Each is asked, so that each is noted.
		return carried.value.map((each) => this.#isFirst(seen, each.bytes)).every((isFirst) => !isFirst);
	}

	/** An agent came again: what follows may start later once more. */
	arrived(connection: Connection, bytes: Uint8Array): void {
		const frame = decodeFrame(bytes);
		if (frame.ok && frame.value.type === "agent_state" && frame.value.body.proof !== undefined)
			this.#seen.get(connection)?.delete(frame.value.body.agent);
	}

	#isFirst(seen: Map<string, Set<string>>, bytes: Uint8Array): boolean {
		const batch = readBatch(bytes);
		if (!batch.ok) return false;
		const { agent, stream } = batch.value.header;
		const streams = seen.get(agent) ?? new Set<string>();
		seen.set(agent, streams);
		const id = hexOf(stream);
		const isFirst = !streams.has(id);
		streams.add(id);
		return isFirst;
	}
}
