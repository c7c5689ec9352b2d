import { equal } from "node:assert/strict";
import { test } from "node:test";
import type { ChannelIdentity } from "./channel-store.ts";
import type { Arrival } from "./faces.ts";
import { PeerArrivals } from "./peer-arrivals.ts";

const proof = {
	chain: [],
	binding: { statement: new Uint8Array(1), tlsSignature: new Uint8Array(1), nodeSignature: new Uint8Array(1) },
};

/** An agent that was linked by px-1, whose link has ended; then px-2 brings it under a certificate that ends at `notAfterMs`. */
async function placeAfter(notAfterMs: number): Promise<string> {
	let identity = {
		...{
			agent: "web-01",
			signingKey: new Uint8Array(32),
			notAfterMs: 5000,
			proof: new Uint8Array(0),
			via: "",
			linkId: "",
		},
		...{ isUp: false, heardAtMs: 0, route: new Uint8Array(0), routeTimesMs: [100], status: null },
	} as ChannelIdentity;
	const arrivals = new PeerArrivals({
		identity: () => identity,
		writeIdentity: (next) => {
			identity = next;
		},
		heard: () => undefined,
		hasSession: () => false,
		isLive: async () => false,
		register: async () => undefined,
		onArrived: () => undefined,
		tellState: () => undefined,
	});
	const arrival = {
		...{ agent: "web-01", via: "px-2", linkId: "link", isUp: true, heardAtMs: 1, proof, notAfterMs },
		...{ signingKey: new Uint8Array(32), waiting: [], route: { hellos: [], timesMs: [50] } },
	} as unknown as Arrival;
	await arrivals.arrive(arrival);
	return identity.via;
}

test("where no link stands any route is better than none, unless the agent has a newer certificate by now", async () => {
	equal(await placeAfter(5000), "px-2");
	equal(await placeAfter(5001), "px-2");
	equal(await placeAfter(4999), "");
});
