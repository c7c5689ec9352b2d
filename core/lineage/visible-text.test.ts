import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { TEXT_LIMITS } from "./limits.ts";
import { visibleSegments, visibleText } from "./visible-text.ts";

test("plain text of any script stays as it is", () => {
	for (const text of ["bash -i", "/srv/größe/файл", "日本語", "na\u0303o", "مرحبا", ""])
		assert.equal(visibleText(text), text);
});

test("control characters are written out", () => {
	assert.equal(visibleText("a\u001b[2Jb\r\n\tc\0"), "a\\u{001b}[2Jb\\r\\n\\tc\\0");
	assert.equal(visibleText("\u0085\u009b"), "\\u{0085}\\u{009b}");
});

test("characters that turn the reading direction are written out", () => {
	for (const code of [0x061c, 0x200e, 0x200f, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069])
		assert.equal(visibleText(`x${String.fromCodePoint(code)}y`), `x\\u{${code.toString(16).padStart(4, "0")}}y`);
});

test("characters that draw nothing are written out", () => {
	for (const code of [0x00ad, 0x034f, 0x115f, 0x200b, 0x200d, 0x2028, 0x2060, 0x3164, 0xfe0f, 0xfeff, 0xe0041, 0xe0101])
		assert.equal(visibleText(String.fromCodePoint(code)), `\\u{${code.toString(16).padStart(4, "0")}}`);
});

test("spaces that look like a common space are written out", () => {
	assert.equal(visibleText("a\u00a0b\u3000c d"), "a\\u{00a0}b\\u{3000}c d");
});

test("an unpaired surrogate is written out", () => {
	assert.equal(visibleText("\ud800x"), "\\u{d800}x");
});

test("marks stacked beyond the limit are written out", () => {
	const stack = "\u0301".repeat(TEXT_LIMITS.combiningRunMax);
	assert.equal(visibleText(`e${stack}`), `e${stack}`);
	assert.equal(visibleText(`e${stack}\u0301`), `e${stack}\\u{0301}`);
});

test("an escape is told apart from the same characters in the text", () => {
	assert.deepEqual(visibleSegments("\\u{202e}\u202e"), [
		{ text: "\\u{202e}", isEscape: false },
		{ text: "\\u{202e}", isEscape: true },
	]);
});

test("text at the limit is whole and one character more is counted", () => {
	assert.equal(visibleText("abcd", 4), "abcd");
	assert.equal(visibleText("abcdef", 4), "abcd… +2 more");
	assert.equal(visibleText("ab\u{1f600}\u{1f600}", 3), "ab\u{1f600}… +2 more");
});

test("no text of any kind leaves an unseen character", () => {
	fc.assert(
		fc.property(fc.string({ unit: "binary", maxLength: 300 }), (text) => {
			assert.doesNotMatch(visibleText(text), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/u);
		}),
	);
});
