/**
 * What commands do right now. Pages register handlers while they are open; the newest registration of a command wins. One listener
 * on the window turns keys into commands; while a modal dialog is open only the dialog has keys.
 */
import { createSignal, onCleanup } from "solid-js";
import { COMMANDS, type Command, type CommandId } from "./catalog.ts";
import { type FocusKind, isKeyTaken, KeyMatcher, keyOf } from "./keys.ts";

/** Returning false says that the command has nothing to do here: the one registered before gets it. */
export type CommandHandler = () => unknown;

const [handlers, setHandlers] = createSignal<readonly (readonly [CommandId, CommandHandler])[]>([]);

/** Registers handlers until the owner is disposed. */
export function useCommands(own: Partial<Record<CommandId, CommandHandler>>): void {
	const entries = Object.entries(own) as [CommandId, CommandHandler][];
	setHandlers((before) => [...before, ...entries]);
	onCleanup(() => setHandlers((before) => before.filter((entry) => !entries.some((gone) => gone === entry))));
}

/** Commands that do something on this page, in the catalog's order. */
export function availableCommands(): readonly Command[] {
	const ids = new Set(handlers().map(([id]) => id));
	return COMMANDS.filter(({ id }) => ids.has(id));
}

export function runCommand(id: CommandId): void {
	const own = handlers();
	for (let i = own.length - 1; i >= 0; i--) {
		const [each, handler] = own[i] as (typeof own)[number];
		if (each === id && handler() !== false) return;
	}
}

const TEXT_INPUTS = new Set(["text", "search", "number", "password", "email", "url", "tel", "date", "time"]);

function focusKind(target: EventTarget | null): FocusKind {
	if (!(target instanceof HTMLElement)) return "none";
	if (target.isContentEditable || target instanceof HTMLTextAreaElement) return "text";
	if (target instanceof HTMLInputElement) {
		if (TEXT_INPUTS.has(target.type)) return "text";
		return target.type === "checkbox" ? "press" : "arrows";
	}
	if (target instanceof HTMLSelectElement || target.role === "tab") return "arrows";
	const isPressed =
		target instanceof HTMLButtonElement || target instanceof HTMLAnchorElement || target.tagName === "SUMMARY";
	return isPressed ? "press" : "none";
}

/** Starts listening; call once. */
export function listenForKeys(): void {
	const matcher = new KeyMatcher();
	window.addEventListener("keydown", (press) => {
		if (press.defaultPrevented || press.isComposing) return;
		if (document.querySelector("dialog[open]") !== null) return;
		const key = keyOf(press);
		if (key === null || isKeyTaken(key, focusKind(press.target))) return;
		const { command, isConsumed } = matcher.press(key, press.timeStamp);
		if (command !== null && !handlers().some(([id]) => id === command)) return;
		if (isConsumed) press.preventDefault();
		if (command !== null) runCommand(command);
	});
}
