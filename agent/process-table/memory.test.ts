import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { utf8 } from "#core/bytes/bytes.ts";
import { BARE_CAPTURE_POLICY } from "#core/trust/capture-policy.ts";
import { decodeFrameBody, encodeFrame, type OutgoingFrame } from "../capture/frame.ts";
import { PREFIX_BYTES } from "../capture/layout.ts";
import { HostClock } from "../clock.ts";
import { isEventFrame, translate } from "../events/translate.ts";
import { ProcessTable } from "./process-table.ts";
import { ROW_WORDS } from "./rows.ts";

const PROCESSES = 10_000;
/** Of the heap: what the packed rows do not take (arrays of shared texts, the pool of them, cgroups). */
const HEAP_BYTES_MAX = 256;
/** Of a row: 24,576 of them are 3.75 MiB of address space, of which only what is used becomes memory. */
const ROW_BYTES_MAX = 160;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

function heapBytes(): number {
	collectGarbage();
	return process.memoryUsage().heapUsed;
}

test("ten thousand processes take a row of a buffer each and next to nothing of the heap", (t) => {
	const table = new ProcessTable({ machineId: "0123456789abcdef0123456789abcdef", bootId: "b0b0" });
	const clock = new HostClock({ wallMs: () => 0, bootNs: () => 1n, monotonicMs: () => 0 });
	const context = { table, clock, isMasked: true, policy: BARE_CAPTURE_POLICY };
	const take = (frame: OutgoingFrame) => {
		const decoded = decodeFrameBody(encodeFrame(frame).subarray(PREFIX_BYTES));
		assert.ok(decoded.ok && decoded.value.kind !== null && isEventFrame(decoded.value));
		translate(decoded.value, context);
	};
	const before = heapBytes();
	for (let i = 0; i < PROCESSES; i++) {
		const tgid = 1000 + i;
		const parent = i % 50 === 0 ? 1 : tgid - (i % 50);
		const ids = { uid: 1000 + (i % 7), gid: 100, euid: 1000, cgroupId: BigInt(50 + (i % 300)) };
		const startTicks = BigInt(100_000 + i);
		const tags = { PARENT_TGID: parent, PARENT_TICKS: BigInt(99_000 + parent), COMM: "sh" };
		take({ kind: "fork", tgid, startTicks, ...ids, tags });
		const ARGV = utf8(`program\0--number\0${i}\0`);
		take({
			kind: "exec",
			tgid,
			startTicks,
			...ids,
			tags: {
				EXE: `/usr/lib/program/bin/program-${i % 400}`,
				ARGV,
				SID: tgid,
				TTY: "pts/4",
				COMM: `program-${i % 400}`,
			},
		});
	}
	const bytesPerEntry = (heapBytes() - before) / table.size;
	t.diagnostic(`${Math.round(bytesPerEntry)} bytes of the heap for each of ${table.size} processes`);
	assert.ok(table.size >= PROCESSES);
	assert.ok(bytesPerEntry <= HEAP_BYTES_MAX, `${bytesPerEntry} bytes`);
	assert.ok(4 * ROW_WORDS <= ROW_BYTES_MAX);
});
