/**
 * The store of a worker, migrated. A client is made per use, because the runtime forbids one request to use what another opened;
 * the migrations run once per process, and running them twice at once is harmless.
 */
import { MIGRATIONS } from "../../../migrations/index.ts";
import type { ScEnv } from "../env.ts";
import { openStore, type Store } from "./client.ts";
import { applyMigrations } from "./migrate.ts";

let isMigrated = false;

/** Throws when sqld is not reachable. */
export async function storeOf(env: Pick<ScEnv, "SQLD" | "SQLD_RW_TOKEN" | "SQLD_RO_TOKEN">): Promise<Store> {
	const store = openStore(env.SQLD, { readWrite: env.SQLD_RW_TOKEN, readOnly: env.SQLD_RO_TOKEN });
	if (!isMigrated) {
		await applyMigrations(store.writer, MIGRATIONS);
		isMigrated = true;
	}
	return store;
}
