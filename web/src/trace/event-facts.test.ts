import assert from "node:assert/strict";
import { test } from "node:test";
import type { EventDetails, EventRow } from "../../../workers/sc/api/answers.ts";
import { tellStory } from "../../testing/story.ts";
import { factGroups, openText } from "./event-facts.ts";

const base = tellStory({ isFollowed: false, isHostile: false, nowMs: 0 }).events[0] as EventRow;
const facts = (fields: Partial<EventRow>, details: EventDetails | null = null) =>
	factGroups({ ...base, exe: null, uid: null, euid: null, ppid: null, ...fields, details });
const texts = (fields: Partial<EventRow>, details: EventDetails | null = null) =>
	facts(fields, details).map(({ title, facts }) => [
		title,
		...facts.map((fact) => `${fact.name}: ${fact.values.join(" | ")}`),
	]);

test("what the kind is about comes first, where it ran after it, what is not known last; empty groups are left out", () => {
	const details = {
		cwd: "/srv",
		absent: ["tty: not a terminal", "odd"],
		dnsName: "db.lab",
		dnsType: 28,
		dnsResponseCode: 3,
	};
	assert.deepEqual(texts({ kind: "dns", remote: "10.0.0.2:53", path: "/x" }, details), [
		["Network", "Remote: 10.0.0.2:53", "Name asked: db.lab", "Record: AAAA", "Response: 3, no such name"],
		["File", "Path: /x"],
		["Where it ran", "Directory: /srv"],
		["Not known", "tty: not a terminal", "Field: odd"],
	]);
	assert.deepEqual(texts({ kind: "fork" }), []);
});

test("ids that changed are shown before and after, and an effective user only where it differs", () => {
	assert.deepEqual(texts({ kind: "set_id", uid: 0, euid: 0 }, { oldUid: 33, oldEuid: 33, oldGid: 33, gid: 0 }), [
		["Where it ran", "User id: 33 → 0", "Effective user: 33 → 0", "Group id: 33 → 0"],
	]);
	assert.deepEqual(texts({ kind: "exec", uid: 33, euid: 33 }), [["Where it ran", "User id: 33"]]);
	assert.deepEqual(texts({ kind: "exec", uid: 33, euid: 0 }), [["Where it ran", "User id: 33", "Effective user: 0"]]);
});

test("a memory header is its place, its size and its hash, and a refused one its cause", () => {
	const details = { address: "55d0", permissions: "r-xp", contentBytes: 4096, sha256: "ab".repeat(32) };
	assert.deepEqual(texts({ kind: "memory_header", path: "/usr/bin/x" }, details), [
		[
			"Memory",
			"Path: /usr/bin/x",
			"Address: 0x55d0",
			"Permissions: r-xp",
			"Artifact: 4,096 bytes, kept in the evidence under this hash",
			`SHA-256: ${"ab".repeat(32)}`,
		],
	]);
	assert.deepEqual(texts({ kind: "memory_header", cause: "gone" }), [["What happened", "Cause: gone"]]);
});

test("numbers of the kernel are said in words, and what is not known stays a number", () => {
	assert.deepEqual(
		texts({ kind: "socket" }, { family: 10, socketType: 2, protocol: 17, bytesSent: "1152921504606846976" }),
		[["Network", "Family: IPv6", "Type: datagram", "Protocol: UDP", "Bytes sent: 1,152,921,504,606,846,976"]],
	);
	assert.deepEqual(texts({ kind: "socket" }, { family: 99 }), [["Network", "Family: 99"]]);
	assert.equal(openText(0o1101), "write, create, truncate");
	assert.equal(openText(0o2002), "read and write, append");
	assert.deepEqual(texts({ kind: "file_chmod", path: "/x" }, { mode: 0o755 }), [["File", "Path: /x", "Mode: 755"]]);
});
