/**
 * The store of a worker, migrated. A client is made per use, because the runtime forbids one request to use what another opened;
 * the migrations run once per process, and running them twice at once is harmless.
 */
import { MIGRATIONS } from "../../../migrations/index.ts";
import type { ScEnv } from "../env.ts";
import { openStore, openWatchStore, type Store } from "./client.ts";
import { applyMigrations } from "./migrate.ts";

let isMigrated = false;

type StoreEnv = Pick<ScEnv, "SQLD" | "SQLD_RW_TOKEN" | "SQLD_RO_TOKEN">;

/** Throws when sqld is not reachable. */
export function storeOf(env: StoreEnv): Promise<Store> {
	return migrated(openStore(env.SQLD, { readWrite: env.SQLD_RW_TOKEN, readOnly: env.SQLD_RO_TOKEN }));
}

/** The same for the watch over silence, which waits behind nobody. Throws when sqld is not reachable. */
export function watchStoreOf(env: StoreEnv): Promise<Store> {
	return migrated(openWatchStore(env.SQLD, { readWrite: env.SQLD_RW_TOKEN, readOnly: env.SQLD_RO_TOKEN }));
}

async function migrated(store: Store): Promise<Store> {
	if (!isMigrated) {
		await applyMigrations(store.writer, MIGRATIONS);
		isMigrated = true;
	}
	return store;
}
