import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { METRICS_TOKEN_FILE, metricsToken } from "./metrics-token.ts";

test("the token is made once, is 256 bits, and only the box's own user can read it", (t) => {
	const dataDir = mkdtempSync(join(tmpdir(), "metrics-"));
	t.after(() => rmSync(dataDir, { recursive: true }));
	const token = metricsToken(dataDir);
	assert.match(token, /^[0-9a-f]{64}$/);
	assert.equal(statSync(join(dataDir, METRICS_TOKEN_FILE)).mode & 0o777, 0o600);
	assert.equal(metricsToken(dataDir), token);
	rmSync(join(dataDir, METRICS_TOKEN_FILE));
	assert.notEqual(metricsToken(dataDir), token, "another after it was taken away");
	writeFileSync(join(dataDir, METRICS_TOKEN_FILE), "");
	assert.equal(metricsToken(dataDir), "", "an empty file closes the door");
});
