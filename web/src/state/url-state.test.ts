import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { EVENT_KINDS } from "#core/model/event.ts";
import {
	COLLAPSED_IN_LINK_MAX,
	DEFAULT_VIEW,
	formatHash,
	HOME,
	parseHash,
	type Route,
	type Selection,
	type ViewState,
} from "./url-state.ts";

const hex = (length: number) =>
	fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: length, maxLength: length });
const agent = fc.constantFrom("web-01", "db-01", "a", "x.y-z0");
const processId = fc.tuple(agent, hex(32)).map(([host, key]) => `${host}/${key}`);
const timeMs = fc.integer({ min: 1, max: 4_000_000_000_000 });
const selection: fc.Arbitrary<Selection> = fc.oneof(
	fc.record({ type: fc.constant("event" as const), row: fc.nat() }),
	fc.record({ type: fc.constant("process" as const), id: processId }),
	fc.record({ type: fc.constant("hop" as const), id: hex(12) }),
	fc.record({ type: fc.constant("host" as const), agent }),
);
const view: fc.Arbitrary<ViewState> = fc.record({
	selection: fc.option(selection),
	window: fc.option(timeMs.map((startMs) => ({ startMs, endMs: startMs + 5 }))),
	kinds: fc.subarray([...EVENT_KINDS]),
	collapsed: fc.uniqueArray(
		fc.oneof(
			processId,
			agent.map((id) => `host:${id}`),
		),
		{ maxLength: COLLAPSED_IN_LINK_MAX },
	),
	cursorMs: fc.option(timeMs),
});

test("a link reproduces the view it was made from", () => {
	fc.assert(
		fc.property(view, (state) => {
			const route: Route = { page: "trace", traceId: "T-20261122-4f1c9a", view: state, isUnknownVersion: false };
			assert.deepEqual(parseHash(formatHash(route)), structuredClone(route));
		}),
	);
});

test("every page has its own link", () => {
	const routes: Route[] = [
		HOME,
		{ page: "hits", hitId: 7 },
		{ page: "traces" },
		{ page: "fleet" },
		{ page: "approvals" },
	];
	for (const route of routes) assert.deepEqual(parseHash(formatHash(route)), route);
});

test("an invitation is read and never written back", () => {
	assert.deepEqual(parseHash("#/join/aB3_x-9"), { page: "join", token: "aB3_x-9" });
	assert.equal(formatHash({ page: "join", token: "secret" }).includes("secret"), false);
});

test("a link of another version opens the default view and says so", () => {
	const route = parseHash("#/traces/T-20261122-4f1c9a?v=2&sel=e:5");
	assert.deepEqual(route, { page: "trace", traceId: "T-20261122-4f1c9a", view: DEFAULT_VIEW, isUnknownVersion: true });
});

test("what does not parse is dropped", () => {
	const hostile = "sel=p:<img>&from=9&to=3&t=1e9&kinds=exec,<b>&closed=a,host:web-01,host:WEB";
	const route = parseHash(`#/traces/T-20261122-4f1c9a?v=1&${hostile}`);
	assert.deepEqual(route.page === "trace" && route.view, {
		...DEFAULT_VIEW,
		kinds: ["exec"],
		collapsed: ["host:web-01"],
	});
	for (const hash of ["", "#", "#/", "#/join/", "#/join/%00"]) assert.deepEqual(parseHash(hash), HOME, hash);
});

test("an address that names no page is said to be unknown, and only a plain trace id is repeated", () => {
	const unknown = (traceId: string | null): Route => ({ page: "unknown", traceId });
	for (const hash of [
		"#/nowhere",
		"#/nowhere?v=1",
		"#/join/a/b",
		"#/fleet/x/y",
		"#/traces/<b>",
		`#/traces/${"x".repeat(49)}`,
	])
		assert.deepEqual(parseHash(hash), unknown(null), hash);
	assert.deepEqual(parseHash("#/traces/T-nope"), unknown("T-nope"));
});

test("no text at all makes the parser throw", () => {
	fc.assert(fc.property(fc.string(), (text) => void parseHash(`#/traces/T-20261122-4f1c9a?v=1&${text}`)));
	fc.assert(fc.property(fc.string(), (text) => void parseHash(text)));
});
