import assert from "node:assert/strict";
import { test } from "node:test";
import { PendingEvents } from "./pending-events.ts";

const facts = (wallTimeMs: number, traceId?: string) => ({ wallTimeMs, traceId });
const bytesOf = (value: number, length: number) => new Uint8Array(length).fill(value);

test("events come out as they went in, whatever was dropped before them and however the buffer grew", () => {
	const events = new PendingEvents();
	const signature = bytesOf(9, 64);
	const lengths = Array.from({ length: 600 }, (_, index) => 1 + ((index * 37) % 900));
	events.firstSeq = 5;
	for (const [index, length] of lengths.entries()) {
		const bytes = bytesOf(index % 251, length);
		events.add(index % 2 === 0 ? { bytes, signature } : { bytes }, facts(index, index % 3 === 0 ? "T-1" : undefined));
		// The encoder writes its next value over these bytes.
		bytes.fill(255);
	}
	for (let dropped = 0; dropped < lengths.length; ) {
		for (const at of [0, events.count - 1]) {
			const index = dropped + at;
			const { bytes, signature: own } = events.event(at);
			assert.deepEqual(bytes, bytesOf(index % 251, lengths[index] as number));
			assert.equal(own, index % 2 === 0 ? signature : undefined);
			assert.deepEqual(events.facts(at), facts(index, index % 3 === 0 ? "T-1" : undefined));
			assert.equal(events.lengthOf(at), lengths[index]);
		}
		assert.equal(
			events.byteLength,
			lengths.slice(dropped).reduce((sum, length) => sum + length, 0),
		);
		const count = Math.min(70, lengths.length - dropped);
		events.drop(count);
		dropped += count;
		assert.equal(events.firstSeq, 5 + dropped);
	}
	assert.deepEqual([events.count, events.byteLength], [0, 0]);
});
