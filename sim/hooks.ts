/**
 * Loads the real code with what it stands on replaced: `cloudflare:workers`, sockets, files and the store's client by the
 * simulator's own, by an import hook that lives in this process only. Here too a planted bug is put into a source as it is loaded.
 * Must be imported before anything of `agent`, `durable`, `workers` or `host`; must never change a file.
 */
import { registerHooks } from "node:module";
import { plantedByName } from "./planted.ts";
import { installGlobals } from "./runtime/globals.ts";
import { installHttp } from "./runtime/http.ts";

/** What is replaced: by whom it is imported (end of the path; empty = anyone), under which name, by what. */
const REPLACED: readonly (readonly [importer: string, specifier: string, by: string])[] = [
	["", "cloudflare:workers", "runtime/workers-module.ts"],
	["", "#crypto", "runtime/quick-crypto.ts"],
	["/agent/link/link.ts", "ws", "runtime/agent-socket.ts"],
	["/agent/link/link.ts", "./server-identity.ts", "runtime/agent-door.ts"],
	["/workers/sc/store/client.ts", "@libsql/client/http", "runtime/store-client.ts"],
	["/host/signer/checkpoint-desk.ts", "node:fs", "runtime/signer-file.ts"],
	["/host/signer/checkpoint-desk.ts", "../durable-files.ts", "runtime/signer-file.ts"],
	["/core/identity/binding.ts", "./chain.ts", "runtime/chain-memory.ts"],
];

/** The environment variable that names the planted bug of this process. */
export const PLANTED_ENV = "DAEMONEYE_SIM_PLANTED";

export const planted = plantedByName(process.env[PLANTED_ENV] ?? "");

let isPlanted = false;

registerHooks({
	resolve(specifier, context, next) {
		const importer = context.parentURL ?? "";
		const found = REPLACED.find(([by, name]) => name === specifier && importer.endsWith(by));
		if (found === undefined) return next(specifier, context);
		return { url: new URL(found[2], import.meta.url).href, shortCircuit: true };
	},
	load(url, context, next) {
		const loaded = next(url, context);
		const patches = planted?.patches?.filter(({ file }) => url.endsWith(`/${file}`)) ?? [];
		if (patches.length === 0) return loaded;
		let source = Buffer.from(loaded.source as Uint8Array).toString();
		for (const { file, find, replace } of patches) {
			if (source.split(find).length !== 2) throw new Error(`${file} no longer has the one line to plant a bug in`);
			source = source.replace(find, () => replace);
		}
		isPlanted = true;
		return { ...loaded, source };
	},
});

/** Whether the bug that was asked for is really in the code that was loaded. */
export const isBugPlanted = (): boolean => planted?.patches === undefined || isPlanted;

installGlobals();
installHttp();
