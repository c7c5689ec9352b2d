import assert from "node:assert/strict";
import { test } from "node:test";
import { judgePath, leadsToCenter, PATH_LIMITS } from "./path.ts";

const SC = "spiffe://lab/sc/sc-1";
const px = (index: number) => `spiffe://lab/px/px-${index}`;
const codeOf = (path: readonly string[], self = px(1)) => {
	const judged = judgePath(path, self);
	return judged.ok ? "ok" : judged.code;
};

test("a path that holds its reader, or any node twice, is a cycle, wherever it stands", () => {
	assert.equal(codeOf([SC]), "ok");
	assert.equal(codeOf([px(2), px(3), SC]), "ok");
	assert.equal(codeOf([px(1)]), "path_cycle");
	assert.equal(codeOf([px(2), px(1), SC]), "path_cycle");
	assert.equal(codeOf([px(2), px(3), px(2), SC]), "path_cycle");
	assert.equal(codeOf([]), "ok");
});

test("a path may be as long as the limit allows with its reader, and no longer", () => {
	const above = (length: number) => [...Array.from({ length: length - 1 }, (_, index) => px(index + 2)), SC];
	assert.equal(codeOf(above(PATH_LIMITS.nodesMax - 1)), "ok");
	assert.equal(codeOf(above(PATH_LIMITS.nodesMax)), "path_too_long");
});

test("only a path whose last node is a Security Center leads to one", () => {
	assert(leadsToCenter([px(2), SC]));
	for (const path of [[], [px(2)], [SC, px(2)], ["sc"]]) assert(!leadsToCenter(path));
});
