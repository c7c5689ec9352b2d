/**
 * `npm run build`: bundles the workers (dist/workers), the offline verifier and the agent (dist/verify, dist/agent) and the console (dist/web). Guarantees that a build that fails leaves the
 * previous one in place. The collector is built by make, from `npm run setup`.
 */
import { build as buildConsole } from "vite";
import { BUNDLES, bundleNode } from "./build-node.ts";
import { buildWorkers } from "./build-workers.ts";

const startedAtMs = performance.now();
await buildWorkers();
process.stdout.write(`workers bundled (${Math.round(performance.now() - startedAtMs)} ms)\n`);
for (const bundle of Object.values(BUNDLES)) await bundleNode(bundle);
await buildConsole({ configFile: "web/vite.config.ts", logLevel: "warn" });
process.stdout.write(`console bundled (${Math.round(performance.now() - startedAtMs)} ms in all)\n`);
