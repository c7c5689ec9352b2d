import assert from "node:assert/strict";
import { test } from "node:test";
import { EVENT_KINDS } from "#core/model/event.ts";
import { groupState, KIND_GROUPS, kindsOf, toggleGroup, toggleKind } from "./kind-filter.ts";

test("every kind is in one group that has a button", () => {
	const all = KIND_GROUPS.flatMap(({ group }) => kindsOf(group));
	assert.deepEqual([...all].sort(), [...EVENT_KINDS].sort());
});

test("a group is added whole, taken out whole, and leaves what stands of others", () => {
	const withExec = toggleGroup(["exec"], "network");
	assert.deepEqual(new Set(withExec), new Set(["exec", ...kindsOf("network")]));
	assert.equal(groupState(withExec, "network"), "true");
	assert.equal(groupState(withExec, "process"), "mixed");
	assert.equal(groupState(withExec, "file"), "false");
	assert.deepEqual(toggleGroup(withExec, "network"), ["exec"]);
	assert.deepEqual(
		new Set(toggleGroup(["dns"], "network")),
		new Set(kindsOf("network")),
		"some of it becomes all of it",
	);
});

test("kinds stand in their own order, and who chooses everything has no filter", () => {
	assert.deepEqual(toggleKind(toggleKind([], "dns"), "exec"), ["exec", "dns"]);
	assert.deepEqual(toggleKind(["exec", "dns"], "exec"), ["dns"]);
	let kinds = toggleGroup([], "process");
	for (const { group } of KIND_GROUPS.slice(1)) kinds = toggleGroup(kinds, group);
	assert.deepEqual(kinds, []);
});
