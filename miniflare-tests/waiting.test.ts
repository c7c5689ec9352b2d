/** A captured proxy that dropped what it acknowledged and says that it waits: believed for its time, and no longer. */
import { equal, match, ok } from "node:assert/strict";
import { after, before, test } from "node:test";
import { LINK_PATHS } from "#core/identity/challenge.ts";
import { packCarrier } from "../durable/carrier.ts";
import { addNode } from "../host/pki/enclave.ts";
import { ENCLAVE, startTestEnclave, type TestEnclave, until } from "./harness.ts";
import { type Identity, identityOf, routeTo, type Target, TestLink, TestStream } from "./test-agent.ts";

interface Recorded {
	readonly alarms: readonly { agent: string; code: string; detail: string; cleared: number }[];
}

const TAIL_MISSING_MS = 1000;
const TAIL_WAIT_MS = 5000;
let enclave: TestEnclave;
let center: Target;
let rogue: Identity;
let web01: Identity;

before(async () => {
	enclave = await startTestEnclave({}, { watch: { tailMissingMs: TAIL_MISSING_MS, tailWaitMs: TAIL_WAIT_MS } });
	center = { port: enclave.centerPort, name: enclave.centerName, uri: `spiffe://${ENCLAVE}/sc/main` };
	const added = await addNode(enclave.pkiDir, { role: "px", id: "px-rogue" }, Date.now());
	ok(added.ok);
	rogue = identityOf("px-rogue", added.value.paths);
	web01 = identityOf("web-01", enclave.pathsOf("agent", "web-01"));
});
after(() => enclave?.stop());

const alarmsNow = async () =>
	(await enclave.center<Recorded>("/recorded")).alarms.filter(({ code }) => code === "tail_missing");

async function openRogue(): Promise<TestLink> {
	const link = await TestLink.open(center, rogue, LINK_PATHS.peer);
	await link.expect("welcome");
	const route = routeTo(`spiffe://${ENCLAVE}/px/px-rogue`, web01, Date.now());
	link.send("agent_state", { agent: "web-01", isUp: true, proof: web01.proof, heardAtMs: Date.now(), route });
	return link;
}

test("what is said to wait and never comes is an alarm in its time, also over lost links, and over when it comes", async () => {
	let link = await openRogue();
	const stream = new TestStream(web01, "bulk");
	const carried = (bytes: Uint8Array) => link.sendRaw(packCarrier("bulk", "none", [{ agent: "web-01", bytes }]));
	carried(stream.next().bytes);
	await link.expect("receipt", (body) => body.seq === 1);
	const dropped = [stream.next(), stream.next()];
	const sinceMs = Date.now();
	const counts = { outboxBytes: 0, oldestUnackedMs: 0, rssBytes: 1, eventCount: 1, gapCount: 0 };
	const says = () => {
		const nowMs = Date.now();
		const streams = [{ lane: "bulk" as const, stream: stream.stream, head: 3 }];
		const told = { isUp: true, heardAtMs: nowMs, ageMs: 0, waiting: ["bulk" as const] };
		link.send("agent_state", { agent: "web-01", ...told, health: { timeMs: nowMs, streams, ...counts } });
	};
	const beats = setInterval(says, 300);
	try {
		for (let flap = 0; flap < 4; flap++) {
			await new Promise((resolve) => setTimeout(resolve, TAIL_WAIT_MS / 5));
			const before = link;
			link = await openRogue();
			before.close();
		}
		equal((await alarmsNow()).length, 0, "it may wait so long");
		const [alarm] = await until("the alarm", alarmsNow, (alarms) => alarms.length > 0, 20_000);
		const tookMs = Date.now() - sinceMs;
		// The time, and what the link was away of it.
		ok(tookMs >= TAIL_WAIT_MS && tookMs < TAIL_WAIT_MS + 2500, `it took ${tookMs} ms`);
		match(alarm?.detail ?? "", /batches 2 to 3 were made and said to wait on the way, and nothing of them comes/);
		for (const { bytes } of dropped) carried(bytes);
		await until("its end", alarmsNow, (alarms) => alarms.at(-1)?.cleared === 1, 20_000);
		equal((await alarmsNow()).length, 2, "once raised, once cleared");
	} finally {
		clearInterval(beats);
		link.close();
	}
});
