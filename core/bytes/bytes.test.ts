import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { concatBytes, concatList } from "./bytes.ts";

test("parts are joined in their order, and none make nothing", () => {
	deepEqual(concatBytes(Uint8Array.of(1), new Uint8Array(), Uint8Array.of(2, 3)), Uint8Array.of(1, 2, 3));
	deepEqual(concatList([]), new Uint8Array());
});

test("a list longer than any stack of arguments is joined", () => {
	equal(concatList(Array.from({ length: 500_000 }, () => Uint8Array.of(7))).length, 500_000);
});
