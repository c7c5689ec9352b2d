/** A real sqld for tests, migrated and with both tokens, in a directory that is removed when it stops. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findSqld, prepareSqld } from "../../../host/sqld/sqld.ts";
import { freeLoopbackPort } from "../../../host/supervisor/free-port.ts";
import { runSupervisor } from "../../../host/supervisor/supervisor.ts";
import { MIGRATIONS } from "../../../migrations/index.ts";
import { openStore, type Store } from "../store/client.ts";
import { applyMigrations } from "../store/migrate.ts";

/** For `{ skip }`: a sentence where this machine has no sqld. */
export const noSqld: string | false = findSqld() === null ? "sqld is not installed here" : false;

export interface RunningStore {
	readonly store: Store;
	readonly url: string;
	readonly tokens: { readWrite: string; readOnly: string };
	/** Stops and continues sqld without a word to it. */
	signal(name: "SIGSTOP" | "SIGCONT"): void;
	stop(): Promise<void>;
}

export async function startStore(): Promise<RunningStore> {
	const dataDir = mkdtempSync(join(tmpdir(), "daemoneye-store-"));
	const prepared = prepareSqld({ dataDir, httpPort: await freeLoopbackPort(), adminPort: await freeLoopbackPort() });
	if (!prepared.ok) throw new Error(prepared.detail);
	const { url, readWriteToken, readOnlyToken, process } = prepared.value;
	const box = await runSupervisor({ dataDir, processes: [process] });
	if (!box.ok) throw new Error(box.detail);
	const tokens = { readWrite: readWriteToken, readOnly: readOnlyToken };
	// The Worker's binding answers whatever host the request names; here the address is put in.
	const fetcher = {
		fetch: (request: Request) => {
			const { pathname, search } = new URL(request.url);
			return fetch(new Request(new URL(pathname + search, url), request));
		},
	};
	const store = openStore(fetcher, tokens);
	await applyMigrations(store.writer, MIGRATIONS);
	return {
		store,
		url,
		tokens,
		signal: (name) => {
			for (const pid of box.value.pids().values()) globalThis.process.kill(pid, name);
		},
		async stop() {
			await box.value.stop();
			rmSync(dataDir, { recursive: true });
		},
	};
}
