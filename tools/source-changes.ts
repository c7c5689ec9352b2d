/**
 * Bundles that differ from the release by a few lines: the next protocol version, and bugs planted on purpose that a test must find. The
 * change is made while a test bundles and stands nowhere in the product, so no setting of a running box can turn it. Must never be used
 * by a build of the product.
 */
import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import type { Plugin } from "esbuild";

const ROOT = join(import.meta.dirname, "..");

export interface SourceChange {
	/** Path in the project. */
	readonly file: string;
	/** Stands there exactly once. */
	readonly from: string;
	readonly to: string;
}

/** A source with its changes. Throws when a line is not there: a bug that was not planted proves nothing. */
export function changeSource(file: string, source: string, changes: readonly SourceChange[]): string {
	let changed = source;
	for (const { from, to } of changes) {
		if (changed.split(from).length !== 2) throw new Error(`${file} has no one line ${from}`);
		changed = changed.replace(from, () => to);
	}
	return changed;
}

/** Changes the sources that a bundle takes in; those it leaves out are of no matter. */
export function changing(changes: readonly SourceChange[]): Plugin {
	return {
		name: "source-changes",
		setup(build) {
			build.onLoad({ filter: /\.ts$/ }, ({ path }) => {
				const file = relative(ROOT, path);
				const own = changes.filter((change) => change.file === file);
				if (own.length === 0) return undefined;
				return { contents: changeSource(file, readFileSync(path, "utf8"), own), loader: "ts" };
			});
		},
	};
}
