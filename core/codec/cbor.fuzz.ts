/** Fuzz target: the strict CBOR reader, alone and through the frame shapes. */
import { utf8 } from "#core/bytes/bytes.ts";
import { decodeFrame, encodeFrame } from "#core/protocol/index.ts";
import { decodeCbor, encodeCbor } from "./cbor.ts";
import { WALL_MS_MAX } from "./schema.ts";

export const name = "cbor";

export function corpus(): Uint8Array[] {
	return [
		encodeCbor(
			new Map<number, number | string>([
				[1, 2],
				[40, "text"],
				[70_000, -5],
			]),
		),
		encodeCbor([1, [2, [3, new Uint8Array(40)]], true, null, 2n ** 63n]),
		encodeFrame("reject", { code: "skipped", detail: "x", seq: 4 }),
		encodeCbor([2n ** 64n - 1n, 2n ** 53n, Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER]),
		encodeFrame("welcome", { timeMs: WALL_MS_MAX + 1, watermarks: [], trust: [] }),
		encodeFrame("welcome", { timeMs: 1_763_800_000_000, watermarks: [], trust: [utf8("abc")] }),
	];
}

export function run(bytes: Uint8Array): void {
	decodeCbor(bytes);
	decodeFrame(bytes);
}
