/** The bench's side of a load generator. */
import { ok, type Result } from "#core/result.ts";
import { Child } from "./child.ts";
import { TREE_LIMITS } from "./limits.ts";
import type { LinkTimes, LoadOrder, LoadPlan, LoadReport, LoadResult, Order } from "./plan.ts";

export class Load {
	readonly #child: Child<Order, LoadReport>;

	constructor(plan: LoadPlan) {
		this.#child = new Child("generator.ts", plan);
	}

	/** Connects and seals; nothing is sent yet. */
	async prepare(order: Omit<LoadOrder, "act">): Promise<Result<LinkTimes, string>> {
		this.#child.order({ act: "load", ...order });
		const ready = await this.#child.expect("ready", TREE_LIMITS.readyMsMax);
		return ready.ok ? ok(ready.value.links) : ready;
	}

	/** Sends what was prepared. */
	go(): void {
		this.#child.order({ act: "go" });
	}

	/** Waits until everything sent is acknowledged. */
	async acknowledged(): Promise<Result<LoadResult, string>> {
		const done = await this.#child.expect("done", TREE_LIMITS.runMsMax);
		return done.ok ? ok(done.value.result) : done;
	}

	async send(): Promise<Result<LoadResult, string>> {
		this.go();
		return this.acknowledged();
	}

	stop(): Promise<void> {
		return this.#child.stop();
	}
}
