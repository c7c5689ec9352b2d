import assert from "node:assert/strict";
import { test } from "node:test";
import { type Event, type EventPayload, ZERO_PROCESS } from "#core/model/event.ts";
import { eventJson, gapRows } from "./event-rows.ts";

function eventOf(payload: EventPayload, more: Partial<Event> = {}): Event {
	return {
		kind: "dns",
		process: ZERO_PROCESS,
		kernelTimeNs: 5_000_000_000n,
		wallTimeMs: 9000,
		seq: 0,
		tier: "ebpf",
		payload,
		...more,
	};
}

const detailsOf = (payload: EventPayload, more?: Partial<Event>) => {
	const { details } = eventJson(eventOf(payload, more), 0, false);
	return details === null ? null : JSON.parse(details as string);
};

const KEY = new Uint8Array(16).fill(7);
const HASH = new Uint8Array(32).fill(9);
/** One value of every field that an event of a process can have. */
const EVERY_FIELD: EventPayload = {
	pid: 1,
	nsPid: 2,
	ppid: 3,
	parent: KEY,
	creatorParent: KEY,
	name: "a",
	exe: "/a",
	filename: "a",
	cmdline: ["a"],
	isCmdlineMasked: true,
	isCmdlineCut: true,
	uid: 1,
	gid: 1,
	euid: 1,
	sid: 1,
	tty: "pts0",
	exitCode: 1,
	exitSignal: 1,
	localAddress: new Uint8Array(4),
	localPort: 1,
	remoteAddress: new Uint8Array(4),
	remotePort: 1,
	result: -1,
	path: "/a",
	pathTo: "/b",
	openFlags: 1,
	isPathUncertain: true,
	cause: "a",
	depth: 1,
	startTicks: 1n,
	cgroupPath: "/a",
	containerId: "a",
	systemdUnit: "a.service",
	environment: ["A=b"],
	family: 1,
	socketType: 1,
	protocol: 1,
	bytesSent: 2n ** 60n,
	bytesReceived: 1n,
	dnsName: "a",
	dnsType: 1,
	dnsResponseCode: 0,
	dnsAnswers: ["a"],
	oldUid: 1,
	oldGid: 1,
	oldEuid: 1,
	target: KEY,
	targetPid: 1,
	request: 1n,
	call: "ptrace",
	mode: 1,
	fileInode: 1n,
	fileBytes: 1n,
	sha256: HASH,
	blake3: HASH,
	address: 255n,
	permissions: "r-xp",
	content: new Uint8Array(4096),
	isLate: true,
	isLookback: true,
	absent: ["cmdline: gone"],
	interpreter: "/bin/sh",
	isExeDeleted: true,
	isExeInMemory: true,
	cwd: "/",
	tid: 1,
	isWatched: true,
	isCredential: true,
	is32Bit: true,
	fidelityLevel: 1,
	isReceived: true,
};

test("every field of an event reaches its row", () => {
	const bare = JSON.stringify(eventJson(eventOf({}), 0, false));
	for (const [name, value] of Object.entries(EVERY_FIELD)) {
		const payload = name.endsWith("Port") ? { localAddress: KEY.slice(0, 4), [name]: value } : { [name]: value };
		assert.notEqual(JSON.stringify(eventJson(eventOf(payload), 0, false)), bare, `${name} is lost`);
	}
});

test("an event with nothing of its own has no details, and an artifact leaves its size only", () => {
	assert.equal(detailsOf({ pid: 1, name: "sh" }), null);
	assert.deepEqual(detailsOf({ content: new Uint8Array(4096), address: 255n, sha256: HASH }), {
		address: "ff",
		sha256: "09".repeat(32),
		contentBytes: 4096,
	});
	assert.deepEqual(detailsOf({ isLate: true }, { isReplayed: true }), { marks: ["late", "replayed"] });
	assert.equal(detailsOf({ bytesSent: 2n ** 60n }).bytesSent, "1152921504606846976");
});

test("a gap known by its count says since when; one that began after it was told does not", () => {
	const gap: EventPayload = { gapScope: "count", gapFrom: 1n, gapTo: 12n, cause: "rate_limit: file 12" };
	const rows = gapRows([
		eventOf({ ...gap, sinceNs: 3_000_000_000n }, { kind: "gap" }),
		eventOf({ ...gap, sinceNs: 6_000_000_000n }, { kind: "gap" }),
		eventOf(gap, { kind: "gap" }),
	]);
	assert.deepEqual(
		rows.map(({ scope, first, last, since }) => [scope, first, last, since]),
		[
			["count", "1", "12", 7000],
			["count", "1", "12", null],
			["count", "1", "12", null],
		],
	);
});
