import { deepEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { sha256Wasm } from "./sha256-wasm.ts";

test("the module that is kept is the one that its source makes", () => {
	const kept = readFileSync(new URL("../core/crypto/sha256.wasm", import.meta.url));
	deepEqual(new Uint8Array(kept), sha256Wasm());
});
