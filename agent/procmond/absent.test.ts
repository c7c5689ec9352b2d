/** The reasons of ABSENT: one list in absent.h, the same one in docs/tiers.md, and no other text of a reason anywhere. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const HERE = import.meta.dirname;
const read = (path: string) => readFileSync(join(HERE, path), "utf8");
const inHeader = [...read("absent.h").matchAll(/^#define ABSENT_\w+ "(\w+)"$/gm)].map((found) => found[1] as string);

test("docs/tiers.md explains each reason that a field can be absent for", () => {
	const section = read("../../docs/tiers.md").split("## Fields, and the reason")[1]?.split("\n## ")[0] ?? "";
	const explained = [...section.matchAll(/^\| `(\w+)` \|/gm)].map((found) => found[1] as string);
	assert(inHeader.length > 10);
	assert.deepEqual(explained.toSorted(), inHeader.toSorted());
});

test("no source says a reason in its own words", () => {
	const entry = new RegExp(`"[A-Z_]+:(${inHeader.join("|")})[",]`);
	for (const file of globSync("*.{c,h}", { cwd: HERE })) assert.doesNotMatch(read(file), entry, file);
	for (const file of globSync("*.c", { cwd: HERE }))
		for (const call of read(file).matchAll(/\b(?:absent_add|add_if)\([^;]*;/g))
			assert.doesNotMatch(call[0], /, "[a-z_]+"\)/, file);
});
