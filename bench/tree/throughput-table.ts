/** The runs of one number of agents through one tree, and the figures they become. */
import type { BenchContext } from "../bench.ts";
import type { Goal } from "../figure.ts";
import type { Cost } from "./meters.ts";
import type { LinkTimes, LoadResult } from "./plan.ts";
import { YARDSTICK_NAMES, type YardstickKind } from "./yardstick.ts";

export interface TreeRun {
	readonly result: LoadResult;
	readonly links: LinkTimes;
	/** Of the agents' proxy: writes of batches, each one wait for its disk. */
	readonly commits: number;
	/** Until the next proxy had receipted everything; null with one tier. */
	readonly forwardedMs: number | null;
	readonly leaf: Cost;
	/** The proxy above it, where there is one. */
	readonly above: Cost | null;
}

const batchesPerSecond = ({ batches, a1Ms }: LoadResult) => batches / (a1Ms / 1000);
const coresOf = (cpuSeconds: number, { a1Ms }: LoadResult) => cpuSeconds / (a1Ms / 1000);
const MB = 1_000_000;

export class ThroughputTable {
	readonly #name: string;
	readonly #runs: TreeRun[] = [];
	readonly #yardsticks: Record<YardstickKind, { result: LoadResult; cost: Cost }[]> = { redis: [], nats: [] };
	readonly #fsyncs: number[] = [];

	constructor(tiers: number, agentCount: number) {
		this.#name = `${tiers}_tier_${agentCount}_agents`;
	}

	tree(run: TreeRun): void {
		this.#runs.push(run);
	}

	yardstick(kind: YardstickKind, run: { result: LoadResult; cost: Cost }): void {
		this.#yardsticks[kind].push(run);
	}

	fsync(perSecond: number): void {
		this.#fsyncs.push(perSecond);
	}

	report(context: BenchContext): void {
		this.#reportTaken(context);
		this.#reportCost(context);
		this.#reportYardsticks(context);
	}

	#rates(): number[] {
		return this.#runs.map(({ result }) => batchesPerSecond(result));
	}

	#one(context: BenchContext, [metric, unit]: readonly [string, string], values: readonly number[]): void {
		context.report({ metric: `${this.#name}_${metric}`, unit, goal: null, runs: values });
	}

	#ofRuns(context: BenchContext, named: readonly [string, string], value: (run: TreeRun) => number): void {
		this.#one(context, named, this.#runs.map(value));
	}

	#reportTaken(context: BenchContext): void {
		const rates = this.#rates();
		const redis = this.#yardsticks.redis.map(({ result }) => batchesPerSecond(result));
		const judged = (metric: string, unit: string, goal: Goal, runs: readonly number[]) =>
			context.report({ metric: `${this.#name}_${metric}`, unit, goal, runs });
		context.report({
			...{ metric: `${this.#name}_a1_batches`, unit: "batches/s", goal: null, runs: rates },
			yardstick: { what: YARDSTICK_NAMES.redis, unit: "batches/s", runs: redis },
		});
		const shares = rates.map((rate, index) => rate / (redis[index] as number));
		judged("a1_of_redis", "ratio", ">= 0.5", shares);
		const events = this.#runs.map(({ result }) => result.events / (result.a1Ms / 1000));
		judged("a1_events", "events/s", ">= 200000", events);
		this.#ofRuns(context, ["a1_bytes", "MB/s"], ({ result }) => result.bytes / MB / (result.a1Ms / 1000));
		this.#ofRuns(context, ["a1_wait_p50", "ms"], ({ result }) => result.ackMs.p50);
		this.#ofRuns(context, ["a1_wait_p99", "ms"], ({ result }) => result.ackMs.p99);
		if (this.#runs.some(({ forwardedMs }) => forwardedMs !== null))
			this.#ofRuns(
				context,
				["forwarded_batches", "batches/s"],
				({ result, forwardedMs }) => result.batches / ((forwardedMs ?? Number.NaN) / 1000),
			);
	}

	#reportCost(context: BenchContext): void {
		const commits = this.#runs.map(({ result, commits: count }) => count / (result.a1Ms / 1000));
		context.report({
			...{ metric: `${this.#name}_commits`, unit: "commits/s", goal: null, runs: commits },
			yardstick: { what: "20 KB appended and fdatasync, one after the other", unit: "1/s", runs: this.#fsyncs },
		});
		this.#ofRuns(context, ["proxy_cpu", "cores"], ({ result, leaf }) => coresOf(leaf.cpuSeconds, result));
		const perBatch = ({ result, leaf }: TreeRun) => (1e6 * leaf.cpuSeconds) / result.batches;
		this.#ofRuns(context, ["proxy_cpu_per_batch", "us"], perBatch);
		this.#ofRuns(context, ["proxy_rss", "MiB"], ({ leaf }) => leaf.residentMib);
		this.#ofRuns(context, ["proxy_descriptors", "fds"], ({ leaf }) => leaf.descriptors);
		this.#ofRuns(context, ["generator_cpu", "cores"], ({ result }) => coresOf(result.cpuSeconds, result));
	}

	#reportYardsticks(context: BenchContext): void {
		const jetstream = this.#yardsticks.nats.map(({ result }) => batchesPerSecond(result));
		context.report({
			...{ metric: `${this.#name}_a1_of_jetstream`, unit: "ratio", goal: null },
			runs: this.#rates().map((rate, index) => rate / (jetstream[index] as number)),
			yardstick: { what: YARDSTICK_NAMES.nats, unit: "batches/s", runs: jetstream },
		});
		for (const kind of ["redis", "nats"] as const) {
			const name = kind === "redis" ? "redis" : "jetstream";
			const each = this.#yardsticks[kind];
			const cpu = each.map(({ result, cost }) => coresOf(cost.cpuSeconds, result));
			this.#one(context, [`${name}_cpu`, "cores"], cpu);
			const generator = each.map(({ result }) => coresOf(result.cpuSeconds, result));
			this.#one(context, [`${name}_generator_cpu`, "cores"], generator);
		}
	}
}
