/**
 * Strict reading of a configuration tree that a YAML parser made: every key is known, every value has the right kind and lies in
 * its bounds, or it is refused by its path, with the nearest known key where one is near. Pure; the file, its lines and the
 * process's exit belong to the caller.
 */
import { fail, ok, type Result } from "#core/result.ts";

export type ConfigCode = "config_key_unknown" | "config_key_missing" | "config_value_wrong";

/** Thrown and caught inside this file only. */
class Refused extends Error {
	readonly code: ConfigCode;
	readonly path: readonly string[];
	constructor(code: ConfigCode, path: readonly string[], what: string) {
		super(`${path.join(".")}: ${what}`);
		this.code = code;
		this.path = path;
	}
}

export interface Setting<T> {
	/** `undefined` = the key is absent. Throws inside this module only. */
	read(value: unknown, path: readonly string[]): T;
}

export type SettingOf<S> = S extends Setting<infer T> ? T : never;

function orDefault<T>(
	value: unknown,
	path: readonly string[],
	fallback: T | undefined,
): { absent: true; value: T } | null {
	if (value !== undefined && value !== null) return null;
	if (fallback === undefined) throw new Refused("config_key_missing", path, "is missing");
	return { absent: true, value: fallback };
}

/** Text that matches a pattern; `what` finishes the sentence "must be …". */
export function textSetting(what: string, pattern: RegExp = /^[^\0]{1,4096}$/, fallback?: string): Setting<string> {
	return {
		read(value, path) {
			const absent = orDefault(value, path, fallback);
			if (absent !== null) return absent.value;
			if (typeof value !== "string" || !pattern.test(value))
				throw new Refused("config_value_wrong", path, `must be ${what}`);
			return value;
		},
	};
}

/** An integer in bounds, both included. */
export function integerSetting(bounds: { min: number; max: number; fallback?: number }): Setting<number> {
	return {
		read(value, path) {
			const absent = orDefault(value, path, bounds.fallback);
			if (absent !== null) return absent.value;
			if (!Number.isSafeInteger(value) || (value as number) < bounds.min || (value as number) > bounds.max)
				throw new Refused("config_value_wrong", path, `must be a whole number from ${bounds.min} to ${bounds.max}`);
			return value as number;
		},
	};
}

export function flagSetting(fallback?: boolean): Setting<boolean> {
	return {
		read(value, path) {
			const absent = orDefault(value, path, fallback);
			if (absent !== null) return absent.value;
			if (typeof value !== "boolean") throw new Refused("config_value_wrong", path, "must be true or false");
			return value;
		},
	};
}

export function choiceSetting<const Names extends readonly string[]>(
	names: Names,
	fallback?: Names[number],
): Setting<Names[number]> {
	return {
		read(value, path) {
			const absent = orDefault(value, path, fallback);
			if (absent !== null) return absent.value;
			if (typeof value !== "string" || !names.includes(value))
				throw new Refused("config_value_wrong", path, `must be one of ${names.join(", ")}`);
			return value;
		},
	};
}

/** A list in which each name stands exactly once, in the order of the site's choice. */
export function orderSetting<const Names extends readonly string[]>(names: Names): Setting<readonly Names[number][]> {
	return {
		read(value, path) {
			const absent = orDefault(value, path, names as readonly Names[number][]);
			if (absent !== null) return absent.value;
			const isOrder =
				Array.isArray(value) && value.length === names.length && names.every((name) => value.includes(name));
			if (!isOrder) throw new Refused("config_value_wrong", path, `must list each of ${names.join(", ")} once`);
			return value as Names[number][];
		},
	};
}

/** One value alone, or a list of one to `max` different ones in the order of the site's choice. Reads as a list either way. */
export function oneOrMoreSetting<T>(item: Setting<T>, max: number): Setting<readonly T[]> {
	return {
		read(value, path) {
			if (!Array.isArray(value)) return [item.read(value, path)];
			const isDistinct = new Set(value).size === value.length;
			if (value.length < 1 || value.length > max || !isDistinct)
				throw new Refused("config_value_wrong", path, `must be one value or a list of up to ${max} different ones`);
			return value.map((each) => item.read(each ?? undefined, path));
		},
	};
}

/** Edit distance, small strings only: for "did you mean". */
function distance(a: string, b: string): number {
	let row = Array.from({ length: b.length + 1 }, (_, i) => i);
	for (let i = 1; i <= a.length; i++) {
		const next = [i];
		for (let j = 1; j <= b.length; j++)
			next[j] = Math.min(
				(row[j] as number) + 1,
				(next[j - 1] as number) + 1,
				(row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1),
			);
		row = next;
	}
	return row[b.length] as number;
}

function refuseUnknown(key: string, known: readonly string[], path: readonly string[]): never {
	const near = known.find((name) => distance(name, key.slice(0, 64)) <= 2);
	const hint = near === undefined ? `known here: ${known.join(", ")}` : `did you mean ${near}?`;
	throw new Refused("config_key_unknown", [...path, key], `unknown key, ${hint}`);
}

/** A map of settings. With `isOptional` an absent group reads as if it were empty. */
export function groupSetting<S extends Record<string, Setting<unknown>>>(
	settings: S,
	options: { isOptional?: boolean } = {},
): Setting<{ readonly [K in keyof S]: SettingOf<S[K]> }> {
	return {
		read(value, path) {
			const tree = value ?? (options.isOptional === true ? {} : undefined);
			if (tree === undefined) throw new Refused("config_key_missing", path, "is missing");
			if (typeof tree !== "object" || Array.isArray(tree))
				throw new Refused("config_value_wrong", path, "must be a map of keys");
			const known = Object.keys(settings);
			for (const key of Object.keys(tree as object)) if (!known.includes(key)) refuseUnknown(key, known, path);
			const out: Record<string, unknown> = {};
			for (const [key, setting] of Object.entries(settings))
				out[key] = setting.read((tree as Record<string, unknown>)[key], [...path, key]);
			return out as { readonly [K in keyof S]: SettingOf<S[K]> };
		},
	};
}

/** Whole numbers by name that do not fall in the order of the names; each has its own fallback, and all may be absent. */
export function risingSetting<const Names extends readonly string[]>(
	names: Names,
	bounds: { min: number; max: number; fallback: Readonly<Record<Names[number], number>> },
): Setting<Readonly<Record<Names[number], number>>> {
	const { min, max, fallback } = bounds;
	const each = names.map((name) => [name, integerSetting({ min, max, fallback: fallback[name as Names[number]] })]);
	const group = groupSetting(Object.fromEntries(each) as Record<string, Setting<number>>, { isOptional: true });
	return {
		read(value, path) {
			const numbers = group.read(value, path) as Readonly<Record<Names[number], number>>;
			const inOrder = names.map((name) => numbers[name as Names[number]]);
			if (inOrder.some((number, i) => i > 0 && number < (inOrder[i - 1] as number)))
				throw new Refused("config_value_wrong", path, `must not fall from ${names.join(" to ")}`);
			return numbers;
		},
	};
}

/** Reads the whole tree; a refusal's detail begins with the path. */
export function readTree<T>(root: Setting<T>, tree: unknown): Result<T, ConfigCode> & { path?: readonly string[] } {
	try {
		return ok(root.read(tree, []));
	} catch (error) {
		if (error instanceof Refused) return { ...fail(error.code, error.message), path: error.path };
		throw error;
	}
}

/** `host:port` as the seed writes addresses; IPv6 in brackets. */
const HOST_PORT = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]{1,253}):([1-9][0-9]{0,4})$/;

/** An address as the seed writes it; `example` finishes the sentence "must be host:port like …". */
export function addressSetting(example: string): Setting<string> {
	const text = textSetting(`host:port like ${example}`, HOST_PORT);
	return {
		read(value, path) {
			const address = text.read(value, path);
			if (splitHostPort(address).port > 65_535)
				throw new Refused("config_value_wrong", path, "the port must be from 1 to 65535");
			return address;
		},
	};
}

export function splitHostPort(text: string): { host: string; port: number } {
	const at = text.lastIndexOf(":");
	return { host: text.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(text.slice(at + 1)) };
}
