/**
 * Bundles the workers for workerd: one ESM file each under dist/workers/. Node's and workerd's own modules stay outside. Must
 * never minify: a stack trace from a box without network is read by people.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
export const WORKERS = ["px", "sc"] as const;

export interface WorkerBuild {
	readonly entryPoint: string;
	readonly outfile: string;
	/** Tests change what they build here; a release has none. */
	readonly plugins?: Plugin[];
}

/** Bundles one entry point with the conditions that workerd runs under. Paths are relative to the project. */
export async function bundleWorker({ entryPoint, outfile, plugins = [] }: WorkerBuild): Promise<void> {
	await build({
		absWorkingDir: ROOT,
		entryPoints: [entryPoint],
		outfile,
		bundle: true,
		format: "esm",
		platform: "neutral",
		target: "es2024",
		mainFields: ["module", "main"],
		conditions: ["workerd", "worker"],
		external: ["node:*", "cloudflare:*"],
		// WebAssembly lies beside the bundle as a module of its own: workerd makes none from bytes.
		loader: { ".wasm": "copy" },
		assetNames: "[name]",
		sourcemap: "linked",
		logLevel: "error",
		plugins,
	});
}

/** Builds every worker whose entry point is there, to dist/workers/NAME/index.js. */
export async function buildWorkers(): Promise<void> {
	const names = WORKERS.filter((name) => existsSync(`${ROOT}workers/${name}/index.ts`));
	await Promise.all(
		names.map((name) =>
			bundleWorker({ entryPoint: `workers/${name}/index.ts`, outfile: `dist/workers/${name}/index.js` }),
		),
	);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildWorkers();
