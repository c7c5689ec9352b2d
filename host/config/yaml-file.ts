/**
 * A YAML configuration file, read strictly: YAML 1.2, unique keys, no aliases, every key known. An error names the file, the line
 * and the key. Must never follow an include or an environment variable.
 */
import { readFileSync } from "node:fs";
import { LineCounter, parseDocument } from "yaml";
import { type ConfigCode, readTree, type Setting } from "#core/config/strict-tree.ts";
import { fail, type Result } from "#core/result.ts";

export type ConfigFileCode = ConfigCode | "config_unreadable" | "config_not_yaml";

/** A configuration is a page of text; more is a mistake or an attack. */
const CONFIG_BYTES_MAX = 64 * 1024;

export function readYamlFile<T>(path: string, root: Setting<T>): Result<T, ConfigFileCode> {
	let text: string;
	try {
		text = readFileSync(path, "utf8");
	} catch (error) {
		return fail("config_unreadable", `${path}: ${(error as Error).message}`);
	}
	if (text.length > CONFIG_BYTES_MAX) return fail("config_not_yaml", `${path}: more than ${CONFIG_BYTES_MAX} bytes`);
	const lines = new LineCounter();
	const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, version: "1.2" });
	const broken = document.errors[0];
	if (broken !== undefined)
		return fail("config_not_yaml", `${path}:${lines.linePos(broken.pos[0]).line}: ${broken.message.split("\n")[0]}`);
	let tree: unknown;
	try {
		tree = document.toJS({ maxAliasCount: 0 });
	} catch (error) {
		return fail("config_not_yaml", `${path}: aliases are not read (${(error as Error).message})`);
	}
	const read = readTree(root, tree);
	if (read.ok) return read;
	const node = document.getIn(read.path ?? [], true) as { range?: [number, number, number] } | undefined;
	const where = node?.range === undefined ? path : `${path}:${lines.linePos(node.range[0]).line}`;
	return fail(read.code, `${where}: ${read.detail}`);
}
