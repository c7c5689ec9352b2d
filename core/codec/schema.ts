/**
 * Shapes over CBOR: a `Shape<T>` writes a typed value and reads it back with every bound checked. A record is a map with the
 * integer keys its fields name; unknown keys are refused, so that a signature never covers something nobody looked at. An open record
 * passes over them: it is for what no signature covers and a newer writer may say more of. Key numbers are append-only. Reading never throws: the path to the first wrong field is in the detail.
 */
import { fail, ok, type Result } from "#core/result.ts";
import { type CborValue, decodeCbor, encodeBy, encodeInPlaceBy } from "./cbor.ts";
import { CBOR_LIMITS, type CborLimits } from "./limits.ts";
import type { CborCode } from "./scan.ts";
import type { CborWriter } from "./writer.ts";

export type ShapeCode = CborCode | "shape_mismatch";

/** Thrown and caught inside this file only. */
class Mismatch extends Error {}

export interface Shape<T> {
	/** Writes one value; its bounds are the caller's matter. A record's members are the enumerable ones. */
	put(out: CborWriter, value: T): void;
	/** Throws inside the codec only; use `decodeAs`. */
	read(value: CborValue, path: string): T;
}

export interface Field<T> {
	readonly key: number;
	readonly shape: Shape<T>;
	readonly isOptional: boolean;
}

type OptionalNames<F> = { [K in keyof F]: F[K] extends { isOptional: true } ? K : never }[keyof F];
type FieldValue<F> = F extends { shape: Shape<infer T> } ? T : never;
/** The value type of a record's fields: optional fields may be absent, never undefined. */
export type RecordOf<F> = { readonly [K in Exclude<keyof F, OptionalNames<F>>]: FieldValue<F[K]> } & {
	readonly [K in OptionalNames<F>]?: FieldValue<F[K]>;
};

export type TypeOf<S> = S extends Shape<infer T> ? T : never;

function refuse(path: string, expected: string): never {
	throw new Mismatch(`${path === "" ? "object" : path}: expected ${expected}`);
}

function putInteger(out: CborWriter, value: number): void {
	out.integer(value);
}

function putUint64(out: CborWriter, value: bigint): void {
	out.bigint(value);
}

function putText(out: CborWriter, value: string): void {
	out.text(value);
}

function putBytes(out: CborWriter, value: Uint8Array): void {
	out.bytes(value);
}

/** Unsigned integer up to `max` (default 2^53 − 1). */
export function uint(max: number = Number.MAX_SAFE_INTEGER): Shape<number> {
	return {
		put: putInteger,
		read(value, path) {
			const number = typeof value === "bigint" ? Number(value) : value;
			if (typeof number !== "number" || !Number.isSafeInteger(number) || number < 0 || number > max)
				refuse(path, `an unsigned integer up to ${max}`);
			return number;
		},
	};
}

/** The last millisecond since 1970 that a `Date` can hold, by ECMAScript. */
export const WALL_MS_MAX = 8_640_000_000_000_000;

/** A wall clock's milliseconds since 1970. Bounded, because a `Date` of a larger number throws where it is shown. */
export function wallMs(): Shape<number> {
	return uint(WALL_MS_MAX);
}

/** Signed integer within ±(2^31). */
export function int32(): Shape<number> {
	return {
		put: putInteger,
		read(value, path) {
			if (typeof value !== "number" || !Number.isSafeInteger(value) || Math.abs(value) > 0x8000_0000)
				refuse(path, "a 32-bit integer");
			return value;
		},
	};
}

/** Unsigned 64-bit integer as bigint; kernel time in nanoseconds. */
export function uint64(): Shape<bigint> {
	return {
		put: putUint64,
		read(value, path) {
			if (typeof value !== "number" && typeof value !== "bigint") refuse(path, "a 64-bit unsigned integer");
			const big = BigInt(value);
			if (big < 0n || big > 0xffff_ffff_ffff_ffffn) refuse(path, "a 64-bit unsigned integer");
			return big;
		},
	};
}

/** Text of at most `lengthMax` UTF-16 units, optionally of a pattern. */
export function text(lengthMax: number, pattern?: RegExp): Shape<string> {
	return {
		put: putText,
		read(value, path) {
			if (typeof value !== "string" || value.length > lengthMax) refuse(path, `text of at most ${lengthMax}`);
			if (pattern !== undefined && !pattern.test(value)) refuse(path, `text like ${pattern.source}`);
			return value;
		},
	};
}

/** Bytes of at most `lengthMax`. */
export function bytes(lengthMax: number): Shape<Uint8Array> {
	return {
		put: putBytes,
		read(value, path) {
			if (!(value instanceof Uint8Array) || value.length > lengthMax) refuse(path, `bytes of at most ${lengthMax}`);
			return new Uint8Array(value);
		},
	};
}

/** Exactly `length` bytes. */
export function fixedBytes(length: number): Shape<Uint8Array> {
	return {
		put: putBytes,
		read(value, path) {
			if (!(value instanceof Uint8Array) || value.length !== length) refuse(path, `${length} bytes`);
			return new Uint8Array(value);
		},
	};
}

export function bool(): Shape<boolean> {
	return {
		put: (out, value) => out.bool(value),
		read(value, path) {
			if (typeof value !== "boolean") refuse(path, "true or false");
			return value;
		},
	};
}

/** One of an append-only list of names, written as its index. */
export function oneOf<const Names extends readonly string[]>(names: Names): Shape<Names[number]> {
	return {
		put: (out, value) => out.integer(names.indexOf(value)),
		read(value, path) {
			const name = typeof value === "number" ? names[value] : undefined;
			if (name === undefined) refuse(path, `one of ${names.join(", ")}`);
			return name;
		},
	};
}

/** At most `lengthMax` items of one shape. */
export function list<T>(item: Shape<T>, lengthMax: number): Shape<readonly T[]> {
	return {
		put(out, value) {
			out.array(value.length);
			for (const each of value) item.put(out, each);
		},
		read(value, path) {
			if (!Array.isArray(value) || value.length > lengthMax) refuse(path, `a list of at most ${lengthMax}`);
			return value.map((each: CborValue, index) => item.read(each, `${path}[${index}]`));
		},
	};
}

export function field<T>(key: number, shape: Shape<T>): { key: number; shape: Shape<T>; isOptional: false } {
	return { key, shape, isOptional: false };
}

export function optional<T>(key: number, shape: Shape<T>): { key: number; shape: Shape<T>; isOptional: true } {
	return { key, shape, isOptional: true };
}

type Fields = Record<string, Field<never> | Field<unknown>>;

/** A map with the integer keys that its fields name; any other key is refused. */
export function record<F extends Fields>(fields: F): Shape<RecordOf<F>> {
	return mapOf(fields, false);
}

/** The same, but a key that no field names is passed over. Must never be what a signature or a hash covers. */
export function openRecord<F extends Fields>(fields: F): Shape<RecordOf<F>> {
	return mapOf(fields, true);
}

function mapOf<F extends Fields>(fields: F, isOpen: boolean): Shape<RecordOf<F>> {
	// In the order of the keys, which is the order on the wire.
	const entries = (Object.entries(fields) as [string, Field<unknown>][]).sort(([, a], [, b]) => a.key - b.key);
	// The writer asks a value for its members, not for the members it could have: an event has twenty of ninety. Lists side by
	// side, because a loop that takes pairs apart costs as much as what is written.
	const names = entries.map(([name]) => name);
	const keys = entries.map(([, { key }]) => key);
	const shapes = entries.map(([, { shape }]) => shape);
	const places = new Map(names.map((name, place) => [name, place]));
	/** Places of the members that are there, in order: of use in one call only, and no record stands within itself. */
	const found = new Uint16Array(names.length);
	return {
		put(out, value) {
			const members = value as Record<string, unknown>;
			let count = 0;
			for (const name in members) {
				const place = places.get(name);
				if (place === undefined || members[name] === undefined) continue;
				let at = count++;
				for (; at > 0 && (found[at - 1] as number) > place; at--) found[at] = found[at - 1] as number;
				found[at] = place;
			}
			out.map(count);
			for (let at = 0; at < count; at++) {
				const place = found[at] as number;
				out.integer(keys[place] as number);
				(shapes[place] as Shape<unknown>).put(out, members[names[place] as string]);
			}
		},
		read(value, path) {
			if (!(value instanceof Map)) refuse(path, "a map");
			const out: Record<string, unknown> = {};
			let seen = 0;
			for (const [name, { key, shape, isOptional }] of entries) {
				const member = value.get(key) as CborValue | undefined;
				if (member === undefined) {
					if (!isOptional) refuse(`${path}.${name}`, "a value");
					continue;
				}
				seen++;
				out[name] = shape.read(member, `${path}.${name}`);
			}
			if (seen !== value.size && !isOpen) refuse(path, "no unknown keys");
			return out as RecordOf<F>;
		},
	};
}

/** `bytesExpected` is a little more than the encoding's length where that is known and large. */
export function encodeAs<T>(shape: Shape<T>, value: T, bytesExpected = 0): Uint8Array {
	return encodeBy(shape.put, value, bytesExpected);
}

/** The same bytes where the encoder wrote them: good until the next value is encoded. For who copies them at once anyway. */
export function encodeInPlaceAs<T>(shape: Shape<T>, value: T): Uint8Array {
	return encodeInPlaceBy(shape.put, value);
}

/** Reads foreign bytes as a shape, or names what is wrong and where. */
export function decodeAs<T>(
	shape: Shape<T>,
	encoded: Uint8Array,
	limits: CborLimits = CBOR_LIMITS,
): Result<T, ShapeCode> {
	const decoded = decodeCbor(encoded, limits);
	if (!decoded.ok) return decoded;
	return readAs(shape, decoded.value);
}

/** Reads an already decoded value as a shape. */
export function readAs<T>(shape: Shape<T>, value: CborValue): Result<T, "shape_mismatch"> {
	try {
		return ok(shape.read(value, ""));
	} catch (error) {
		if (error instanceof Mismatch) return fail("shape_mismatch", error.message);
		throw error;
	}
}
