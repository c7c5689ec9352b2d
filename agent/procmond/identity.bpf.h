/*
 * Who did it, is it in scope, and how an event leaves the kernel: shared by all programs. It
 * guarantees that a per-CPU number is taken only for events that will be offered to the ring, that a
 * full ring shows as a hole plus a drop count, and that no class of events can take the last of the
 * ring from one that matters more. It must never take a number before the scope check: the agent
 * reads every hole as loss.
 */
#ifndef PROCMOND_IDENTITY_BPF_H
#define PROCMOND_IDENTITY_BPF_H

#define NS_PER_TICK 10000000ull

/*
 * Where globals lie that the programs write themselves. All others are set by user space alone, and
 * bpf_guard.c takes any other hand in them for tampering.
 */
#define PM_OWN_NOTES ".data.notes"

/* Set before load, so the verifier removes what a machine-wide scope does not need. */
const volatile __u64 scope_cgroup_id = 0;

/* Written by user space through the mapped .bss; a removed slot stops counting at once. */
volatile __u64 active_slots = 0;
volatile __u64 file_slots = 0;
/* enum pm_watch_on: which lists of paths are in force for every process. */
volatile __u64 watch_on = 0;
/* One bit per shed class: what pressure has taken away for now. */
volatile __u64 shed_mask = 0;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, PM_RING_BYTES);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pm_cpu_state);
} cpu_state SEC(".maps");

/* One row per program that needs room: a program never runs twice at once on one CPU. */
enum scratch_row { SCRATCH_EXEC = 0, SCRATCH_FILE = 1, SCRATCH_TASK = 2, SCRATCH_ROWS = 3 };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCH_ROWS);
	__type(key, __u32);
	__type(value, struct pm_long);
} scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PM_TRACED_MAX);
	__type(key, __u32);
	__type(value, struct pm_traced);
} traced SEC(".maps");

/* ancestors[] was ancestor_ids[] before 6.1; both start at the root. */
struct cgroup___ids {
	u64 ancestor_ids[0];
} __attribute__((preserve_access_index));

static __always_inline __u64 ancestor_id(struct cgroup *group, __u32 level)
{
	__u64 id = 0;

	if (bpf_core_field_exists(struct cgroup, ancestors)) {
		void *row = (void *)group + bpf_core_field_offset(struct cgroup, ancestors);
		struct cgroup *up = NULL;

		bpf_probe_read_kernel(&up, sizeof(up), row + level * sizeof(up));
		id = BPF_CORE_READ(up, kn, id);
	} else if (bpf_core_field_exists(struct cgroup___ids, ancestor_ids)) {
		void *row = (void *)group +
			    bpf_core_field_offset(struct cgroup___ids, ancestor_ids);

		bpf_probe_read_kernel(&id, sizeof(id), row + level * sizeof(id));
	}
	return id;
}

static __noinline bool in_scope(struct task_struct *task)
{
	struct cgroup *group;
	__u32 level, i;

	if (!scope_cgroup_id)
		return true;
	group = BPF_CORE_READ(task, cgroups, dfl_cgrp);
	if (BPF_CORE_READ(group, kn, id) == scope_cgroup_id)
		return true;
	level = BPF_CORE_READ(group, level);
	for (i = 0; i < PM_CGROUP_LEVELS_MAX; i++) {
		if (i >= level)
			break;
		if (ancestor_id(group, i) == scope_cgroup_id)
			return true;
	}
	return false;
}

/*
 * A task here is always one the verifier knows (an argument of a tracepoint, the current task), so
 * its fields are plain loads: a tenth of the price of a call that copies kernel memory.
 */
static __always_inline __u64 ticks_of(struct task_struct *task)
{
	return task->group_leader->start_boottime / NS_PER_TICK;
}

static __always_inline __u32 ns_pid_of(struct task_struct *task)
{
	struct pid *pid = task->group_leader->thread_pid;
	__u32 level = pid->level;
	void *row = (void *)pid + bpf_core_field_offset(struct pid, numbers);
	__u32 nr = 0;

	bpf_probe_read_kernel(&nr, sizeof(nr), row + level * bpf_core_type_size(struct upid));
	return nr;
}

static __always_inline void fill_event(struct pm_event *event, __u16 kind,
				       struct task_struct *task)
{
	const struct cred *cred = task->cred;

	event->kind = kind;
	event->flags = 0;
	event->tgid = task->tgid;
	event->tid = task->pid;
	event->uid = cred->uid.val;
	event->gid = cred->gid.val;
	event->euid = cred->euid.val;
	event->ns_pid = ns_pid_of(task);
	event->start_ticks = ticks_of(task);
	event->cgroup_id = task->cgroups->dfl_cgrp->kn->id;
	bpf_probe_read_kernel(event->comm, sizeof(event->comm), &task->comm);
}

static __always_inline __u64 traced_slots(__u32 tgid, __u64 start_ticks)
{
	struct pm_traced *row;

	if (!active_slots)
		return 0;
	row = bpf_map_lookup_elem(&traced, &tgid);
	/* The start time keeps a reused pid out. */
	if (!row || row->start_ticks != start_ticks)
		return 0;
	return row->slots & active_slots;
}

static __always_inline void flag_traced(struct pm_event *event)
{
	if (traced_slots(event->tgid, event->start_ticks))
		event->flags |= FRAME_FLAG_TRACED;
}

static __always_inline struct pm_long *scratch_row(__u32 row)
{
	return bpf_map_lookup_elem(&scratch, &row);
}

/* Atomic, because a softirq program can interrupt this one between load and store. */
static __always_inline void submit(struct pm_event *event, __u32 bytes)
{
	__u32 zero = 0;
	struct pm_cpu_state *state = bpf_map_lookup_elem(&cpu_state, &zero);

	if (!state)
		return;
	event->cpu = bpf_get_smp_processor_id();
	event->ktime_ns = bpf_ktime_get_boot_ns();
	event->cpu_seq = __sync_fetch_and_add(&state->head, 1) + 1;
	/* No wakeup: waking the reader per event cost 10-25 % of an exec storm. */
	if (bpf_ringbuf_output(&ring, event, bytes, BPF_RB_NO_WAKEUP))
		__sync_fetch_and_add(&state->drops, 1);
}

/*
 * How full the ring may be, in eighths, for an event of the class to enter it: what anyone can make
 * without end stops first. Fork, exec and exit ask nobody and so always have an eighth left.
 */
static __always_inline __u64 ring_eighths_of(enum frame_shed_class class)
{
	switch (class) {
	case FRAME_SHED_FILE_DETAIL:
	case FRAME_SHED_FILE_WATCHED: return 4;
	case FRAME_SHED_NETWORK_DETAIL: return 5;
	case FRAME_SHED_NETWORK: return 6;
	default: return 7;
	}
}

/* Each event that is given up is counted, so that the loss has a number. */
static __always_inline void count_shed(enum frame_shed_class class)
{
	__u32 zero = 0;
	struct pm_cpu_state *state = bpf_map_lookup_elem(&cpu_state, &zero);

	if (state)
		__sync_fetch_and_add(&state->shed[class], 1);
}

/*
 * Whether events of this class are given up for now: by pressure, or because the ring is too full for
 * them. To be asked before a number is taken.
 */
static __always_inline bool is_shed(enum frame_shed_class class)
{
	if (!(shed_mask & (1ull << class)) &&
	    bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) <= PM_RING_BYTES / 8 * ring_eighths_of(class))
		return false;
	count_shed(class);
	return true;
}

/* An event that cannot even be built still takes a number, so that it shows as loss. */
static __always_inline void count_lost(void)
{
	__u32 zero = 0;
	struct pm_cpu_state *state = bpf_map_lookup_elem(&cpu_state, &zero);

	if (!state)
		return;
	__sync_fetch_and_add(&state->head, 1);
	__sync_fetch_and_add(&state->drops, 1);
}

#endif
