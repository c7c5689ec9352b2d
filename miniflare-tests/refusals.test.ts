/** What relays do with a refusal for good that comes from above: it is passed on, and what was refused is taken and sent once more. */
import { equal } from "node:assert/strict";
import { after, before, test } from "node:test";
import { startTestEnclave, type TestEnclave, until } from "./harness.ts";
import { type Identity, identityOf, type Target, TestLink, TestStream } from "./test-agent.ts";

let enclave: TestEnclave;
let web01: Identity;

before(async () => {
	enclave = await startTestEnclave(
		{ fsync_interval_ms: 20 },
		{
			tree: [
				{ id: "px-other", upstream: "sc" },
				{ id: "px-region", upstream: "sc" },
				{ id: "px-site", upstream: "px-region" },
			],
		},
	);
	web01 = identityOf("web-01", enclave.pathsOf("agent", "web-01"));
});
after(() => enclave?.stop());

async function linkTo(id: string): Promise<TestLink> {
	const { port, name, uri } = enclave.proxies[id] as Target;
	const link = await TestLink.open({ port, name, uri }, web01);
	await link.expect("welcome");
	return link;
}

test("an alert that the Security Center refuses for good reaches it again when the agent shows it again, through every relay", async () => {
	const stream = new TestStream(web01, "trace");
	const first = await linkTo("px-other");
	first.send("batch", { bytes: stream.next().bytes });
	await first.expect("receipt", (body) => body.level === "a2" && body.seq === 1);
	first.close();
	// These relays have never heard of the stream; only the Security Center knows that it is of another lane.
	const link = await linkTo("px-site");
	const { bytes } = stream.next({ lane: "alert" });
	const refusals = () =>
		link.frames.filter(({ type, body }) => type === "reject" && "code" in body && body.code === "lane_mismatch").length;
	for (const times of [1, 2, 3]) {
		link.send("batch", { bytes });
		await until(`refusal ${times} from the top`, refusals, (count) => count === times);
	}
	equal(link.isClosed, false);
	link.close();
});
