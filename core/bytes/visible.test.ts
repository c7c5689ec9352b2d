import assert from "node:assert/strict";
import { test } from "node:test";
import { visible } from "./visible.ts";

test("what a person can read stays as it is", () => {
	for (const text of ["", "apache2 → bash", "Köln 東京 🙂", "a\\b 'c' \"d\""]) assert.equal(visible(text), text);
});

const unseen: [string, string][] = [
	["\u001b[2J", "\\u001b[2J"],
	["a\nb\r\t\0", "a\\u000ab\\u000d\\u0009\\u0000"],
	["\u007f\u0085\u009b", "\\u007f\\u0085\\u009b"],
	["\u202egpj.exe\u2066", "\\u202egpj.exe\\u2066"],
	["\u200b\ufeff\u00ad\u061c", "\\u200b\\ufeff\\u00ad\\u061c"],
	["\u2028\u2029", "\\u2028\\u2029"],
	["\ud800x", "\\ud800x"],
	["\u{e0041}", "\\u{e0041}"],
];
for (const [text, shown] of unseen)
	test(`${shown} is written out`, () => {
		assert.equal(visible(text), shown);
	});
