/**
 * A module of the host as a planted bug changes it: the matrix runs the host's code in its own process, where nothing is bundled. Loaded
 * beside the whole one under another name; without a bug in it the whole one is the answer.
 */
import { registerHooks } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { changeSource } from "../tools/source-changes.ts";
import { PLANTED_BUGS, type PlantedBug, type PlantedSource } from "./planted.ts";

const MARK = "?planted";
const ROOT = join(import.meta.dirname, "..");

/** `file`: path in the project. */
export async function plantedModule<M>(file: string, whole: M, planted: PlantedBug | ""): Promise<M> {
	const bugs: Readonly<Record<string, PlantedSource>> = PLANTED_BUGS;
	const changes = (bugs[planted]?.changes ?? []).filter((change) => change.file === file);
	if (changes.length === 0) return whole;
	const hooks = registerHooks({
		load(url, context, next) {
			const loaded = next(url, context);
			if (!url.endsWith(MARK) || fileURLToPath(url) !== join(ROOT, file)) return loaded;
			return { ...loaded, source: changeSource(file, Buffer.from(loaded.source as Uint8Array).toString(), changes) };
		},
	});
	try {
		return (await import(`${pathToFileURL(join(ROOT, file)).href}${MARK}`)) as M;
	} finally {
		hooks.deregister();
	}
}
