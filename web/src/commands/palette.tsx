// biome-ignore-all lint/a11y/useFocusableInteractive: the combobox holds the focus, names the active option and handles its keys
// biome-ignore-all lint/a11y/useKeyWithClickEvents: the combobox holds the focus, names the active option and handles its keys
/** The command palette: every command that does something on this page, found by typing. A combobox over a listbox. */
import { createSignal, For, Show } from "solid-js";
import { Dialog } from "../widgets/dialog.tsx";
import type { Command } from "./catalog.ts";
import { availableCommands, runCommand } from "./dispatch.ts";

/** Every typed word must start a word of the title, in any order. */
function matches(command: Command, typed: string): boolean {
	const words = `${command.group} ${command.title}`.toLowerCase().split(/\s+/);
	const wanted = typed.toLowerCase().split(/\s+/);
	return wanted.every((want) => words.some((word) => word.startsWith(want)));
}

const KEY_SIGNS: Readonly<Record<string, string>> = {
	ArrowUp: "↑",
	ArrowDown: "↓",
	ArrowLeft: "←",
	ArrowRight: "→",
	Escape: "Esc",
};

/** `Ctrl+K` as `Ctrl K`; the key `+` itself stays. */
function keySign(key: string): string {
	return KEY_SIGNS[key] ?? key.replace(/^(Ctrl|Shift)\+/, "$1 ");
}

export function KeyNames(props: { keys: readonly string[] }) {
	return (
		<span class="key-names">
			<For each={props.keys}>{(key) => <kbd>{keySign(key)}</kbd>}</For>
		</span>
	);
}

export function Palette(props: { onClose: () => void }) {
	const all = availableCommands().filter(({ id }) => id !== "palette.open");
	const [typed, setTyped] = createSignal("");
	const [active, setActive] = createSignal(0);
	const found = () => all.filter((command) => matches(command, typed()));
	const run = (command: Command | undefined) => {
		if (!command) return;
		props.onClose();
		// After the dialog has given the focus back, so that a command can move it on.
		setTimeout(() => runCommand(command.id));
	};
	const move = (by: number) => {
		const count = found().length;
		if (count > 0) setActive((active() + by + count) % count);
		document.getElementById(`palette-${active()}`)?.scrollIntoView({ block: "nearest" });
	};
	const onKeyDown = (event: KeyboardEvent) => {
		if (event.key === "ArrowDown") move(1);
		else if (event.key === "ArrowUp") move(-1);
		else if (event.key === "Enter") run(found()[active()]);
		else return;
		event.preventDefault();
	};
	return (
		<Dialog title="Commands" onClose={props.onClose} testId="palette" class="palette" isBare>
			<input
				class="palette-input"
				type="text"
				role="combobox"
				aria-label="Find a command"
				aria-expanded="true"
				aria-controls="palette-list"
				aria-activedescendant={found().length > 0 ? `palette-${active()}` : undefined}
				placeholder="Type a command"
				autocomplete="off"
				spellcheck={false}
				autofocus
				value={typed()}
				onInput={(event) => {
					setTyped(event.currentTarget.value);
					setActive(0);
				}}
				onKeyDown={onKeyDown}
			/>
			<div id="palette-list" class="palette-list" role="listbox" aria-label="Commands" tabindex="-1">
				<For each={found()}>
					{(command, index) => (
						<div
							id={`palette-${index()}`}
							class="palette-item"
							role="option"
							aria-selected={index() === active()}
							data-command={command.id}
							onClick={() => run(command)}
							onMouseMove={() => setActive(index())}
						>
							<span class="muted palette-group">{command.group}</span>
							<span>{command.title}</span>
							<KeyNames keys={command.keys} />
						</div>
					)}
				</For>
			</div>
			<Show when={found().length === 0}>
				<p class="state">No command here is called that.</p>
			</Show>
		</Dialog>
	);
}
