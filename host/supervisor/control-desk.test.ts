import { deepEqual, equal, match, ok } from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fail, ok as fine } from "#core/result.ts";
import { askProcesses, askReplacement } from "./control-client.ts";
import { type Controlled, controlSocket, openControlDesk } from "./control-desk.ts";

const dataDir = mkdtempSync(join(tmpdir(), "daemoneye-control-"));
mkdirSync(join(dataDir, "run"));

function box(replace: Controlled["replace"]): Controlled {
	return {
		workers: ["sc"],
		pids: () =>
			new Map([
				["sqld", 1],
				["sc", 2],
			]),
		replace,
	};
}

test("who may open the box's socket is told what runs, and replaces one process after the other", async () => {
	const order: string[] = [];
	// A supervisor that was killed leaves its socket.
	writeFileSync(controlSocket(dataDir), "");
	const desk = await openControlDesk(
		dataDir,
		box(async (name) => {
			order.push(`+${name}`);
			await sleep(20);
			if (name === "throws") throw new Error("It threw.");
			order.push(`-${name}`);
			return name === "bad" ? fail("replacement_failed", "It said no.") : fine({ name, stopMs: 1, awayMs: 2 });
		}),
	);
	ok(desk.ok);
	equal(statSync(controlSocket(dataDir)).mode & 0o777, 0o600);
	const processes = await askProcesses(dataDir);
	ok(processes.ok);
	deepEqual(processes.value, [
		{ name: "sqld", pid: 1, isWorker: false },
		{ name: "sc", pid: 2, isWorker: true },
	]);
	const [first, bad, third] = await Promise.all(["sc", "bad", "a b&c"].map((name) => askReplacement(dataDir, name)));
	deepEqual(first, fine({ name: "sc", stopMs: 1, awayMs: 2 }));
	ok(bad && !bad.ok && bad.code === "replacement_failed" && bad.detail === "It said no.");
	ok(third?.ok && third.value.name === "a b&c", "a name arrives as it was said");
	deepEqual(order.slice(0, 6), ["+sc", "-sc", "+bad", "-bad", "+a b&c", "-a b&c"]);
	const unreadable = Promise.withResolvers<number | undefined>();
	request({ socketPath: controlSocket(dataDir), path: "//" }, (answer) =>
		unreadable.resolve(answer.resume().statusCode),
	)
		.on("error", unreadable.reject)
		.end();
	equal(await unreadable.promise, 400);
	const thrown = await askReplacement(dataDir, "throws");
	ok(!thrown.ok && thrown.code === "not_replaced" && thrown.detail === "It threw.");
	ok((await askProcesses(dataDir)).ok, "and the desk goes on");
	desk.value.close();
	const gone = await askProcesses(dataDir);
	ok(!gone.ok && gone.code === "not_running");
	match(gone.detail, /is it started, and by you/);
	rmSync(dataDir, { recursive: true });
	ok(
		!(
			await openControlDesk(
				dataDir,
				box(async () => fail("x", "")),
			)
		).ok,
	);
});
