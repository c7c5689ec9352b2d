import assert from "node:assert/strict";
import { test } from "node:test";
import { tellStory } from "../../testing/story.ts";
import { alarmTitle, fidelityText, missingParts } from "./sight.ts";

const [node] = tellStory({ isFollowed: false, isHostile: false, nowMs: 0 }).nodes;

test("a host that captures everything says nothing of it, another one its level and cause", () => {
	assert.ok(node);
	assert.equal(fidelityText({ ...node, fidelityLevel: 0, fidelityCause: "" }), null);
	const tired = { ...node, fidelityLevel: 2, fidelityCause: "psi_memory" };
	assert.equal(fidelityText(tired), "captures less: level 2 (psi_memory)");
	assert.equal(fidelityText({ ...tired, fidelityCause: "" }), "captures less: level 2");
});

test("what is missing is a list, and nothing is an empty one", () => {
	assert.deepEqual(missingParts("dns, file events,,short lives "), ["dns", "file events", "short lives"]);
	assert.deepEqual(missingParts(""), []);
});

test("an alarm's code has a sentence, and one that is not known has none", () => {
	for (const { code } of tellStory({ isFollowed: false, isHostile: false, nowMs: 0 }).alarms)
		assert.match(alarmTitle(code) ?? "", /\.$/, code);
	assert.equal(alarmTitle("constructor"), null);
	assert.equal(alarmTitle("sensor_tampered")?.startsWith("Somebody on the host"), true);
});
