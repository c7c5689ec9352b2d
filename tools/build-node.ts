/**
 * One-file bundles for Node: the offline verifier (plain Node 20 with nothing installed) and the agent (a quarter less memory than
 * from its sources, and one file to carry to an endpoint). Guarantees that a build that fails leaves the previous file in place.
 * Run by itself: `build-node.ts NAME [OUTFILE]`.
 */
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { pathToFileURL } from "node:url";
import { build, type Plugin } from "esbuild";

export const BUNDLES = {
	verify: { entry: "verify/main.ts", outfile: "dist/verify/verify.mjs" },
	// The text of a program stays in memory as long as it runs. Names stay: a fault on an endpoint must be readable.
	agent: { entry: "agent/main.ts", outfile: "dist/agent/agent.mjs", isTight: true },
} as const;

/** Libraries written for `require` ask for Node's own modules by it; an ES module has to make one. */
const REQUIRE =
	'import { createRequire as createRequireHere } from "node:module"; const require = createRequireHere(import.meta.url);';

interface NodeBundle {
	readonly entry: string;
	readonly outfile: string;
	readonly isTight?: boolean;
	/** Tests change what they build here; a release has none. */
	readonly plugins?: Plugin[];
}

/** Bundles one entry; returns the size in bytes. Throws on any build error. */
export async function bundleNode({ entry, outfile, isTight = false, plugins = [] }: NodeBundle): Promise<number> {
	const { outputFiles } = await build({
		entryPoints: [entry],
		bundle: true,
		platform: "node",
		format: "esm",
		target: "node20",
		conditions: ["node"],
		// Native accelerators that ws uses when they are there; they are not.
		external: ["bufferutil", "utf-8-validate"],
		banner: { js: REQUIRE },
		// Licences of the libraries stay in the file that carries their code.
		legalComments: "eof",
		minifyWhitespace: isTight,
		minifySyntax: isTight,
		write: false,
		logLevel: "silent",
		plugins,
	});
	const [bundle] = outputFiles;
	if (bundle === undefined) throw new Error("esbuild wrote no file");
	mkdirSync(dirname(outfile), { recursive: true });
	writeFileSync(`${outfile}.new`, bundle.contents);
	renameSync(`${outfile}.new`, outfile);
	return bundle.contents.length;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
	const [, , name, outfile] = process.argv;
	const bundle = name === "verify" || name === "agent" ? BUNDLES[name] : null;
	if (bundle === null) throw new Error(`known bundles: ${Object.keys(BUNDLES).join(", ")}`);
	await bundleNode({ ...bundle, ...(outfile === undefined ? {} : { outfile }) });
}
