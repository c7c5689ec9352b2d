/**
 * Preloaded into a test that runs sources as they stand: changes them as a bundle would (tools/source-changes.ts). Which ones the
 * environment says; without any nothing is done.
 */
import { registerHooks } from "node:module";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { changeSource, type SourceChange } from "../tools/source-changes.ts";

const changes = JSON.parse(process.env.PLANTED_CHANGES ?? "[]") as SourceChange[];
const root = fileURLToPath(new URL("..", import.meta.url));

registerHooks({
	load(url, context, next) {
		const loaded = next(url, context);
		const file = url.startsWith("file:") ? relative(root, fileURLToPath(url)) : "";
		const own = changes.filter((change) => change.file === file);
		if (own.length === 0) return loaded;
		return { ...loaded, source: changeSource(file, Buffer.from(loaded.source as Uint8Array).toString(), own) };
	},
});
