/*
 * What is remembered of processes between their events: the ids they had, and whether they can act
 * unseen. It guarantees that a change of ids is told with the ids before it, also of a process that
 * a trace never touched, and that a way around the view is told once per process. It must never
 * outlive the process: ids live and die with its task, rows of a reused pid are told by start time.
 */
#ifndef PROCMOND_IDS_BPF_H
#define PROCMOND_IDS_BPF_H

/* Whether the policy names environment variables. Written through the mapped .bss. */
volatile __u32 env_is_read = 0;

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct pm_ids);
} last_ids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PM_PARTIAL_MAX);
	__type(key, __u32);
	__type(value, struct pm_partial_row);
} partial SEC(".maps");

static __always_inline void read_ids(struct pm_ids *ids, struct task_struct *task)
{
	const struct cred *cred = task->cred;

	ids->uid = cred->uid.val;
	ids->gid = cred->gid.val;
	ids->euid = cred->euid.val;
	ids->egid = cred->egid.val;
	ids->suid = cred->suid.val;
	ids->sgid = cred->sgid.val;
}

/* At fork and exec, so that the first change after it has something to be compared with. */
static __always_inline void remember_ids(struct task_struct *leader)
{
	struct pm_ids *ids = bpf_task_storage_get(&last_ids, leader, NULL,
						  BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (ids)
		read_ids(ids, leader);
}

/* Notes it, and tells it at once of a traced process; of others when a trace takes them in. */
static __always_inline void mark_partial(struct task_struct *task, __u32 cause)
{
	struct pm_partial event = {.cause = cause};
	struct pm_partial_row row = {.start_ticks = ticks_of(task)}, *known;
	__u32 tgid = task->tgid;
	bool is_traced = traced_slots(tgid, row.start_ticks);

	known = bpf_map_lookup_elem(&partial, &tgid);
	if (known && known->start_ticks == row.start_ticks)
		row = *known;
	/* Every use of io_uring, and while there is a trace every 32-bit call: most leave here. */
	if ((is_traced ? row.told : row.seen) & cause)
		return;
	row.seen |= cause;
	if (is_traced && in_scope(task)) {
		row.told |= cause;
		fill_event(&event.head, FRAME_KIND_VIEW_PARTIAL, task);
		event.head.flags = FRAME_FLAG_TRACED;
		submit(&event.head, sizeof(event));
	}
	bpf_map_update_elem(&partial, &tgid, &row, BPF_ANY);
}

#endif
