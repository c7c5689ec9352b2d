/*
 * The frame layout: what crosses the socket between procmond and the agent, in both directions.
 * It guarantees one place for every offset, kind and tag: the lists below feed the enums, the
 * validator and `procmond --print-layout`, so they cannot drift apart. Numbers are append-only: a
 * number that was ever used is never given to something else. It must never hold pointers,
 * padding or anything that differs between machines.
 */
#ifndef PROCMOND_FRAME_H
#define PROCMOND_FRAME_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define FRAME_VERSION 1
#define FRAME_HEADER_BYTES 64
/* The u32 length in front counts header and TLVs; 64 KiB holds the largest argv and two paths. */
#define FRAME_LENGTH_MIN FRAME_HEADER_BYTES
#define FRAME_LENGTH_MAX 65536
#define FRAME_PREFIX_BYTES 4
#define FRAME_TLV_BYTES 4

/* X(field, wire type, offset) */
#define FRAME_FIELDS(X) \
	X(version, u16, 0) X(kind, u16, 2) X(tier, u16, 4) X(flags, u16, 6) \
	X(cpu, u32, 8) X(tgid, u32, 12) X(cpu_seq, u64, 16) X(ktime_ns, u64, 24) \
	X(start_ticks, u64, 32) X(tid, u32, 40) X(uid, u32, 44) X(gid, u32, 48) \
	X(euid, u32, 52) X(cgroup_id, u64, 56)

/* X(NAME, wire name, number). 1-99 go to the agent, 101-199 come from it. */
#define FRAME_KINDS(X) \
	X(READY, ready, 1) X(FORK, fork, 2) X(EXEC, exec, 3) X(EXIT, exit, 4) \
	X(CONNECT, connect, 5) X(ACCEPT, accept, 6) X(FILE_OPEN, file_open, 7) \
	X(FILE_CREATE, file_create, 8) X(FILE_RENAME, file_rename, 9) \
	X(FILE_UNLINK, file_unlink, 10) X(SNAPSHOT, snapshot, 11) \
	X(SNAPSHOT_END, snapshot_end, 12) X(STATS, stats, 13) X(TRACE_STATE, trace_state, 14) \
	X(CLOSE, close, 15) X(SOCKET, socket, 16) X(BIND, bind, 17) X(LISTEN, listen, 18) \
	X(DATAGRAM, datagram, 19) X(DNS, dns, 20) X(SET_ID, set_id, 21) X(PTRACE, ptrace, 22) \
	X(FILE_LINK, file_link, 23) X(FILE_SYMLINK, file_symlink, 24) X(FILE_CHMOD, file_chmod, 25) \
	X(TAMPER, tamper, 26) X(VIEW_PARTIAL, view_partial, 27) X(FILE_HASH, file_hash, 28) \
	X(MEMORY_HEADER, memory_header, 29) X(CGROUP, cgroup, 30) X(FIDELITY, fidelity, 31) \
	X(CONFIGURE, configure, 101) X(TRACE_ADD, trace_add, 102) X(TRACE_REMOVE, trace_remove, 103) \
	X(POLICY, policy, 104)

#define FRAME_KIND_TO_AGENT_LAST 31

/* X(NAME, number, bytes it must have; 0 = any length) */
#define FRAME_TAGS(X) \
	X(MACHINE_ID, 1, 0) X(BOOT_ID, 2, 0) X(WALL_NS, 3, 8) X(PROGRAMS, 4, 0) X(MISSING, 5, 0) \
	X(CAUSE, 6, 0) X(PARENT_TGID, 7, 4) X(PARENT_TICKS, 8, 8) X(COMM, 9, 0) X(NS_PID, 10, 4) \
	X(EXE, 11, 0) X(FILENAME, 12, 0) X(ARGV, 13, 0) X(SID, 14, 4) X(TTY, 15, 0) \
	X(EXIT_CODE, 16, 4) X(FAMILY, 17, 2) X(LADDR, 18, 0) X(LPORT, 19, 2) X(RADDR, 20, 0) \
	X(RPORT, 21, 2) X(NETNS, 22, 4) X(RESULT, 23, 4) X(PATH, 24, 0) X(PATH_TO, 25, 0) \
	X(OPEN_FLAGS, 26, 4) X(COUNT, 27, 4) X(CPU_HEADS, 28, 0) X(CPU_DROPS, 29, 0) X(SLOT, 30, 4) \
	X(DEPTH, 31, 4) X(COLLECT, 32, 4) X(SCOPE_CGROUP, 33, 0) X(SOURCE, 34, 0) X(POLL_MS, 35, 4) \
	X(MISSES, 36, 8) X(INTERP, 37, 0) X(CWD, 38, 0) X(ENV, 39, 0) X(DEV, 40, 8) X(INO, 41, 8) \
	X(SIZE, 42, 8) X(MTIME_NS, 43, 8) X(CTIME_NS, 44, 8) X(MODE, 45, 4) X(EXE_FLAGS, 46, 4) \
	X(SOCKET_TYPE, 47, 2) X(PROTOCOL, 48, 2) X(BYTES_SENT, 49, 8) X(BYTES_RECEIVED, 50, 8) \
	X(DNS_MESSAGE, 51, 0) X(DIRECTION, 52, 2) X(OLD_UID, 53, 4) X(OLD_GID, 54, 4) \
	X(OLD_EUID, 55, 4) X(TARGET_TGID, 56, 4) X(TARGET_TICKS, 57, 8) X(REQUEST, 58, 8) \
	X(CALL, 59, 0) X(SHA256, 60, 0) X(BLAKE3, 61, 0) X(ADDRESS, 62, 8) X(PERMS, 63, 0) \
	X(CONTENT, 64, 0) X(CGROUP_PATH, 65, 0) X(LEVEL, 66, 4) X(SHED, 67, 0) \
	X(WATCH_PATHS, 68, 0) X(CREDENTIAL_PATHS, 69, 0) X(ENV_NAMES, 70, 0) \
	X(HASH_BYTES_MAX, 71, 8) X(NEW_FILE_BYTES_MAX, 72, 8) X(MEMORY_HEADERS, 73, 4) \
	X(ABSENT, 74, 0) X(SINCE_NS, 75, 8)

#define FRAME_TAG_LAST 75

/* X(NAME, wire name, number) */
#define FRAME_TIERS(X) X(EBPF, ebpf, 1) X(NETLINK, netlink, 2) X(PROC, proc, 3)

/* X(NAME, wire name, bit) */
#define FRAME_FLAGS(X) \
	X(TRACED, traced, 0) X(ARGV_CUT, argv_cut, 1) X(PATH_UNCERTAIN, path_uncertain, 2) \
	X(PATH_CUT, path_cut, 3) X(REPLAYED, replayed, 4) X(COMPAT32, compat32, 5) \
	X(WATCHED, watched, 6) X(CREDENTIAL, credential, 7)

/* X(NAME, wire name, bit) of the COLLECT tag */
#define FRAME_COLLECTS(X) X(FILE, file, 0) X(NETWORK, network, 1) X(CMDLINE, cmdline, 2) X(MEMORY, memory, 3)

/* X(NAME, wire name, bit) of the EXE_FLAGS tag */
#define FRAME_EXE_FLAGS(X) X(DELETED, deleted, 0) X(MEMFD, memfd, 1)

/* X(NAME, wire name, index in the SHED column): what is given up first comes first. */
#define FRAME_SHED_CLASSES(X) \
	X(FILE_DETAIL, file_detail, 0) X(FILE_WATCHED, file_watched, 1) X(NETWORK_DETAIL, network_detail, 2) \
	X(NETWORK, network, 3) X(PROCESS_DETAIL, process_detail, 4)
#define FRAME_SHED_CLASS_COUNT 5

#define FRAME_ENUM_KIND(name, wire, number) FRAME_KIND_##name = number,
#define FRAME_ENUM_TAG(name, number, bytes) FRAME_TAG_##name = number,
#define FRAME_ENUM_TIER(name, wire, number) FRAME_TIER_##name = number,
#define FRAME_ENUM_FLAG(name, wire, bit) FRAME_FLAG_##name = 1 << bit,
#define FRAME_ENUM_COLLECT(name, wire, bit) FRAME_COLLECT_##name = 1 << bit,
#define FRAME_ENUM_EXE_FLAG(name, wire, bit) FRAME_EXE_##name = 1 << bit,
#define FRAME_ENUM_SHED(name, wire, index) FRAME_SHED_##name = index,

enum frame_kind { FRAME_KINDS(FRAME_ENUM_KIND) };
enum frame_tag { FRAME_TAGS(FRAME_ENUM_TAG) };
enum frame_tier { FRAME_TIERS(FRAME_ENUM_TIER) };
enum frame_flag { FRAME_FLAGS(FRAME_ENUM_FLAG) };
enum frame_collect { FRAME_COLLECTS(FRAME_ENUM_COLLECT) };
enum frame_exe_flag { FRAME_EXE_FLAGS(FRAME_ENUM_EXE_FLAG) };
enum frame_shed_class { FRAME_SHED_CLASSES(FRAME_ENUM_SHED) };

/* The header in memory is the header on the wire: little-endian hosts only, checked below. */
struct frame_header {
	__u16 version;
	__u16 kind;
	__u16 tier;
	__u16 flags;
	__u32 cpu;
	__u32 tgid;
	__u64 cpu_seq;
	__u64 ktime_ns;
	__u64 start_ticks;
	__u32 tid;
	__u32 uid;
	__u32 gid;
	__u32 euid;
	__u64 cgroup_id;
};

#define FRAME_WIDTH_u16 2
#define FRAME_WIDTH_u32 4
#define FRAME_WIDTH_u64 8
#define FRAME_ASSERT_FIELD(field, type, offset) \
	_Static_assert(__builtin_offsetof(struct frame_header, field) == (offset), #field); \
	_Static_assert(sizeof(((struct frame_header *)0)->field) == FRAME_WIDTH_##type, #field);
FRAME_FIELDS(FRAME_ASSERT_FIELD)
_Static_assert(sizeof(struct frame_header) == FRAME_HEADER_BYTES, "the header is 64 bytes");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the wire is little-endian");

#endif
