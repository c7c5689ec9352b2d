import assert from "node:assert/strict";
import { before, test } from "node:test";
import { textOf } from "#core/bytes/bytes.ts";
import { readBatch, sealBatch, sealEvent } from "#core/model/batch.ts";
import { TestAgent } from "#core/testing/test-agent.ts";
import { makeTestPackage, type TestPackage } from "#core/verify/testing/enclave.ts";
import { openBatch, preparePackage } from "./layout.ts";

let made: TestPackage;
before(async () => {
	made = await makeTestPackage();
});

test("a package is made at the limit of events and refused by name above it", () => {
	const eventCount = made.input.batches.reduce((sum, { bytes }) => {
		const read = readBatch(bytes);
		assert(read.ok);
		return sum + read.value.events.length;
	}, 0);
	assert.ok(preparePackage(made.input, { eventsMax: eventCount }).ok);
	const refused = preparePackage(made.input, { eventsMax: eventCount - 1 });
	assert.deepEqual(refused, {
		ok: false,
		code: "package_too_many_events",
		detail: `A package has at most ${eventCount - 1} events.`,
	});
});

test("a clock beyond every date is told as the last date, and the package is made", () => {
	const prepared = preparePackage({ ...made.input, preparedAtMs: Number.MAX_SAFE_INTEGER });
	assert(prepared.ok);
	const manifest = JSON.parse(textOf(prepared.value.manifest) ?? "") as { predicate: { preparedAt: string } };
	assert.equal(manifest.predicate.preparedAt, "+275760-09-13T00:00:00.000Z");
});

test("an event beyond every date makes its batch unreadable and the package refused, without a throw", () => {
	const web = new TestAgent("web-01");
	const told = web.batch("alert", [{ kind: "source" }]);
	const opened = openBatch(told.bytes);
	assert(opened.ok);
	const event = { ...opened.value.events[0], wallTimeMs: Number.MAX_SAFE_INTEGER } as never;
	const { eventCount: _, eventsRoot: __, ...header } = told.header;
	const { bytes } = sealBatch(header, [sealEvent(event, null)], web.seed);
	const [first, ...others] = made.input.batches;
	assert(first !== undefined);
	const prepared = preparePackage({ ...made.input, batches: [{ ...first, bytes }, ...others] });
	assert.ok(!prepared.ok && prepared.code === "shape_mismatch");
});
