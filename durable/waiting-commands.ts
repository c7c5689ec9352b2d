/**
 * Commands on their way down to one agent, at one hop. Guarantees that each is sent again on every link until the agent has said that it
 * has it or its time is over, that one which was received is never sent again, and that no more wait than the limit says. Executing a
 * command at most once is the agent's promise. Must never read what a command asks for.
 */
import { hexOf } from "#core/bytes/bytes.ts";
import { fail, ok, type Result } from "#core/result.ts";
import type { ChannelStore } from "./channel-store.ts";
import type { EnqueueCode, QueuedCommand } from "./faces.ts";
import { CHANNEL_LIMITS } from "./limits.ts";

export interface WaitingCommandsParts {
	readonly store: Pick<ChannelStore, "commands" | "addCommand" | "isReceived" | "markReceived">;
	/** Towards the agent, by whatever way leads to it now. */
	readonly send: (command: QueuedCommand) => void;
	/** Towards whoever sent the command. */
	readonly tellReceived: (commandId: Uint8Array) => void;
	readonly wakeAt: (atMs: number) => void;
}

export class WaitingCommands {
	readonly #parts: WaitingCommandsParts;

	constructor(parts: WaitingCommandsParts) {
		this.#parts = parts;
	}

	/** Keeps it and sends it; a repetition of what was received is told as received once more. */
	add(command: QueuedCommand, nowMs: number): Result<true, EnqueueCode> {
		const { store, send, tellReceived, wakeAt } = this.#parts;
		if (command.expiresAtMs < nowMs) return fail("command_expired", `it expired ${nowMs - command.expiresAtMs} ms ago`);
		const waiting = store.commands(nowMs);
		const isKnown = waiting.some((each) => hexOf(each.commandId) === hexOf(command.commandId));
		if (!isKnown && waiting.length >= CHANNEL_LIMITS.commandsMax)
			return fail("command_queue_full", `${CHANNEL_LIMITS.commandsMax} commands wait for this agent`);
		if (store.isReceived(command.commandId)) {
			tellReceived(command.commandId);
			return ok(true);
		}
		store.addCommand(command);
		wakeAt(command.expiresAtMs + 1);
		send(command);
		return ok(true);
	}

	/** To a new link. */
	sendAll(nowMs: number): void {
		for (const command of this.#parts.store.commands(nowMs)) this.#parts.send(command);
	}

	/** Told onward once: what a captured host makes up, or says again, costs the way up nothing. */
	received(commandId: Uint8Array): void {
		if (this.#parts.store.markReceived(commandId)) this.#parts.tellReceived(commandId);
	}

	/** Forgets those whose time is over, and asks to be called when the next one's is. */
	expire(nowMs: number): void {
		const left = this.#parts.store.commands(nowMs);
		if (left.length > 0) this.#parts.wakeAt(Math.min(...left.map((command) => command.expiresAtMs)) + 1);
	}
}
