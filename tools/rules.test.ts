import assert from "node:assert/strict";
import { test } from "node:test";
import { checkImports, checkPurity } from "./import-rule.ts";
import { checkSize, SIZE_LIMITS } from "./size-rule.ts";

const imports = (file: string, line: string) => checkImports(file, `${line}\n`);

test("a room imports what the plan names and nothing else", () => {
	assert.deepEqual(imports("agent/a.ts", 'import { x } from "#core/result.ts";'), []);
	assert.deepEqual(imports("workers/px/a.ts", 'import { x } from "../../durable/b.ts";'), []);
	assert.deepEqual(imports("web/src/a.ts", 'import type { X } from "../../workers/sc/api/answers.ts";'), []);
	for (const [file, line] of [
		["core/model/a.ts", 'import { x } from "../../host/b.ts";'],
		["core/model/a.ts", 'import "node:fs";'],
		["core/model/a.ts", 'const x = await import("ws");'],
		["durable/a.ts", 'export { x } from "../workers/edge/b.ts";'],
		["workers/px/a.ts", 'import { x } from "../sc/b.ts";'],
		["workers/sc/a.ts", 'import { x } from "../px/b.ts";'],
		["agent/a.ts", 'import { x } from "../host/b.ts";'],
		["web/src/a.ts", 'import { x } from "../../workers/sc/api/answers.ts";'],
		["host/a.ts", 'import { x } from "../bench/b.ts";'],
		["cli/a.ts", 'import { x } from "./b.test.ts";'],
		["attic/a.ts", "export const x = 1;"],
	] as const)
		assert.equal(imports(file, line).length, 1, `${file}: ${line}`);
});

test("an import over several lines is seen", () => {
	const source = 'import {\n\ta,\n\tb,\n} from "../host/x.ts";\n';
	assert.equal(checkImports("agent/a.ts", source).length, 1);
});

test("core takes clock, chance and output as arguments", () => {
	for (const line of [
		"const t = Date.now();",
		"Math.random();",
		"setTimeout(f, 1);",
		'console.log("x");',
		"process.env.X;",
	])
		assert.equal(checkPurity("core/a.ts", line).length, 1, line);
	assert.deepEqual(checkPurity("core/a.ts", "const { document } = trust.document.operators;"), []);
	assert.deepEqual(checkPurity("host/a.ts", "Date.now();"), []);
});

test("files and C functions are taken at their limit and refused above it", () => {
	const lines = (count: number) => Array.from({ length: count }, () => "x").join("\n");
	assert.deepEqual(checkSize("core/a.ts", lines(SIZE_LIMITS.fileLinesMax)), []);
	assert.equal(checkSize("core/a.ts", lines(SIZE_LIMITS.fileLinesMax + 1)).length, 1);
	assert.deepEqual(checkSize("core/a.test.ts", lines(SIZE_LIMITS.testLinesMax)), []);
	const body = (count: number) =>
		`int f(void)\n{\n${Array.from({ length: count - 2 }, () => "\tx();").join("\n")}\n}\n`;
	assert.deepEqual(checkSize("agent/a.c", body(SIZE_LIMITS.functionLinesMax)), []);
	assert.equal(checkSize("agent/a.c", body(SIZE_LIMITS.functionLinesMax + 1)).length, 1);
});

test("leftover markers and switched-off tests are found", () => {
	assert.equal(checkSize("core/a.ts", `// ${"TO"}DO later`).length, 1);
	assert.equal(checkSize("core/a.test.ts", `test.${"only"}("x", f);`).length, 1);
});
