/**
 * The offline verifier as one file, dist/verify/verify.mjs, for plain Node 20 or later with nothing installed. Guarantees that a
 * build that fails leaves the previous file in place. Run by itself it takes the file to write as its argument.
 */
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";

export const VERIFY_BUNDLE = "dist/verify/verify.mjs";

/** Bundles verify/main.ts; returns the size in bytes. Throws on any build error. */
export async function buildVerify(outfile: string = VERIFY_BUNDLE): Promise<number> {
	const { outputFiles } = await build({
		entryPoints: ["verify/main.ts"],
		bundle: true,
		platform: "node",
		format: "esm",
		target: "node20",
		conditions: ["node"],
		// Licences of the libraries stay in the file that carries their code.
		legalComments: "eof",
		write: false,
		logLevel: "silent",
	});
	const [bundle] = outputFiles;
	if (bundle === undefined) throw new Error("esbuild wrote no file");
	mkdirSync(dirname(outfile), { recursive: true });
	writeFileSync(`${outfile}.new`, bundle.contents);
	renameSync(`${outfile}.new`, outfile);
	return bundle.contents.length;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await buildVerify(process.argv[2]);
