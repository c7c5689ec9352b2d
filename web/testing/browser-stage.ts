/**
 * What the console's browser tests stand on: one built console and one browser for all, a fixture and a context for each test. Only
 * tests import it; importing it registers the start before the first test and the end after the last.
 */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { build } from "vite";
import { type Fixture, openFixture } from "./fixture-server.ts";
import { TRACE_ID } from "./story.ts";

const CHROMIUM = "/usr/bin/chromium";
const ARGS =
	"--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking " +
	"--disable-component-update --disable-sync";
const hasChromium = existsSync(CHROMIUM);
const isRequired = (process.env.REQUIRE ?? "").split(/[\s,]+/).includes("chromium");
const skip = hasChromium || isRequired ? false : "chromium is not installed";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** Collects what the browser refuses under the policy, from before the first script of the page. */
const WATCH = `window.refused = []; document.addEventListener("securitypolicyviolation",
	(event) => window.refused.push(event.violatedDirective + " " + event.blockedURI + " " + event.sample));`;

let root: string;
/** The running browser, from the first test on. */
export let browser: Browser;
/** The present test's own. */
export let fixture: Fixture;

before(async () => {
	if (skip) return;
	assert.ok(hasChromium, "REQUIRE names chromium and it is not installed");
	root = mkdtempSync(join(tmpdir(), "console-"));
	await build({
		configFile: fileURLToPath(new URL("../vite.config.ts", import.meta.url)),
		logLevel: "silent",
		build: { outDir: root },
	});
	browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGS.split(" ") });
});

after(async () => {
	await browser?.close();
	if (root) rmSync(root, { recursive: true, force: true });
});

/** A browser of its own, signed in as the operator unless told otherwise; checks at its end that nothing was refused or thrown. */
export function consoleTest(
	name: string,
	options: { operator?: string | null; mode?: Parameters<Fixture["setMode"]>[0]; dark?: boolean },
	run: (page: Page, context: BrowserContext) => Promise<void>,
): void {
	test(name, { skip, timeout: 30_000 }, async () => {
		const own = await openFixture(root);
		fixture = own;
		const context = await browser.newContext({
			viewport: { width: 1440, height: 900 },
			colorScheme: options.dark ? "dark" : "light",
			acceptDownloads: true,
		});
		try {
			fixture.setMode(options.mode ?? "story");
			await context.addInitScript(WATCH);
			// Well below the test's own time, so that a failure names the step.
			context.setDefaultTimeout(8000);
			const page = await context.newPage();
			const errors: string[] = [];
			page.on("pageerror", (error) => errors.push(error.message));
			if (options.operator !== null) await join_(page, options.operator ?? "ana");
			await run(page, context);
			assert.deepEqual(errors, []);
			assert.deepEqual(await page.evaluate("window.refused"), []);
		} finally {
			await context.close();
			await own.close();
		}
	});
}

export const at = (id: string) => `[data-testid="${id}"]`;
export const idle = (page: Page) => page.evaluate("window.daemoneye.idle()");
export const focused = (page: Page) => page.evaluate("document.activeElement?.getAttribute('data-testid')");

export async function join_(page: Page, operator: string): Promise<void> {
	await page.goto(`${fixture.url}/#/join/invite-${operator}`);
	await page.click(at("join-start"));
	await page.click(at("join-continue"));
	await idle(page);
}

export async function openTrace(page: Page, query = ""): Promise<void> {
	await page.goto(`${fixture.url}/#/traces/${TRACE_ID}${query}`);
	await page.waitForSelector(at("treegrid"));
	await idle(page);
}

export async function press(page: Page, ...keys: string[]): Promise<void> {
	for (const key of keys) await page.keyboard.press(key);
	await idle(page);
}

/** Text of the row that the treegrid names as active. */
export const activeRow = (page: Page) =>
	page.evaluate(
		`document.getElementById(document.querySelector('[role=treegrid]').getAttribute('aria-activedescendant'))?.dataset.row`,
	);

/** All rules, or those that a theme can change. */
export async function axeViolations(page: Page, rules: "all" | "colours" = "all"): Promise<string[]> {
	await idle(page);
	if (!(await page.evaluate("'axe' in window"))) await page.evaluate(axe);
	const only = rules === "colours" ? ', runOnly: ["color-contrast"]' : "";
	return page.evaluate(
		`axe.run(document, { resultTypes: ["violations"]${only} }).then((result) =>
			result.violations.map((each) => each.id + ": " + each.nodes.map((node) => node.target.join(" ") + " " + node.failureSummary).join(" | ")))`,
	);
}
