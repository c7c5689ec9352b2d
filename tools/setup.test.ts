/** What `npm run setup` looks at before it says that the bundles are up to date. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { BUNDLES } from "./build-node.ts";

test("each bundled folder makes the bundles old when it changes", () => {
	const script = readFileSync(join(import.meta.dirname, "setup.sh"), "utf8");
	const sources = /^sources="([^"$]*)/m.exec(script)?.[1]?.trim().split(" ") ?? [];
	const entries = Object.values(BUNDLES).map(({ entry }) => entry.split("/")[0] as string);
	for (const folder of [...entries, "core", "durable", "workers", "web", "migrations"])
		assert(sources.includes(folder), `${folder} is not among them`);
});
