/**
 * A person's whole work in the real console, over the real product and a real intrusion: join by the one-time link, see the fleet
 * and the hit, trace, see both hosts, follow, replay, export, verify. Chromium does what the person does. With SCREENSHOTS set to
 * a directory the pages are kept there as pictures.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Browser, chromium, type Page } from "playwright-core";
import { DEMO_LIMITS, openStage, type Stage } from "./stage.ts";

const CHROMIUM = "/usr/bin/chromium";
/** No background traffic, no sandbox because tests run as root. */
const ARGS =
	"--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";
const REQUIRED = (process.env.REQUIRE ?? "").split(",");
const SCREENSHOTS = process.env.SCREENSHOTS;

function missing(): string | false {
	const has = (tool: string) => spawnSync("sh", ["-c", `command -v ${tool}`]).status === 0;
	const absent = [
		["root", process.getuid?.() === 0],
		["btf", existsSync("/sys/kernel/btf/vmlinux")],
		["chromium", existsSync(CHROMIUM)],
		["apache2", has("apache2")],
		["sshd", has("sshd")],
	].find(([name, isThere]) => isThere === false && !REQUIRED.includes(name as string));
	return absent === undefined ? false : `${absent[0]} is needed`;
}

const skip = missing();
let directory: string;
let stage: Stage;
let browser: Browser;
let page: Page;
const refused: string[] = [];
const troubles: string[] = [];

before(async () => {
	if (skip !== false) return;
	directory = mkdtempSync(join(tmpdir(), "daemoneye-console-"));
	const opened = await openStage({
		policy: { mode: "solo", traceApprovals: 0, ...DEMO_LIMITS },
		invitees: [{ operatorId: "operator", roles: ["viewer", "analyst", "approver", "exporter", "auditor"] }],
		signal: new AbortController().signal,
		onStep: () => undefined,
		onTrouble: (text) => troubles.push(text),
	});
	assert(opened.ok, JSON.stringify(opened));
	stage = opened.value;
	browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGS.split(" ") });
	const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, acceptDownloads: true });
	page = await context.newPage();
	page.setDefaultTimeout(20_000);
	page.on("pageerror", (error) => refused.push(error.message));
	page.on("console", (message) => {
		if (/Content Security Policy|Refused/.test(message.text())) refused.push(message.text());
	});
});

after(async () => {
	await browser?.close();
	await stage?.close();
	if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
});

const the = (id: string) => page.getByTestId(id);

async function settle(picture: string): Promise<void> {
	await page.evaluate(() => (globalThis as unknown as { daemoneye: { idle(): Promise<void> } }).daemoneye.idle());
	if (SCREENSHOTS !== undefined) await page.screenshot({ path: join(SCREENSHOTS, `${picture}.png`) });
}

/** Steps depend on each other, as they do for a person. */
function step(name: string, act: () => Promise<void>): void {
	test(name, { skip, timeout: 60_000 }, act);
}

step("the one-time link makes a key in the browser and signs in", async () => {
	await page.goto(stage.enclave.firstLinks[0]?.url as string);
	await settle("join");
	assert(!page.url().includes("join"), "the token stayed in the address bar");
	await the("join-start").click();
	await the("join-signed-in").waitFor();
	await settle("joined");
	await the("join-continue").click();
	await the("operator").waitFor();
});

step("the fleet shows both hosts alive, from the ebpf tier", async () => {
	await the("nav-fleet").click();
	for (const host of ["web-01", "db-01"]) {
		await the(`node-${host}`).waitFor();
		await the(`node-${host}`).getByText("ebpf").waitFor();
	}
	await settle("fleet");
});

step("the intrusion appears as a hit without a reload", async () => {
	await the("nav-hits").click();
	await settle("hits-empty");
	const exploited = await stage.hosts.exploit();
	assert(exploited.ok);
	await page.getByText("apache2 → bash").first().click();
	await the("hit-detail").waitFor();
	assert.match((await the("hit-detail").textContent()) ?? "", /web-01/);
	await settle("hit");
});

step("the trace is signed in the browser and the agent obeys", async () => {
	await the("trace-open-form").click();
	await the("trace-reason").fill("a web server spawned a shell");
	await settle("trace-form");
	await the("trace-sign").click();
	await the("treegrid").waitFor();
	await page
		.getByTestId("trace-state")
		.getByText(/running/i)
		.waitFor();
});

step("the hop to the other host is drawn with its reasons, and followed", async () => {
	const went = await stage.hosts.stage2();
	assert(went.ok);
	await the("tab-hops").click();
	// The other end arrives by another agent, perhaps later: until then the hop is shown as not seen from there yet.
	// The reverse shell's connection, made before the trace, is a hop as well: to a host that nobody watches.
	const hop = page.locator(".hop-card").filter({ hasText: "db-01" });
	await hop.getByTestId("follow").waitFor();
	await settle("hop");
	await hop.getByTestId("follow").click();
	await the("trace-sign").click();
	await the("trace-sign").waitFor({ state: "detached" });
	const worked = await stage.hosts.stage3();
	assert(worked.ok);
	await page.locator("[data-testid='treegrid'] [role=row]").filter({ hasText: "db-01" }).first().waitFor();
});

step("both hosts are in the tree and the events can be stepped through", async () => {
	await the("tab-events").click();
	await the("kinds-open").click();
	await the("kind-file_rename").waitFor();
	await the("kind-file_unlink").waitFor();
	await the("kinds-open").click();
	await settle("trace-overview");
	await the("treegrid").focus();
	await page.keyboard.press("j");
	await page.keyboard.press("j");
	await page.keyboard.press(".");
	await the("drawer").waitFor();
	await settle("trace");
	if (SCREENSHOTS !== undefined) {
		await page.emulateMedia({ colorScheme: "dark" });
		await settle("trace-dark");
		await page.emulateMedia({ colorScheme: "light" });
	}
});

/** Rows move while events arrive, so a click may meet another row than the one aimed at: a person looks and clicks again. */
async function selectHost(host: string): Promise<void> {
	const row = page.locator("[data-testid='treegrid'] [role=row][aria-level='1']").filter({ hasText: host }).first();
	const isSelected = () => the("drawer").getByRole("heading", { name: host }).first().isVisible();
	for (let attempt = 1; attempt <= 10; attempt++) {
		await row.click();
		await page.waitForTimeout(300);
		if (await isSelected()) return;
	}
	assert.fail(`${host} could not be selected`);
}

step("both ends are stopped by signed commands, and the agents seal the trace", async () => {
	for (const host of ["web-01", "db-01"]) {
		await selectHost(host);
		await the("stop-trace").click();
		await the("trace-reason").fill("the story is told");
		await the("trace-sign").click();
		await the("trace-sign").waitFor({ state: "detached" });
	}
	await page
		.getByTestId("trace-state")
		.getByText(/sealed/i)
		.waitFor();
	await settle("sealed");
});

step("the package is signed here, downloaded, and a stranger's verifier passes it", async () => {
	await the("export").click();
	await the("export-reason").fill("evidence for the incident report");
	await the("export-prepare").click();
	await settle("export");
	const downloading = page.waitForEvent("download");
	await the("export-sign").click();
	const file = join(directory, "evidence.depkg");
	await (await downloading).saveAs(file);
	const verdict = spawnSync("cli/daemoneye", [
		"verify",
		file,
		"--root-fingerprint",
		stage.enclave.rootFingerprint,
		"--json",
	]);
	assert.equal(verdict.status, 0, `${verdict.stdout}${verdict.stderr}`);
	const flipped = readFileSync(file);
	flipped[flipped.length >> 1] = (flipped[flipped.length >> 1] as number) ^ 1;
	writeFileSync(file, flipped);
	const failed = spawnSync("cli/daemoneye", ["verify", file, "--root-fingerprint", stage.enclave.rootFingerprint]);
	assert.equal(failed.status, 2, "one flipped byte");
});

step("a signed-out console asks for the key and takes it back", async () => {
	await the("sign-out").click();
	await the("sign-in-operator").click();
	await the("operator").waitFor();
	assert.deepEqual(refused, []);
	assert.deepEqual(troubles, []);
});
