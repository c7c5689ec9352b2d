/**
 * Carriers: batches of one lane from many agents in one frame, perhaps compressed by zstd. Guarantees that reading one never
 * inflates beyond the size it names nor beyond our own cap, whatever the compressed bytes claim.
 */
import { decodeAs, encodeAs, type ShapeCode, type TypeOf } from "#core/codec/index.ts";
import type { Lane } from "#core/model/batch.ts";
import { carriedShape, encodeFrame, type FrameBody, LINK_LIMITS } from "#core/protocol/index.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { deflateFrames, inflateFrames } from "./zstd-frames.ts";

export type Carried = TypeOf<typeof carriedShape>;

export function packCarrier(lane: Lane, compression: "none" | "zstd", carried: Carried): Uint8Array {
	const raw = encodeAs(carriedShape, carried);
	const packed = compression === "zstd" ? deflateFrames(raw) : raw;
	// What does not shrink goes as it is: the frame's cap is on the data.
	const isSmaller = packed.length < raw.length;
	return encodeFrame("carrier", {
		lane,
		compression: isSmaller ? "zstd" : "none",
		rawBytes: raw.length,
		data: isSmaller ? packed : raw,
	});
}

export type CarrierCode = ShapeCode | "carrier_bomb" | "carrier_malformed" | "carrier_length";

function inflate(body: FrameBody<"carrier">): Result<Uint8Array, CarrierCode> {
	if (body.rawBytes === 0) return fail("carrier_length", "a carrier holds at least the list of its batches");
	if (body.compression === "none") return ok(body.data);
	const inflated = inflateFrames(body.data, body.rawBytes);
	if (inflated.ok) return inflated;
	return fail(inflated.code === "zstd_too_large" ? "carrier_bomb" : "carrier_malformed", inflated.detail);
}

/** Reads a carrier's batches; `rawBytes` was already capped by the frame's shape. */
export function unpackCarrier(body: FrameBody<"carrier">): Result<Carried, CarrierCode> {
	const raw = inflate(body);
	if (!raw.ok) return raw;
	if (raw.value.length !== body.rawBytes)
		return fail("carrier_length", `${raw.value.length} bytes inside, it names ${body.rawBytes}`);
	return decodeAs(carriedShape, raw.value, LINK_LIMITS.frame);
}
