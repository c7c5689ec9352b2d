/**
 * Reading foreign JSON as typed values: each reader takes an unknown and returns its type or refuses. Guarantees no throw beyond
 * `readJson`. Unknown members are not looked for here: whoever needs one spelling compares with what the writer would write.
 */
import { fail, ok, type Result } from "#core/result.ts";

/** Thrown and caught inside this file only. */
class Mismatch extends Error {}

function refuse(expected: string): never {
	throw new Mismatch(`expected ${expected}`);
}

export interface JsonReader {
	object(value: unknown): Readonly<Record<string, unknown>>;
	list(value: unknown): readonly unknown[];
	text(value: unknown): string;
	/** Finite. */
	number(value: unknown): number;
	/** Milliseconds of `2026-11-22T10:00:00.000Z`, in that spelling only. */
	time(value: unknown): number;
	oneOf<const V extends string | boolean>(value: unknown, values: readonly V[]): V;
}

export function reader(textLengthMax: number): JsonReader {
	const text = (value: unknown): string => {
		if (typeof value !== "string" || value.length > textLengthMax) refuse(`a text of at most ${textLengthMax}`);
		return value;
	};
	return {
		text,
		object(value) {
			if (typeof value !== "object" || value === null || Array.isArray(value)) refuse("an object");
			return value as Readonly<Record<string, unknown>>;
		},
		list(value) {
			if (!Array.isArray(value)) refuse("a list");
			return value;
		},
		number(value) {
			if (typeof value !== "number" || !Number.isFinite(value)) refuse("a number");
			return value;
		},
		time(value) {
			const ms = Date.parse(text(value));
			if (Number.isNaN(ms) || new Date(ms).toISOString() !== value) refuse("a time in UTC with milliseconds");
			return ms;
		},
		oneOf(value, values) {
			const found = values.find((each) => each === value);
			if (found === undefined) refuse(`one of ${values.join(", ")}`);
			return found;
		},
	};
}

/** Parses a text and reads it; the detail says what did not fit. */
export function readJson<T>(text: string, shape: (json: unknown) => T): Result<T, "json_malformed"> {
	try {
		return ok(shape(JSON.parse(text)));
	} catch (error) {
		if (error instanceof Mismatch) return fail("json_malformed", error.message);
		if (error instanceof SyntaxError) return fail("json_malformed", "it is not JSON");
		throw error;
	}
}
