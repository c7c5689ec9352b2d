import assert from "node:assert/strict";
import { test } from "node:test";
import { readZip } from "#core/package/index.ts";
import { readParts } from "./package-parts.ts";
import { makeTestPackage, sealTestPackage } from "./testing/enclave.ts";

test("a package is read at the limit of events and refused by name above it", async () => {
	const { input } = await makeTestPackage();
	const files = readZip(sealTestPackage(input));
	assert(files.ok);
	const parts = readParts(files.value);
	assert(parts.ok);
	const eventCount = parts.value.batches.reduce((sum, { opened }) => sum + opened.events.length, 0);
	assert.ok(readParts(files.value, { eventsMax: eventCount }).ok);
	const refused = readParts(files.value, { eventsMax: eventCount - 1 });
	assert.ok(!refused.ok && refused.code === "too_many_events");
});
