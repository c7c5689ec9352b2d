/**
 * zstd as workerd can do it. Its `zstdCompressSync` fails on whatever does not fit one output buffer (cloudflare/workerd#6769: "Unexpected
 * end of file" beyond 40 KiB) and its `zstdDecompressSync` stops after the first frame. So data is written as a row of small frames, which
 * is standard zstd (RFC 8878 §3: frames may follow each other; any zstd reads it), and read frame by frame. Guarantees that reading
 * never yields more than the caller allows nor inflates more frames than that needs, whatever the frames claim: a frame costs time even
 * when it holds nothing.
 */
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { concatList } from "#core/bytes/bytes.ts";
import { fail, ok, type Result } from "#core/result.ts";

export const ZSTD_LIMITS = {
	/** Input of one frame: even incompressible, its output stays below the 40 KiB that the runtime gets right. */
	frameBytesMax: 32 * 1024,
	/** workerd counts its growing buffer, not the result: the cap for one frame leaves room for that and still bounds a bomb. */
	inflateBufferBytes: 256 * 1024,
} as const;

/** zstd's own default: telemetry shrinks five- to tenfold, a higher level costs a relay more than the link gains. */
const OPTIONS = { params: { [constants.ZSTD_c_compressionLevel]: 3 } };
const MAGIC = 0xfd2fb528;

export function deflateFrames(raw: Uint8Array): Uint8Array {
	const frames: Uint8Array[] = [];
	for (let offset = 0; offset < raw.length; offset += ZSTD_LIMITS.frameBytesMax) {
		const piece = raw.subarray(offset, offset + ZSTD_LIMITS.frameBytesMax);
		frames.push(new Uint8Array(zstdCompressSync(piece, OPTIONS)));
	}
	return concatList(frames);
}

/** Length of the frame that starts at `offset`, by its header and block headers (RFC 8878 §3.1.1), or null if it is cut or none. */
function frameLength(data: Uint8Array, offset: number): number | null {
	const view = new DataView(data.buffer, data.byteOffset, data.length);
	if (offset + 5 > data.length || view.getUint32(offset, true) !== MAGIC) return null;
	const descriptor = data[offset + 4] as number;
	const isSingleSegment = (descriptor & 0x20) !== 0;
	const contentSizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] as number;
	const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] as number;
	let at = offset + 5 + (isSingleSegment ? 0 : 1) + dictionaryBytes + contentSizeBytes;
	for (;;) {
		if (at + 3 > data.length) return null;
		const header = (data[at] as number) | ((data[at + 1] as number) << 8) | ((data[at + 2] as number) << 16);
		const type = (header >> 1) & 3;
		// A run-length block names its length and holds one byte; type 3 is reserved.
		at += 3 + (type === 1 ? 1 : header >> 3);
		if (type === 3) return null;
		if ((header & 1) !== 0) break;
	}
	if ((descriptor & 4) !== 0) at += 4;
	return at > data.length ? null : at - offset;
}

export type ZstdCode = "zstd_malformed" | "zstd_too_large";

/** Cuts a row of frames apart, unless there are more than full frames of `bytesMax` bytes would be. Inflates nothing. */
function splitFrames(data: Uint8Array, bytesMax: number): Result<Uint8Array[], ZstdCode> {
	const framesMax = Math.ceil(bytesMax / ZSTD_LIMITS.frameBytesMax);
	const frames: Uint8Array[] = [];
	for (let offset = 0; offset < data.length; ) {
		if (frames.length === framesMax)
			return fail("zstd_too_large", `more than the ${framesMax} frames that ${bytesMax} bytes need`);
		const length = frameLength(data, offset);
		if (length === null) return fail("zstd_malformed", `no whole frame stands at byte ${offset}`);
		frames.push(data.subarray(offset, offset + length));
		offset += length;
	}
	return ok(frames);
}

/** Inflates a row of frames to at most `bytesMax`: each full (`frameBytesMax`) but the last, as `deflateFrames` writes them. */
export function inflateFrames(data: Uint8Array, bytesMax: number): Result<Uint8Array, ZstdCode> {
	const frames = splitFrames(data, bytesMax);
	if (!frames.ok) return frames;
	const pieces: Uint8Array[] = [];
	let bytes = 0;
	for (const frame of frames.value) {
		try {
			const limit = { maxOutputLength: ZSTD_LIMITS.inflateBufferBytes };
			const piece = new Uint8Array(zstdDecompressSync(frame, limit));
			if (piece.length === 0) return fail("zstd_malformed", "a frame holds nothing");
			bytes += piece.length;
			if (piece.length > ZSTD_LIMITS.frameBytesMax || bytes > bytesMax)
				return fail("zstd_too_large", `it inflates beyond ${Math.min(bytesMax, ZSTD_LIMITS.frameBytesMax)} bytes`);
			pieces.push(piece);
		} catch (error) {
			// Both runtimes raise a RangeError when the cap is met, and other errors for broken data.
			if (error instanceof RangeError) return fail("zstd_too_large", "a frame inflates beyond its cap");
			return fail("zstd_malformed", (error as Error).message);
		}
	}
	return ok(concatList(pieces));
}
