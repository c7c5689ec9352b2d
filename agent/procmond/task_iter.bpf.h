/*
 * What runs already, told by the kernel's own list of tasks: one record per process, written to the
 * reader of the iterator. It guarantees the same facts in the same shape as an exec, so that a process
 * seen before and one seen starting do not differ. It must never write to the ring: a snapshot is not
 * numbered.
 */
#ifndef PROCMOND_TASK_ITER_BPF_H
#define PROCMOND_TASK_ITER_BPF_H

/* Only who descends from whom, for the start of a trace. Written through the mapped .bss. */
volatile __u32 task_iter_is_lean = 0;

static __always_inline __u32 copy_argv(struct task_struct *task, struct pm_long *event, __u32 pos)
{
	__u64 start = task->mm->arg_start;
	__u64 bytes = task->mm->arg_end - start;

	if (bytes > PM_ARGV_BYTES) {
		bytes = PM_ARGV_BYTES;
		event->head.flags |= FRAME_FLAG_ARGV_CUT;
	}
	if (!bytes || pos > PM_DATA_BYTES - PM_ARGV_BYTES)
		return pos;
	/* May wait for a page: this program alone may sleep. */
	if (bpf_copy_from_user_task(event->data + pos, bytes, (void *)start, task, 0)) {
		event->absent |= PM_ABSENT_ARGV;
		return pos;
	}
	event->bytes[PM_SEG_ARGV] = bytes;
	return pos + bytes;
}

static __always_inline void note_io_uring(struct task_struct *task)
{
	__u32 tgid = task->tgid;
	struct pm_partial_row row = {.start_ticks = ticks_of(task), .seen = PM_PARTIAL_IO_URING};

	bpf_map_update_elem(&partial, &tgid, &row, BPF_NOEXIST);
}

SEC("iter.s/task")
int on_task(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct pm_long *event = scratch_row(SCRATCH_TASK);
	__u32 pos = 0;

	if (!task || !event)
		return 0;
	/* Belongs to the thread that set it up. */
	if (task->io_uring)
		note_io_uring(task);
	if (task->pid != task->tgid || task->exit_state)
		return 0;
	if (!task_iter_is_lean) {
		remember_ids(task);
		if (!in_scope(task))
			return 0;
	}
	fill_process(event, FRAME_KIND_SNAPSHOT, task);
	event->head.ktime_ns = bpf_ktime_get_boot_ns();
	/* A thread of the kernel has no memory of its own, so no executable and no arguments. */
	if (task->mm && !task_iter_is_lean) {
		pos = add_exe(task, event, SCRATCH_TASK);
		if (pos >= PM_PATH_BYTES + PM_NAME_BYTES)
			return 0;
		pos = copy_argv(task, event, pos);
		pos = add_cwd(task, event, SCRATCH_TASK, pos);
		if (pos > PM_DATA_BYTES)
			return 0;
	}
	/* When it does not fit, the kernel empties the buffer and shows the task again. */
	bpf_seq_write(ctx->meta->seq, event, PM_LONG_HEAD_BYTES + pos);
	return 0;
}

#endif
