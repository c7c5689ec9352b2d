/** Fuzz target of the frame decoder: any bytes are frames or a named refusal, and a cut anywhere does not change which. */
import { assertInvariant } from "#core/result.ts";
import { encodeFrame, FrameReader } from "./frame.ts";

export const name = "procmond-frame";

export function corpus(): Uint8Array[] {
	return [
		encodeFrame({
			kind: "ready",
			ktimeNs: 5_000_000_000n,
			tags: { MACHINE_ID: "0123456789abcdef0123456789abcdef", BOOT_ID: "b", WALL_NS: 1n, PROGRAMS: "a,b", MISSING: "" },
		}),
		encodeFrame({
			kind: "fork",
			tgid: 7,
			startTicks: 9n,
			cpuSeq: 1n,
			tags: { PARENT_TGID: 1, PARENT_TICKS: 2n, COMM: "sh" },
		}),
		encodeFrame({ kind: "exec", tgid: 7, startTicks: 9n, cpuSeq: 2n, tags: { EXE: "/bin/sh", ARGV: "sh\0-c\0id\0" } }),
		encodeFrame({ kind: "connect", tgid: 7, tags: { FAMILY: 2, LADDR: new Uint8Array(4), LPORT: 40_000, RESULT: 0 } }),
		encodeFrame({ kind: "stats", tags: { CPU_HEADS: new Uint8Array(16), CPU_DROPS: new Uint8Array(16), WALL_NS: 1n } }),
	];
}

/** Never throws on any bytes unless the reader breaks its promise. */
export function run(bytes: Uint8Array): void {
	const whole = new FrameReader().push(bytes);
	const reader = new FrameReader();
	const middle = bytes.length >> 1;
	const first = reader.push(bytes.subarray(0, middle));
	const second = first.ok ? reader.push(bytes.subarray(middle)) : first;
	assertInvariant(whole.ok === second.ok, "a cut changes whether the stream is refused");
	if (whole.ok && first.ok && second.ok)
		assertInvariant(
			whole.value.length === first.value.length + second.value.length,
			"a cut changes how many frames there are",
		);
}
