import assert from "node:assert/strict";
import { test } from "node:test";
import { proxySentence } from "./status.ts";

const health = {
	...{ isUp: true, upstream: "spiffe://lab/sc/sc-1", sinceMs: 1000, timeMs: 31_000, lastError: null },
	...{ walBytes: 0, lagMs: 0, agentsUp: 3 },
};

test("a proxy's link is said in one line, with what waits and why it is cut", () => {
	assert.equal(proxySentence("px-1", health), "px-1 is linked for 30 s, 3 agents connected; nothing waits");
	const cut = { ...health, isUp: false, lastError: "silent: nothing was heard", walBytes: 900, lagMs: 4000 };
	assert.equal(
		proxySentence("px-1", cut),
		"px-1 is cut off for 30 s (silent: nothing was heard), 3 agents connected; 900 bytes wait, the oldest for 4000 ms",
	);
	assert.equal(proxySentence("px-1", null), "px-1 does not answer");
});
