import assert from "node:assert/strict";
import { test } from "node:test";
import {
	choiceSetting,
	flagSetting,
	groupSetting,
	integerSetting,
	orderSetting,
	readTree,
	risingSetting,
	textSetting,
} from "./strict-tree.ts";

const root = groupSetting({
	proxy: groupSetting({
		listen: textSetting("an address", /^\S+:\d+$/),
		window: integerSetting({ min: 0, max: 10, fallback: 5 }),
		isQuick: flagSetting(false),
		flow: groupSetting({ order: orderSetting(["a", "b"]), zip: choiceSetting(["x", "y"], "x") }, { isOptional: true }),
	}),
});

test("absent keys take their defaults and present ones are kept", () => {
	assert.deepEqual(readTree(root, { proxy: { listen: "h:1" } }), {
		ok: true,
		value: { proxy: { listen: "h:1", window: 5, isQuick: false, flow: { order: ["a", "b"], zip: "x" } } },
	});
	const full = { proxy: { listen: "h:1", window: 10, isQuick: true, flow: { order: ["b", "a"], zip: "y" } } };
	assert.deepEqual(readTree(root, full), { ok: true, value: full });
});

const refusals: [string, unknown, string, string][] = [
	[
		"a key with a slip",
		{ proxy: { listn: "h:1" } },
		"config_key_unknown",
		"proxy.listn: unknown key, did you mean listen?",
	],
	[
		"a key nobody knows",
		{ proxy: { listen: "h:1", colour: 1 } },
		"config_key_unknown",
		"proxy.colour: unknown key, known here: listen, window, isQuick, flow",
	],
	[
		"a prototype's name",
		{ proxy: { listen: "h:1", constructor: 1 } },
		"config_key_unknown",
		"proxy.constructor: unknown key, known here: listen, window, isQuick, flow",
	],
	["a missing key", { proxy: {} }, "config_key_missing", "proxy.listen: is missing"],
	["a missing group", {}, "config_key_missing", "proxy: is missing"],
	["no document", null, "config_key_missing", ": is missing"],
	[
		"a number out of bounds",
		{ proxy: { listen: "h:1", window: 11 } },
		"config_value_wrong",
		"proxy.window: must be a whole number from 0 to 10",
	],
	[
		"a number as text",
		{ proxy: { listen: "h:1", window: "5" } },
		"config_value_wrong",
		"proxy.window: must be a whole number from 0 to 10",
	],
	["a list for a map", { proxy: [] }, "config_value_wrong", "proxy: must be a map of keys"],
	[
		"an order with a hole",
		{ proxy: { listen: "h:1", flow: { order: ["a", "a"] } } },
		"config_value_wrong",
		"proxy.flow.order: must list each of a, b once",
	],
	[
		"a flag as text",
		{ proxy: { listen: "h:1", isQuick: "yes" } },
		"config_value_wrong",
		"proxy.isQuick: must be true or false",
	],
];
for (const [name, tree, code, detail] of refusals)
	test(`${name} is refused by its path`, () => {
		const read = readTree(root, tree);
		assert(!read.ok);
		assert.equal(read.code, code);
		assert.equal(read.detail, detail);
	});

test("numbers that must rise are read with their defaults, and refused where they fall", () => {
	const rising = risingSetting(["low", "high"], { min: 1, max: 100, fallback: { low: 80, high: 90 } });
	assert.deepEqual(readTree(rising, undefined), { ok: true, value: { low: 80, high: 90 } });
	assert.deepEqual(readTree(rising, { low: 90 }), { ok: true, value: { low: 90, high: 90 } });
	for (const [tree, detail] of [
		[{ low: 91 }, /must not fall from low to high/],
		[{ high: 79 }, /must not fall from low to high/],
		[{ high: 101 }, /high: must be a whole number from 1 to 100/],
		[{ middle: 5 }, /middle: unknown key/],
	] as const) {
		const read = readTree(rising, tree);
		assert(!read.ok);
		assert.match(read.detail, detail);
	}
});
