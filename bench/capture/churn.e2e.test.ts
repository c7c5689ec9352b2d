import assert from "node:assert/strict";
import { test } from "node:test";
import { missingForKernel } from "../kernel-needs.ts";
import { openWatchedBox } from "../watched-box.ts";
import { growthOf, runChurn } from "./churn.ts";

/** Warmed up until the look-back is full, which holds 30 s; then two halves of 20 s. */
const CHURN = { warmUpMs: 32_000, durationMs: 40_000, perSecond: 200 };
/** An hour's bench asks for less; here a collection more or less weighs more. 600 events of 1 KiB a second would be 11 MiB. */
const GROWTH_MIB_MAX = { agent: 6, procmond: 0.5 };

test("200 programs and as many connections a second leave nothing behind in collector and agent", {
	skip: missingForKernel(),
	timeout: 180_000,
}, async (t) => {
	const context = { signal: t.signal, onStep: () => undefined, report: () => undefined };
	const box = await openWatchedBox(context);
	assert.ok(box.ok, box.ok ? "" : box.detail);
	t.after(() => box.value.close());
	const churned = await runChurn(box.value, context, CHURN);
	assert.ok(churned.ok, churned.ok ? "" : churned.detail);
	for (const role of ["agent", "procmond"] as const) {
		const growth = growthOf(churned.value.samples[role].anonymous);
		assert.ok(growth <= GROWTH_MIB_MAX[role], `${role} holds ${growth.toFixed(1)} MiB more in the second half`);
	}
});
