/*
 * Files of traced lineages, and accept: the one program on the exit of system calls. It is
 * attached always, so nothing new appears on the machine when a trace starts. It guarantees to
 * leave after a few compares for every other call and after one lookup for every untraced
 * process. It must never report a path read from user memory as certain: another thread may have
 * changed it.
 */
#ifndef PROCMOND_FILE_BPF_H
#define PROCMOND_FILE_BPF_H

#define AT_FDCWD -100
#define O_CREAT_FLAGS (00000100 | 00000001 | 00001000) /* what creat() means */
#define FMODE_CREATED 0x100000
#define TS_COMPAT 0x0002

enum call {
	CALL_OTHER,
	CALL_ACCEPT,
	CALL_OPEN,
	CALL_OPENAT,
	CALL_OPENAT2,
	CALL_CREAT,
	CALL_RENAME,
	CALL_RENAMEAT,
	CALL_UNLINK,
	CALL_UNLINKAT,
};

#if defined(__TARGET_ARCH_x86)
static __always_inline __u64 call_number(struct pt_regs *regs)
{
	return regs->orig_ax;
}

static __always_inline enum call call_of(__u64 number)
{
	switch (number) {
	case 43: case 288: return CALL_ACCEPT;
	case 2: return CALL_OPEN;
	case 257: return CALL_OPENAT;
	case 437: return CALL_OPENAT2;
	case 85: return CALL_CREAT;
	case 82: return CALL_RENAME;
	case 264: case 316: return CALL_RENAMEAT;
	case 87: return CALL_UNLINK;
	case 263: return CALL_UNLINKAT;
	default: return CALL_OTHER;
	}
}

/* A 32-bit call has other numbers; guessing would report a wrong call, so it is left out. */
static __always_inline bool is_compat(struct task_struct *task)
{
	return BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
}
#elif defined(__TARGET_ARCH_arm64)
static __always_inline __u64 call_number(struct pt_regs *regs)
{
	return (__u32)regs->syscallno;
}

static __always_inline enum call call_of(__u64 number)
{
	switch (number) {
	case 202: case 242: return CALL_ACCEPT;
	case 56: return CALL_OPENAT;
	case 437: return CALL_OPENAT2;
	case 38: case 276: return CALL_RENAMEAT;
	case 35: return CALL_UNLINKAT;
	default: return CALL_OTHER;
	}
}

#define TIF_32BIT_MASK (1ul << 22)
static __always_inline bool is_compat(struct task_struct *task)
{
	return BPF_CORE_READ(task, thread_info.flags) & TIF_32BIT_MASK;
}
#else
#error "system call numbers are known for x86_64 and arm64 only: build with make proc-only"
#endif

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

static __always_inline __u32 open_flags(enum call call, struct pt_regs *regs)
{
	__u64 flags = 0;

	switch (call) {
	case CALL_OPEN: return PT_REGS_PARM2_CORE_SYSCALL(regs);
	case CALL_OPENAT: return PT_REGS_PARM3_CORE_SYSCALL(regs);
	case CALL_OPENAT2:
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
					 enum call call, struct pt_regs *regs)
{
	__u64 first = PT_REGS_PARM1_CORE_SYSCALL(regs), second = PT_REGS_PARM2_CORE_SYSCALL(regs);
	bool at = call == CALL_RENAMEAT;
	int to_fd = at ? (int)PT_REGS_PARM3_CORE_SYSCALL(regs) : AT_FDCWD;
	__u64 to = at ? PT_REGS_PARM4_CORE_SYSCALL(regs) : second;
	__u32 pos;

	event->head.kind = FRAME_KIND_FILE_RENAME;
	pos = add_name(task, event, 0, at ? (int)first : AT_FDCWD,
		       (const char *)(at ? second : first), PM_SEG_WALK);
	return add_name(task, event, pos, to_fd, (const char *)to, PM_SEG_ARGV);
}

static __always_inline void send_file(struct task_struct *task, enum call call,
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
	if (call == CALL_RENAME || call == CALL_RENAMEAT) {
		pos = add_renamed(task, event, call, regs);
	} else if (call == CALL_UNLINK) {
		event->head.kind = FRAME_KIND_FILE_UNLINK;
		pos = add_name(task, event, 0, AT_FDCWD, (const char *)first, PM_SEG_WALK);
	} else if (call == CALL_UNLINKAT) {
		event->head.kind = FRAME_KIND_FILE_UNLINK;
		pos = add_name(task, event, 0, first,
			       (const char *)PT_REGS_PARM2_CORE_SYSCALL(regs), PM_SEG_WALK);
	} else {
		event->open_flags = open_flags(call, regs);
		pos = add_opened(task, event, ret);
	}
	if (pos > PM_DATA_BYTES)
		return;
	submit(&event->head, PM_LONG_HEAD_BYTES + pos);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long ret)
{
	enum call call = call_of(call_number(regs));
	struct task_struct *task;

	if (call == CALL_OTHER || ret < 0)
		return 0;
	if (call != CALL_ACCEPT && !file_slots)
		return 0;
	task = bpf_get_current_task_btf();
	if (is_compat(task))
		return 0;
	if (call == CALL_ACCEPT)
		send_accept(task, ret);
	else if (traced_slots(BPF_CORE_READ(task, tgid), ticks_of(task)) & file_slots)
		send_file(task, call, regs, ret);
	return 0;
}

#endif
