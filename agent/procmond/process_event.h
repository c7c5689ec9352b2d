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

_Static_assert(sizeof(struct pm_fork) == sizeof(struct pm_event) + 16, "no padding");
_Static_assert(sizeof(struct pm_exit) == sizeof(struct pm_event) + 8, "no padding");

#endif
