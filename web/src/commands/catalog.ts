/**
 * Every command of the console: its name, what it is called for people, and its keys. The palette, the key sheet and the dispatcher
 * are made from this list, so none of them can drift. A page says what a command does while it is open (`useCommands`).
 *
 * Keys are written as `keyOf` of keys.ts names them; two names with a space between are pressed one after the other.
 */

export type CommandGroup = "Go to" | "Rows" | "Events" | "Time" | "Trace" | "Console";

export interface CommandEntry {
	readonly id: string;
	readonly title: string;
	readonly keys: readonly string[];
	readonly group: CommandGroup;
}

export const COMMANDS = [
	{ id: "go.hits", title: "Go to hits", keys: ["g h"], group: "Go to" },
	{ id: "go.traces", title: "Go to traces", keys: ["g t"], group: "Go to" },
	{ id: "go.approvals", title: "Go to approvals", keys: ["g a"], group: "Go to" },
	{ id: "go.fleet", title: "Go to the fleet", keys: ["g f"], group: "Go to" },

	{ id: "row.next", title: "Next row", keys: ["j", "ArrowDown"], group: "Rows" },
	{ id: "row.previous", title: "Previous row", keys: ["k", "ArrowUp"], group: "Rows" },
	{ id: "row.first", title: "First row", keys: ["Home"], group: "Rows" },
	{ id: "row.last", title: "Last row", keys: ["End"], group: "Rows" },
	{ id: "row.collapse", title: "Collapse, or go to the parent", keys: ["ArrowLeft"], group: "Rows" },
	{ id: "row.expand", title: "Expand, or go to the first child", keys: ["ArrowRight"], group: "Rows" },
	{ id: "row.collapseAll", title: "Collapse all processes", keys: ["["], group: "Rows" },
	{ id: "row.expandAll", title: "Expand all", keys: ["]"], group: "Rows" },

	{ id: "event.next", title: "Next event", keys: ["."], group: "Events" },
	{ id: "event.previous", title: "Previous event", keys: [","], group: "Events" },
	{ id: "hit.next", title: "Next hit", keys: ["n"], group: "Events" },
	{ id: "hit.previous", title: "Previous hit", keys: ["Shift+N"], group: "Events" },
	{ id: "find.open", title: "Find in events", keys: ["/"], group: "Events" },
	{ id: "tab.events", title: "Show the events", keys: ["1"], group: "Events" },
	{ id: "tab.hops", title: "Show the network hops", keys: ["2"], group: "Events" },
	{ id: "tab.commands", title: "Show the signed commands", keys: ["3"], group: "Events" },

	{ id: "time.play", title: "Play or pause", keys: ["Space"], group: "Time" },
	{ id: "time.faster", title: "Play faster", keys: ["+"], group: "Time" },
	{ id: "time.slower", title: "Play slower", keys: ["-"], group: "Time" },
	{ id: "time.jump", title: "Jump to a time", keys: ["t"], group: "Time" },
	{ id: "time.zoomIn", title: "Zoom in", keys: ["w"], group: "Time" },
	{ id: "time.zoomOut", title: "Zoom out", keys: ["s"], group: "Time" },
	{ id: "time.panLeft", title: "Pan to earlier", keys: ["a"], group: "Time" },
	{ id: "time.panRight", title: "Pan to later", keys: ["d"], group: "Time" },
	{ id: "time.focus", title: "Focus the selection, then fit all", keys: ["f"], group: "Time" },
	{ id: "time.back", title: "Back to the window before", keys: ["Backspace"], group: "Time" },

	{ id: "trace.fromHere", title: "Trace the selected process", keys: ["Shift+T"], group: "Trace" },
	{ id: "trace.follow", title: "Follow the selected hop to its host", keys: ["Shift+F"], group: "Trace" },
	{ id: "trace.stop", title: "Stop the trace on the selected host", keys: [], group: "Trace" },
	{ id: "trace.export", title: "Export a forensic package", keys: ["e"], group: "Trace" },

	{ id: "palette.open", title: "Open the command palette", keys: ["Ctrl+K", ">"], group: "Console" },
	{ id: "keys.open", title: "Show all keys", keys: ["?"], group: "Console" },
	{ id: "ledger.open", title: "Show the ledger's checkpoint", keys: [], group: "Console" },
	{ id: "theme.switch", title: "Switch between light, dark and the system's theme", keys: [], group: "Console" },
	{ id: "session.end", title: "Sign out", keys: [], group: "Console" },
	{ id: "step.out", title: "Step out one level", keys: ["Escape"], group: "Console" },
] as const satisfies readonly CommandEntry[];

export type CommandId = (typeof COMMANDS)[number]["id"];
export type Command = CommandEntry & { readonly id: CommandId };
