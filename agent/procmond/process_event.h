/*
 * What the ring carries of processes, beside exec, which is a long event. It guarantees a fixed
 * layout without padding. Included by procmond.h only.
 */
#ifndef PROCMOND_PROCESS_EVENT_H
#define PROCMOND_PROCESS_EVENT_H

struct pm_fork {
	struct pm_event head;
	__u64 parent_ticks;
	__u32 parent_tgid;
	__u32 reserved;
};

struct pm_exit {
	struct pm_event head;
	__u32 exit_code;
	__u32 reserved;
};

/* What an exec or snapshot could not read, as bits. */
enum pm_absent {
	PM_ABSENT_EXE = 1 << 0,
	PM_ABSENT_FILENAME = 1 << 1,
	PM_ABSENT_INTERP = 1 << 2,
	PM_ABSENT_ARGV = 1 << 3,
	PM_ABSENT_CWD = 1 << 4,
	PM_ABSENT_CWD_UNCERTAIN = 1 << 5,
	PM_ABSENT_ENV = 1 << 6,
	PM_ABSENT_ENV_NO_ROOM = 1 << 7,
	PM_ABSENT_ENV_CUT = 1 << 8,
};

struct pm_set_id {
	struct pm_event head;
	__u32 old_uid;
	__u32 old_gid;
	__u32 old_euid;
	__u16 call; /* enum pm_call */
	__u16 old_unknown; /* 1 = the old ids were never seen */
};

/* Why an act counts as tampering. */
enum pm_tamper_cause {
	PM_TAMPER_CODE = 0, /* puts code into the kernel, or takes it away */
	PM_TAMPER_OWN_OBJECT = 1, /* took hold of one of our programs, maps or links */
	PM_TAMPER_OWN_PROCESS = 2,
	PM_TAMPER_KERNEL_SIGNAL = 3, /* out of memory, or the end of a cgroup or pid namespace */
};

/* ptrace and its kin, and tamper. */
struct pm_act {
	struct pm_event head;
	__u64 request;
	__u64 target_ticks;
	__u32 target_tgid; /* 0 = not found in the kernel */
	__u32 target_pid; /* init pid namespace, then to be found by user space; 0 = cannot be */
	__s32 result;
	__u32 count; /* tamper: how often since the last such event */
	__u16 call; /* enum pm_call; PM_CALL_NONE = a signal */
	__u16 cause; /* enum pm_tamper_cause */
	__u32 reserved;
};

/* Why a process may do what is not seen, as bits. */
enum pm_partial_cause { PM_PARTIAL_IO_URING = 1 << 0, PM_PARTIAL_COMPAT32 = 1 << 1 };

struct pm_partial {
	struct pm_event head;
	__u32 cause;
	__u32 reserved;
};

/* A process that set up io_uring or runs 32-bit code, traced or not: a trace may begin later. */
struct pm_partial_row {
	__u64 start_ticks;
	__u32 seen;
	__u32 told;
};
#define PM_PARTIAL_MAX 4096

/* The ids a process had when it was last looked at. */
struct pm_ids {
	__u32 uid;
	__u32 gid;
	__u32 euid;
	__u32 egid;
	__u32 suid;
	__u32 sgid;
};

/* Who did what to whom: tells the first of many. */
struct pm_repeat_key {
	__u64 start_ticks;
	__u32 tgid;
	__u32 target;
	__u32 request;
	__u32 call;
};

struct pm_repeat {
	__u64 told_at_ns;
	__u32 count;
	__u32 reserved;
};
#define PM_REPEAT_MAX 2048
/* An act goes on being told, but a host that starts services all day must stay readable. */
#define PM_REPEAT_QUIET_NS 60000000000ull

/* procmond, its agent. */
#define PM_OWN_TGIDS 2
/* Our programs, maps and links as `kind << 32 | id`. */
#define PM_OWN_OBJECTS_MAX 128
enum pm_object_kind { PM_OBJECT_PROGRAM = 1, PM_OBJECT_MAP = 2, PM_OBJECT_LINK = 3 };

_Static_assert(sizeof(struct pm_set_id) == sizeof(struct pm_event) + 16, "no padding");
_Static_assert(sizeof(struct pm_act) == sizeof(struct pm_event) + 40, "no padding");
_Static_assert(sizeof(struct pm_partial) == sizeof(struct pm_event) + 8, "no padding");
_Static_assert(sizeof(struct pm_repeat_key) == 24, "no padding");
_Static_assert(sizeof(struct pm_fork) == sizeof(struct pm_event) + 16, "no padding");
_Static_assert(sizeof(struct pm_exit) == sizeof(struct pm_event) + 8, "no padding");

#endif
