/*
 * What the kernel programs and the user side share, and nothing else: the events in the ring, the
 * rows of the maps, and the sizes both must agree on. It guarantees a fixed layout without holes
 * the compiler could fill differently on the two sides. It must never hold a kernel address that
 * leaves procmond: socket pointers are map keys and stay in the kernel.
 */
#ifndef PROCMOND_SHARED_H
#define PROCMOND_SHARED_H

#include "frame.h"
#include "syscall.h"

/* 1 MiB lost events when the reader paused 2 s, 16 MiB doubles into the RSS; 4 MiB did neither. */
#define PM_RING_BYTES (4 * 1024 * 1024)
#define PM_COMM_BYTES 16
#define PM_TTY_BYTES 16
#define PM_ARGV_BYTES 16384
/* One walk or one user string. The kernel's PATH_MAX; longer is cut and flagged. */
#define PM_PATH_BYTES 4096
#define PM_NAME_BYTES 256
#define PM_PATH_COMPONENTS_MAX 128
/* More than most environments; what is beyond is not searched for the names of the policy. */
#define PM_ENV_BYTES 8192
/*
 * Exe walk, filename, argv, interpreter and directory walk at their longest; or two directory walks
 * and two names. The environment takes what is left. A per-CPU map value ends at 32 KiB.
 */
#define PM_DATA_BYTES (32768 - 256)
/* A trace of one build farm is some thousand processes; the table is preallocated kernel memory. */
#define PM_TRACED_MAX 8192
#define PM_SLOTS_MAX 64
/* A depth of 255 or more means every descendant. */
#define PM_DEPTH_UNLIMITED 255
/*
 * Connections between SYN and answer, and how many of them are kept for one user: a port scan stays
 * below it, and four users must work together to take the table from the others. What is not kept is
 * told when the call returns.
 */
#define PM_PENDING_MAX 16384
#define PM_PENDING_USER_MAX 4096
/* Places to count users in, a power of two; two users in one place share what one may have. */
#define PM_PENDING_USERS 1024
/* Depth of cgroup nesting that is searched upwards for the scope. */
#define PM_CGROUP_LEVELS_MAX 16

/* Segments of a long event's data, in this order and packed one after the other. */
enum pm_segment {
	PM_SEG_WALK = 0, /* exec: exe; file: the opened path, or the directory of NAME */
	PM_SEG_NAME = 1, /* exec: filename as typed; file: the name as passed */
	PM_SEG_ARGV = 2, /* exec: argv; rename, link: the directory of the new name */
	/* rename, link: the new name as passed; symlink: its text; exec: the interpreter as named */
	PM_SEG_NAME_TO = 3,
	PM_SEG_CWD = 4, /* exec */
	PM_SEG_ENV = 5, /* exec: the whole environment; it ends in procmond */
	PM_SEGMENTS = 8, /* a power of two: it masks an index for the verifier */
};

/* How a walk ended, one bit pair per segment. */
enum pm_walk_end {
	PM_WALK_ROOTED = 0, /* met the process's root directory */
	PM_WALK_DETACHED = 1, /* has no directory at all (memfd) or an unmounted one */
};

struct pm_event {
	__u16 kind;
	__u16 flags;
	__u32 cpu;
	__u32 tgid;
	__u32 tid;
	__u32 uid;
	__u32 gid;
	__u32 euid;
	__u32 ns_pid;
	__u64 cpu_seq;
	__u64 ktime_ns;
	__u64 start_ticks;
	__u64 cgroup_id;
	__u8 comm[PM_COMM_BYTES];
};

/* Exec and file events. Only the used part of `data` enters the ring. */
struct pm_long {
	struct pm_event head;
	__u64 parent_ticks;
	/* Which file it is, in which state: what hashes are cached by. Inode 0 = not read. */
	__u64 dev; /* as the kernel numbers it: major << 20 | minor */
	__u64 ino;
	__u64 size;
	__u64 mtime_ns;
	__u64 ctime_ns;
	__u32 parent_tgid;
	__u32 sid;
	__u32 open_flags;
	__u32 exe_flags;
	__u32 absent; /* enum pm_absent */
	__u32 walk_end[2]; /* PM_SEG_WALK; PM_SEG_ARGV or PM_SEG_CWD */
	__u32 bytes[PM_SEGMENTS];
	__u8 tty[PM_TTY_BYTES];
	__u32 file_has; /* enum pm_file_has: which fields of a file event are filled */
	__u32 mode;
	__s32 result;
	__u8 data[PM_DATA_BYTES];
};

#define PM_LONG_HEAD_BYTES __builtin_offsetof(struct pm_long, data)

/*
 * A process in scope of traces: one bit per slot, and per slot how many levels may still follow.
 * The depths lie in bit planes (bit s of plane p is bit p of slot s's depth), so that the fork
 * handler lowers all 64 in eight steps without a branch; the verifier refuses 64 branches.
 */
#define PM_DEPTH_PLANES 8
struct pm_traced {
	__u64 start_ticks;
	__u64 slots;
	__u64 depth[PM_DEPTH_PLANES];
};

/*
 * `head` is the last number given on this CPU, `drops` how many of those did not fit the ring, `shed`
 * how many events of each class were given up, under pressure or for want of room: those took no number.
 */
struct pm_cpu_state {
	__u64 head;
	__u64 drops;
	__u64 shed[FRAME_SHED_CLASS_COUNT];
};

_Static_assert(sizeof(struct pm_event) == 80, "no padding");
_Static_assert(PM_LONG_HEAD_BYTES == 80 + 136, "no padding");
/* A per-CPU map value may not exceed 32 KiB. */
_Static_assert(sizeof(struct pm_long) <= 32768, "fits a per-CPU map value");

#include "file_event.h"
#include "process_event.h"
#include "network_event.h"

#endif
