/**
 * What goes into the store together with what other objects of this isolate write: bulk, where it stands in the ledger, and the words
 * of hosts. Guarantees that traces and alerts wait for nobody's bulk: they are written at once, each delivery alone.
 */
import type { AgentState } from "../../../durable/drain.ts";
import { STORE_LIMITS } from "../limits.ts";
import type { Client } from "./client.ts";
import { GroupCommit } from "./group-commit.ts";
import {
	type Delivery,
	type IncomingBatch,
	type LedgerPlace,
	markLedgerIndexes,
	type StoredDelivery,
	storeDeliveries,
} from "./ingest.ts";
import { storeStates } from "./nodes.ts";

/** As it is written: a state or the places of a delivery are small beside any bound. */
const SMALL_BYTES = 1024;

const BULK = new GroupCommit<Delivery, StoredDelivery>(STORE_LIMITS);
const PLACES = new GroupCommit<readonly LedgerPlace[], undefined>(STORE_LIMITS);
const STATES = new GroupCommit<AgentState, undefined>(STORE_LIMITS);

const isBulk = (batches: readonly IncomingBatch[]) => batches.every(({ lane }) => lane === "bulk");

/** Stores a delivery: bulk with others', the rest at once. Throws when the store does not take it. */
export async function storeDelivery(client: Client, delivery: Delivery): Promise<StoredDelivery> {
	const write = (deliveries: readonly Delivery[]) => storeDeliveries(client, deliveries, Date.now());
	if (!isBulk(delivery.batches)) return (await write([delivery]))[0] as StoredDelivery;
	const bytes = delivery.batches.reduce((sum, batch) => sum + batch.bytes.length, 0);
	return BULK.add(delivery, bytes, write);
}

/** Notes where the batches of a delivery stand in the ledger. Throws when the store does not take it. */
export async function markDelivery(
	client: Client,
	batches: readonly IncomingBatch[],
	places: readonly LedgerPlace[],
): Promise<void> {
	if (!isBulk(batches)) return markLedgerIndexes(client, places);
	await PLACES.add(places, SMALL_BYTES, async (all) => {
		await markLedgerIndexes(client, all.flat());
		return all.map(() => undefined);
	});
}

/** Stores the latest word of a host. Throws when the store does not take it. */
export async function addState(client: Client, state: AgentState): Promise<void> {
	await STATES.add(state, SMALL_BYTES, async (states) => {
		await storeStates(client, states, Date.now());
		return states.map(() => undefined);
	});
}
