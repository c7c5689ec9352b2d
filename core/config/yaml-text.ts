/**
 * The text of a YAML configuration, read strictly: YAML 1.2, unique keys, no aliases, every key known. An error names the file, the
 * line and the key, in one sentence. Must never follow an include or an environment variable.
 */
import { LineCounter, parseDocument } from "yaml";
import { fail, type Result } from "#core/result.ts";
import { type ConfigCode, readTree, type Setting } from "./strict-tree.ts";

export type ConfigTextCode = ConfigCode | "config_not_yaml" | "config_too_large";

/** A configuration is a page of text; more is a mistake or an attack. */
export const CONFIG_CHARACTERS_MAX = 64 * 1024;

/** Reads `text`; `source` is what an error calls it, usually a path. */
export function readYaml<T>(text: string, source: string, root: Setting<T>): Result<T, ConfigTextCode> {
	if (text.length > CONFIG_CHARACTERS_MAX)
		return fail("config_too_large", `${source} is longer than ${CONFIG_CHARACTERS_MAX} characters.`);
	const lines = new LineCounter();
	const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, version: "1.2", prettyErrors: false });
	const broken = document.errors[0];
	if (broken !== undefined)
		return fail(
			"config_not_yaml",
			`${source} line ${lines.linePos(broken.pos[0]).line} is no YAML: ${broken.message}.`,
		);
	let tree: unknown;
	try {
		tree = document.toJS({ maxAliasCount: 0 });
	} catch (error) {
		return fail("config_not_yaml", `${source}: aliases are not read (${(error as Error).message}).`);
	}
	const read = readTree(root, tree);
	if (read.ok) return read;
	// A missing key has no place of its own: the nearest group above it has.
	for (let path = read.path ?? []; ; path = path.slice(0, -1)) {
		const node = document.getIn(path, true) as { range?: [number, number, number] } | undefined;
		if (node?.range !== undefined)
			return fail(read.code, `${source} line ${lines.linePos(node.range[0]).line}: ${read.detail}.`);
		if (path.length === 0) return fail(read.code, `${source}: ${read.detail}.`);
	}
}
