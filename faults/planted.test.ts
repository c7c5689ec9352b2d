import { deepEqual, ok } from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { PLANTED_BUGS, type PlantedBug } from "#core/planted.ts";
import { BUNDLES, bundleNode } from "../tools/build-node.ts";
import { bundleWorker } from "../tools/build-workers.ts";
import { AWAITED, ROWS } from "./matrix.ts";
import { readResults, renderTable } from "./results.ts";

async function bundles(planted: PlantedBug | ""): Promise<string> {
	const directory = mkdtempSync(join(tmpdir(), "daemoneye-planted-"));
	const at = (name: string) => join(directory, name);
	try {
		await bundleWorker({ entryPoint: "workers/px/index.ts", outfile: at("px.js"), planted });
		await bundleWorker({ entryPoint: "workers/sc/index.ts", outfile: at("sc.js"), planted });
		await bundleNode({ entry: BUNDLES.agent.entry, outfile: at("agent.mjs"), planted });
		return ["px.js", "sc.js", "agent.mjs"].map((name) => readFileSync(at(name), "utf8")).join("\n");
	} finally {
		rmSync(directory, { recursive: true });
	}
}

test("no bundle of the product knows a planted bug", async () => {
	const text = await bundles("");
	ok(!text.includes("__PLANTED__"));
	deepEqual(
		Object.keys(PLANTED_BUGS).filter((name) => text.includes(name)),
		[],
	);
});

test("a build with a bug is another build", async () => {
	const [whole, bugged] = [await bundles(""), await bundles("ack_before_commit")];
	ok(!bugged.includes("__PLANTED__"));
	ok(bugged !== whole);
});

test("every row stands once, runs or says what it waits for", () => {
	const numbers = [...ROWS, ...AWAITED].map(({ number }) => number).sort((a, b) => a - b);
	const elsewhere = new Set([5, 18, 21, 39]);
	deepEqual(
		numbers,
		Array.from({ length: 40 }, (_, index) => index + 1).filter((number) => !elsewhere.has(number)),
	);
});

test("docs/faults.md is what the results say", () => {
	deepEqual(readFileSync(join(import.meta.dirname, "../docs/faults.md"), "utf8"), renderTable(readResults()));
});
