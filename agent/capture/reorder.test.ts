import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type CaptureFrame, decodeFrameBody, encodeFrame } from "./frame.ts";
import { ReorderWindow } from "./reorder.ts";

function frameOf(ktime: number, cpuSeq = 1): CaptureFrame {
	const frame = decodeFrameBody(
		encodeFrame({ kind: "exec", ktimeNs: BigInt(ktime), cpuSeq: BigInt(cpuSeq) }).subarray(4),
	);
	assert.ok(frame.ok && frame.value.kind !== null);
	return frame.value;
}

function stage(framesMax = 100) {
	const out: [number, boolean][] = [];
	const window = new ReorderWindow({ windowMs: 20, framesMax }, (frame, isLate) => {
		out.push([Number(frame.ktimeNs), isLate]);
	});
	return { window, out };
}

test("frames leave by kernel time, after the window and not before", () => {
	const { window, out } = stage();
	window.take(frameOf(30), 0);
	window.take(frameOf(10), 5);
	window.take(frameOf(20), 6);
	window.tick(19);
	assert.deepEqual(out, []);
	window.tick(20);
	assert.deepEqual(out, [
		[10, false],
		[20, false],
		[30, false],
	]);
});

test("what comes after its place has passed is marked late and not dropped", () => {
	const { window, out } = stage();
	window.take(frameOf(30), 0);
	window.tick(20);
	window.take(frameOf(29), 21);
	window.take(frameOf(30), 21);
	window.flush();
	assert.deepEqual(out, [
		[30, false],
		[29, true],
		[30, false],
	]);
});

test("frames without a number pass at once", () => {
	const { window, out } = stage();
	window.take(frameOf(30), 0);
	window.take(frameOf(5, 0), 0);
	assert.deepEqual(out, [[5, false]]);
	assert.equal(window.size, 1);
});

test("it holds no more than its limit and loses nothing, in any order of arrival", () => {
	fc.assert(
		fc.property(fc.array(fc.integer({ min: 0, max: 1000 }), { maxLength: 300 }), (times) => {
			const { window, out } = stage(16);
			for (const time of times) {
				window.take(frameOf(time), 0);
				assert.ok(window.size <= 16);
			}
			window.flush();
			const byTime = (one: number, other: number) => one - other;
			assert.deepEqual(out.map(([time]) => time).sort(byTime), [...times].sort(byTime));
			const inTime = out.filter(([, isLate]) => !isLate).map(([time]) => time);
			assert.deepEqual(inTime, [...inTime].sort(byTime));
		}),
	);
});
