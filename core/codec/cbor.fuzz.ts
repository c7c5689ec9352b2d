/** Fuzz target: the strict CBOR reader, alone and through the frame shapes. */
import { utf8 } from "#core/bytes/bytes.ts";
import { decodeFrame, encodeFrame } from "#core/protocol/index.ts";
import { decodeCbor, encodeCbor } from "./cbor.ts";

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
		encodeFrame("welcome", { timeMs: 1_763_800_000_000, watermarks: [], trust: [utf8("abc")] }),
	];
}

export function run(bytes: Uint8Array): void {
	decodeCbor(bytes);
	decodeFrame(bytes);
}
