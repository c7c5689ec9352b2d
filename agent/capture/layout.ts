/**
 * The frame layout of docs/procmond-frames.md as numbers. The C source of truth is agent/procmond/frame.h; a test compares this
 * file with what `procmond --print-layout` prints. Numbers are append-only. Must never hold a number that is not in that header.
 */

export const FRAME_VERSION = 1;
export const HEADER_BYTES = 64;
/** Of the u32 length prefix: header and TLVs. */
export const LENGTH_MIN = 64;
export const LENGTH_MAX = 65_536;
export const PREFIX_BYTES = 4;
export const TLV_BYTES = 4;

export const HEADER_OFFSETS = {
	version: 0,
	kind: 2,
	tier: 4,
	flags: 6,
	cpu: 8,
	tgid: 12,
	cpu_seq: 16,
	ktime_ns: 24,
	start_ticks: 32,
	tid: 40,
	uid: 44,
	gid: 48,
	euid: 52,
	cgroup_id: 56,
} as const;

export const KINDS = {
	ready: 1,
	fork: 2,
	exec: 3,
	exit: 4,
	connect: 5,
	accept: 6,
	file_open: 7,
	file_create: 8,
	file_rename: 9,
	file_unlink: 10,
	snapshot: 11,
	snapshot_end: 12,
	stats: 13,
	trace_state: 14,
	configure: 101,
	trace_add: 102,
	trace_remove: 103,
} as const;
export type FrameKind = keyof typeof KINDS;

export const TAGS = {
	MACHINE_ID: 1,
	BOOT_ID: 2,
	WALL_NS: 3,
	PROGRAMS: 4,
	MISSING: 5,
	CAUSE: 6,
	PARENT_TGID: 7,
	PARENT_TICKS: 8,
	COMM: 9,
	NS_PID: 10,
	EXE: 11,
	FILENAME: 12,
	ARGV: 13,
	SID: 14,
	TTY: 15,
	EXIT_CODE: 16,
	FAMILY: 17,
	LADDR: 18,
	LPORT: 19,
	RADDR: 20,
	RPORT: 21,
	NETNS: 22,
	RESULT: 23,
	PATH: 24,
	PATH_TO: 25,
	OPEN_FLAGS: 26,
	COUNT: 27,
	CPU_HEADS: 28,
	CPU_DROPS: 29,
	SLOT: 30,
	DEPTH: 31,
	COLLECT: 32,
	SCOPE_CGROUP: 33,
	SOURCE: 34,
	POLL_MS: 35,
	MISSES: 36,
} as const;
export type TagName = keyof typeof TAGS;
export const TAG_LAST = 36;

/** Bytes that a tag's value must have; tags not named here have any length. */
export const TAG_WIDTHS: Readonly<Partial<Record<TagName, 2 | 4 | 8>>> = {
	WALL_NS: 8,
	PARENT_TGID: 4,
	PARENT_TICKS: 8,
	NS_PID: 4,
	SID: 4,
	EXIT_CODE: 4,
	FAMILY: 2,
	LPORT: 2,
	RPORT: 2,
	NETNS: 4,
	RESULT: 4,
	OPEN_FLAGS: 4,
	COUNT: 4,
	SLOT: 4,
	DEPTH: 4,
	COLLECT: 4,
	POLL_MS: 4,
	MISSES: 8,
};

export const TIERS = { ebpf: 1, netlink: 2, proc: 3 } as const;
export type CaptureTier = keyof typeof TIERS;

export const FLAG_BITS = { traced: 0, argv_cut: 1, path_uncertain: 2, path_cut: 3, replayed: 4 } as const;
export const COLLECT_BITS = { file: 0, network: 1, cmdline: 2 } as const;
