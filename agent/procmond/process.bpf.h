/*
 * Processes: fork, exec and exit of thread groups. It guarantees that a child of a traced process
 * is in the traced table before its first instruction, and that threads are not reported as
 * processes. It must never trust memory of the new process for identity: the executable comes
 * from the kernel's own file, only argv from user memory, where nobody has run yet.
 */
#ifndef PROCMOND_PROCESS_BPF_H
#define PROCMOND_PROCESS_BPF_H

#define SIGNAL_GROUP_EXIT 0x00000004

static __always_inline void inherit_slots(__u32 parent_tgid, __u64 parent_ticks,
					  struct pm_event *child)
{
	struct pm_traced *parent, row = {};
	__u64 some = 0, unlimited = ~0ull, borrow;
	__u32 i;

	if (!active_slots)
		return;
	parent = bpf_map_lookup_elem(&traced, &parent_tgid);
	if (!parent || parent->start_ticks != parent_ticks)
		return;
	for (i = 0; i < PM_DEPTH_PLANES; i++) {
		some |= parent->depth[i];
		unlimited &= parent->depth[i];
	}
	row.slots = parent->slots & active_slots & some;
	if (!row.slots)
		return;
	/* One less for every slot at once: subtract with a borrow that ripples up the planes. */
	borrow = some & ~unlimited;
	for (i = 0; i < PM_DEPTH_PLANES; i++) {
		row.depth[i] = parent->depth[i] ^ borrow;
		borrow &= ~parent->depth[i];
	}
	row.start_ticks = child->start_ticks;
	/* A full table loses the lineage, not the process: the event still leaves, unflagged. */
	if (!bpf_map_update_elem(&traced, &child->tgid, &row, BPF_ANY))
		child->flags |= FRAME_FLAG_TRACED;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	struct pm_fork event = {};

	if (BPF_CORE_READ(child, pid) != BPF_CORE_READ(child, tgid))
		return 0;
	fill_event(&event.head, FRAME_KIND_FORK, child);
	event.parent_tgid = BPF_CORE_READ(parent, tgid);
	event.parent_ticks = ticks_of(parent);
	/* Before the scope check: a lineage may leave the cgroup and come back. */
	inherit_slots(event.parent_tgid, event.parent_ticks, &event.head);
	if (in_scope(child))
		submit(&event.head, sizeof(event));
	return 0;
}

static __always_inline __u32 read_argv(struct task_struct *task, struct pm_long *event, __u32 pos)
{
	__u64 start = BPF_CORE_READ(task, mm, arg_start);
	__u64 end = BPF_CORE_READ(task, mm, arg_end);
	__u64 bytes = end - start;

	if (bytes > PM_ARGV_BYTES) {
		bytes = PM_ARGV_BYTES;
		event->head.flags |= FRAME_FLAG_ARGV_CUT;
	}
	if (pos > PM_DATA_BYTES - PM_ARGV_BYTES)
		return pos;
	if (bpf_probe_read_user(event->data + pos, bytes, (void *)start)) {
		event->head.flags |= FRAME_FLAG_ARGV_CUT;
		return pos;
	}
	event->bytes[PM_SEG_ARGV] = bytes;
	return pos + bytes;
}

static __always_inline void fill_exec(struct pm_long *event, struct task_struct *task)
{
	struct task_struct *parent = BPF_CORE_READ(task, real_parent);
	struct signal_struct *signal = BPF_CORE_READ(task, signal);
	struct tty_struct *tty = BPF_CORE_READ(signal, tty);
	struct pid *session = NULL;

	fill_event(&event->head, FRAME_KIND_EXEC, task);
	flag_traced(&event->head);
	event->parent_tgid = BPF_CORE_READ(parent, tgid);
	event->parent_ticks = ticks_of(parent);
	bpf_core_read(&session, sizeof(session), &signal->pids[PIDTYPE_SID]);
	bpf_core_read(&event->sid, sizeof(event->sid), &session->numbers[0].nr);
	event->tty[0] = 0;
	if (tty)
		bpf_core_read_str(event->tty, sizeof(event->tty), &tty->name);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, pid_t old_pid, struct linux_binprm *bprm)
{
	struct pm_long *event = scratch_row(SCRATCH_EXEC);
	struct file *exe;
	__u32 pos;
	long bytes;

	if (!event || !in_scope(task))
		return 0;
	__builtin_memset(event, 0, PM_LONG_HEAD_BYTES);
	fill_exec(event, task);
	exe = BPF_CORE_READ(task, mm, exe_file);
	pos = exe ? walk_path((struct path *)&exe->f_path, event, SCRATCH_EXEC, 0, PM_SEG_WALK) : 0;
	if (pos >= PM_PATH_BYTES + PM_NAME_BYTES)
		return 0;
	bytes = bpf_probe_read_kernel_str(event->data + pos, PM_PATH_BYTES,
					  BPF_CORE_READ(bprm, filename));
	if (bytes > 0) {
		event->bytes[PM_SEG_NAME] = bytes;
		pos += bytes;
	}
	pos = read_argv(task, event, pos);
	if (pos > PM_DATA_BYTES)
		return 0;
	submit(&event->head, PM_LONG_HEAD_BYTES + pos);
	return 0;
}

/* What wait() would say: the code of the group if it was killed as a group, else the leader's. */
static __always_inline void send_exit(struct task_struct *task)
{
	struct pm_exit event = {};
	struct signal_struct *signal = BPF_CORE_READ(task, signal);

	fill_event(&event.head, FRAME_KIND_EXIT, task);
	flag_traced(&event.head);
	if (BPF_CORE_READ(signal, flags) & SIGNAL_GROUP_EXIT)
		event.exit_code = BPF_CORE_READ(signal, group_exit_code);
	else
		event.exit_code = BPF_CORE_READ(task, group_leader, exit_code);
	/* The row goes with the process whatever the scope, or the table would fill with the dead. */
	bpf_map_delete_elem(&traced, &event.head.tgid);
	if (in_scope(task))
		submit(&event.head, sizeof(event));
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task, bool group_dead)
{
	if (group_dead)
		send_exit(task);
	return 0;
}

struct exited_key {
	__u64 start_ticks;
	__u64 tgid;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct exited_key);
	__type(value, __u32);
} exited SEC(".maps");

/*
 * Kernels before 6.16 do not pass group_dead. Two last threads can both see live == 0 there, so the
 * first one to note the process sends the event. Loaded only when on_exit does not load.
 */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit_live, struct task_struct *task)
{
	struct exited_key key = {};
	__u32 one = 1;

	if (BPF_CORE_READ(task, signal, live.counter))
		return 0;
	key.tgid = BPF_CORE_READ(task, tgid);
	key.start_ticks = ticks_of(task);
	if (!bpf_map_update_elem(&exited, &key, &one, BPF_NOEXIST))
		send_exit(task);
	return 0;
}

#endif
