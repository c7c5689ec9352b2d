import { deepEqual, equal, ok } from "node:assert/strict";
import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { bundleWorker } from "../tools/build-workers.ts";
import { changeSource } from "../tools/source-changes.ts";
import { makeBuilds } from "./builds.ts";
import { ROWS } from "./matrix.ts";
import { PLANTED_BUGS, type PlantedBug, type PlantedSource } from "./planted.ts";
import { readResults, renderTable } from "./results.ts";

const ROOT = join(import.meta.dirname, "..");

/** The proxy's worker as the matrix builds it; null: as the product is built. */
async function worker(planted: PlantedBug | "" | null): Promise<string> {
	const directory = mkdtempSync(join(tmpdir(), "daemoneye-planted-"));
	try {
		const outfile = join(directory, "px.js");
		if (planted === null) await bundleWorker({ entryPoint: "workers/px/index.ts", outfile });
		const path = planted === null ? outfile : (await makeBuilds(directory, planted)).proxy;
		return readFileSync(path, "utf8").replace(/^\/\/# sourceMappingURL.*$/m, "");
	} finally {
		rmSync(directory, { recursive: true });
	}
}

/** Sources of the product: what a bundle can take in. */
const FOLDERS = ["agent", "cli", "core", "durable", "host", "verify", "web", "workers"];

test("every planted bug finds its lines, and changes them", () => {
	for (const { changes } of Object.values<PlantedSource>(PLANTED_BUGS))
		for (const change of changes) {
			const source = readFileSync(join(ROOT, change.file), "utf8");
			ok(changeSource(change.file, source, [change]) !== source, change.file);
		}
});

test("the product knows nothing of planted bugs: no source of it names one or the switch, and no build of it changes sources", () => {
	const names = [...Object.keys(PLANTED_BUGS), "PLANTED_BUG", "source-changes"];
	const files = globSync(
		FOLDERS.map((folder) => `${folder}/**/*.{ts,tsx,c,h,sh,json}`),
		{ cwd: ROOT },
	);
	const product = files.filter((file) => !/\.test\.ts$|(^|\/)(testing|build|node_modules)\//.test(file));
	ok(product.length > 300, `${product.length} sources`);
	for (const file of [...product, "tools/build.ts", "tools/build-node.ts", "tools/build-workers.ts"]) {
		const text = readFileSync(join(ROOT, file), "utf8");
		deepEqual(
			names.filter((name) => new RegExp(`\\b${name}\\b`).test(text)),
			[],
			file,
		);
	}
});

test("a build with a bug is another build, the one without is the product's", async () => {
	const [whole, product, bugged] = [await worker(""), await worker(null), await worker("ack_before_commit")];
	equal(whole, product);
	ok(bugged !== product);
});

test("every row of the plan stands once", () => {
	const numbers = ROWS.map(({ number }) => number).sort((a, b) => a - b);
	const elsewhere = new Set([5, 18, 21, 39]);
	deepEqual(
		numbers,
		Array.from({ length: 40 }, (_, index) => index + 1).filter((number) => !elsewhere.has(number)),
	);
});

test("docs/faults.md is what the results say", () => {
	deepEqual(readFileSync(join(import.meta.dirname, "../docs/faults.md"), "utf8"), renderTable(readResults()));
});
