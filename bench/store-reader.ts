/**
 * A second reader of a running store: SQLite's own, read-only, on the file that sqld writes. What it finds is what a query finds.
 * Must never write.
 */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { fail, ok, type Result } from "#core/result.ts";
import { BENCH_LIMITS } from "./limits.ts";

/** Where sqld keeps its one namespace. */
export function storeFile(dataDir: string): string {
	return join(dataDir, "sqld", "db", "dbs", "default", "data");
}

/** Opens the store once the Security Center has made its tables. The caller closes it. */
export async function openStoreReader(dataDir: string, signal: AbortSignal): Promise<Result<DatabaseSync, string>> {
	const database = new DatabaseSync(storeFile(dataDir), { readOnly: true, timeout: 1000 });
	const tables = database.prepare("SELECT count(*) AS count FROM sqlite_master WHERE name = 'events'");
	const untilMs = performance.now() + BENCH_LIMITS.readyMsMax;
	while (Number(tables.get()?.count) === 0) {
		if (signal.aborted || performance.now() > untilMs) {
			database.close();
			return fail("store_not_ready", "the Security Center has not made its tables");
		}
		await sleep(BENCH_LIMITS.rowPollMs);
	}
	return ok(database);
}

/** Waits until a first batch with its events is stored: then the whole way works. */
export async function waitForFirstBatch(dataDir: string, signal: AbortSignal): Promise<Result<void, string>> {
	const opened = await openStoreReader(dataDir, signal);
	if (!opened.ok) return opened;
	const stored = opened.value.prepare("SELECT count(*) AS count FROM batches WHERE has_events = 1");
	const untilMs = performance.now() + BENCH_LIMITS.readyMsMax;
	try {
		while (Number(stored.get()?.count) === 0) {
			if (signal.aborted || performance.now() > untilMs)
				return fail("no_events", "no event of the agent has reached the store");
			await sleep(BENCH_LIMITS.rowPollMs);
		}
		return ok(undefined);
	} finally {
		opened.value.close();
	}
}
