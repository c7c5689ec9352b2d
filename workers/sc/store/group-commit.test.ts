import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { GroupCommit } from "./group-commit.ts";

const limits = { groupItemsMax: 4, groupBytesMax: 100, groupHoldMsMax: 5000, waitingMax: 1000 };

/** A store that takes its time and can refuse an item: a transaction holds all or nothing. */
class SlowStore {
	readonly groups: number[][] = [];
	readonly write = async (items: readonly number[]): Promise<readonly string[]> => {
		this.groups.push([...items]);
		await new Promise((resolve) => setTimeout(resolve, 2));
		if (items.some((item) => item < 0)) throw new Error(`refused ${items.join()}`);
		return items.map((item) => `wrote ${item}`);
	};
}

test("what comes while one writes is written together, in order, and each is answered for itself", async () => {
	const store = new SlowStore();
	const group = new GroupCommit<number, string>(limits);
	const answers = await Promise.all([0, 1, 2, 3, 4, 5, 6].map((item) => group.add(item, 1, store.write)));
	assert.deepEqual(answers, ["wrote 0", "wrote 1", "wrote 2", "wrote 3", "wrote 4", "wrote 5", "wrote 6"]);
	assert.deepEqual(store.groups, [[0], [1, 2, 3, 4], [5, 6]]);
});

test("a group holds no more bytes than the limit says, and a larger item goes alone", async () => {
	const store = new SlowStore();
	const group = new GroupCommit<number, string>(limits);
	const sizes = [1, 60, 40, 1, 200, 1];
	await Promise.all(sizes.map((bytes, item) => group.add(item, bytes, store.write)));
	assert.deepEqual(store.groups, [[0], [1, 2], [3], [4], [5]]);
});

test("who fails in company is tried alone: it fails for itself, and the others are written", async () => {
	const store = new SlowStore();
	const group = new GroupCommit<number, string>(limits);
	const answers = await Promise.allSettled([0, 1, -2, 3].map((item) => group.add(item, 1, store.write)));
	assert.deepEqual(
		answers.map((answer) => (answer.status === "fulfilled" ? answer.value : (answer.reason as Error).message)),
		["wrote 0", "wrote 1", "refused -2", "wrote 3"],
	);
	assert.equal(store.groups.filter((items) => items.length > 1).length, 1);
});

test("whoever was written for by one that died writes alone after a while, and those behind go on", async () => {
	mock.timers.enable({ apis: ["setTimeout", "Date"] });
	try {
		const store = new SlowStore();
		const group = new GroupCommit<number, string>(limits);
		let hasDied = false;
		const dies = (items: readonly number[]) => {
			hasDied = hasDied || items.length > 1;
			return new Promise<never>(() => undefined);
		};
		const first = group.add(0, 1, store.write);
		void group.add(1, 1, dies);
		const taken = group.add(2, 1, store.write);
		for (let i = 0; i < 50; i++) await Promise.resolve();
		mock.timers.tick(2);
		assert.equal(await first, "wrote 0");
		for (let i = 0; i < 50; i++) await Promise.resolve();
		assert.ok(hasDied);
		const later = group.add(3, 1, store.write);
		for (let second = 0; second < 8; second++) {
			for (let i = 0; i < 50; i++) await Promise.resolve();
			mock.timers.tick(1000);
		}
		assert.equal(await taken, "wrote 2");
		assert.equal(await later, "wrote 3");
	} finally {
		mock.timers.reset();
	}
});
