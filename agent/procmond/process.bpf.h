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
	/* A full table loses the lineage, not the process: the event still leaves, and the loss counts. */
	if (bpf_map_update_elem(&traced, &child->tgid, &row, BPF_ANY))
		count_lost();
	else
		child->flags |= FRAME_FLAG_TRACED;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	struct pm_fork event = {};

	if (child->pid != child->tgid)
		return 0;
	remember_ids(child);
	fill_event(&event.head, FRAME_KIND_FORK, child);
	event.parent_tgid = parent->tgid;
	event.parent_ticks = ticks_of(parent);
	/* Before the scope check: a lineage may leave the cgroup and come back. */
	inherit_slots(event.parent_tgid, event.parent_ticks, &event.head);
	if (in_scope(child))
		submit(&event.head, sizeof(event));
	return 0;
}

/* What an exec and a process that runs already have in common. */
static __always_inline void fill_process(struct pm_long *event, __u16 kind,
					 struct task_struct *task)
{
	struct task_struct *parent = task->real_parent;
	struct signal_struct *signal = task->signal;
	struct tty_struct *tty = signal->tty;

	__builtin_memset(event, 0, PM_LONG_HEAD_BYTES);
	fill_event(&event->head, kind, task);
	flag_traced(&event->head);
	event->parent_tgid = parent->tgid;
	event->parent_ticks = ticks_of(parent);
	event->sid = signal->pids[PIDTYPE_SID]->numbers[0].nr;
	if (tty)
		bpf_core_read_str(event->tty, sizeof(event->tty), &tty->name);
}

/* The kernel's own file, never a name: where it lies, which one it is, whether it is deleted. */
static __always_inline __u32 add_exe(struct task_struct *task, struct pm_long *event, __u32 row)
{
	struct file *exe = task->mm->exe_file;
	struct inode *inode = exe->f_inode;
	struct dentry *dentry = exe->f_path.dentry;

	if (!exe || !inode) {
		event->absent |= PM_ABSENT_EXE;
		return 0;
	}
	fill_file_id(event, inode);
	if (!inode->i_nlink || (dentry->d_parent != dentry && !dentry->d_hash.pprev))
		event->exe_flags |= FRAME_EXE_DELETED;
	return walk_path_of(task, (void *)exe + bpf_core_field_offset(struct file, f_path), event, 0,
			    WALK_TO(row, PM_SEG_WALK));
}

static __always_inline __u32 add_cwd(struct task_struct *task, struct pm_long *event, __u32 row,
				     __u32 pos)
{
	struct fs_struct *fs = task->fs;
	__u16 flags = event->head.flags;

	if (!fs || pos > PM_DATA_BYTES - PM_PATH_BYTES - PM_NAME_BYTES) {
		event->absent |= PM_ABSENT_CWD;
		return pos;
	}
	pos = walk_path_of(task, (void *)fs + bpf_core_field_offset(struct fs_struct, pwd), event, pos,
			   WALK_TO(row, PM_SEG_CWD));
	/* The flags of the frame speak of the executable. */
	if (event->head.flags & ~flags)
		event->absent |= PM_ABSENT_CWD_UNCERTAIN;
	event->head.flags = flags;
	return pos;
}

static __always_inline __u32 add_names(struct linux_binprm *bprm, struct pm_long *event, __u32 pos)
{
	long bytes = bpf_probe_read_kernel_str(event->data + pos, PM_PATH_BYTES, bprm->filename);

	if (bytes > 0) {
		event->bytes[PM_SEG_NAME] = bytes;
		pos += bytes;
	} else {
		event->absent |= PM_ABSENT_FILENAME;
	}
	return pos;
}

/* A second name only where the kernel took one from a first line or from binfmt_misc. */
static __always_inline __u32 add_interp(struct linux_binprm *bprm, struct pm_long *event, __u32 pos)
{
	const char *interp = bprm->interp;
	long bytes;

	if (interp == bprm->filename || pos > PM_DATA_BYTES - PM_NAME_BYTES)
		return pos;
	bytes = bpf_probe_read_kernel_str(event->data + pos, PM_NAME_BYTES, interp);
	if (bytes <= 0) {
		event->absent |= PM_ABSENT_INTERP;
		return pos;
	}
	event->bytes[PM_SEG_NAME_TO] = bytes;
	return pos + bytes;
}

static __always_inline __u32 read_argv(struct task_struct *task, struct pm_long *event, __u32 pos)
{
	__u64 start = task->mm->arg_start;
	__u64 bytes = task->mm->arg_end - start;

	if (bytes > PM_ARGV_BYTES) {
		bytes = PM_ARGV_BYTES;
		event->head.flags |= FRAME_FLAG_ARGV_CUT;
	}
	if (pos > PM_DATA_BYTES - PM_ARGV_BYTES)
		return pos;
	if (bpf_probe_read_user(event->data + pos, bytes, (void *)start)) {
		event->absent |= PM_ABSENT_ARGV;
		return pos;
	}
	event->bytes[PM_SEG_ARGV] = bytes;
	return pos + bytes;
}

/* Whole, because names are searched by procmond; nothing at all while the policy names none. */
static __always_inline __u32 add_env(struct task_struct *task, struct pm_long *event, __u32 pos)
{
	__u64 start = task->mm->env_start;
	__u64 bytes = task->mm->env_end - start;

	if (bytes > PM_ENV_BYTES) {
		bytes = PM_ENV_BYTES;
		event->absent |= PM_ABSENT_ENV_CUT;
	}
	if (pos > PM_DATA_BYTES - PM_ENV_BYTES) {
		event->absent |= PM_ABSENT_ENV_NO_ROOM;
		return pos;
	}
	if (bpf_probe_read_user(event->data + pos, bytes, (void *)start)) {
		event->absent |= PM_ABSENT_ENV;
		return pos;
	}
	event->bytes[PM_SEG_ENV] = bytes;
	return pos + bytes;
}

/* The header of the image that runs now, not of the script before it. */
static __always_inline bool is_image_32bit(struct linux_binprm *bprm)
{
	const char *header = bprm->buf;

	return header[0] == 0x7f && header[1] == 'E' && header[2] == 'L' && header[3] == 'F' &&
	       header[4] == 1;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, pid_t old_pid, struct linux_binprm *bprm)
{
	struct pm_long *event = scratch_row(SCRATCH_EXEC);
	__u32 pos;

	remember_ids(task);
	if (!event || !in_scope(task))
		return 0;
	fill_process(event, FRAME_KIND_EXEC, task);
	if (is_image_32bit(bprm))
		event->head.flags |= FRAME_FLAG_COMPAT32;
	pos = add_exe(task, event, SCRATCH_EXEC);
	if (pos >= PM_PATH_BYTES + PM_NAME_BYTES)
		return 0;
	pos = add_names(bprm, event, pos);
	pos = read_argv(task, event, pos);
	pos = add_interp(bprm, event, pos);
	pos = add_cwd(task, event, SCRATCH_EXEC, pos);
	if (env_is_read)
		pos = add_env(task, event, pos);
	if (pos > PM_DATA_BYTES)
		return 0;
	submit(&event->head, PM_LONG_HEAD_BYTES + pos);
	if (event->head.flags & FRAME_FLAG_COMPAT32)
		mark_partial(task, PM_PARTIAL_COMPAT32);
	return 0;
}

/* What wait() would say: the code of the group if it was killed as a group, else the leader's. */
static __always_inline void send_exit(struct task_struct *task)
{
	struct pm_exit event = {};
	struct signal_struct *signal = task->signal;

	fill_event(&event.head, FRAME_KIND_EXIT, task);
	flag_traced(&event.head);
	if (signal->flags & SIGNAL_GROUP_EXIT)
		event.exit_code = signal->group_exit_code;
	else
		event.exit_code = task->group_leader->exit_code;
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

	if (task->signal->live.counter)
		return 0;
	key.tgid = task->tgid;
	key.start_ticks = ticks_of(task);
	if (!bpf_map_update_elem(&exited, &key, &one, BPF_NOEXIST))
		send_exit(task);
	return 0;
}

#endif
