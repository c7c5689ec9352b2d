/**
 * The one live WebSocket of an agent. It survives hibernation: which socket is current is told by its attachment, never by
 * memory. Guarantees that a new session replaces the old one and that no frame goes to a replaced socket.
 */
import { encodeFrame } from "#core/protocol/index.ts";

const OPEN = 1;

interface Attachment {
	readonly openedAt: number;
}

export class AgentSession {
	readonly #ctx: DurableObjectState;
	#socket: WebSocket | null;

	constructor(ctx: DurableObjectState) {
		this.#ctx = ctx;
		const opened = (socket: WebSocket) => (socket.deserializeAttachment() as Attachment | null)?.openedAt ?? 0;
		const live = ctx.getWebSockets().filter((socket) => socket.readyState === OPEN);
		this.#socket = live.sort((a, b) => opened(b) - opened(a))[0] ?? null;
	}

	get isOpen(): boolean {
		return this.#socket !== null;
	}

	isCurrent(socket: WebSocket): boolean {
		return socket === this.#socket;
	}

	/** Takes a new socket; the old one is told and closed. */
	open(socket: WebSocket): void {
		this.close("replaced", "a newer session of this agent came");
		this.#ctx.acceptWebSocket(socket);
		const attachment: Attachment = { openedAt: Date.now() };
		socket.serializeAttachment(attachment);
		this.#socket = socket;
	}

	/** False when nobody is there; a send that fails closes the session. */
	send(frame: Uint8Array): boolean {
		if (this.#socket === null) return false;
		try {
			this.#socket.send(frame);
			return true;
		} catch {
			// The socket closed and its event is still on the way: the same as nobody being there.
			this.#socket = null;
			return false;
		}
	}

	/** Says why and closes. */
	close(code: string, detail: string): void {
		if (!this.send(encodeFrame("bye", { code, detail }))) return;
		this.#socket?.close(1000, code);
		this.#socket = null;
	}

	/** The socket's own close event; true when it was the current one. */
	closed(socket: WebSocket): boolean {
		if (socket !== this.#socket) return false;
		this.#socket = null;
		return true;
	}
}
