/** A configuration file of this machine: read from disk, then strictly by core. */
import { readFileSync } from "node:fs";
import type { Setting } from "#core/config/strict-tree.ts";
import { type ConfigTextCode, readYaml } from "#core/config/yaml-text.ts";
import { fail, type Result } from "#core/result.ts";

export type ConfigFileCode = ConfigTextCode | "config_unreadable";

export function readYamlFile<T>(path: string, root: Setting<T>): Result<T, ConfigFileCode> {
	let text: string;
	try {
		text = readFileSync(path, "utf8");
	} catch (error) {
		return fail("config_unreadable", `${path} cannot be read: ${(error as Error).message}.`);
	}
	return readYaml(text, path, root);
}
