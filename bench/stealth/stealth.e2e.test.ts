/** Nobody on the watched host can tell that a trace began, and root only by what docs/threat-model.md lists. Needs root and BTF. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { closeSync, openSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { BenchContext } from "../bench.ts";
import { missingForKernel } from "../kernel-needs.ts";
import { openWatchedBox, type WatchedBox } from "../watched-box.ts";
import { reportLines } from "./report.ts";
import { measureStealth, type StealthOptions, type StealthReport } from "./stealth.ts";

/** What root can find, by section; each is a row of the threat model. */
function listedForRoot(): Set<string> {
	const text = readFileSync(join(import.meta.dirname, "..", "..", "docs", "threat-model.md"), "utf8");
	const table = /<!-- root-sees -->\n([\s\S]*?)<!-- end -->/.exec(text)?.[1] ?? "";
	return new Set([...table.matchAll(/^\| `([a-z.]+)` \|/gm)].map((match) => match[1] as string));
}

async function report(
	t: TestContext,
	options: (box: WatchedBox) => StealthOptions = () => ({}),
): Promise<StealthReport> {
	const context: BenchContext = {
		signal: t.signal,
		onStep: () => undefined,
		report: () => undefined,
	};
	const box = await openWatchedBox(context);
	assert.ok(box.ok, box.ok ? "" : box.detail);
	t.after(() => box.value.close());
	const measured = await measureStealth(box.value, context, options(box.value));
	assert.ok(measured.ok, measured.ok ? "" : measured.detail);
	return measured.value;
}

test("a trace changes nothing that an unprivileged user can list, and for root only what is listed", {
	skip: missingForKernel(),
	timeout: 400_000,
}, async (t) => {
	const measured = await report(t);
	for (const line of reportLines(measured)) t.diagnostic(line);
	assert.equal(measured.tracesRun, 2);
	assert.ok(measured.itemsSeen.nobody > 100 && measured.itemsSeen.root > measured.itemsSeen.nobody);
	assert.deepEqual(measured.differences.nobody, []);
	const listed = listedForRoot();
	const unlisted = measured.differences.root.filter(({ section }) => !listed.has(section.replace(/\.\d+\./, ".")));
	assert.deepEqual(unlisted, []);
});

test("a process, a file and a file descriptor that come with a trace are found", {
	skip: missingForKernel(),
	timeout: 400_000,
}, async (t) => {
	const planted = "/var/tmp/planted-by-the-stealth-test";
	// Longer than both rounds, so that it is there when it is looked for.
	const program = "sleep 311.5";
	t.after(() => {
		rmSync(planted, { force: true });
		spawnSync("/usr/bin/pkill", ["-f", program]);
	});
	const measured = await report(t, () => ({
		atTraceStart() {
			closeSync(openSync(planted, "w"));
			// Its parent is init: nothing of the test's own.
			spawn("/bin/sh", ["-c", `${program} &`], { detached: true, stdio: "ignore" }).unref();
		},
	}));
	const seen = measured.differences.nobody.map(({ section, item }) => `${section} ${item}`);
	assert.ok(
		seen.some((line) => line.startsWith("changed") && line.includes(planted)),
		seen.join("\n"),
	);
	assert.ok(
		seen.some((line) => line.startsWith("process") && line.includes(program)),
		seen.join("\n"),
	);
});
