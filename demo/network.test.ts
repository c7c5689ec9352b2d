/** The choice of the demo's private /29. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseAddresses, overlaps } from "./network.ts";

test("the five addresses of a subnet are laid out as two /30 links", () => {
	const last = chooseAddresses((below) => below - 1);
	assert.deepEqual(last, {
		subnet: "10.255.255.248/29",
		attacker: "10.255.255.249",
		webFront: "10.255.255.250",
		webBack: "10.255.255.253",
		db: "10.255.255.254",
	});
});

test("a wider, an equal and a narrower network that share an address overlap the /29", () => {
	const base = 0x0a4d_0000;
	for (const cidr of ["10.0.0.0/8", "10.77.0.1/16", "10.77.0.3/29", "10.77.0.7/32"])
		assert.ok(overlaps(cidr, base), cidr);
});

test("a neighbouring network and an IPv6 network do not overlap the /29", () => {
	const base = 0x0a4d_0000;
	for (const cidr of ["10.77.0.8/29", "10.76.255.255/32", "192.0.2.2/24", "fd00::2/64"]) {
		assert.ok(!overlaps(cidr, base), cidr);
	}
});
