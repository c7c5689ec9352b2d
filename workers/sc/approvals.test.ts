import { deepEqual, equal, match } from "node:assert/strict";
import { after, before, test } from "node:test";
import { base64Of, hexOf } from "#core/bytes/bytes.ts";
import { PAYLOAD_TYPES } from "#core/crypto/dsse.ts";
import type { CommandAnswer, CommandsAnswer, LedgerAnswer, SessionAnswer } from "./api/answers.ts";
import { codeOf, TestOperator } from "./testing/operator.ts";
import { type RunningSc, startSc } from "./testing/running-sc.ts";
import { noSqld } from "./testing/running-store.ts";

const options = { skip: noSqld };
let sc: RunningSc;
let ana: TestOperator;
let ben: TestOperator;
before(async () => {
	if (noSqld !== false) return;
	sc = await startSc("two_person");
	[ana, ben] = [new TestOperator(sc, "ana"), new TestOperator(sc, "ben")];
});
after(async () => {
	await sc?.stop();
});

test("nobody signs in before the last invited operator has a key", options, async () => {
	deepEqual(await (await ana.redeem()).json(), { operatorId: "ana", isTrustComplete: false, trustVersion: 0 });
	equal(await codeOf(await ana.signIn()), "401 operator_unknown");
	equal((await ana.get<SessionAnswer>("/api/session")).isAwaitingOperators, true);
	deepEqual(await (await ben.redeem()).json(), { operatorId: "ben", isTrustComplete: true, trustVersion: 1 });
	deepEqual([(await ana.signIn()).status, (await ben.signIn()).status], [200, 200]);
});

test("a command for an agent that nobody ever heard is refused, and no object is made for it", options, async () => {
	const { size } = await ana.get<LedgerAnswer>("/api/ledger");
	const made = ana.command({ targetAgent: "made-up" });
	equal(await codeOf(await ana.post("/api/commands", { envelope: base64Of(made.envelope) })), "422 agent_unknown");
	equal((await ana.get<LedgerAnswer>("/api/ledger")).size, size + 1);
	deepEqual((await ana.get<CommandsAnswer>("/api/commands")).commands, []);
	await sc.store.store.writer.execute("INSERT INTO nodes (node_id, role) VALUES ('web-01', 'agent')");
});

let waiting: CommandAnswer["command"];
let payload: Uint8Array;

test(
	"a command without its approval waits, and only another approver's signature over these bytes sends it",
	options,
	async () => {
		const made = ana.command();
		payload = made.payload;
		const answer = await ana.post("/api/commands", { envelope: base64Of(made.envelope) });
		waiting = ((await answer.json()) as CommandAnswer).command;
		deepEqual([answer.status, waiting.state, waiting.approvalsNeeded], [202, "awaiting_approval", 1]);
		const { commands } = await ben.get<CommandsAnswer>("/api/commands?state=awaiting_approval");
		deepEqual([commands.length, commands[0]?.payload], [1, base64Of(payload)]);
		const path = `/api/commands/${waiting.commandId}/approvals`;
		const own = hexOf(ana.sign(PAYLOAD_TYPES.traceCommand, payload));
		equal(await codeOf(await ana.post(path, { signature: own })), "403 approver_is_initiator");
		equal(await codeOf(await ben.post(path, { signature: own })), "422 command_signature_invalid");
		const wrongType = hexOf(ben.sign(PAYLOAD_TYPES.packageManifest, payload));
		equal(await codeOf(await ben.post(path, { signature: wrongType })), "422 command_signature_invalid");
		equal(await codeOf(await ben.post("/api/commands/00/approvals", { signature: own })), "404 command_unknown");
	},
);

test("two approvals at once send it once; an agent without a link is named as the cause", options, async () => {
	const path = `/api/commands/${waiting.commandId}/approvals`;
	const signature = hexOf(ben.sign(PAYLOAD_TYPES.traceCommand, payload));
	const answers = await Promise.all([ben.post(path, { signature }), ben.post(path, { signature })]);
	deepEqual(answers.map(({ status }) => status).sort(), [202, 409]);
	const { commands } = await ana.get<CommandsAnswer>("/api/commands");
	deepEqual([commands[0]?.state, commands[0]?.cause, commands[0]?.approvedBy], ["refused", "agent_unknown", ["ben"]]);
});

test(
	"a command in another's name, for a trace that is not, or over the ceiling is refused and each refusal is a leaf",
	options,
	async () => {
		const { size } = await ana.get<LedgerAnswer>("/api/ledger");
		const submit = async (envelope: Uint8Array) =>
			codeOf(await ben.post("/api/commands", { envelope: base64Of(envelope) }));
		equal(await submit(ana.command().envelope), "403 role_missing");
		equal(await submit(ben.command({ act: "stop", traceId: "T-20261122-none" }).envelope), "422 command_trace_unknown");
		equal(await submit(ben.command({ maxDurationSecs: 7200 }).envelope), "422 command_ceiling_exceeded");
		equal(await submit(ben.command({ trustVersion: 2 }).envelope), "422 command_trust_version");
		equal((await ana.get<LedgerAnswer>("/api/ledger")).size, size + 4);
	},
);

test("without the ledger nothing is done, and a signer that knows another tree halts it", options, async () => {
	const envelope = base64Of(ana.command({ depth: 2 }).envelope);
	sc.setSigner("down");
	equal(await codeOf(await ana.post("/api/commands", { envelope })), "503 signer_unavailable");
	equal((await ana.get<CommandsAnswer>("/api/commands")).commands.length, 1);
	sc.setSigner("fork");
	equal(await codeOf(await ana.post("/api/commands", { envelope })), "503 ledger_halted");
	sc.setSigner("up");
	const refused = await ana.post("/api/commands", { envelope });
	match(await codeOf(refused), /503 ledger_halted/);
});
