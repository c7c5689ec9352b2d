/** One worker process of the pool: a seed in, its verdict out, until the parent lets go. */
import { isBugPlanted, planted } from "./hooks.ts";

const { simulate } = await import("./simulate.ts");

// The terminal's Ctrl-C goes to the whole group; the parent decides when this process ends.
process.on("SIGINT", () => undefined);
let last: Promise<void> = Promise.resolve();
process.on("message", (seed) => {
	last = last.then(async () => {
		const verdict = await simulate({ seed: Number(seed), planted });
		if (!isBugPlanted()) throw new Error("the bug that was asked for is not in the code that ran");
		process.send?.(verdict);
	});
});
process.on("disconnect", () => process.exit(0));
