/** A proxy and a Security Center of neighbouring protocol versions: each names the other's, and they do not hammer each other. */
import { equal, match, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { startTestEnclave, until } from "./harness.ts";
import type { ChangeName } from "./test-builds.ts";

const WATCHED_MS = 6000;

async function meet(
	builds: { px?: ChangeName; sc?: ChangeName },
	proxySpeaks: number,
	centerSpeaks: number,
): Promise<void> {
	const enclave = await startTestEnclave({}, { builds });
	try {
		const { uplink } = await until(
			"the refusal",
			enclave.health,
			(health) => health.uplink.lastError?.startsWith("upstream_protocol") === true,
		);
		equal(
			uplink.lastError,
			`upstream_protocol: the upstream speaks protocol ${centerSpeaks}, this node ${proxySpeaks}`,
		);
		equal(uplink.protocol, proxySpeaks);
		const { strangers } = await until(
			"the Security Center's own word",
			() => enclave.center<{ strangers: { node: string; protocol: number }[] }>("/recorded"),
			(answer) => answer.strangers.length > 0,
		);
		equal(strangers[0]?.node, "spiffe://lab.test/px/px-1");
		equal(strangers[0]?.protocol, proxySpeaks);
		await new Promise((resolve) => setTimeout(resolve, WATCHED_MS));
		const tries = readFileSync(enclave.px.logPath, "utf8").match(/"uplink_down".*upstream_protocol/g) ?? [];
		// Half a second doubling, spread over its upper half: five at most fit, and each wait is longer than the last.
		ok(tries.length >= 2 && tries.length <= 6, `${tries.length} tries`);
		match(
			readFileSync(enclave.sc.logPath, "utf8"),
			new RegExp(`protocol_differs.*px/px-1.*"theirs":${proxySpeaks},"ours":${centerSpeaks}`),
		);
		equal((await enclave.health()).uplink.isUp, false);
	} finally {
		await enclave.stop();
	}
}

test("a Security Center of the next version and a proxy of this one name each other's version and rest between tries", async () => {
	await meet({ sc: "next_protocol" }, 1, 2);
});

test("a proxy of the next version and a Security Center of this one do the same", async () => {
	await meet({ px: "next_protocol" }, 2, 1);
});
