import assert from "node:assert/strict";
import { test } from "node:test";
import { isPassingCode, isRoomCode, ROOM_CODES } from "./index.ts";

test("the codes that ask for patience are these, and none may ever leave the list", () => {
	assert.deepEqual(ROOM_CODES, ["wal_full", "lane_full", "disk_low"]);
	for (const code of ROOM_CODES) assert.ok(isRoomCode(code) && isPassingCode(code), code);
});

test("a hole passes too, but is the sender's to fill; everything else is for good", () => {
	assert.deepEqual([isPassingCode("skipped"), isRoomCode("skipped")], [true, false]);
	for (const code of ["forked", "batch_signature_invalid", "", "constructor", "WAL_FULL"])
		assert.deepEqual([isPassingCode(code), isRoomCode(code)], [false, false], code);
});
