/**
 * The console in a real browser against the fixture: real WebCrypto, real keyboard, real content security policy. Waits for the
 * app's own `idle()`, never for a time. Skipped by name where there is no Chromium; fails instead where REQUIRE names it.
 */
import assert from "node:assert/strict";
import { hexOf } from "#core/bytes/bytes.ts";
import { COMMANDS } from "./src/commands/catalog.ts";
import {
	activeRow,
	at,
	axeViolations,
	browser,
	consoleTest,
	fixture,
	focused,
	idle,
	join_,
	openTrace,
	press,
} from "./testing/browser-stage.ts";
import { REFUSAL } from "./testing/fixture-server.ts";
import { HOSTILE, keyOf, TRACE_ID } from "./testing/story.ts";

consoleTest(
	"an invitation makes a key that cannot be extracted, signs in, and leaves no token behind",
	{ operator: null },
	async (page) => {
		await page.goto(`${fixture.url}/#/join/invite-ana`);
		await page.waitForSelector(at("join-start"));
		assert.doesNotMatch(page.url(), /invite/, "gone from the address before anything else");
		await page.click(at("join-start"));
		await page.waitForSelector(at("join-signed-in"));
		assert.match((await page.textContent(at("fingerprint"))) ?? "", /^([0-9a-f]{4} ){15}[0-9a-f]{4}$/);
		await page.click(at("join-continue"));
		await page.waitForSelector(at("hits"));
		await page.goBack();
		assert.doesNotMatch(page.url(), /invite/, "nor in the history");
		const stored = await page.evaluate(`new Promise((resolve) => {
		indexedDB.open("daemoneye").onsuccess = ({ target }) => {
			target.result.transaction("operatorKeys").objectStore("operatorKeys").getAll().onsuccess = (read) =>
				resolve(read.target.result.map((key) => [key.operatorId, key.privateKey.extractable, key.privateKey.algorithm.name]));
		};
	})`);
		assert.deepEqual(stored, [["ana", false, "Ed25519"]]);
	},
);

consoleTest(
	"a returning operator signs in by one press, and a browser without a key is told what to do",
	{},
	async (page, context) => {
		await page.click(at("sign-out"));
		await page.click(at("sign-in-ana"));
		await page.waitForSelector(at("hits"));
		const other = await (await browser.newContext()).newPage();
		await other.goto(fixture.url);
		await other.waitForSelector(at("no-key"));
		await other.context().close();
		assert.equal(context.pages().length, 1);
	},
);

consoleTest("a used invitation is refused in words", { operator: null }, async (page) => {
	await join_(page, "ana");
	await page.goto(`${fixture.url}/#/join/invite-ana`);
	await page.click(at("join-start"));
	assert.match((await page.textContent(at("problem"))) ?? "", /has a key already/);
	await page.click(at("sign-in-ana"));
	await page.waitForSelector(at("hits"));
	assert.match(page.url(), /#\/hits$/, "by the key that this browser holds");
});

consoleTest("an address that leads nowhere says so instead of showing another page", {}, async (page) => {
	for (const [hash, said] of [
		["#/nonsense", "There is no page here"],
		["#/traces/T-nope", "No trace T-nope"],
		["#/traces/T-20261122-unknown", "No trace T-20261122-unknown"],
	] as const) {
		await page.goto(`${fixture.url}/${hash}`);
		await page.getByText(said).waitFor();
		assert.deepEqual(await axeViolations(page), [], hash);
	}
});

consoleTest(
	"a hop is matched without a reload or a note when its other end comes in late",
	{ mode: "unmatched" },
	async (page) => {
		await openTrace(page);
		await page.click(at("tab-hops"));
		assert.match((await page.textContent(at("hop-c0ffee01"))) ?? "", /not seen from its other end yet/);
		assert.equal(await page.locator(at("follow")).count(), 0);
		fixture.setMode("unfollowed");
		await page.waitForSelector(at("follow"));
		assert.match((await page.textContent(at("hop-confidence"))) ?? "", /96 % sure/);
	},
);

consoleTest(
	"a trace is not offered at a process that has ended, and a refusal shows its cause",
	{ mode: "ended" },
	async (page) => {
		await page.click(at("hit-11"));
		await idle(page);
		await page.click(at("trace-open-form"));
		const rows = page.locator(`${at("trace-root")} label`);
		assert.match((await rows.nth(0).textContent()) ?? "", /bash.*has ended/);
		assert.ok(await rows.nth(1).locator("input").isChecked(), "the nearest ancestor");
		await page.fill(at("trace-reason"), "x");
		await page.click(at("trace-sign"));
		await page.waitForSelector(at("trace-form"), { state: "detached" });
		assert.equal(hexOf(fixture.seen.commands[0]?.targetProcess ?? new Uint8Array()), keyOf("web-01", 4310));
		fixture.setMode("refused");
		await openTrace(page);
		assert.equal(await page.textContent(at("trace-cause")), REFUSAL);
		assert.equal(await page.locator(at("stop-trace-head")).count(), 0, "nothing to stop");
	},
);

consoleTest("stop is offered in the head for one host at a time, and by host among the commands", {}, async (page) => {
	await openTrace(page);
	assert.match((await page.textContent(at("stop-trace-head"))) ?? "", /web-01/);
	await page.click(at("stop-trace-head"));
	assert.equal(await page.textContent(at("trace-target")), "web-01");
	await press(page, "Escape");
	await page.click('[data-row="host:db-01"]');
	assert.match((await page.textContent(at("stop-trace-head"))) ?? "", /db-01/);
	await page.click(at("tab-commands"));
	await page.click(at("stop-web-01"));
	await page.fill(at("trace-reason"), "done");
	await page.click(at("trace-sign"));
	await page.waitForSelector(at("trace-form"), { state: "detached" });
	assert.deepEqual(
		fixture.seen.commands.map(({ act, targetAgent }) => `${act} ${targetAgent}`),
		["stop web-01"],
	);
	await page.click(at("export"));
	assert.match(
		(await page.textContent(at("export-unsealed"))) ?? "",
		/web-01 and db-01 are still traced.*PASS WITH GAPS/s,
	);
});

consoleTest("the fleet's ages go on, a silent host stands out, and a proxy shows no zeros", {}, async (page) => {
	await page.click(at("nav-fleet"));
	const heard = page.locator(at("heard-web-01"));
	const before = (await heard.textContent()) ?? "";
	assert.match(before, /^heard \d+ s ago$/);
	await heard.filter({ hasNotText: before }).waitFor();
	assert.equal(await page.locator(`${at("heard-web-01")}.text-warn`).count(), 0);
	assert.equal(await page.locator(`${at("heard-lab-09")}.text-warn`).count(), 1);
	assert.match((await page.textContent(at("node-px-north"))) ?? "", /up to date.*relays only.*––/s);
});

consoleTest("nothing is cut off at 1024 pixels", {}, async (page) => {
	await page.setViewportSize({ width: 1024, height: 768 });
	const inView = async (id: string) => {
		const box = await page.locator(at(id)).boundingBox();
		assert.ok(box && box.x >= 0 && box.x + box.width <= 1024, `${id} ends at ${box ? box.x + box.width : "nowhere"}`);
	};
	assert.ok(await page.locator("a.hit-row time").first().isVisible());
	await inView("sign-out");
	await page.click(at("nav-fleet"));
	await page.waitForSelector(at("fleet"));
	await inView("sign-out");
	await openTrace(page);
	for (const id of ["sign-out", "export", "stop-trace-head", "completeness"]) await inView(id);
});

consoleTest(
	"the story by keyboard only: hit, signed trace, lineage, hop, follow",
	{ mode: "unfollowed" },
	async (page) => {
		await press(page, "j", "j", "Enter");
		await page.waitForSelector(at("hit-detail"));
		await press(page, "Shift+T");
		assert.equal(await focused(page), "trace-reason");
		await page.keyboard.type("jkfn? web server started a shell");
		await press(
			page,
			"Shift+Tab",
			"Shift+Tab",
			"Shift+Tab",
			"Shift+Tab",
			"Shift+Tab",
			"Shift+Tab",
			"ArrowDown",
			"ArrowDown",
		);
		for (let i = 0; i < 8; i++) await page.keyboard.press("Tab");
		assert.equal(await focused(page), "trace-sign");
		await press(page, "Enter");
		const [command] = fixture.seen.commands;
		assert.equal(command?.reason, "jkfn? web server started a shell", "command keys are off while typing");
		assert.equal(hexOf(command?.targetProcess ?? new Uint8Array()), keyOf("web-01", 812), "the chosen ancestor");
		assert.match(command?.traceId ?? "", /^T-\d{8}-[a-z0-9]{6}$/);
		assert.equal((command?.expiresAtMs ?? 0) - (command?.timestampMs ?? 0), 900_000);
		assert.ok(page.url().endsWith(`#/traces/${command?.traceId}`));

		await openTrace(page);
		await press(page, "j");
		assert.equal(await activeRow(page), "host:web-01");
		await press(page, "ArrowRight", "ArrowRight");
		assert.equal(await activeRow(page), `web-01/${keyOf("web-01", 4310)}`);
		await press(page, "ArrowLeft");
		assert.match((await page.textContent("[data-row][aria-selected=true]")) ?? "", /\+\d+ hidden/);
		await press(page, "ArrowRight", "End");
		assert.equal(await activeRow(page), "hop:c0ffee01");
		assert.match((await page.textContent(at("drawer"))) ?? "", /96 % sure.*mirrored/s);
		await press(page, "Shift+F");
		assert.match(await page.inputValue(at("trace-reason")), /^Follow ssh \(4330\) on web-01/);
		await press(page, "Tab", "Tab", "Enter");
		const followed = fixture.seen.commands[1];
		assert.equal(followed?.traceId, TRACE_ID);
		assert.equal(followed?.targetAgent, "db-01");
		assert.equal(hexOf(followed?.parentLink?.process ?? new Uint8Array()), keyOf("web-01", 4330));
	},
);

consoleTest("stepping, hits and moment T move every view together", {}, async (page) => {
	await openTrace(page);
	await press(page, "n", "n");
	assert.match((await page.textContent(at("drawer"))) ?? "", /exec.*bash.*4315/s);
	assert.equal(await activeRow(page), `web-01/${keyOf("web-01", 4315)}`);
	assert.equal(await page.locator("[role=grid] [role=row][aria-selected=true]").count(), 1);
	const before = await page.textContent(at("moment"));
	await press(page, ".", ".");
	assert.notEqual(await page.textContent(at("moment")), before);
	assert.ok((await page.locator(".row-future").count()) > 3, "what starts after T is dimmed");
	await press(page, "Shift+N");
	assert.equal(await page.textContent(at("moment")), before);
	await press(page, "f");
	assert.match((await page.textContent(at("window-text"))) ?? "", /window/);
	await press(page, "Backspace");
	assert.match((await page.textContent(at("window-text"))) ?? "", /all/);
	await page.keyboard.press("Space");
	await page.waitForSelector(`${at("play")}[aria-label=Pause]`);
	await page.keyboard.press("Space");
	await press(page, "Escape", "Escape");
	assert.equal(await page.locator(at("drawer")).count(), 0);
	assert.equal(await page.textContent(at("moment")), "end");
});

consoleTest(
	"find counts matches, kinds filter every view, and the link reproduces what is shown without what was typed",
	{},
	async (page, context) => {
		await openTrace(page);
		await press(page, "/");
		await page.keyboard.type("id_ed25519");
		await press(page, "Enter");
		assert.match((await page.textContent(at("find-count"))) ?? "", /^1 of \d+ found$/);
		assert.match((await page.textContent(at("drawer"))) ?? "", /id_ed25519/);
		await press(page, "Escape", "Escape");
		await page.click(at("kinds-open"));
		await page.click(at("kind-connect"));
		await idle(page);
		assert.match((await page.textContent(at("event-count"))) ?? "", /^7 of \d+ events/);
		await page.waitForURL(/kinds=connect/);
		assert.doesNotMatch(page.url(), /ed25519/);
		const copy = await context.newPage();
		await copy.goto(page.url());
		await copy.waitForSelector(at("drawer"));
		await idle(copy);
		assert.equal(await copy.textContent(at("event-count")), await page.textContent(at("event-count")));
		assert.equal(await activeRow(copy), await activeRow(page));
		await copy.close();
	},
);

consoleTest("the tree is a treegrid with honest counts, levels and states", {}, async (page) => {
	await openTrace(page);
	const grid = page.locator("[role=treegrid]");
	const total = Number(await grid.getAttribute("aria-rowcount"));
	assert.equal(total, 44, "2 hosts, 40 processes, 1 hop and the header");
	assert.ok((await grid.locator("[data-row]").count()) < total, "only rows on screen are drawn");
	const row = (id: string) => page.locator(`[data-row="${id}"]`);
	assert.equal(await row("host:web-01").getAttribute("aria-level"), "1");
	assert.equal(await row(`web-01/${keyOf("web-01", 812)}`).getAttribute("aria-expanded"), "true");
	assert.match((await row(`web-01/${keyOf("web-01", 812)}`).textContent()) ?? "", /its parent is outside the trace/);
	await press(page, "[");
	assert.equal(Number(await grid.getAttribute("aria-rowcount")), 5, "hosts and their collapsed roots");
	await press(page, "n");
	assert.ok(Number(await grid.getAttribute("aria-rowcount")) > 5, "a selected event opens what hides it");
	assert.equal(await page.getAttribute(at("completeness"), "data-complete"), "false");
	await page.getByText("Show causes").click();
	assert.match((await page.textContent(at("completeness"))) ?? "", /db-01.*24 events, ring buffer of cpu 1 was full/s);
});

consoleTest(
	"every command of the catalog does something on a trace page, and focus returns from the palette",
	{},
	async (page) => {
		await openTrace(page);
		await page.focus("[role=treegrid]");
		await press(page, "Control+k");
		const listed = await page.evaluate(
			`[...document.querySelectorAll("[data-command]")].map((item) => item.dataset.command)`,
		);
		assert.deepEqual(
			listed,
			COMMANDS.map(({ id }) => id).filter((id) => id !== "palette.open"),
		);
		await page.keyboard.type("jump time");
		await press(page, "Enter");
		await page.waitForSelector(at("jump-dialog"));
		await page.keyboard.type("12:31:18");
		await press(page, "Enter");
		assert.equal(await page.textContent(at("moment")), "12:31:18.000");
		assert.equal(await focused(page), "treegrid");
		await press(page, "?");
		assert.match((await page.textContent(at("key-sheet"))) ?? "", /Next hit/);
		await press(page, "Escape");
		assert.equal(await focused(page), "treegrid");
	},
);

consoleTest("an approver signs what the bytes say, and cannot where the list says something else", {}, async (page) => {
	await page.click(at("nav-approvals"));
	await page.click('[data-testid^="approve-"]');
	const facts = (await page.textContent(at("approval-facts"))) ?? "";
	for (const part of ["Start a trace", "db-01", "15 min", "ben", "processes, arguments (masked), network"])
		assert.ok(facts.includes(part), part);
	await press(page, "Escape");
	fixture.lieAboutWaiting();
	await page.reload();
	await page.click('[data-testid^="approve-"]');
	assert.match((await page.textContent(at("approval-differences"))) ?? "", /differs in: host/);
	assert.ok(await page.locator(at("approve-sign")).isDisabled());
	assert.deepEqual(fixture.seen.approvals, []);
});

consoleTest("approving sends a signature over the same bytes, and the count goes", {}, async (page) => {
	assert.match((await page.textContent(at("approvals-count"))) ?? "", /^1/);
	await page.click(at("nav-approvals"));
	await page.click('[data-testid^="approve-"]');
	await page.click(at("approve-sign"));
	await page.waitForSelector(at("empty"));
	assert.equal(fixture.seen.approvals.length, 1);
	fixture.tell({ kind: "trace", id: "T-20261122-wait77" });
	await page.waitForSelector(at("approvals-count"), { state: "detached" });
});

consoleTest("an export is prepared, its manifest shown and signed, and the package saved", {}, async (page) => {
	await openTrace(page);
	await press(page, "e");
	await page.fill(at("export-reason"), "handover to the incident team");
	await page.click(at("export-prepare"));
	assert.match((await page.textContent(at("export-manifest"))) ?? "", /in-toto\.io\/Statement\/v1/);
	assert.match(
		(await page.textContent(at("export-summary"))) ?? "",
		/web-01, db-01.*Gapsnone.*not yet on web-01, db-01/s,
	);
	const download = page.waitForEvent("download");
	await page.click(at("export-sign"));
	assert.equal((await download).suggestedFilename(), `${TRACE_ID}.depkg`);
	assert.deepEqual(fixture.seen.exports, ["x1"]);
});

consoleTest(
	"hostile text is shown as text, escaped and capped, and does nothing",
	{ mode: "hostile" },
	async (page) => {
		assert.match((await page.textContent(at("hit-12"))) ?? "", /ss\\u\{202e\}h<b>\\u\{0007\}.*no time/s);
		await page.click(at("nav-fleet"));
		assert.match((await page.textContent(at("alarm-2"))) ?? "", /trace <img src=x onerror="[^>]*>\\u\{001b\}\[31m/);
		const refused = (await page.textContent(at("quarantine-1"))) ?? "";
		assert.match(refused, /db-01––<img src=x onerror="[^>]*>\\u\{001b\}\[31m.*at px-1\/ba\\u\{202e\}sh/s);
		assert.equal(await page.locator(`${at("quarantine")} img`).count(), 0);
		await openTrace(page);
		assert.match((await page.textContent(".trace-reason")) ?? "", /routine\\0check<\/span><script>/);
		await press(page, "/");
		await page.keyboard.type("onerror");
		await press(page, "Enter");
		const drawer = (await page.textContent(at("drawer"))) ?? "";
		assert.match(drawer, /ba\\u\{202e\}sh/);
		assert.ok(drawer.includes('<img src=x onerror="document.title=1">\\u{001b}[31m\\u{0007}'));
		await press(page, "Escape", "Escape", "/");
		await page.fill(at("find"), "voice");
		await page.focus(at("find"));
		await press(page, "Enter");
		const path = (await page.textContent(at("drawer"))) ?? "";
		assert.match(path, /\/tmp\/\\u\{2066\}in\\u\{200b\}voice\\u\{202e\}xcod\.exe\\nA+… \+\d{4} more/);
		assert.ok(path.length < HOSTILE.path.length);
		assert.equal(await page.locator("main img, main script").count(), 0);
		assert.match(await page.title(), /DaemonEye$/);
	},
);

consoleTest("alarms stand below the fleet, counted, and come without a reload", {}, async (page) => {
	await page.click(at("nav-fleet"));
	await page.waitForSelector(at("alarms"));
	const text = (await page.textContent(at("alarm-2"))) ?? "";
	for (const part of [
		"2026-11-22 12:32:34",
		"2,000 times",
		"db-01",
		"trace_not_commanded",
		"which nobody ever started",
	])
		assert.ok(text.includes(part), part);
	assert.match((await page.textContent(at("alarm-1"))) ?? "", /batch_forked.*bytes that prove it are kept/s);
	fixture.setMode("empty");
	fixture.tell({ kind: "alarm", agent: "db-01" });
	await page.getByText("No alarms").waitFor();
	fixture.setMode("error");
	fixture.tell({ kind: "alarm", agent: "db-01" });
	await page.waitForSelector(at("problem"));
	await page.getByText("No alarms").waitFor();
});

consoleTest(
	"what hops refused stands below the alarms: host, lane, number, cause, when and what is kept where",
	{},
	async (page) => {
		await page.click(at("nav-fleet"));
		await page.waitForSelector(at("quarantine"));
		const text = (await page.textContent(at("quarantine-2"))) ?? "";
		for (const part of [
			"2026-11-22 12:32:24",
			"web-01",
			"bulk",
			"1,041",
			"6f2a91c04b7de835",
			"batch_signature_invalid",
			"the signature is not the agent's",
			"at px-1",
		])
			assert.ok(text.includes(part), `${part} in ${text}`);
		assert.deepEqual(await axeViolations(page), []);
		fixture.setMode("empty");
		fixture.tell({ kind: "alarm", agent: "db-01" });
		await page.waitForSelector(at("quarantine-none"));
	},
);

consoleTest("who has no role to read alarms is told which", { operator: "nora" }, async (page) => {
	await page.click(at("nav-fleet"));
	await page.waitForSelector(at("alarms-no-role"));
	assert.equal(await page.locator(at("alarms")).count(), 0);
	assert.equal(await page.locator(at("quarantine-none")).count(), 0);
});

consoleTest("empty and failing answers are said calmly, and a retry recovers", { mode: "empty" }, async (page) => {
	for (const name of ["hits", "traces", "approvals", "fleet"]) {
		await page.click(at(`nav-${name}`));
		await page.waitForSelector(at("empty"));
		assert.deepEqual(await axeViolations(page), [], name);
	}
	fixture.setMode("error");
	await page.click(at("nav-hits"));
	await page.waitForSelector(at("problem"));
	assert.match((await page.textContent(at("problem"))) ?? "", /The store does not answer.*store_unavailable/);
	assert.deepEqual(await axeViolations(page), []);
	fixture.setMode("story");
	await page.getByText("Try again").click();
	await page.waitForSelector(at("hit-11"));
});

consoleTest(
	"live notes refresh what changed, and a lost feed keeps what is shown",
	{ mode: "unfollowed" },
	async (page) => {
		await page.waitForSelector(`${at("live")}[data-state=live]`);
		await openTrace(page);
		assert.equal(await page.locator('[data-row="host:db-01"]').count(), 0);
		await page.waitForSelector(`${at("live")}[data-state=live]`);
		fixture.setMode("story");
		fixture.tell({ kind: "trace", id: TRACE_ID });
		fixture.tell({ kind: "events", traceId: TRACE_ID, lastRow: 9999 });
		await page.waitForSelector('[role=treegrid][aria-rowcount="44"]');
		fixture.dropLive();
		await page.waitForSelector(`${at("live")}[data-state=lost]`);
		assert.ok(await page.isVisible(at("treegrid")));
		await page.waitForSelector(`${at("live")}[data-state=live]`);
	},
);

consoleTest("a viewer is shown everything and offered no signature", { operator: "vera" }, async (page) => {
	await page.click(at("hit-11"));
	assert.ok(await page.locator(at("trace-open-form")).isDisabled());
	await page.click(at("nav-approvals"));
	assert.equal(await page.locator('[data-testid^="approve-"]').count(), 0);
	await openTrace(page);
	assert.ok(await page.locator(at("export")).isDisabled());
	await press(page, "End", "Shift+F", "e");
	assert.equal(await page.locator("dialog").count(), 0);
});

for (const dark of [false, true]) {
	consoleTest(
		`axe finds nothing on any page or dialog in the ${dark ? "dark" : "light"} theme`,
		{ operator: null, dark },
		async (page) => {
			const clean = async (name: string) =>
				assert.deepEqual(await axeViolations(page, dark ? "colours" : "all"), [], name);
			await page.goto(fixture.url);
			await page.waitForSelector(at("no-key"));
			await clean("no key");
			await page.goto(`${fixture.url}/#/join/invite-ana`);
			await page.waitForSelector(at("join-start"));
			await clean("invited");
			await page.click(at("join-start"));
			await page.waitForSelector(at("join-continue"));
			await clean("joined");
			await page.click(at("join-continue"));
			await page.click(at("hit-11"));
			await page.waitForSelector(at("hit-detail"));
			await clean("hit");
			await page.click(at("trace-open-form"));
			await clean("trace form");
			await press(page, "Escape");
			await page.click(at("nav-fleet"));
			await page.waitForSelector(at("fleet"));
			await clean("fleet");
			await page.click(at("nav-approvals"));
			await page.click('[data-testid^="approve-"]');
			await clean("approve dialog");
			await press(page, "Escape");
			await clean("approvals");
			await page.click(at("nav-traces"));
			await page.waitForSelector(at("traces"));
			await clean("traces");
			await openTrace(page);
			await clean("trace");
			await press(page, "n", "n");
			await clean("trace with an event");
			await press(page, "ArrowDown", "End");
			await clean("trace with a process");
			await page.click(at("tab-hops"));
			await clean("hops");
			await page.click(at("tab-commands"));
			await clean("commands");
			await press(page, "e");
			await page.fill(at("export-reason"), "x");
			await page.click(at("export-prepare"));
			await page.click(`${at("export-dialog")} summary`);
			await page.waitForSelector(at("export-manifest"));
			await clean("export dialog");
			await press(page, "Escape", "Control+k");
			await clean("palette");
			await press(page, "Escape", "?");
			await clean("key sheet");
			await press(page, "Escape", "t");
			await clean("jump dialog");
			await press(page, "Escape");
			await page.click(at("ledger-chip"));
			await clean("ledger dialog");
			await press(page, "Escape");
			await page.click(at("sign-out"));
			await page.waitForSelector(at("sign-in-ana"));
			await clean("sign in");
		},
	);
}
