/**
 * What capture tells, in a real browser: kinds by group, facts in groups, marks, partial views, what was before the trace, a host
 * that captures less, and hostile text in all of it. The stage is that of console.browser.test.ts.
 */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { at, axeViolations, consoleTest, fixture, idle, openTrace, press } from "./testing/browser-stage.ts";
import { keyOf } from "./testing/story.ts";

const TOOL = `web-01/${keyOf("web-01", 4351)}`;
const TOOL_CHILD = `web-01/${keyOf("web-01", 4352)}`;
const text = async (page: Page, selector: string) => (await page.textContent(selector)) ?? "";

/** Selects the nth event of a kind in the table and answers what the drawer says. */
async function drawerOf(page: Page, kind: string, nth = 0): Promise<string> {
	await openTrace(page, `?v=1&kinds=${kind}`);
	await page.locator("[data-event]").nth(nth).click();
	await idle(page);
	return text(page, at("drawer"));
}

consoleTest("kinds are filtered by group or one by one, by keyboard too, and the link says which", {}, async (page) => {
	await openTrace(page);
	assert.equal(await page.locator(at("kind-rows")).count(), 0, "thirty kinds are not shown at once");
	const pressed = (id: string) => page.getAttribute(at(id), "aria-pressed");
	await page.focus(at("group-network"));
	await press(page, "Space");
	assert.equal(await pressed("group-network"), "true");
	const kinds = async () => [...new Set(await page.locator("[data-event] > :nth-child(3)").allTextContents())];
	assert.deepEqual(
		(await kinds()).filter((kind) => ["exec", "open", "gap"].includes(kind)),
		[],
	);
	assert.match(await text(page, at("event-count")), /^15 of \d+ events/);
	await page.focus(at("kinds-open"));
	await press(page, "Enter");
	assert.equal(await page.getAttribute(at("kinds-open"), "aria-expanded"), "true");
	await page.click(at("kind-dns"));
	await idle(page);
	assert.equal(await pressed("group-network"), "mixed");
	assert.match(await text(page, at("event-count")), /^13 of \d+ events/);
	await page.waitForURL(/v=1&kinds=connect,accept,close,socket,bind,listen,datagram$/);
	await page.locator("[data-event]").first().click();
	assert.deepEqual(await axeViolations(page), [], "open kinds, and the facts of an event");
	await press(page, "Escape");
	const copy = await page.context().newPage();
	await copy.goto(page.url());
	await copy.waitForSelector(at("kind-rows"));
	assert.equal(await text(copy, at("event-count")), await text(page, at("event-count")));
	await copy.close();
	await page.click(at("kinds-all"));
	await idle(page);
	assert.equal(await pressed("group-network"), "false");
	assert.match(await text(page, at("event-count")), /^\d+ events/);
});

consoleTest(
	"the facts of an event stand in groups: what it is about, where it ran, what is not known",
	{},
	async (page) => {
		const groups = () => page.locator(`${at("drawer")} section h3`).allTextContents();
		const exec = await drawerOf(page, "exec");
		assert.deepEqual((await groups()).slice(1), ["Where it ran", "Not known", "Proof"]);
		for (const part of ["/srv/app", "apache2.service", "HTTP_PROXY=‹masked:77aa›", "ttynot a terminal"])
			assert.ok(exec.includes(part), part);

		const dns = await drawerOf(page, "dns", 1);
		assert.deepEqual(await groups(), ["Network", "Where it ran", "Proof"]);
		assert.match(
			dns,
			/received.*before the trace.*Name askeddb-01\.lab.*RecordA.*0, no error.*db-01\.north\.lab10\.44\.0\.12/s,
		);
		assert.match(await drawerOf(page, "close"), /Bytes sent517Bytes received48,911/);
		assert.match(await drawerOf(page, "set_id"), /System callsetuid.*User id33 → 0/s);
		assert.match(await drawerOf(page, "file_chmod"), /make executable.*Mode100755/s);
		const memory = await drawerOf(page, "memory_header");
		assert.match(memory, /Artifact4,096 bytes, kept in the evidence under this hashSHA-256(5a11c0de){8}/);
		assert.match(await text(page, "[data-event]"), /4,096 B 5a11c0de5a11…/);
	},
);

consoleTest("marks stand on the rows they change and in the drawer", {}, async (page) => {
	assert.match(await drawerOf(page, "file_open", 0), /before the trace/);
	await openTrace(page, "?v=1&kinds=file_open");
	await press(page, "/");
	await page.keyboard.type("id_ed25519");
	await press(page, "Enter");
	assert.match(await text(page, "[data-event][aria-selected=true]"), /credential file/);
	assert.match(await text(page, at("event-marks")), /^credential file$/);
	await press(page, "Escape", "Escape");
	await openTrace(page, "?v=1&kinds=exec");
	await press(page, "/");
	await page.keyboard.type("--listen");
	await press(page, "Enter");
	assert.match(await text(page, "[data-event][aria-selected=true]"), /program deleted.*32-bit/);
});

consoleTest("what was before the trace stands apart from it, in rows and on the host", {}, async (page) => {
	await openTrace(page);
	const before = await page.locator("[data-event].event-before").count();
	assert.ok(before > 3);
	assert.match(await text(page, "[data-event]"), /before the trace/);
	await page.click('[data-row="host:web-01"]');
	await idle(page);
	assert.match(
		await text(page, at("drawer")),
		/Trace starts12:31:11\.\d+\d+ events before it, told from the agent's memory/,
	);
	await press(page, "/");
	await page.keyboard.type("tool --listen");
	await press(page, "Enter");
	assert.equal(await page.locator("[data-event].event-before[aria-selected=true]").count(), 0);
});

consoleTest(
	"a process whose view may be partial says so on its row with the cause, and so does its child",
	{},
	async (page) => {
		// By a link: rows are drawn anew while they scroll, so a click after a scroll may fall on another one.
		await openTrace(page, `?v=1&sel=p:${TOOL_CHILD}`);
		assert.match(await text(page, `[data-row="${TOOL}"] ${at("partial")}`), /^view may be partial: it set up io_uring/);
		assert.equal(await page.locator(at("partial")).count(), 2, "its child, and nobody else");
		assert.match(await text(page, at("partial-cause")), /io_uring.*inherited from tool 4351/);

		await page.click(`${at("partial-cause")} button`);
		await idle(page);
		assert.match(await text(page, at("partial-cause")), /from 12:31:14\.\d+ on/);
		assert.match(await text(page, at("drawer")), /User id33 → 0/);
	},
);

consoleTest(
	"a host that captures less says how much less and why, and what a tier cannot see is a list",
	{},
	async (page) => {
		await page.click(at("nav-fleet"));
		await page.waitForSelector(at("fleet"));
		assert.equal(await text(page, at("fidelity-web-01")), "captures less: level 2 (psi_memory)");
		assert.equal(await page.locator(at("fidelity-db-01")).count(), 0, "everything is nothing to say");
		assert.match(await text(page, at("node-lab-09")), /netlink.*Because: the kernel refuses BPF/);
		const missing = page.locator(`${at("missing-lab-09")} li`);
		assert.equal(await missing.first().isVisible(), false);
		await page.focus(`${at("missing-lab-09")} summary`);
		await press(page, "Enter");
		assert.equal(await missing.filter({ visible: true }).count(), 11);
		const asked = page.waitForResponse(/api\/fleet/);
		fixture.tell({ kind: "fleet", agent: "lab-09" });
		await asked;
		await idle(page);
		assert.equal(await missing.first().isVisible(), true, "an answer closes nothing");
		assert.match(await text(page, at("missing-plc-gw-03")), /^Cannot see: processes that live shorter/);
		assert.match(
			await text(page, at("alarm-3")),
			/sensor_tampered.*Somebody on the host acted on its collector.*kill, own_process/,
		);
		assert.deepEqual(await axeViolations(page), []);
	},
);

consoleTest("a gap known by its count is drawn from when it began", {}, async (page) => {
	await openTrace(page);
	await page.getByText("Show causes").click();
	assert.match(
		await text(page, at("completeness")),
		/web-01 12:31:14\.\d+ to 12:31:16\.\d+: 311 events, shed: file \(psi_memory\)/,
	);
	assert.match(await drawerOf(page, "fidelity"), /Causepsi_memory.*Level2/);
	assert.match(await drawerOf(page, "fidelity", 1), /Level0/);
});

consoleTest("hostile names, causes and long paths are text, escaped and cut", { mode: "hostile" }, async (page) => {
	const dns = await drawerOf(page, "dns", 1);
	assert.ok(dns.includes("db\\032\\u{202e}moc.\\u{202e}lab\\u{001b}]0;x\\u{0007}.example"), dns);
	const exec = await drawerOf(page, "exec");
	assert.match(exec, /Directory\/srv\/(deep\/){58}[dep/]*… \+\d{4} more/);
	const more = page.getByRole("button", { name: "Show more of Directory" });
	await more.press("Enter");
	assert.match(await text(page, at("drawer")), /(deep\/){800}/);
	await page.getByRole("button", { name: "Show less of Directory" }).press("Enter");
	await openTrace(page, `?v=1&sel=p:${TOOL}`);
	const chip = page.locator(`[data-row="${TOOL}"] ${at("partial")}`);
	assert.equal(await chip.getAttribute("title"), "io_uring\\u{202e}<b>\\u{001b}[2J");
	await page.click(at("nav-fleet"));
	assert.match(await text(page, at("alarm-3")), /ba\\u\{202e\}sh \(4351\)/);
	assert.equal(await page.locator("main img, main script, main b").count(), 0);
});
