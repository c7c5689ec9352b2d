import { deepEqual, equal, ok } from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { encodeAs } from "#core/codec/index.ts";
import { carriedShape, decodeFrame, type FrameBody, LINK_LIMITS } from "#core/protocol/index.ts";
import { packCarrier, unpackCarrier } from "./carrier.ts";

function bodyOf(frame: Uint8Array): FrameBody<"carrier"> {
	const decoded = decodeFrame(frame);
	ok(decoded.ok && decoded.value.type === "carrier");
	return decoded.value.body;
}
const carried = (count: number, bytes: Uint8Array) => Array.from({ length: count }, () => ({ agent: "web-01", bytes }));
const codeOf = (body: FrameBody<"carrier">) => {
	const unpacked = unpackCarrier(body);
	return unpacked.ok ? "ok" : unpacked.code;
};

test("a carrier brings its batches back, compressed or not", () => {
	const batches = carried(20, new Uint8Array(5000).fill(9));
	for (const compression of ["none", "zstd"] as const) {
		const body = bodyOf(packCarrier("bulk", compression, batches));
		deepEqual([body.lane, body.compression], ["bulk", compression]);
		const unpacked = unpackCarrier(body);
		ok(unpacked.ok);
		deepEqual(unpacked.value, batches);
	}
});

test("what does not shrink goes uncompressed", () => {
	const body = bodyOf(packCarrier("bulk", "zstd", carried(1, new Uint8Array(randomBytes(2000)))));
	equal(body.compression, "none");
});

test("a carrier that holds more or less than it names is refused by name", () => {
	const body = bodyOf(packCarrier("bulk", "zstd", carried(20, new Uint8Array(5000))));
	equal(codeOf({ ...body, rawBytes: body.rawBytes - 1 }), "carrier_bomb");
	equal(codeOf({ ...body, rawBytes: body.rawBytes + 1 }), "carrier_length");
	equal(codeOf({ ...body, data: body.data.slice(0, -1) }), "carrier_malformed");
	equal(codeOf({ ...body, compression: "none" }), "carrier_length");
	equal(codeOf({ ...body, rawBytes: 0 }), "carrier_length");
	equal(codeOf({ ...body, compression: "none", rawBytes: body.data.length }), "cbor_trailing_bytes");
});

test("a carrier holds as many batches as the limit, and not one more", () => {
	const small = new Uint8Array(1);
	equal(codeOf(bodyOf(packCarrier("bulk", "zstd", carried(LINK_LIMITS.carrierBatchesMax, small)))), "ok");
	const raw = encodeAs(carriedShape, carried(LINK_LIMITS.carrierBatchesMax + 1, small));
	equal(codeOf({ lane: "bulk", compression: "none", rawBytes: raw.length, data: raw }), "shape_mismatch");
});
