/**
 * A process of the bench's own: a load generator, a prober, a storm. Guarantees that one which met trouble, ended, or said nothing for
 * too long fails the measurement by name, and that none is left behind.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fail, ok, type Result } from "#core/result.ts";

interface Said {
	readonly kind: string;
}

export interface Trouble {
	readonly kind: "trouble";
	readonly detail: string;
}

export class Child<Order extends object, Report extends Said> {
	readonly #child: ChildProcess;
	#reports: (Report | Trouble)[] = [];
	#wake: () => void = () => undefined;

	/** `program` is a file beside this one; `first` is the first thing it is told. */
	constructor(program: string, first: object) {
		this.#child = fork(`${import.meta.dirname}/${program}`, { serialization: "advanced" });
		this.#child.on("message", (report: Report | Trouble) => this.#heard(report));
		this.#child.on("exit", (code, signal) =>
			this.#heard({ kind: "trouble", detail: `${program} ended with ${code ?? signal}` }),
		);
		this.#child.send(first);
	}

	#heard(report: Report | Trouble): void {
		this.#reports.push(report);
		this.#wake();
	}

	order(order: Order): void {
		this.#child.send(order);
	}

	/** The next report of that kind, already here or still to come. */
	async expect<K extends Report["kind"]>(
		kind: K,
		withinMs: number,
	): Promise<Result<Extract<Report, { kind: K }>, string>> {
		const late = sleep(withinMs, "late" as const, { ref: false });
		for (;;) {
			const trouble = this.#reports.find((each) => each.kind === "trouble") as Trouble | undefined;
			if (trouble !== undefined) return fail("load_refused", trouble.detail);
			const found = this.#reports.findIndex((each) => each.kind === kind);
			if (found >= 0) return ok(this.#reports.splice(found, 1)[0] as Extract<Report, { kind: K }>);
			const woken = new Promise<void>((resolve) => {
				this.#wake = resolve;
			});
			if ((await Promise.race([woken, late])) === "late")
				return fail("load_late", `"${kind}" was not said within ${withinMs} ms`);
		}
	}

	async stop(): Promise<void> {
		if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
		const ended = once(this.#child, "exit");
		this.#child.kill("SIGKILL");
		await ended;
	}
}
