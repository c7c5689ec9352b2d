import assert from "node:assert/strict";
import { test } from "node:test";
import { rowWindow, scrollToShow } from "./row-window.ts";

const view = { count: 1000, rowHeight: 10, scrollTop: 500, height: 100, kept: null };

test("only rows on screen and a few beyond are drawn", () => {
	const rows = rowWindow(view);
	assert.deepEqual([rows[0], rows.at(-1)], [44, 66]);
	assert.deepEqual(rowWindow({ ...view, count: 3, scrollTop: 0 }), [0, 1, 2]);
	assert.deepEqual(rowWindow({ ...view, count: 0 }), []);
});

test("the kept row is drawn wherever the view is, once", () => {
	assert.equal(rowWindow({ ...view, kept: 3 }).at(-1), 3);
	assert.equal(rowWindow({ ...view, kept: 50 }).filter((index) => index === 50).length, 1);
	for (const kept of [-1, 1000]) assert.ok(!rowWindow({ ...view, kept }).includes(kept));
});

test("scrolling moves only as far as the row needs", () => {
	const scroll = (index: number) => scrollToShow({ index, rowHeight: 10, scrollTop: 500, height: 100, coveredTop: 20 });
	assert.equal(scroll(52), null);
	assert.equal(scroll(57), null);
	assert.equal(scroll(58), 510);
	assert.equal(scroll(10), 100);
});
