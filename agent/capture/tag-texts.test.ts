import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { lossyTextOf } from "#core/bytes/bytes.ts";
import { decodeFrameBody, encodeFrame } from "./frame.ts";
import { PREFIX_BYTES, TAGS } from "./layout.ts";
import { textAt } from "./tag-texts.ts";

function textOfTag(bytes: Uint8Array): string {
	const frame = decodeFrameBody(encodeFrame({ kind: "exec", tags: { FILENAME: bytes } }).subarray(PREFIX_BYTES));
	assert(frame.ok && frame.value.kind !== null);
	const { tags } = frame.value;
	return textAt(tags, tags.offsetOf(TAGS.FILENAME));
}

test("a tag's text is that of its bytes, the first time and again, whatever was asked between", () => {
	const pool = fc.oneof(
		fc.uint8Array({ maxLength: 200 }),
		fc
			.constantFrom("/bin/true", "/bin/tru\u00e9", "/bin/tr\ufffde", "a".repeat(128), "a".repeat(129))
			.map((text) => new TextEncoder().encode(text)),
		fc
			.constantFrom([0xe9], [0xc3, 0xa9], [0xef, 0xbf, 0xbd], [0xff, 0xfe, 0xfd], [])
			.map((each) => Uint8Array.from(each)),
	);
	fc.assert(
		fc.property(fc.array(pool, { maxLength: 20 }), (all) => {
			for (const bytes of [...all, ...all]) assert.equal(textOfTag(bytes), lossyTextOf(bytes));
		}),
	);
});

test("bytes that are one Latin letter are not taken for the text that has this letter", () => {
	const letters = Uint8Array.from([0x41, 0xe9]);
	assert.equal(textOfTag(letters), "A\ufffd");
	assert.equal(textOfTag(letters), "A\ufffd");
});
