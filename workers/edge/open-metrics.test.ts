import assert from "node:assert/strict";
import { test } from "node:test";
import { answerMetrics } from "./metrics-door.ts";
import { type Family, OPEN_METRICS_TYPE, openMetricsText } from "./open-metrics.ts";
import { readOpenMetrics, seriesValue } from "./testing/open-metrics-reader.ts";

const lag: Family = {
	...{ name: "daemoneye_lag_seconds", type: "gauge", unit: "seconds", help: "Age of the oldest batch." },
	samples: [
		{ labels: { lane: "bulk" }, value: 1.5 },
		{ labels: { lane: "trace" }, value: 0 },
	],
};
const made: Family = {
	...{ name: "daemoneye_stored_batches", type: "counter", unit: "batches", help: "Batches ever stored." },
	samples: [{ value: 7 }],
};

test("what is written reads by the specification, with type, unit and help of each family", () => {
	const families = readOpenMetrics(openMetricsText([lag, made]));
	assert.deepEqual(
		families.map(({ name, type, unit }) => [name, type, unit]),
		[
			["daemoneye_lag_seconds", "gauge", "seconds"],
			["daemoneye_stored_batches", "counter", "batches"],
		],
	);
	assert.equal(seriesValue(families, "daemoneye_lag_seconds", { lane: "bulk" }), 1.5);
	assert.equal(seriesValue(families, "daemoneye_stored_batches_total"), 7);
});

test("text of a node cannot end its line or its quotes", () => {
	const hostile = 'px"} 1\n# EOF\\';
	const [family] = readOpenMetrics(openMetricsText([{ ...lag, samples: [{ labels: { proxy: hostile }, value: 1 }] }]));
	assert.equal(family?.samples[0]?.labels.proxy, hostile);
});

test("a name without its unit, a family twice and a value that is no number are our own mistakes", () => {
	assert.throws(() => openMetricsText([{ ...lag, unit: "bytes" }]), /no name in bytes/);
	assert.throws(() => openMetricsText([lag, lag]), /twice/);
	assert.throws(() => openMetricsText([{ ...lag, samples: [{ value: Number.NaN }] }]), /no number/);
	assert.throws(() => openMetricsText([{ ...lag, samples: [{ labels: { "a-b": "" }, value: 1 }] }]), /no label name/);
});

test("the reader refuses what the specification does not allow", () => {
	const good = openMetricsText([lag, made]);
	for (const [from, to] of [
		["# EOF\n", ""],
		["# EOF\n", "# EOF\n\n"],
		["# TYPE daemoneye_lag_seconds gauge\n", ""],
		["# UNIT daemoneye_lag_seconds seconds\n", "# UNIT daemoneye_lag_seconds bytes\n"],
		["# HELP daemoneye_lag_seconds Age of the oldest batch.\n", ""],
		["_total 7", " 7"],
		["_total 7", "_total -7"],
		['lane="trace"', 'lane="bulk"'],
		[" 1.5", "  1.5"],
		[" 1.5", " 1,5"],
		['lane="bulk"} 1.5', 'lane="bu\\lk"} 1.5'],
		["# TYPE daemoneye_stored", "# a comment\n# TYPE daemoneye_stored"],
		["# EOF", "# TYPE daemoneye_lag_seconds gauge\n# EOF"],
	] as const) {
		assert.ok(good.includes(from), from);
		assert.throws(() => readOpenMetrics(good.replace(from, to)), undefined, `${from} → ${to}`);
	}
});

const TOKEN = "f".repeat(64);
const ask = (env: { METRICS_TOKEN?: string }, authorization?: string, method = "GET") =>
	answerMetrics(
		new Request("http://px/metrics", { method, headers: authorization === undefined ? {} : { authorization } }),
		env,
		async () => [lag],
	);

test("metrics are for the holder of the token; without one there is nothing", async () => {
	const env = { METRICS_TOKEN: TOKEN };
	const answer = await ask(env, `Bearer ${TOKEN}`);
	assert.deepEqual([answer.status, answer.headers.get("content-type")], [200, OPEN_METRICS_TYPE]);
	readOpenMetrics(await answer.text());
	for (const wrong of [
		undefined,
		"",
		TOKEN,
		`Bearer ${TOKEN}x`,
		`Bearer ${TOKEN.slice(1)}`,
		`bearer ${TOKEN}`,
		"Bearer ",
	]) {
		const refused = await ask(env, wrong);
		assert.equal(refused.status, 401, String(wrong));
		assert.doesNotMatch(await refused.text(), /f{8}|daemoneye_/);
	}
	assert.equal((await ask(env, `Bearer ${TOKEN}`, "POST")).status, 404);
	for (const none of [{}, { METRICS_TOKEN: "" }, { METRICS_TOKEN: "short" }])
		for (const shown of ["Bearer ", "Bearer short", undefined]) assert.equal((await ask(none, shown)).status, 404);
});
