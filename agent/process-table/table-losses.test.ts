import assert from "node:assert/strict";
import { test } from "node:test";
import { ProcessTable } from "./process-table.ts";
import { TableLosses } from "./table-losses.ts";
import { TextPool } from "./text-pool.ts";

const p = (tgid: number, start = tgid) => ({ tgid, startTicks: BigInt(start) });

test("a full table and a missed exit are told once per change", () => {
	const table = new ProcessTable({ machineId: "m", bootId: "b" }, { processesMax: 2, deadMax: 2 });
	const losses = new TableLosses();
	table.observe(p(1));
	table.observe(p(2));
	assert.deepEqual(losses.take(table), []);
	table.observe(p(3));
	table.observe(p(4));
	assert.deepEqual(losses.take(table), [{ count: 2, cause: "process_table_full" }]);
	assert.deepEqual(losses.take(table), []);
	table.exit(p(2));
	table.observe(p(1, 50));
	assert.deepEqual(losses.take(table), [{ count: 1, cause: "exit_missed" }]);
	assert.deepEqual(losses.take(table), []);
});

test("equal texts are one copy, and a full pool starts anew", () => {
	const pool = new TextPool(2);
	const first = pool.of("/usr/bin/one");
	assert.equal(pool.of(["/usr/bin", "one"].join("/")), first);
	pool.of("b");
	assert.equal(pool.size, 2);
	pool.of("c");
	assert.equal(pool.size, 1);
});
