/*
 * Calls that name files by strings: rename, link, symlink, unlink, making directories and nodes,
 * chmod. The kernel resolves these where no tracepoint looks, so the strings are read at entry and
 * at exit. It guarantees that a path is called certain only when both readings agree and the
 * directory is the same. It must never hold more than a bounded number of calls: one that was
 * forgotten is uncertain.
 */
#ifndef PROCMOND_FILE_NAME_BPF_H
#define PROCMOND_FILE_NAME_BPF_H

#define S_IFDIR 0040000
#define S_IXUGO 00111
#define NAME_SIDES 2

/* Longer names are read at exit only, and uncertain. */
#define KEPT_BYTES 512
/* Calls under way at once: each is one thread inside the kernel. */
#define KEPT_CALLS_MAX 1024

struct kept_names {
	/* Which directory each name is relative to: compared only, never followed. */
	__u64 dentry[NAME_SIDES];
	__u64 mount[NAME_SIDES];
	/* With the NUL; 0 = could not be read, or is longer. */
	__u64 bytes[NAME_SIDES];
	__u64 name[NAME_SIDES][KEPT_BYTES / 8];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, KEPT_CALLS_MAX);
	__type(key, __u64);
	__type(value, struct kept_names);
} kept_names SEC(".maps");

/* Row 0 belongs to the program at entry, row 1 to the one at exit. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct kept_names);
} name_scratch SEC(".maps");

struct name_args {
	__u64 user[NAME_SIDES];
	int dir_fd[NAME_SIDES];
	__u32 count;
	__u32 kind;
	__u32 mode;
	bool has_mode;
	bool is_text; /* the second name is the text of a symbolic link: it has no directory */
};

static __always_inline __u32 made_mode(__u32 mode, __u32 type)
{
	__u32 umask = BPF_CORE_READ(bpf_get_current_task_btf(), fs, umask);

	return (mode & 07777 & ~umask) | type;
}

/* Which strings the call passes and what they are relative to. */
static __always_inline void sides_of(enum pm_call call, struct pt_regs *regs, struct name_args *args)
{
	__u64 p1 = PT_REGS_PARM1_CORE_SYSCALL(regs), p2 = PT_REGS_PARM2_SYSCALL(regs);
	__u64 p3 = PT_REGS_PARM3_SYSCALL(regs), p4 = PT_REGS_PARM4_SYSCALL(regs);

	args->count = 1;
	args->dir_fd[0] = args->dir_fd[1] = AT_FDCWD;
	args->user[0] = p1;
	args->user[1] = p2;
	args->mode = p2;
	switch (call) {
	case PM_CALL_RENAMEAT:
	case PM_CALL_RENAMEAT2:
	case PM_CALL_LINKAT:
		args->dir_fd[0] = p1;
		args->dir_fd[1] = p3;
		args->user[0] = p2;
		args->user[1] = p4;
		args->count = 2;
		break;
	case PM_CALL_RENAME:
	case PM_CALL_LINK:
		args->count = 2;
		break;
	case PM_CALL_SYMLINK:
	case PM_CALL_SYMLINKAT:
		args->user[0] = call == PM_CALL_SYMLINK ? p2 : p3;
		args->user[1] = p1;
		args->dir_fd[0] = call == PM_CALL_SYMLINK ? AT_FDCWD : (int)p2;
		args->count = 2;
		args->is_text = true;
		break;
	case PM_CALL_UNLINKAT:
	case PM_CALL_MKDIRAT:
	case PM_CALL_MKNODAT:
	case PM_CALL_FCHMODAT:
	case PM_CALL_FCHMODAT2:
		args->dir_fd[0] = p1;
		args->user[0] = p2;
		args->mode = p3;
		break;
	case PM_CALL_FCHMOD:
		args->count = 0;
		break;
	default:
		break;
	}
}

/* What the call names; false for a call that makes nothing executable. */
static __always_inline bool args_of(enum pm_call call, struct pt_regs *regs, struct name_args *args)
{
	sides_of(call, regs, args);
	switch (call) {
	case PM_CALL_RENAME:
	case PM_CALL_RENAMEAT:
	case PM_CALL_RENAMEAT2:
		args->kind = FRAME_KIND_FILE_RENAME;
		return true;
	case PM_CALL_LINK:
	case PM_CALL_LINKAT:
		args->kind = FRAME_KIND_FILE_LINK;
		return true;
	case PM_CALL_SYMLINK:
	case PM_CALL_SYMLINKAT:
		args->kind = FRAME_KIND_FILE_SYMLINK;
		return true;
	case PM_CALL_MKDIR:
	case PM_CALL_MKDIRAT:
		args->kind = FRAME_KIND_FILE_CREATE;
		args->mode = made_mode(args->mode, S_IFDIR);
		args->has_mode = true;
		return true;
	case PM_CALL_MKNOD:
	case PM_CALL_MKNODAT:
		args->kind = FRAME_KIND_FILE_CREATE;
		args->mode = made_mode(args->mode, args->mode & S_IFMT ? args->mode & S_IFMT : S_IFREG);
		args->has_mode = true;
		return true;
	case PM_CALL_CHMOD:
	case PM_CALL_FCHMOD:
	case PM_CALL_FCHMODAT:
	case PM_CALL_FCHMODAT2:
		args->kind = FRAME_KIND_FILE_CHMOD;
		args->mode &= 07777;
		args->has_mode = true;
		return args->mode & S_IXUGO;
	default:
		args->kind = FRAME_KIND_FILE_UNLINK;
		return true;
	}
}

static __always_inline void read_side(struct task_struct *task, struct kept_names *names,
				      const struct name_args *args, __u32 side)
{
	struct path *dir;
	long bytes;

	__builtin_memset(names->name[side], 0, KEPT_BYTES);
	bytes = bpf_probe_read_user_str(names->name[side], KEPT_BYTES, (void *)args->user[side]);
	names->bytes[side] = bytes > 0 && bytes < KEPT_BYTES ? bytes : 0;
	if (side && args->is_text)
		return;
	dir = dir_of(task, args->dir_fd[side], *(char *)names->name[side]);
	if (!dir)
		return;
	bpf_core_read(&names->dentry[side], sizeof(__u64), &dir->dentry);
	bpf_core_read(&names->mount[side], sizeof(__u64), &dir->mnt);
}

/* Zeroed first, so that two readings of one string are equal in all their bytes. */
static __always_inline struct kept_names *read_names(struct task_struct *task,
						     const struct name_args *args, __u32 row)
{
	struct kept_names *names = bpf_map_lookup_elem(&name_scratch, &row);

	if (!names)
		return NULL;
	__builtin_memset(names, 0, __builtin_offsetof(struct kept_names, name));
	read_side(task, names, args, 0);
	if (args->count > 1)
		read_side(task, names, args, 1);
	return names;
}

/* What a call that is about to begin names, kept for its exit. */
static __always_inline void keep_names(struct task_struct *task, struct pt_regs *regs)
{
	struct name_args args = {};
	struct kept_names *names;
	__u64 thread;

	if (!(file_slots | watch_on))
		return;
	if (is_compat(task, regs) || !args_of(call_of(regs), regs, &args) || !args.count)
		return;
	if (!in_scope(task) || (!watch_on && !is_file_traced(task)))
		return;
	names = read_names(task, &args, 0);
	thread = bpf_get_current_pid_tgid();
	if (names)
		bpf_map_update_elem(&kept_names, &thread, names, BPF_ANY);
}

/*
 * Hangs on the classic tracepoint of each such call (name_entry.c): all other calls pass by without
 * entering a program, a fifth of what the program below costs them. Answers 1: with 0, the tracepoint
 * would fall silent for whoever else records it.
 */
SEC("tracepoint")
int on_name_entry(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();

	keep_names(task, (struct pt_regs *)bpf_task_pt_regs(task));
	return 1;
}

/* Instead of it, where the classic tracepoints cannot be had. */
SEC("tp_btf/sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *regs, long id)
{
	__u64 number = id;

	if (number < PM_CALLS_MAX && call_rows[number].handler == PM_HANDLER_FILE_NAME)
		keep_names(bpf_get_current_task_btf(), regs);
	return 0;
}

static __noinline bool is_same_side(const struct kept_names *kept, const struct kept_names *seen,
				    __u32 side)
{
	__u64 differ;
	int i;

	if (!kept || !seen)
		return false;
	side &= 1;
	if (!kept->bytes[side] || kept->bytes[side] != seen->bytes[side])
		return false;
	differ = kept->dentry[side] ^ seen->dentry[side];
	differ |= kept->mount[side] ^ seen->mount[side];
	for (i = 0; i < KEPT_BYTES / 8; i++)
		differ |= kept->name[side][i] ^ seen->name[side][i];
	return !differ;
}

/* The text of a symbolic link is no path of ours: it stays as it was passed. */
static __always_inline __u32 add_text(struct pm_long *event, const struct kept_names *kept,
				      const struct name_args *args, __u32 pos)
{
	long bytes;

	if (pos > PM_DATA_BYTES - PM_PATH_BYTES)
		return pos;
	if (kept && kept->bytes[1])
		bytes = bpf_probe_read_kernel_str(event->data + pos, PM_PATH_BYTES, kept->name[1]);
	else
		bytes = bpf_probe_read_user_str(event->data + pos, PM_PATH_BYTES,
						(void *)args->user[1]);
	if (bytes <= 0)
		return pos;
	event->bytes[PM_SEG_NAME_TO] = bytes;
	return pos + bytes;
}

/* Adds one name, and to the header's flags which lists it is on, in either reading. */
static __noinline __u32 add_side(struct pm_long *event, struct kept_names *kept,
				 const struct name_args *args, __u32 pos, __u32 side)
{
	struct name_source source = {.segment = side ? PM_SEG_ARGV : PM_SEG_WALK};
	__u32 row = 1, index = side & 1;
	struct kept_names *seen = bpf_map_lookup_elem(&name_scratch, &row);
	bool same;

	if (!event || !seen || !args)
		return pos;
	same = is_same_side(kept, seen, index);
	if (!same)
		event->head.flags |= FRAME_FLAG_PATH_UNCERTAIN;
	if (index && args->is_text)
		return add_text(event, kept, args, pos);
	source.dir_fd = args->dir_fd[index];
	source.user = (const char *)args->user[index];
	/* The kernel took its copy just after the entry: that reading is the likelier one. */
	if (kept && kept->bytes[index])
		source.kept = (const char *)kept->name[index];
	if (!same && source.kept && watch_on) {
		/* The other reading first, for the lists only: the next one overwrites it. */
		struct name_source later = source;

		later.kept = NULL;
		add_name(event, pos, &later);
		event->head.flags |= listed_as(event, PM_WATCH_PATHS | PM_WATCH_CREDENTIALS);
	}
	pos = add_name(event, pos, &source);
	if (watch_on)
		event->head.flags |= listed_as(event, PM_WATCH_PATHS | PM_WATCH_CREDENTIALS);
	/* Nobody honest hides a name from both readings: it is not taken for one that is not listed. */
	if (watch_on & PM_WATCH_PATHS && !event->bytes[(source.segment + 1) & (PM_SEGMENTS - 1)])
		event->head.flags |= FRAME_FLAG_WATCHED;
	return pos;
}

/* fchmod has a descriptor instead of a name. */
static __always_inline __u32 add_descriptor(struct task_struct *task, struct pm_long *event, __u32 fd)
{
	struct file *file = file_of(task, fd);
	__u32 pos;

	if (!file)
		return 0;
	pos = walk_path((void *)file + bpf_core_field_offset(struct file, f_path), event,
			SCRATCH_FILE, 0, PM_SEG_WALK);
	add_inode(event, file);
	if (watch_on) {
		begin_rooted();
		root_walked();
		event->head.flags |= listed_as(event, PM_WATCH_PATHS | PM_WATCH_CREDENTIALS);
	}
	return pos;
}

static __noinline void send_named(struct task_struct *task, struct name_args *args,
				  struct kept_names *kept, bool traced)
{
	struct pm_long *event = scratch_row(SCRATCH_FILE);
	__u32 pos = 0;

	if (!event || !args || !in_scope(task))
		return;
	__builtin_memset(event, 0, PM_LONG_HEAD_BYTES);
	if (!args->count) {
		pos = add_descriptor(task, event, args->user[0]);
	} else {
		if (!read_names(task, args, 1))
			return;
		pos = add_side(event, kept, args, 0, 0);
		if (args->count > 1)
			pos = add_side(event, kept, args, pos, 1);
	}
	if (args->has_mode && !event->file_has) {
		event->mode = args->mode;
		event->file_has = PM_FILE_HAS_MODE;
	}
	send_file(task, event, args->kind, traced ? FRAME_FLAG_TRACED : 0, pos);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_file_name_call, struct pt_regs *regs, long ret)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 thread = bpf_get_current_pid_tgid();
	bool traced = is_file_traced(task);
	struct name_args args = {};

	if ((!traced && !watch_on) || !args_of(call_of(regs), regs, &args))
		return 0;
	if (ret >= 0)
		send_named(task, &args, bpf_map_lookup_elem(&kept_names, &thread), traced);
	if (args.count)
		bpf_map_delete_elem(&kept_names, &thread);
	return 0;
}

#endif
