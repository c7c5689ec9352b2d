/** The fleet page as an operator reads it: the slow link in one sentence, the tree of links, and every state of the page. */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { at, axeViolations, consoleTest, fixture, focused, idle, press } from "./testing/browser-stage.ts";

const text = async (page: Page, id: string) => (await page.textContent(at(id)))?.replace(/\s+/g, " ").trim() ?? "";

/** SHOTS=folder keeps what a person should look at. */
async function shoot(page: Page, name: string): Promise<void> {
	const folder = process.env.SHOTS;
	if (folder !== undefined) await page.screenshot({ path: `${folder}/fleet-${name}.png`, fullPage: true });
}

async function openFleet(page: Page): Promise<void> {
	await page.click(at("nav-fleet"));
	await page.waitForSelector(at("fleet"));
	await idle(page);
}

consoleTest("the slow link is named in one sentence: which hop, since when, by what measure", {}, async (page) => {
	await openFleet(page);
	assert.match(
		await text(page, "slow-link"),
		/px-plant → to px-north is the slowest link: bulk has waited for 3 min \d+ s, since \d\d:\d\d:\d\d \(12,400 batches, 1\.2 GiB\)\./,
	);
	const spoken = page.locator(`${at("slow-link")} [role=status]`);
	assert.match((await spoken.textContent()) ?? "", /^px-plant to px-north is the slowest link, since \d\d:\d\d\.$/);
	const plant = await text(page, "node-px-plant");
	for (const part of [
		"3 min 20 s behind",
		"alert: 2 batches",
		"bulk: 12,400 batches",
		"75 % of its window",
		"px-north",
	])
		assert.ok(plant.includes(part), `${part} in ${plant}`);
	assert.match(plant, /answers in 640 ms · 14 reconnects.*Last ended: silent: nothing was heard/);
	assert.match(plant, /−38 ms\s?± 641 ms/);
	const order = await page
		.locator(`${at("fleet")} tbody tr`)
		.evaluateAll((rows) => rows.map((row) => row.dataset.testid));
	assert.deepEqual(
		order,
		["px-north", "web-01", "db-01", "lab-09", "px-plant", "plc-gw-03"].map((id) => `node-${id}`),
	);
	await shoot(page, "slow-light");
	assert.deepEqual(await axeViolations(page), []);
});

consoleTest("the same in the dark, narrow, and by keyboard", { dark: true }, async (page) => {
	await press(page, "g", "f");
	await page.waitForSelector(at("fleet"));
	assert.deepEqual(await axeViolations(page, "colours"), []);
	await shoot(page, "slow-dark");
	await page.setViewportSize({ width: 1024, height: 768 });
	await idle(page);
	await shoot(page, "slow-narrow");
	await page.focus("section.table-scroll");
	await press(page, "Tab");
	assert.notEqual(await focused(page), "nav-fleet", "the list of what a host cannot see comes next");
});

consoleTest("when every link keeps up one muted sentence says so", { mode: "calm" }, async (page) => {
	await openFleet(page);
	assert.match(await text(page, "slow-link"), /Every link keeps up: nothing has waited longer than 10 s\.$/);
	assert.match((await page.textContent(".page-head")) ?? "", /6 nodes, all alive/);
	await shoot(page, "calm");
});

consoleTest("a silent proxy is cut, and what is behind it is unknown, not silent", { mode: "cut" }, async (page) => {
	await openFleet(page);
	assert.match(
		await text(page, "slow-link"),
		/px-north → to Security Center is cut: nothing was heard from px-north for 3 min \d+ s, since \d\d:\d\d:\d\d; 4 hosts behind it are unknown\./,
	);
	assert.match((await page.textContent(".page-head")) ?? "", /1 silent, 5 unknown/);
	assert.equal(await text(page, "state-web-01"), "unknown");
	assert.match(await text(page, "node-web-01"), /behind px-north ?was up to date/);
	await shoot(page, "cut");
	assert.deepEqual(await axeViolations(page), []);
});

consoleTest("when the Security Center does not answer, what is shown says that it is from before", {}, async (page) => {
	await openFleet(page);
	fixture.setMode("error");
	fixture.tell({ kind: "fleet", agent: "web-01" });
	await page.waitForSelector(at("problem"));
	assert.match(await text(page, "slow-link"), /When last heard: px-plant/);
	await shoot(page, "stale");
	fixture.setMode("empty");
	await page.locator(at("problem")).first().getByRole("button").click();
	await page.getByText("No host yet").waitFor();
	assert.equal(await page.locator(at("slow-link")).count(), 0);
	await shoot(page, "empty");
});

consoleTest("texts of hosts and strangers are text", { mode: "hostile" }, async (page) => {
	await openFleet(page);
	assert.match(await text(page, "last-error-px-plant"), /io_uring\\u\{202e\}<b>/);
	assert.match(await text(page, "stranger"), /^ba\\u\{202e\}sh speaks protocol 2 and is turned away at px-north/);
	assert.equal(await page.locator("main img, main script, main b").count(), 0);
	await shoot(page, "hostile");
});

consoleTest("an alarm that is over says since when", {}, async (page) => {
	await openFleet(page);
	assert.match(await text(page, "alarm-4"), /agent_silent.*Over since 2026-11-22 12:3\d:\d\d\./);
	assert.equal(await page.locator(at("alarm-over-3")).count(), 0);
	assert.match(await text(page, "alarms-count"), /^\d+ standing, 1 over$/);
	const order = await page
		.locator(`${at("alarms")} tbody tr`)
		.evaluateAll((rows) => rows.map((row) => row.dataset.testid));
	assert.equal(order.at(-1), "alarm-4", "what is over comes last");
	await page.locator(at("alarms")).scrollIntoViewIfNeeded();
	await page.locator(at("quarantine")).scrollIntoViewIfNeeded();
	await shoot(page, "alarms");
});
