import { chromium } from "playwright-core";
import { openFixture } from "/work/main/web/testing/fixture-server.ts";

const fixture = await openFixture("/work/main/dist/web");
const browser = await chromium.launch({
	executablePath: "/usr/bin/chromium",
	args: "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync".split(
		" ",
	),
});
try {
	const theme = process.argv[2] ?? "light";
	const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: theme as "dark" });
	const page = await context.newPage();
	page.on("console", (m) => console.log("console:", m.text()));
	page.on("pageerror", (e) => console.log("pageerror:", e.message, e.stack));
	const idle = () => page.evaluate("window.daemoneye.idle()");
	const shot = async (name: string) => {
		await idle();
		await page.screenshot({ path: `/tmp/shot-${theme}-${name}.png` });
	};
	await page.goto(`${fixture.url}/#/join/invite-ana`);
	await page.waitForSelector("[data-testid=join-start]");
	await shot("1join");
	await page.click("[data-testid=join-start]");
	await page.waitForSelector("[data-testid=join-continue]");
	await shot("2joined");
	console.log(page.url());
	await page.click("[data-testid=join-continue]");
	await page.waitForSelector("[data-testid=hits]");
	await page.click("[data-testid=hit-11]");
	await page.waitForSelector("[data-testid=hit-detail]");
	await shot("3hit");
	await page.click("[data-testid=trace-open-form]");
	await shot("4form");
	await page.keyboard.press("Escape");
	await page.click("[data-testid=nav-fleet]");
	await shot("5fleet");
	await page.click("[data-testid=nav-approvals]");
	await shot("6approvals");
	await page.click("[data-testid^=approve-]");
	await shot("7approve");
	await page.keyboard.press("Escape");
	await page.click("[data-testid=nav-traces]");
	await shot("8traces");
	await page.click("[data-testid^=trace-T]");
	await page.waitForSelector("[data-testid=treegrid]");
	await shot("9trace");
	await page.keyboard.press("n");
	await shot("a-hit");
	await page.click("[data-row^='hop:']");
	await page.click("[data-testid=tab-hops]");
	await shot("b-hop");
	await page.keyboard.press("?");
	await shot("c-keys");
	await page.keyboard.press("Escape");
	await page.keyboard.press("Control+k");
	await shot("d-palette");
} finally {
	await browser.close();
	await fixture.close();
}
