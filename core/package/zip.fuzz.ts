/** Fuzz target of `readZip`: whatever opens must write back to the bytes it came from. */
import { equalBytes, utf8 } from "#core/bytes/bytes.ts";
import { assertInvariant } from "#core/result.ts";
import { readZip, writeZip } from "./zip.ts";

export const name = "zip";

export function corpus(): Uint8Array[] {
	return [
		writeZip(new Map()),
		writeZip(new Map([["a", new Uint8Array(0)]])),
		writeZip(
			new Map([
				["manifest.json", utf8("{}")],
				["events/agent/stream/1.cbor", Uint8Array.of(0xa0)],
				["ledger/checkpoint", utf8("sc.lab/ledger\n")],
			]),
		),
	];
}

/** Never throws on any bytes unless `readZip` breaks its promise. */
export function run(bytes: Uint8Array): void {
	const read = readZip(bytes);
	if (read.ok) assertInvariant(equalBytes(writeZip(read.value), bytes), "an accepted archive is not canonical");
}
