/**
 * The builds a run tries: both workers and the feeding agent, bundled once per planted bug into a directory of the run. Without a bug
 * they are the product's own bundles made anew, so that what is tried is the tree as it stands.
 */
import { join } from "node:path";
import { bundleNode } from "../tools/build-node.ts";
import { bundleWorker } from "../tools/build-workers.ts";
import { changing } from "../tools/source-changes.ts";
import { PLANTED_BUGS, type PlantedBug } from "./planted.ts";

export interface Builds {
	readonly planted: PlantedBug | "";
	readonly center: string;
	readonly proxy: string;
	readonly feedingAgent: string;
	readonly outboxProbe: string;
}

export async function makeBuilds(directory: string, planted: PlantedBug | ""): Promise<Builds> {
	const at = (name: string) => join(directory, planted === "" ? "whole" : planted, name);
	const builds = {
		planted,
		center: at("sc.js"),
		proxy: at("px.js"),
		feedingAgent: at("feeding-agent.mjs"),
		outboxProbe: at("outbox-probe.mjs"),
	};
	const plugins = planted === "" ? [] : [changing(PLANTED_BUGS[planted].changes)];
	await Promise.all([
		bundleWorker({ entryPoint: "workers/sc/index.ts", outfile: builds.center, plugins }),
		bundleWorker({ entryPoint: "workers/px/index.ts", outfile: builds.proxy, plugins }),
		bundleNode({ entry: "faults/feeding-agent.ts", outfile: builds.feedingAgent, plugins }),
		bundleNode({ entry: "faults/outbox-probe.ts", outfile: builds.outboxProbe, plugins }),
	]);
	return builds;
}
