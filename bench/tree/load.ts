/**
 * The bench's side of a load generator. Guarantees that a generator that met trouble, or said nothing for too long, fails the
 * measurement by name, and that none is left behind.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fail, ok, type Result } from "#core/result.ts";
import { TREE_LIMITS } from "./limits.ts";
import type { LinkTimes, LoadOrder, LoadPlan, LoadResult, Order, Report } from "./plan.ts";

type ReportOf<K extends Report["kind"]> = Extract<Report, { kind: K }>;

export class Load {
	readonly #child: ChildProcess;
	#reports: Report[] = [];
	#wake: () => void = () => undefined;

	constructor(plan: LoadPlan) {
		this.#child = fork(`${import.meta.dirname}/generator.ts`, { serialization: "advanced" });
		this.#child.on("message", (report: Report) => {
			this.#reports.push(report);
			this.#wake();
		});
		this.#child.on("exit", (code, signal) => {
			this.#reports.push({ kind: "trouble", detail: `the load generator ended with ${code ?? signal}` });
			this.#wake();
		});
		this.#child.send(plan);
	}

	/** The generator's own process. */
	get pid(): number {
		return this.#child.pid as number;
	}

	async #expect<K extends Report["kind"]>(kind: K, withinMs: number): Promise<Result<ReportOf<K>, string>> {
		const late = sleep(withinMs, "late" as const, { ref: false });
		for (;;) {
			const trouble = this.#reports.find((each) => each.kind === "trouble");
			if (trouble?.kind === "trouble") return fail("load_refused", trouble.detail);
			const found = this.#reports.findIndex((each) => each.kind === kind);
			if (found >= 0) return ok(this.#reports.splice(found, 1)[0] as ReportOf<K>);
			const woken = new Promise<void>((resolve) => {
				this.#wake = resolve;
			});
			if ((await Promise.race([woken, late])) === "late")
				return fail("load_late", `the load generator did not say "${kind}" within ${withinMs} ms`);
		}
	}

	#order(order: Order): void {
		this.#child.send(order);
	}

	/** Connects and seals; nothing is sent yet. */
	async prepare(order: Omit<LoadOrder, "act">): Promise<Result<LinkTimes, string>> {
		this.#order({ act: "load", ...order });
		const ready = await this.#expect("ready", TREE_LIMITS.readyMsMax);
		return ready.ok ? ok(ready.value.links) : ready;
	}

	/** Sends what was prepared and waits until it is acknowledged. */
	async send(): Promise<Result<LoadResult, string>> {
		this.#order({ act: "go" });
		const done = await this.#expect("done", TREE_LIMITS.runMsMax);
		return done.ok ? ok(done.value.result) : done;
	}

	/** Closes the connections; the generator can connect again. */
	async disconnect(): Promise<Result<void, string>> {
		this.#order({ act: "close" });
		const closed = await this.#expect("closed", TREE_LIMITS.readyMsMax);
		return closed.ok ? ok(undefined) : closed;
	}

	async stop(): Promise<void> {
		if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
		const ended = once(this.#child, "exit");
		this.#child.kill("SIGKILL");
		await ended;
	}
}
