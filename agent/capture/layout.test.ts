import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import * as layout from "./layout.ts";

const procmond = fileURLToPath(new URL("../procmond/build/procmond", import.meta.url));

test("the layout is the one procmond was built with", { skip: existsSync(procmond) ? false : "not built" }, () => {
	const printed = JSON.parse(execFileSync(procmond, ["--print-layout"], { encoding: "utf8" }));
	assert.equal(printed.version, layout.FRAME_VERSION);
	assert.equal(printed.header_bytes, layout.HEADER_BYTES);
	assert.equal(printed.length_min, layout.LENGTH_MIN);
	assert.equal(printed.length_max, layout.LENGTH_MAX);
	const header = printed.header as { name: string; offset: number }[];
	assert.deepEqual(Object.fromEntries(header.map(({ name, offset }) => [name, offset])), layout.HEADER_OFFSETS);
	assert.deepEqual(printed.kinds, layout.KINDS);
	assert.deepEqual(printed.tags, layout.TAGS);
	assert.deepEqual(printed.tiers, layout.TIERS);
	assert.deepEqual(printed.flag_bits, layout.FLAG_BITS);
	assert.deepEqual(printed.collect_bits, layout.COLLECT_BITS);
	assert.deepEqual(printed.exe_flag_bits, layout.EXE_FLAG_BITS);
	assert.deepEqual(printed.shed_classes, layout.SHED_CLASSES);
	assert.equal(Math.max(...Object.values(layout.TAGS)), layout.TAG_LAST);
});
