/**
 * Expected outcomes as values. A function that can be refused by its input returns `Result`; the code is a member of a closed
 * union owned by the module that returns it, the detail is one sentence for a person. Broken invariants throw `InvariantError`,
 * which nobody catches below the process or Durable Object that must restart.
 */

export type Failure<Code extends string> = {
	readonly ok: false;
	readonly code: Code;
	readonly detail: string;
};

export type Result<T, Code extends string> = { readonly ok: true; readonly value: T } | Failure<Code>;

export function ok<T>(value: T): { readonly ok: true; readonly value: T } {
	return { ok: true, value };
}

export function fail<Code extends string>(code: Code, detail: string): Failure<Code> {
	return { ok: false, code, detail };
}

/** A broken invariant: our own mistake, never the input's. The holder restarts from its durable state. */
export class InvariantError extends Error {
	override readonly name = "InvariantError";
}

/** Throws `InvariantError` unless the condition holds. */
export function assertInvariant(condition: unknown, message: string): asserts condition {
	if (!condition) throw new InvariantError(message);
}
