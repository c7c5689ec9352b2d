/**
 * Events as a busy build host makes them: short programs that are forked, exec, sometimes connect, and exit. Deterministic, so that
 * two runs carry the same bytes but for their numbering. Must never be used outside a bench: the processes do not exist.
 */
import { type Event, type EventPayload, ZERO_PROCESS } from "#core/model/event.ts";
import { processKeyOf } from "#core/model/ids.ts";
import { maskCmdline } from "../agent/privacy/mask.ts";

const PROGRAMS = [
	{
		name: "cc1",
		exe: "/usr/lib/gcc/x86_64-linux-gnu/12/cc1",
		argv: ["cc1", "-quiet", "-O2", "main.c", "-o", "/tmp/a.s"],
	},
	{ name: "as", exe: "/usr/bin/x86_64-linux-gnu-as", argv: ["as", "--64", "-o", "main.o", "/tmp/a.s"] },
	{ name: "sh", exe: "/usr/bin/dash", argv: ["sh", "-c", "test -f main.o && echo yes"] },
	{ name: "grep", exe: "/usr/bin/grep", argv: ["grep", "-c", "processor", "/proc/cpuinfo"] },
	{ name: "curl", exe: "/usr/bin/curl", argv: ["curl", "--silent", "--max-time=5", "https://mirror.local/index"] },
] as const;

/** One process of five connects, as `curl` in the list above. */
const CONNECTING = "curl";
const FIRST_PID = 2000;
/** Pids of a default kernel end at 32,768: the load reuses them as a kernel would. */
const PIDS = 30_000;

type Draft = Omit<Event, "seq">;

function identityOf(index: number) {
	return {
		machineId: "0123456789abcdef0123456789abcdef",
		bootId: "00000000-0000-4000-8000-000000000000",
		tgid: FIRST_PID + (index % PIDS),
		startTicks: BigInt(10_000 + index),
	};
}

/** What one short process leaves behind, in order. */
function processDrafts(index: number, startMs: number): Draft[] {
	const program = PROGRAMS[index % PROGRAMS.length] as (typeof PROGRAMS)[number];
	const identity = identityOf(index);
	const shell = identityOf(index - (index % 16));
	const parent = index % 16 === 0 ? ZERO_PROCESS : processKeyOf(shell);
	const process = processKeyOf(identity);
	const common: EventPayload = {
		pid: identity.tgid,
		nsPid: identity.tgid,
		ppid: shell.tgid,
		parent,
		creatorParent: parent,
		uid: 1000,
		gid: 1000,
		euid: 1000,
		cgroupId: 4711n,
	};
	const draft = (kind: Event["kind"], atMs: number, payload: EventPayload): Draft => ({
		kind,
		process,
		kernelTimeNs: BigInt(startMs + atMs) * 1_000_000n,
		wallTimeMs: startMs + atMs,
		tier: "ebpf",
		payload: { ...common, ...payload },
		execCount: kind === "fork" ? 0 : 1,
	});
	const { name, exe } = program;
	const image = { name, exe, filename: exe, cmdline: maskCmdline(program.argv), isCmdlineMasked: true, sid: FIRST_PID };
	const address = { localAddress: Uint8Array.of(10, 0, 0, 5), remoteAddress: Uint8Array.of(10, 0, 0, 80), result: 0 };
	const connect = {
		name,
		exe,
		...address,
		localPort: 32_768 + (index % 20_000),
		remotePort: 443,
		netns: 4_026_531_840,
	};
	return [
		draft("fork", 0, { name: "sh", exe: "/usr/bin/dash" }),
		draft("exec", 1, image),
		...(name === CONNECTING ? [draft("connect", 2, connect)] : []),
		draft("exit", 5, { name, exe, exitCode: 0, exitSignal: 0 }),
	];
}

/** As many drafts as asked for, the last process perhaps cut short. */
export function loadDrafts(count: number, startMs: number): Draft[] {
	const drafts: Draft[] = [];
	for (let index = 0; drafts.length < count; index++)
		drafts.push(...processDrafts(index, startMs + Math.floor(index / 3)));
	return drafts.slice(0, count);
}
