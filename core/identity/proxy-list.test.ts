import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeProxyList, encodeProxyList, isListed, PROXY_LIST_LIMITS } from "./proxy-list.ts";

const names = (count: number) => Array.from({ length: count }, (_, index) => `px-${index + 1}`);

test("a list comes back as it was written, up to the limit and no further", () => {
	for (const count of [1, PROXY_LIST_LIMITS.proxiesMax]) {
		const read = decodeProxyList(encodeProxyList(names(count)));
		assert(read.ok);
		assert.deepEqual(read.value, names(count));
	}
	assert(!decodeProxyList(encodeProxyList(names(PROXY_LIST_LIMITS.proxiesMax + 1))).ok);
});

test("a list cut anywhere, an empty one and one with a bit flipped never read as the same list", () => {
	const bytes = encodeProxyList(names(3));
	for (let at = 0; at < bytes.length; at++) {
		assert(!decodeProxyList(bytes.subarray(0, at)).ok, `cut at ${at}`);
		for (let bit = 0; bit < 8; bit++) {
			const flipped = Uint8Array.from(bytes);
			flipped[at] = (flipped[at] as number) ^ (1 << bit);
			const read = decodeProxyList(flipped);
			if (read.ok) assert.notDeepEqual(read.value, names(3), `byte ${at}`);
		}
	}
	const empty = decodeProxyList(encodeProxyList([]));
	assert(!empty.ok && empty.code === "proxy_list_empty");
});

test("a listed proxy is one whose id stands in the list; without a list every node is", () => {
	assert(isListed(["px-1", "px-2"], "spiffe://lab/px/px-2"));
	for (const uri of ["spiffe://lab/px/px-3", "spiffe://lab/sc/px-1", "spiffe://lab/agent/px-1", "px-1", ""])
		assert(!isListed(["px-1", "px-2"], uri), uri);
	assert(isListed(null, "spiffe://lab/px/px-3"));
});
