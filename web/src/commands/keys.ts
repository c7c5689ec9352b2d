/**
 * From key presses to command ids. Guarantees that text fields keep their keys, that a focused control keeps the keys that work it,
 * and that a key with a modifier we did not name stays the browser's. Pure: time is an argument.
 */
import { COMMANDS, type CommandId } from "./catalog.ts";

/** What is read of a KeyboardEvent. */
export interface KeyPress {
	readonly key: string;
	readonly ctrlKey: boolean;
	readonly metaKey: boolean;
	readonly altKey: boolean;
	readonly shiftKey: boolean;
}

/** What holds the focus, as far as keys matter. */
export type FocusKind =
	/** Takes typed text. */
	| "text"
	/** Range, select, radio, tabs: arrows, Home, End and Space are its own. */
	| "arrows"
	/** Button, link, checkbox: Space and Enter are its own. */
	| "press"
	| "none";

/** How long the second key of a sequence may take. */
export const SEQUENCE_MS_MAX = 1200;

const ARROW_KEYS = new Set(["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Home", "End", "Space"]);

/** The name of a key press, or null where it is not ours: `j`, `Shift+N`, `Ctrl+K`, `Space`, `?`. Command counts as Control. */
export function keyOf(press: KeyPress): string | null {
	if (press.altKey) return null;
	const name = press.key === " " ? "Space" : press.key;
	const isLetter = /^\p{L}$/u.test(name);
	if (press.ctrlKey || press.metaKey) return isLetter && !press.shiftKey ? `Ctrl+${name.toUpperCase()}` : null;
	if (isLetter) return press.shiftKey ? `Shift+${name.toUpperCase()}` : name.toLowerCase();
	const isPrintable = [...name].length === 1;
	return press.shiftKey && !isPrintable ? `Shift+${name}` : name;
}

/** Whether the focused element, not a command, gets this key. */
export function isKeyTaken(key: string, focus: FocusKind): boolean {
	if (focus === "text") return !key.startsWith("Ctrl+") && key !== "Escape";
	if (focus === "arrows") return ARROW_KEYS.has(key);
	return focus === "press" && key === "Space";
}

/** Command ids by key or sequence. */
export function keyTable(): ReadonlyMap<string, CommandId> {
	return new Map(COMMANDS.flatMap(({ id, keys }) => keys.map((key): [string, CommandId] => [key, id])));
}

/** Matches single keys and two-key sequences; one per window. */
export class KeyMatcher {
	readonly #table = keyTable();
	readonly #prefixes = new Set(
		[...this.#table.keys()].filter((key) => key.includes(" ")).map((key) => key.split(" ")[0]),
	);
	#prefix: string | null = null;
	#prefixAtMs = 0;

	/** The command of this key; `isConsumed` is true for the first key of a sequence as well. */
	press(key: string, nowMs: number): { command: CommandId | null; isConsumed: boolean } {
		const prefix = this.#prefix !== null && nowMs - this.#prefixAtMs <= SEQUENCE_MS_MAX ? this.#prefix : null;
		this.#prefix = null;
		const command = (prefix === null ? undefined : this.#table.get(`${prefix} ${key}`)) ?? this.#table.get(key) ?? null;
		if (command !== null) return { command, isConsumed: true };
		if (!this.#prefixes.has(key)) return { command: null, isConsumed: false };
		this.#prefix = key;
		this.#prefixAtMs = nowMs;
		return { command: null, isConsumed: true };
	}
}
