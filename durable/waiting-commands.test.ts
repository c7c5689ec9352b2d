import { deepEqual, equal } from "node:assert/strict";
import { beforeEach, test } from "node:test";
import type { QueuedCommand } from "./faces.ts";
import { CHANNEL_LIMITS } from "./limits.ts";
import { WaitingCommands } from "./waiting-commands.ts";

const commandOf = (byte: number, expiresAtMs = 1000): QueuedCommand => ({
	commandId: new Uint8Array(16).fill(byte),
	envelope: new Uint8Array(3),
	expiresAtMs,
});

/** What the channel's file keeps: those that wait, and the ids that were received. */
class Kept {
	waiting: QueuedCommand[] = [];
	readonly receivedIds = new Set<string>();
	commands = (nowMs: number) => {
		this.waiting = this.waiting.filter(({ expiresAtMs }) => expiresAtMs >= nowMs);
		return this.waiting;
	};
	addCommand = (command: QueuedCommand) => {
		const isNew = this.waiting.every(({ commandId }) => commandId.join() !== command.commandId.join());
		if (isNew) this.waiting.push(command);
	};
	isReceived = (id: Uint8Array) => this.receivedIds.has(id.join());
	markReceived = (id: Uint8Array) => {
		const isNew = this.waiting.some(({ commandId }) => commandId.join() === id.join());
		this.waiting = this.waiting.filter(({ commandId }) => commandId.join() !== id.join());
		if (isNew) this.receivedIds.add(id.join());
		return isNew;
	};
}

let commands: WaitingCommands;
let sent: number[];
let told: number[];
let wakes: number[];

beforeEach(() => {
	[sent, told, wakes] = [[], [], []];
	commands = new WaitingCommands({
		store: new Kept(),
		send: ({ commandId }) => void sent.push(commandId[0] as number),
		tellReceived: (commandId) => void told.push(commandId[0] as number),
		wakeAt: (atMs) => void wakes.push(atMs),
	});
});

test("a command is sent at once, on every new link, and no more once it was received", () => {
	deepEqual(commands.add(commandOf(1), 0), { ok: true, value: true });
	commands.sendAll(5);
	deepEqual(sent, [1, 1]);
	commands.received(commandOf(1).commandId);
	commands.received(commandOf(1).commandId);
	commands.received(commandOf(9).commandId);
	deepEqual(told, [1], "told onward once, and what nobody sent not at all");
	commands.sendAll(6);
	equal(commands.add(commandOf(1), 7).ok, true);
	deepEqual(
		[sent, told],
		[
			[1, 1],
			[1, 1],
		],
		"a repetition of what was received is told and not sent",
	);
});

test("as many wait as the limit says; one more is refused by name, a repetition is not", () => {
	for (let at = 0; at < CHANNEL_LIMITS.commandsMax; at++) equal(commands.add(commandOf(at), 0).ok, true);
	const more = commands.add(commandOf(CHANNEL_LIMITS.commandsMax), 0);
	equal(more.ok ? null : more.code, "command_queue_full");
	equal(commands.add(commandOf(0), 0).ok, true);
	commands.received(commandOf(3).commandId);
	equal(commands.add(commandOf(CHANNEL_LIMITS.commandsMax), 0).ok, true);
});

test("one whose time is over is refused, or no more sent; the next one's end is asked for", () => {
	const late = commands.add(commandOf(1, 10), 11);
	equal(late.ok ? null : late.code, "command_expired");
	commands.add(commandOf(2, 20), 11);
	commands.add(commandOf(3, 30), 11);
	wakes = [];
	commands.expire(21);
	deepEqual(wakes, [31]);
	sent = [];
	commands.sendAll(21);
	deepEqual(sent, [3]);
});
