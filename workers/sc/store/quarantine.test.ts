import { deepEqual, equal } from "node:assert/strict";
import { after, before, test } from "node:test";
import type { QuarantinedItem } from "../../../durable/drain.ts";
import { MIGRATIONS } from "../../../migrations/index.ts";
import { STORE_LIMITS } from "../limits.ts";
import { noSqld, type RunningStore, startStore } from "../testing/running-store.ts";
import { applyMigrations } from "./migrate.ts";
import { quarantinedItems, storeQuarantined } from "./quarantine.ts";

const options = { skip: noSqld };
let running: RunningStore;
before(async () => {
	if (noSqld !== false) return;
	running = await startStore();
	await applyMigrations(running.store.writer, MIGRATIONS);
});
after(() => running?.stop());

const ITEM: QuarantinedItem = { cause: "cbor_truncated", detail: "", atMs: 1, bytesKept: 1, hop: "" };
const tell = (items: readonly QuarantinedItem[]) =>
	storeQuarantined(running.store.writer, "web-01", { items, ownName: "sc" });
const listed = (limits: { max: number; perTellerMax: number }) => quarantinedItems(running.store.reader, limits);

test(
	"a proxy that tells without end pushes out nothing that another told, in the table or the list",
	options,
	async () => {
		const max = STORE_LIMITS.quarantinePerTellerMax;
		await tell([ITEM, { ...ITEM, hop: "px-1" }, { ...ITEM, hop: "px-1/px-2" }]);
		// By words of its own, by hops that it makes up, and by garbage that it brings in the agent's name.
		const flood = Array.from({ length: max + 1 }, (_, atMs) => [
			{ ...ITEM, atMs, hop: `px-9/x-${atMs}` },
			{ ...ITEM, atMs, broughtBy: "px-9" },
		]).flat();
		for (let at = 0; at < flood.length; at += 64) await tell(flood.slice(at, at + 64));
		const rows = await listed({ max: 10_000, perTellerMax: 10_000 });
		const count = (is: (hop: string) => boolean) => rows.filter(({ hop }) => is(hop)).length;
		equal(
			count((hop) => hop.startsWith("px-9/")),
			max,
		);
		equal(
			count((hop) => hop === "sc, brought by px-9"),
			max,
		);
		deepEqual(
			rows.slice(-3).map(({ hop }) => hop),
			["px-1/px-2", "px-1", "sc"],
		);
		const few = await listed({ max: 100, perTellerMax: 2 });
		deepEqual(few.map(({ hop }) => hop).slice(-3), ["px-1/px-2", "px-1", "sc"]);
		equal(few.length, 2 * 2 + 3);
	},
);
