import assert from "node:assert/strict";
import { test } from "node:test";
import { COMMANDS } from "./catalog.ts";
import { isKeyTaken, KeyMatcher, keyOf, keyTable, SEQUENCE_MS_MAX } from "./keys.ts";

const plain = { ctrlKey: false, metaKey: false, altKey: false, shiftKey: false };

test("every command has an id of its own and a title", () => {
	assert.equal(new Set(COMMANDS.map(({ id }) => id)).size, COMMANDS.length);
	assert.equal(new Set(COMMANDS.map(({ title }) => title)).size, COMMANDS.length);
	for (const { id, title } of COMMANDS) {
		assert.match(id, /^[a-z]+\.[a-zA-Z]+$/);
		assert.match(title, /^[A-Z].{3,60}[^.]$/);
	}
});

test("no key belongs to two commands, and no key hides a sequence", () => {
	const keys: string[] = COMMANDS.flatMap((command) => [...command.keys]);
	assert.equal(new Set(keys).size, keys.length);
	assert.equal(keyTable().size, keys.length);
	for (const key of keys) if (key.includes(" ")) assert.ok(!keys.includes(key.split(" ")[0] as string), key);
});

test("every key of the catalog is one that a key press can have", () => {
	for (const { keys } of COMMANDS)
		for (const key of keys.flatMap((each) => each.split(" "))) {
			const [, modifier, name] = /^(?:(Ctrl|Shift)\+)?(.+)$/.exec(key) ?? [];
			const press = { ...plain, key: name === "Space" ? " " : (name as string) };
			assert.equal(keyOf({ ...press, ctrlKey: modifier === "Ctrl", shiftKey: modifier === "Shift" }), key);
		}
});

test("caps lock and the command key change nothing, other modifiers are the browser's", () => {
	assert.equal(keyOf({ ...plain, key: "J" }), "j");
	assert.equal(keyOf({ ...plain, key: "?", shiftKey: true }), "?");
	assert.equal(keyOf({ ...plain, key: "k", metaKey: true }), "Ctrl+K");
	assert.equal(keyOf({ ...plain, key: "ArrowDown", shiftKey: true }), "Shift+ArrowDown");
	assert.equal(keyOf({ ...plain, key: "r", ctrlKey: true, shiftKey: true }), null);
	assert.equal(keyOf({ ...plain, key: "d", altKey: true }), null);
});

test("text fields keep their keys, controls keep those that work them", () => {
	assert.ok(isKeyTaken("j", "text") && isKeyTaken("Space", "text") && isKeyTaken("?", "text"));
	assert.ok(!isKeyTaken("Escape", "text") && !isKeyTaken("Ctrl+K", "text"));
	assert.ok(isKeyTaken("ArrowLeft", "arrows") && !isKeyTaken("j", "arrows"));
	assert.ok(isKeyTaken("Space", "press") && !isKeyTaken("ArrowDown", "press"));
	assert.ok(!isKeyTaken("Space", "none"));
});

test("a sequence needs its second key in time, and a wrong second key is read alone", () => {
	const matcher = new KeyMatcher();
	assert.deepEqual(matcher.press("g", 0), { command: null, isConsumed: true });
	assert.equal(matcher.press("t", 100).command, "go.traces");
	matcher.press("g", 1000);
	assert.equal(matcher.press("t", 1001 + SEQUENCE_MS_MAX).command, "time.jump");
	matcher.press("g", 5000);
	assert.equal(matcher.press("j", 5001).command, "row.next");
	assert.deepEqual(matcher.press("x", 6000), { command: null, isConsumed: false });
});
