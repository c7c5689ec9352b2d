import assert from "node:assert/strict";
import { test } from "node:test";
import type { EventDetails } from "../../../workers/sc/api/answers.ts";
import { tellStory } from "../../testing/story.ts";
import { commandLineText, eventText, isMatch } from "./event-text.ts";

const { events } = tellStory({ isFollowed: true, isHostile: false, nowMs: 0 });
const find = (kind: string, pid: number) =>
	events.find((event) => event.kind === kind && event.pid === pid) ?? assert.fail();

test("a command line is quoted only where a space would mislead, and unseen characters stay for the escaping", () => {
	assert.equal(commandLineText(["sh", "-c", "id; ls", ""]), 'sh -c "id; ls" ""');
	assert.equal(commandLineText(['a "b"']), '"a \\"b\\""');
	assert.equal(commandLineText(["x \u001b[31m\u202e"]), '"x \u001b[31m\u202e"');
});

test("each kind says what happened in one line", () => {
	assert.equal(eventText(find("fork", 4310)), "forked by 812");
	assert.equal(eventText(find("connect", 4330)), "10.44.0.11:39164 → 10.44.0.12:22");
	assert.equal(eventText({ ...find("connect", 4330), result: -111 }), "10.44.0.11:39164 → 10.44.0.12:22 failed (-111)");
	assert.equal(eventText(find("accept", 601)), "10.44.0.12:22 ← 10.44.0.11:39164");
	assert.equal(eventText(find("file_rename", 4324)), "/tmp/.cache/id.part → /tmp/.cache/id");
	assert.equal(eventText(find("exit", 4311)), "exit code 0");
	const answer = { ...find("exit", 4311), kind: "command_answer" as const };
	assert.equal(eventText(answer), "accepted the command");
	assert.equal(eventText({ ...answer, cause: "root_gone: it has ended" }), "refused: root_gone: it has ended");
	assert.equal(eventText({ ...find("exit", 4311), exitSignal: 9 }), "killed by signal 9");
});

test("sockets, names, ids and hashes say what happened in one line", () => {
	const base = { ...find("connect", 4330), cause: null };
	const text = (kind: typeof base.kind, details: EventDetails, fields: Partial<typeof base> = {}) =>
		eventText({ ...base, ...fields, kind, details });
	assert.equal(
		text("close", { bytesSent: "12345", bytesReceived: "678" }),
		"10.44.0.11:39164 ↔ 10.44.0.12:22, 12,345 B sent, 678 B received",
	);
	assert.equal(text("dns", { dnsName: "db.lab" }), "asks db.lab");
	assert.equal(
		text("dns", { dnsName: "db.lab", dnsResponseCode: 0, dnsAnswers: ["10.0.0.2", "fd00::2"] }),
		"db.lab is 10.0.0.2, fd00::2",
	);
	assert.equal(text("dns", { dnsName: "no.lab", dnsResponseCode: 3 }), "no.lab: no answer (code 3)");
	assert.equal(text("dns", {}), "asks a message that does not read");
	assert.equal(text("set_id", { oldEuid: 33 }, { euid: 0 }), "effective user 33 → 0");
	assert.equal(text("tamper", { call: "kill", targetPid: 7 }, { cause: "signal 9" }), "kill on 7 signal 9");
	assert.equal(text("file_hash", { sha256: "ab".repeat(32) }, { path: "/tmp/x" }), "/tmp/x abababababab…");
	assert.equal(text("file_hash", {}, { path: "/tmp/x", cause: "too_large" }), "/tmp/x no hash: too_large");
	assert.equal(text("fidelity", { fidelityLevel: 2 }, { cause: "psi_memory" }), "level 2: psi_memory");
	const unix = { local: null, remote: null, path: "/run/nscd/socket", result: -2 };
	assert.equal(text("connect", { family: 1 }, unix), "/run/nscd/socket failed (-2)");
	assert.equal(text("socket", { family: 17 }), "packet socket");
});

test("find looks at everything a row shows", () => {
	for (const typed of ["ssh -i", "4330", "web-01", "exec", "/usr/bin/ssh"])
		assert.ok(isMatch(find("exec", 4330), typed), typed);
	assert.ok(!isMatch(find("exec", 4330), "db-99"));
});
