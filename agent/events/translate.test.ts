import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { concatBytes, hexOf, utf8 } from "#core/bytes/bytes.ts";
import { decodeAs, encodeAs } from "#core/codec/index.ts";
import { eventShape, PROCESS_EVENT_KINDS, ZERO_PROCESS } from "#core/model/event.ts";
import { processKeyOf } from "#core/model/ids.ts";
import { MODEL_LIMITS } from "#core/model/limits.ts";
import { BARE_CAPTURE_POLICY, type CapturePolicy } from "#core/trust/capture-policy.ts";
import { sha256 } from "#crypto";
import { decodeFrameBody, encodeFrame, type OutgoingFrame } from "../capture/frame.ts";
import { FLAG_BITS, PREFIX_BYTES, TAG_WIDTHS, TAGS, type TagName } from "../capture/layout.ts";
import { HostClock } from "../clock.ts";
import { ProcessTable } from "../process-table/process-table.ts";
import { isEventFrame, type Observed, translate } from "./translate.ts";

const HOST = { machineId: "m", bootId: "b" };
const keyOf = (tgid: number, startTicks = BigInt(tgid)) => processKeyOf({ ...HOST, tgid, startTicks });
const flags = (...names: (keyof typeof FLAG_BITS)[]) => names.reduce((bits, name) => bits | (1 << FLAG_BITS[name]), 0);

interface StageOptions {
	readonly isMasked?: boolean;
	readonly policy?: Partial<CapturePolicy>;
}

function stage({ isMasked = true, policy = {} }: StageOptions = {}) {
	const table = new ProcessTable(HOST);
	const clock = new HostClock({ wallMs: () => 1_700_000_000_000, bootNs: () => 1n, monotonicMs: () => 0 });
	const context = { table, clock, isMasked, policy: { ...BARE_CAPTURE_POLICY, ...policy } };
	const take = (frame: OutgoingFrame): Observed => {
		const decoded = decodeFrameBody(
			encodeFrame({ startTicks: BigInt(frame.tgid ?? 0), ...frame }).subarray(PREFIX_BYTES),
		);
		assert.ok(decoded.ok && decoded.value.kind !== null && isEventFrame(decoded.value));
		return translate(decoded.value, context);
	};
	return { table, take, payload: (frame: OutgoingFrame) => take(frame).draft.payload };
}

const fork = (tgid: number, parent: number): OutgoingFrame => ({
	kind: "fork",
	tgid,
	tags: { PARENT_TGID: parent, PARENT_TICKS: BigInt(parent), COMM: "sh" },
});

test("every event of a process says who it is, also when its frame does not", () => {
	const { table, take } = stage();
	table.cgroups.learn(77n, `/system.slice/docker-${"ab".repeat(32)}.scope`);
	const ids = { uid: 1000, gid: 100, euid: 0, cgroupId: 77n };
	take({
		kind: "exec",
		tgid: 10,
		...ids,
		tags: { EXE: "/bin/bash", SID: 9, TTY: "pts/1", PARENT_TGID: 5, PARENT_TICKS: 5n, COMM: "bash" },
	});
	take({ ...fork(11, 10), ...ids });
	const { draft } = take({ kind: "socket", tgid: 11, tid: 12, ...ids, tags: { FAMILY: 2, SOCKET_TYPE: 1, RESULT: 3 } });
	assert.deepEqual(draft.process, keyOf(11));
	assert.equal(draft.tier, "ebpf");
	assert.deepEqual(draft.payload, {
		pid: 11,
		tid: 12,
		startTicks: 11n,
		name: "sh",
		exe: "/bin/bash",
		uid: 1000,
		gid: 100,
		euid: 0,
		sid: 9,
		tty: "pts/1",
		ppid: 10,
		parent: keyOf(10),
		creatorParent: keyOf(10),
		cgroupId: 77n,
		containerId: "ab".repeat(32),
		systemdUnit: `docker-${"ab".repeat(32)}.scope`,
		family: 2,
		socketType: 1,
		result: 3,
	});
});

test("an exec tells the program whole: interpreter, directory, file, hashes, cgroup path", () => {
	const { table, payload } = stage();
	table.cgroups.learn(7n, "/system.slice/web.service");
	const hash = sha256(utf8("x"));
	const exec = payload({
		kind: "exec",
		tgid: 10,
		cgroupId: 7n,
		flags: flags("compat32"),
		tags: {
			EXE: "/usr/bin/python3",
			FILENAME: "./run.py",
			INTERP: "/usr/bin/env",
			CWD: "/srv",
			EXE_FLAGS: 3,
			DEV: 8n,
			INO: 42n,
			SIZE: 100n,
			MTIME_NS: 5n,
			CTIME_NS: 6n,
			SHA256: hash,
			BLAKE3: hash,
		},
	});
	assert.deepEqual(
		[exec.exe, exec.filename, exec.interpreter, exec.cwd, exec.cgroupPath],
		["/usr/bin/python3", "./run.py", "/usr/bin/env", "/srv", "/system.slice/web.service"],
	);
	assert.deepEqual(
		[exec.fileDevice, exec.fileInode, exec.fileBytes, exec.fileModifiedNs, exec.fileChangedNs],
		[8n, 42n, 100n, 5n, 6n],
	);
	assert.deepEqual([exec.isExeDeleted, exec.isExeInMemory, exec.is32Bit], [true, true, true]);
	assert.deepEqual([exec.sha256, exec.blake3], [hash, hash]);
});

test("an exec without a terminal has none, whatever its creator had, unless the tier could not look", () => {
	const { take, payload } = stage();
	take({ kind: "exec", tgid: 10, tags: { TTY: "pts/1" } });
	take(fork(11, 10));
	assert.equal(payload({ kind: "exec", tgid: 11, tags: { ABSENT: "TTY:gone" } }).tty, "pts/1");
	assert.equal(payload({ kind: "exec", tgid: 11, tags: {} }).tty, undefined);
});

test("an environment is masked as arguments are, and only what the policy names is told", () => {
	const ENV = "LD_PRELOAD=/tmp/x.so\0TOKEN=hunter2\0LD_PRELOADED=1\0";
	const policy = { environmentNames: ["LD_PRELOAD", "HOME"] };
	const masked = stage({ policy }).payload({ kind: "exec", tgid: 10, tags: { ENV } });
	assert.deepEqual([masked.environment, masked.isCmdlineMasked], [["LD_PRELOAD=***"], true]);
	const clear = stage({ policy, isMasked: false }).payload({ kind: "exec", tgid: 10, tags: { ENV } });
	assert.deepEqual([clear.environment, clear.isCmdlineMasked], [["LD_PRELOAD=/tmp/x.so"], false]);
	assert.equal(stage().payload({ kind: "exec", tgid: 10, tags: { ENV } }).environment, undefined);
});

test("no clear byte of a value is in a masked event, whatever the values are", () => {
	const secret = fc.stringMatching(/^[G-Zg-z0-9]{8,24}$/);
	const { take } = stage({ policy: { environmentNames: ["A", "B"] } });
	fc.assert(
		fc.property(fc.array(secret, { minLength: 1, maxLength: 5 }), (secrets) => {
			const ARGV = ["p", ...secrets.map((each, i) => ["", "--password=", "-p", "--x y="][i % 4] + each)].join("\0");
			const ENV = secrets.map((each, i) => `${"AB"[i % 2]}=${each}`).join("\0");
			const { draft } = take({ kind: "exec", tgid: 10, tags: { EXE: "/p", ARGV, ENV } });
			const text = Buffer.from(encodeAs(eventShape, { ...draft, seq: 0 })).toString("latin1");
			for (const each of secrets) assert.ok(!text.includes(each), each);
			assert.equal(draft.payload.environment?.length, secrets.length);
		}),
		{ numRuns: 200 },
	);
});

test("a connection's end has its bytes, a unix socket its path, and a bind its type", () => {
	const { payload } = stage();
	const close = payload({
		kind: "close",
		tgid: 10,
		tags: { FAMILY: 10, LADDR: new Uint8Array(16), LPORT: 443, BYTES_SENT: 7n, BYTES_RECEIVED: 2n ** 40n, NETNS: 9 },
	});
	assert.deepEqual(
		[close.family, close.localAddress?.length, close.localPort, close.bytesSent, close.bytesReceived, close.netns],
		[10, 16, 443, 7n, 2n ** 40n, 9],
	);
	const bind = payload({ kind: "bind", tgid: 10, tags: { FAMILY: 1, SOCKET_TYPE: 1, PROTOCOL: 0, PATH: "@x" } });
	assert.deepEqual([bind.family, bind.socketType, bind.protocol, bind.path], [1, 1, 0, "@x"]);
	const datagram = payload({ kind: "datagram", tgid: 10, tags: { PROTOCOL: 17, RADDR: new Uint8Array(5), RPORT: 53 } });
	assert.deepEqual([datagram.protocol, datagram.remoteAddress, datagram.remotePort], [17, undefined, 53]);
});

test("a DNS message becomes names, and one that does not read says why", () => {
	const { payload } = stage();
	const query = Uint8Array.of(0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 97, 1, 98, 0, 0, 28, 0, 1);
	const sent = payload({ kind: "dns", tgid: 10, tags: { DNS_MESSAGE: query, DIRECTION: 0, RPORT: 53 } });
	assert.deepEqual(
		[sent.dnsName, sent.dnsType, sent.dnsResponseCode, sent.dnsAnswers, sent.isReceived],
		["a.b", 28, undefined, undefined, undefined],
	);
	const answer = concatBytes(query, Uint8Array.of(0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 0, 0, 3, 1, 99, 0));
	answer.set([0x81, 0x83], 2);
	answer[7] = 1;
	const received = payload({ kind: "dns", tgid: 10, tags: { DNS_MESSAGE: answer, DIRECTION: 1 } });
	assert.deepEqual([received.dnsResponseCode, received.dnsAnswers, received.isReceived], [3, ["c"], true]);
	const cut = payload({ kind: "dns", tgid: 10, tags: { DNS_MESSAGE: answer.subarray(0, 30) } });
	assert.deepEqual([cut.dnsName, cut.absent], ["a.b", ["dnsAnswers: dns_overrun"]]);
	const broken = payload({ kind: "dns", tgid: 10, tags: { DNS_MESSAGE: answer.subarray(0, 14), RPORT: 53 } });
	assert.deepEqual([broken.dnsName, broken.absent, broken.remotePort], [undefined, ["dnsName: dns_overrun"], 53]);
});

test("changes of ids and traces name what was and whom", () => {
	const { take, payload } = stage();
	const setId = payload({
		kind: "set_id",
		tgid: 10,
		uid: 0,
		euid: 0,
		tags: { OLD_UID: 1000, OLD_GID: 100, OLD_EUID: 1000, CALL: "setresuid" },
	});
	assert.deepEqual(
		[setId.uid, setId.euid, setId.oldUid, setId.oldGid, setId.oldEuid, setId.call],
		[0, 0, 1000, 100, 1000, "setresuid"],
	);
	take(fork(20, 1));
	const target = { TARGET_TGID: 20, TARGET_TICKS: 20n, REQUEST: 16n, CALL: "ptrace" };
	const ptrace = payload({ kind: "ptrace", tgid: 10, tags: target });
	assert.deepEqual([ptrace.target, ptrace.targetPid, ptrace.request, ptrace.call], [keyOf(20), 20, 16n, "ptrace"]);
	const unknown = payload({ kind: "ptrace", tgid: 10, tags: { TARGET_TGID: 33, TARGET_TICKS: 5n } });
	assert.deepEqual(unknown.target, keyOf(33, 5n), "a target that was never seen has its key all the same");
	const guess = payload({ kind: "ptrace", tgid: 10, tags: { TARGET_TGID: 20 } });
	assert.deepEqual([guess.target, guess.targetPid, guess.absent], [undefined, 20, ["target: start_unknown"]]);
});

test("tampering says who, with what and how it was noticed", () => {
	const { take, payload } = stage();
	const tags = {
		CALL: "kill",
		REQUEST: 9n,
		TARGET_TGID: 3,
		TARGET_TICKS: 4n,
		CAUSE: "signal to the collector",
		COMM: "x",
	};
	const tamper = payload({ kind: "tamper", tgid: 10, tags });
	assert.deepEqual(
		[tamper.call, tamper.request, tamper.target, tamper.cause, tamper.name],
		["kill", 9n, keyOf(3, 4n), "signal to the collector", "x"],
	);
	const ofNobody = take({ kind: "tamper", tags: { CALL: "bpf", CAUSE: "a program is gone" } });
	assert.deepEqual(
		[ofNobody.entry, ofNobody.draft.process, ofNobody.draft.payload.pid],
		[null, ZERO_PROCESS, undefined],
	);
});

test("a partial view is said once per lineage and cause", () => {
	const { take } = stage();
	const partial = (tgid: number, CAUSE: string) => take({ kind: "view_partial", tgid, tags: { CAUSE } });
	take(fork(10, 1));
	const first = partial(10, "io_uring");
	assert.deepEqual([first.isRepeated, first.draft.payload.cause], [false, "io_uring"]);
	assert.equal(partial(10, "io_uring").isRepeated, true);
	take(fork(11, 10));
	assert.equal(partial(11, "io_uring").isRepeated, true);
	assert.equal(partial(11, "compat32").isRepeated, false);
	assert.equal(partial(12, "io_uring").isRepeated, false);
});

test("files: what was linked, what a link holds, who may execute, and why it is told", () => {
	const { payload } = stage();
	const link = payload({
		kind: "file_link",
		tgid: 10,
		flags: flags("watched", "path_uncertain"),
		tags: { PATH: "/etc/a", PATH_TO: "/etc/b" },
	});
	assert.deepEqual([link.path, link.pathTo, link.isWatched, link.isPathUncertain], ["/etc/a", "/etc/b", true, true]);
	const symlink = payload({ kind: "file_symlink", tgid: 10, tags: { PATH: "/tmp/l", PATH_TO: "../x" } });
	assert.deepEqual([symlink.path, symlink.pathTo, symlink.isWatched], ["/tmp/l", "../x", undefined]);
	const chmod = payload({ kind: "file_chmod", tgid: 10, tags: { PATH: "/tmp/x", MODE: 0o100755 } });
	assert.deepEqual([chmod.path, chmod.mode], ["/tmp/x", 0o100755]);
	const open = payload({
		kind: "file_open",
		tgid: 10,
		flags: flags("credential"),
		tags: { PATH: "/etc/shadow", OPEN_FLAGS: 0, RESULT: -13 },
	});
	assert.deepEqual([open.isCredential, open.result, open.openFlags], [true, -13, 0]);
});

test("a hash that comes later has the file's identity, and one that does not come has its reason", () => {
	const { payload, take } = stage();
	const file = { PATH: "/bin/x", DEV: 8n, INO: 42n, SIZE: 100n, MTIME_NS: 5n, CTIME_NS: 6n };
	const hash = new Uint8Array(32).fill(7);
	const exec = payload({ kind: "exec", tgid: 10, tags: { ...file, EXE: "/bin/x", ABSENT: "SHA256:pending" } });
	const later = payload({ kind: "file_hash", tgid: 10, tags: { ...file, SHA256: hash, BLAKE3: hash } });
	for (const field of ["fileDevice", "fileInode", "fileBytes", "fileModifiedNs", "fileChangedNs"] as const)
		assert.equal(exec[field], later[field], field);
	assert.deepEqual([exec.absent, later.sha256], [["sha256: pending"], hash]);
	const none = take({ kind: "file_hash", tags: { ...file, CAUSE: "too_large" } });
	assert.deepEqual(none.draft.payload.absent, ["sha256: too_large", "blake3: too_large"]);
	assert.equal(none.entry, null);
	const wrong = payload({ kind: "file_hash", tgid: 10, tags: { SHA256: new Uint8Array(31) } });
	assert.equal(wrong.sha256, undefined);
});

test("a hash that comes long after its process was forgotten names it and takes no place in the table", () => {
	const { table, payload, take } = stage();
	const before = table.size;
	const hash = { SHA256: new Uint8Array(32), BLAKE3: new Uint8Array(32) };
	const late = take({ kind: "file_hash", tgid: 777, startTicks: 5n, tags: hash });
	assert.deepEqual(late.draft.process, table.keyOf({ tgid: 777, startTicks: 5n }));
	assert.equal(payload({ kind: "memory_header", tgid: 778, tags: {} }).pid, 778);
	assert.equal(table.size, before);
	const known = table.observe({ tgid: 779, startTicks: 5n });
	assert.equal(take({ kind: "file_hash", tgid: 779, startTicks: 5n, tags: hash }).entry, known);
});

test("a memory header is told with the hash of its own bytes, and only where the policy allows it", () => {
	const CONTENT = utf8("\x7fELF");
	const header = (tags: OutgoingFrame["tags"], allowsMemoryHeaders = true) =>
		stage({ policy: { allowsMemoryHeaders } }).payload({
			kind: "memory_header",
			tgid: 10,
			tags: { ADDRESS: 0x5555n, PERMS: "r-xp", ...tags },
		});
	const good = header({ CONTENT, SHA256: sha256(CONTENT) });
	assert.deepEqual([good.address, good.permissions, good.content], [0x5555n, "r-xp", CONTENT]);
	assert.equal(hexOf(good.sha256 ?? CONTENT), hexOf(sha256(CONTENT)));
	const lying = header({ CONTENT, SHA256: new Uint8Array(32) });
	assert.deepEqual([lying.sha256, lying.absent], [undefined, ["sha256: differs_from_content"]]);
	assert.deepEqual(header({ CAUSE: "unreadable" }).absent, ["content: unreadable"]);
	assert.equal(header({ CONTENT: new Uint8Array(4096) }).content?.length, 4096);
	assert.deepEqual(header({ CONTENT: new Uint8Array(4097) }).absent, ["content: too_large"]);
	const forbidden = header({ CONTENT, SHA256: sha256(CONTENT) }, false);
	assert.deepEqual(
		[forbidden.content, forbidden.sha256, forbidden.absent],
		[undefined, undefined, ["content: not_allowed"]],
	);
});

test("reasons for absence name payload fields, header fields included, and stay bounded", () => {
	const { payload } = stage();
	const absent = (ABSENT: string, kind: "fork" | "exec" = "fork") => payload({ kind, tgid: 10, tags: { ABSENT } });
	assert.deepEqual(absent("ARGV:gone,ENV:gone,CWD:denied").absent, [
		"cmdline: gone",
		"environment: gone",
		"cwd: denied",
	]);
	assert.deepEqual(absent("PARENT_TGID:gone,PARENT_TICKS:gone").absent, ["parent: gone"]);
	const noIds = absent("UID:gone,GID:gone,EUID:gone");
	assert.deepEqual(
		[noIds.uid, noIds.gid, noIds.euid],
		[undefined, undefined, undefined],
		"a zero that says nothing is not root",
	);
	assert.deepEqual(noIds.absent, ["uid: gone", "gid: gone", "euid: gone"]);
	assert.deepEqual(absent("NEWER_TAG:why,,CWD,EXE:").absent, ["NEWER_TAG: why", "cwd: unstated", "exe: unstated"]);
	const many = absent(Array.from({ length: 50 }, (_, i) => `T${i}:${"x".repeat(100)}`).join(",")).absent ?? [];
	assert.equal(many.length, 16);
	assert.ok(many.every((entry) => entry.length <= 80));
	assert.equal(many.at(-1), "more: not listed");
});

test("a shared key is said on every event of both processes", () => {
	const { take, payload } = stage();
	take(fork(10, 1));
	assert.equal(payload({ kind: "exit", tgid: 10, tags: { EXIT_CODE: 0 } }).absent, undefined);
	assert.deepEqual(payload(fork(10, 2)).absent, ["process: key_shared"]);
	assert.deepEqual(payload({ kind: "exec", tgid: 10 }).absent, ["process: key_shared"]);
	const polled = stage();
	polled.take({ ...fork(10, 1), tier: "proc" });
	assert.equal(polled.payload({ ...fork(10, 1), tier: "proc" }).absent, undefined);
});

test("texts that triple on the wire still fit one event, the least telling going first", () => {
	const { table, take } = stage({ policy: { environmentNames: ["A"] } });
	const odd = new Uint8Array(4096).fill(0xff);
	table.cgroups.learn(3n, "\ufffd".repeat(4096));
	const ENV = concatBytes(utf8("A="), odd.subarray(2));
	const tags = { EXE: odd, FILENAME: odd, INTERP: odd, CWD: odd, ARGV: new Uint8Array(16_384).fill(0xff), ENV };
	const { draft } = take({ kind: "exec", tgid: 10, cgroupId: 3n, tags });
	const { cmdline, ...payload } = draft.payload;
	assert.ok(encodeAs(eventShape, { ...draft, payload, seq: 0 }).length <= MODEL_LIMITS.eventBytesMax);
	assert.equal(payload.exe?.length, 4096);
	assert.ok(payload.absent?.includes("cwd: event_too_large"), String(payload.absent));
});

test("whatever a frame holds, its event has the event's shape", () => {
	const tag = fc.constantFrom(...(Object.keys(TAGS) as TagName[]));
	const tags = fc.array(fc.tuple(tag, fc.uint8Array({ maxLength: 600 })), { maxLength: 20 });
	const u32 = fc.nat(0xffff_ffff);
	const { take } = stage({ isMasked: false, policy: { environmentNames: ["A"], allowsMemoryHeaders: true } });
	fc.assert(
		fc.property(
			fc.constantFrom(...PROCESS_EVENT_KINDS),
			tags,
			u32,
			fc.nat(0xffff),
			fc.bigInt(0n, 2n ** 64n - 1n),
			(...given) => {
				const [kind, list, tgid, bits, big] = given;
				const values = list.map(([name, bytes]): [TagName, Uint8Array] => {
					const width = TAG_WIDTHS[name];
					return [name, width === undefined ? bytes : concatBytes(bytes, new Uint8Array(width)).subarray(0, width)];
				});
				const frame = { kind, tgid, flags: bits, uid: tgid, startTicks: big, ktimeNs: big, cgroupId: big };
				const { draft } = take({ ...frame, tags: Object.fromEntries(values) });
				const event = decodeAs(eventShape, encodeAs(eventShape, { ...draft, seq: 0 }));
				assert.ok(event.ok, event.ok ? "" : event.detail);
			},
		),
		{ numRuns: 2000 },
	);
});
