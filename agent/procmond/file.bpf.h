/*
 * Files of traced lineages, at the exit of the call. It guarantees to leave after one lookup for
 * every untraced process. It must never report a path read from user memory as certain: another
 * thread may have changed it.
 */
#ifndef PROCMOND_FILE_BPF_H
#define PROCMOND_FILE_BPF_H

#define AT_FDCWD -100
#define O_CREAT_FLAGS (00000100 | 00000001 | 00001000) /* what creat() means */
#define FMODE_CREATED 0x100000
/* A name as passed to the call: the directory it is relative to, then the string itself. */
static __always_inline __u32 add_name(struct task_struct *task, struct pm_long *event, __u32 pos,
				      int dir_fd, const char *name, __u32 dir_segment)
{
	__u32 name_segment = dir_segment + 1;
	struct path *dir = NULL;
	char first = 0;
	long bytes;

	event->head.flags |= FRAME_FLAG_PATH_UNCERTAIN;
	if (bpf_probe_read_user(&first, 1, name))
		return pos;
	if (first != '/' && dir_fd == AT_FDCWD) {
		struct fs_struct *fs = BPF_CORE_READ(task, fs);

		dir = (void *)fs + bpf_core_field_offset(struct fs_struct, pwd);
	} else if (first != '/') {
		struct file *file = file_of(task, dir_fd);

		dir = file ? (void *)file + bpf_core_field_offset(struct file, f_path) : NULL;
	}
	if (dir)
		pos = walk_path(dir, event, SCRATCH_FILE, pos, dir_segment);
	if (pos > PM_DATA_BYTES - PM_PATH_BYTES) {
		event->head.flags |= FRAME_FLAG_PATH_CUT;
		return pos;
	}
	bytes = bpf_probe_read_user_str(event->data + pos, PM_PATH_BYTES, name);
	if (bytes <= 0)
		return pos;
	event->bytes[name_segment] = bytes;
	return pos + bytes;
}

static __always_inline __u32 open_flags(enum pm_call call, struct pt_regs *regs)
{
	__u64 flags = 0;

	switch (call) {
	case PM_CALL_OPEN: return PT_REGS_PARM2_CORE_SYSCALL(regs);
	case PM_CALL_OPENAT: return PT_REGS_PARM3_CORE_SYSCALL(regs);
	case PM_CALL_OPENAT2:
		/* The first field of struct open_how. */
		bpf_probe_read_user(&flags, sizeof(flags), (void *)PT_REGS_PARM3_CORE_SYSCALL(regs));
		return flags;
	default: return O_CREAT_FLAGS;
	}
}

/* An opened file is read from its descriptor: that is what was opened, whatever the string said. */
static __always_inline __u32 add_opened(struct task_struct *task, struct pm_long *event, __u32 fd)
{
	struct file *file = file_of(task, fd);

	if (!file)
		return 0;
	if (BPF_CORE_READ(file, f_mode) & FMODE_CREATED)
		event->head.kind = FRAME_KIND_FILE_CREATE;
	return walk_path((void *)file + bpf_core_field_offset(struct file, f_path), event,
			 SCRATCH_FILE, 0, PM_SEG_WALK);
}

static __always_inline __u32 add_renamed(struct task_struct *task, struct pm_long *event,
					 enum pm_call call, struct pt_regs *regs)
{
	__u64 first = PT_REGS_PARM1_CORE_SYSCALL(regs), second = PT_REGS_PARM2_CORE_SYSCALL(regs);
	bool at = call != PM_CALL_RENAME;
	int to_fd = at ? (int)PT_REGS_PARM3_CORE_SYSCALL(regs) : AT_FDCWD;
	__u64 to = at ? PT_REGS_PARM4_CORE_SYSCALL(regs) : second;
	__u32 pos;

	event->head.kind = FRAME_KIND_FILE_RENAME;
	pos = add_name(task, event, 0, at ? (int)first : AT_FDCWD,
		       (const char *)(at ? second : first), PM_SEG_WALK);
	return add_name(task, event, pos, to_fd, (const char *)to, PM_SEG_ARGV);
}

static __always_inline void send_file(struct task_struct *task, enum pm_call call,
				      struct pt_regs *regs, __u32 ret)
{
	struct pm_long *event = scratch_row(SCRATCH_FILE);
	__u64 first = PT_REGS_PARM1_CORE_SYSCALL(regs);
	__u32 pos;

	if (!event || !in_scope(task))
		return;
	__builtin_memset(event, 0, PM_LONG_HEAD_BYTES);
	fill_event(&event->head, FRAME_KIND_FILE_OPEN, task);
	event->head.flags = FRAME_FLAG_TRACED;
	switch (call) {
	case PM_CALL_RENAME:
	case PM_CALL_RENAMEAT:
	case PM_CALL_RENAMEAT2:
		pos = add_renamed(task, event, call, regs);
		break;
	case PM_CALL_UNLINK:
		event->head.kind = FRAME_KIND_FILE_UNLINK;
		pos = add_name(task, event, 0, AT_FDCWD, (const char *)first, PM_SEG_WALK);
		break;
	case PM_CALL_UNLINKAT:
		event->head.kind = FRAME_KIND_FILE_UNLINK;
		pos = add_name(task, event, 0, first,
			       (const char *)PT_REGS_PARM2_CORE_SYSCALL(regs), PM_SEG_WALK);
		break;
	default:
		event->open_flags = open_flags(call, regs);
		pos = add_opened(task, event, ret);
	}
	if (pos > PM_DATA_BYTES)
		return;
	submit(&event->head, PM_LONG_HEAD_BYTES + pos);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_file_call, struct pt_regs *regs, long ret)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (ret < 0)
		return 0;
	if (traced_slots(BPF_CORE_READ(task, tgid), ticks_of(task)) & file_slots)
		send_file(task, call_of(regs), regs, ret);
	return 0;
}

#endif
