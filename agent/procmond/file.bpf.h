/*
 * Opening and creating files, at the exit of the call: of every process what the lists name, of
 * traced lineages everything. It guarantees to leave after one look-up for a process that is not
 * traced while nothing is listed, and that the path of an opened file is what was opened, whatever
 * the string said. It must never report a path read from user memory alone as certain.
 */
#ifndef PROCMOND_FILE_BPF_H
#define PROCMOND_FILE_BPF_H

#define AT_FDCWD -100
#define O_ACCMODE 00000003
#define O_CREAT 00000100
#define O_TRUNC 00001000
#define O_CREAT_FLAGS (O_CREAT | 00000001 | O_TRUNC) /* what creat() means */
#define O_TMPFILE_ONLY 020000000
#define O_PATH 010000000
/* What the kernel does not keep in a file's flags. */
#define O_CREATION (O_CREAT | 00000200 | 00000400 | O_TRUNC) /* with O_EXCL and O_NOCTTY */
/* What the kernel adds to them. */
#if defined(__TARGET_ARCH_arm64)
#define O_LARGEFILE 0400000
#else
#define O_LARGEFILE 0100000
#endif
#define FMODE_WRITE 0x2
#define FMODE_CREATED 0x100000
#define S_IFMT 0170000
#define S_IFREG 0100000
#define EPERM 1
#define EACCES 13

/*
 * Until when a process has used up its share of watched events, in the time of boot: each one costs
 * its part of a second. It bounds what one process can take from all others.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PM_WATCHED_SHARES);
	__type(key, __u32);
	__type(value, __u64);
} watched_shares SEC(".maps");

/* Takes one event from the share. Two CPUs at once may err by a few, never for long. */
static __always_inline bool is_share_used_up(__u32 tgid)
{
	__u64 now = bpf_ktime_get_boot_ns(), first = now + PM_WATCHED_COST_NS;
	__u64 *until = bpf_map_lookup_elem(&watched_shares, &tgid);

	if (!until) {
		bpf_map_update_elem(&watched_shares, &tgid, &first, BPF_ANY);
		return false;
	}
	if (*until < now)
		*until = now;
	if (*until - now > PM_WATCHED_BURST * PM_WATCHED_COST_NS)
		return true;
	__sync_fetch_and_add(until, PM_WATCHED_COST_NS);
	return false;
}

/* The directory a name is relative to; NULL when the name is absolute or there is none. */
static __always_inline struct path *dir_of(struct task_struct *task, int dir_fd, char first)
{
	struct file *file;

	if (first == '/')
		return NULL;
	if (dir_fd == AT_FDCWD) {
		struct fs_struct *fs = BPF_CORE_READ(task, fs);

		return (void *)fs + bpf_core_field_offset(struct fs_struct, pwd);
	}
	file = file_of(task, dir_fd);
	return file ? (void *)file + bpf_core_field_offset(struct file, f_path) : NULL;
}

/* Where a name stands and is read from; `kept` is what it was at entry, where that is known. */
struct name_source {
	const char *user;
	const char *kept;
	int dir_fd;
	__u32 segment;
};

/*
 * A name as passed: the directory it is relative to, then the string itself, and both root-first
 * for the lists. Returns where the next segment begins.
 */
static __noinline __u32 add_name(struct pm_long *event, __u32 pos, struct name_source *source)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 segment = source->segment & 2;
	struct path *dir;
	char first = 0;
	long bytes;

	if (!event)
		return pos;
	begin_rooted();
	event->bytes[segment] = event->bytes[segment + 1] = 0;
	if (source->kept)
		bpf_probe_read_kernel(&first, 1, source->kept);
	else if (bpf_probe_read_user(&first, 1, source->user))
		event->head.flags |= FRAME_FLAG_PATH_UNCERTAIN;
	dir = dir_of(task, source->dir_fd, first);
	if (dir) {
		pos = walk_path(dir, event, SCRATCH_FILE, pos, segment);
		root_walked();
	}
	if (pos > PM_DATA_BYTES - PM_PATH_BYTES) {
		event->head.flags |= FRAME_FLAG_PATH_CUT;
		return pos;
	}
	if (source->kept)
		bytes = bpf_probe_read_kernel_str(event->data + pos, PM_PATH_BYTES, source->kept);
	else
		bytes = bpf_probe_read_user_str(event->data + pos, PM_PATH_BYTES, source->user);
	if (bytes <= 0)
		return pos;
	event->bytes[segment + 1] = bytes;
	root_name(pos);
	return pos + bytes;
}

/*
 * The flags of a call; `file` is what it opened, or NULL. Registers are what the kernel itself used,
 * but openat2 passes memory that another thread may have rewritten by now: what counts there is the
 * file. Only the flags it does not keep are the caller's word.
 */
static __always_inline __u32 open_flags(enum pm_call call, struct pt_regs *regs, struct file *file)
{
	__u64 flags = 0;

	switch (call) {
	case PM_CALL_OPEN: return PT_REGS_PARM2_SYSCALL(regs);
	case PM_CALL_OPENAT:
	case PM_CALL_OPEN_BY_HANDLE_AT: return PT_REGS_PARM3_SYSCALL(regs);
	case PM_CALL_OPENAT2:
		/* The first field of struct open_how. */
		bpf_probe_read_user(&flags, sizeof(flags), (void *)PT_REGS_PARM3_SYSCALL(regs));
		if (file)
			flags = (flags & O_CREATION) |
				(BPF_CORE_READ(file, f_flags) & ~O_LARGEFILE);
		return flags;
	default: return O_CREAT_FLAGS;
	}
}

static __always_inline void add_inode(struct pm_long *event, struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);

	event->dev = BPF_CORE_READ(inode, i_sb, s_dev);
	event->ino = BPF_CORE_READ(inode, i_ino);
	event->size = BPF_CORE_READ(inode, i_size);
	event->mode = BPF_CORE_READ(inode, i_mode);
	event->file_has |= PM_FILE_HAS_INODE;
}

/*
 * Sends the event that lies in the file scratch if it is traced or listed. What was gathered in the
 * header's flags stays; the identity is read only now, because most events of untraced processes
 * end here.
 */
static __always_inline void send_file(struct task_struct *task, struct pm_long *event, __u16 kind,
				      __u32 flags, __u32 pos)
{
	flags |= event->head.flags;
	if (!(flags & (FRAME_FLAG_TRACED | FRAME_FLAG_WATCHED | FRAME_FLAG_CREDENTIAL)))
		return;
	if (is_shed(flags & (FRAME_FLAG_WATCHED | FRAME_FLAG_CREDENTIAL) ? FRAME_SHED_FILE_WATCHED
									 : FRAME_SHED_FILE_DETAIL))
		return;
	/* Somebody asked for the traced ones by name. */
	if (!(flags & FRAME_FLAG_TRACED) && is_share_used_up(task->tgid)) {
		count_shed(FRAME_SHED_FILE_WATCHED);
		return;
	}
	fill_event(&event->head, kind, task);
	event->head.flags = flags;
	if (pos > PM_DATA_BYTES)
		return;
	submit(&event->head, PM_LONG_HEAD_BYTES + pos);
}

static __always_inline bool is_file_traced(struct task_struct *task)
{
	return file_slots && traced_slots(task->tgid, ticks_of(task)) & file_slots;
}

static __noinline void send_opened(struct task_struct *task, struct file *file, __u32 flags,
				   __u32 lists, bool traced)
{
	struct pm_long *event = scratch_row(SCRATCH_FILE);
	__u32 listed = 0, kind = FRAME_KIND_FILE_OPEN;
	__u32 pos;

	if (!event || !in_scope(task))
		return;
	__builtin_memset(event, 0, PM_LONG_HEAD_BYTES);
	pos = walk_path((void *)file + bpf_core_field_offset(struct file, f_path), event,
			SCRATCH_FILE, 0, PM_SEG_WALK);
	if (lists) {
		begin_rooted();
		root_walked();
		listed = listed_as(event, lists);
	}
	/* Opened by a handle, and its name was never looked up: no list can rule it out. */
	if (event->bytes[PM_SEG_WALK] && event->data[0] == '/') {
		event->head.flags |= FRAME_FLAG_PATH_UNCERTAIN;
		listed |= lists & PM_WATCH_PATHS ? FRAME_FLAG_WATCHED : 0;
		listed |= lists & PM_WATCH_CREDENTIALS ? FRAME_FLAG_CREDENTIAL : 0;
	}
	if (!traced && !listed)
		return;
	if (BPF_CORE_READ(file, f_mode) & FMODE_CREATED || flags & O_TMPFILE_ONLY)
		kind = FRAME_KIND_FILE_CREATE;
	event->open_flags = flags;
	event->file_has = PM_FILE_HAS_FLAGS;
	add_inode(event, file);
	send_file(task, event, kind, listed | (traced ? FRAME_FLAG_TRACED : 0), pos);
}

/* A failed open has only the string it was called with. */
static __noinline void send_refused(struct task_struct *task, enum pm_call call,
				    struct pt_regs *regs, int result, bool traced)
{
	struct pm_long *event = scratch_row(SCRATCH_FILE);
	bool at = call == PM_CALL_OPENAT || call == PM_CALL_OPENAT2;
	__u32 flags = open_flags(call, regs, NULL), listed, lists, pos = 0;
	struct name_source source = {.dir_fd = AT_FDCWD, .segment = PM_SEG_WALK};

	if (!event || !in_scope(task))
		return;
	__builtin_memset(event, 0, PM_LONG_HEAD_BYTES);
	event->head.flags = FRAME_FLAG_PATH_UNCERTAIN;
	source.user = (const char *)PT_REGS_PARM1_CORE_SYSCALL(regs);
	if (at) {
		source.dir_fd = PT_REGS_PARM1_CORE_SYSCALL(regs);
		source.user = (const char *)PT_REGS_PARM2_SYSCALL(regs);
	}
	/* A handle names nothing that could be on a list. */
	if (call != PM_CALL_OPEN_BY_HANDLE_AT)
		pos = add_name(event, 0, &source);
	lists = flags & O_PATH ? 0 : PM_WATCH_CREDENTIALS;
	if (flags & (O_ACCMODE | O_TRUNC | O_CREAT))
		lists |= PM_WATCH_PATHS;
	/* Without a file nothing tells what the flags in memory were when the kernel read them. */
	if (call == PM_CALL_OPENAT2)
		lists = PM_WATCH_PATHS | PM_WATCH_CREDENTIALS;
	/* Only a refusal tells of an attempt; a file that is not there tells of nothing. */
	listed = 0;
	if (pos && (result == -EACCES || result == -EPERM))
		listed = listed_as(event, lists);
	event->open_flags = flags;
	event->result = result;
	event->file_has = PM_FILE_HAS_FLAGS | PM_FILE_HAS_RESULT;
	send_file(task, event, FRAME_KIND_FILE_OPEN, listed | (traced ? FRAME_FLAG_TRACED : 0), pos);
}

/* Whether the file was opened for writing, made or emptied. */
static __always_inline bool is_writing(struct file *file, enum pm_call call, __u32 flags)
{
	bool in_memory = call == PM_CALL_OPENAT2;

	if (!in_memory && !(flags & (O_ACCMODE | O_TRUNC | O_CREAT)))
		return false;
	if (flags & O_TRUNC || BPF_CORE_READ(file, f_mode) & (FMODE_WRITE | FMODE_CREATED))
		return true;
	/* Whether openat2 emptied it is the caller's word: an empty file may be one that was. */
	return in_memory && !(flags & O_PATH) && !BPF_CORE_READ(file, f_inode, i_size) &&
	       (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) == S_IFREG;
}

/* The lists that an opening can be on, before any path is known. */
static __always_inline __u32 lists_of(struct file *file, enum pm_call call, __u32 flags)
{
	__u32 lists = 0;

	if (watch_on & PM_WATCH_PATHS && is_writing(file, call, flags))
		lists |= PM_WATCH_PATHS;
	if (watch_on & PM_WATCH_CREDENTIALS && !(flags & O_PATH) && is_credential_leaf(file))
		lists |= PM_WATCH_CREDENTIALS;
	return lists;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_file_call, struct pt_regs *regs, long ret)
{
	struct task_struct *task = bpf_get_current_task_btf();
	enum pm_call call = call_of(regs);
	bool traced = is_file_traced(task);
	struct file *file;
	__u32 flags, lists;

	if (!traced && !watch_on)
		return 0;
	if (ret < 0) {
		if (traced || ret == -EACCES || ret == -EPERM)
			send_refused(task, call, regs, ret, traced);
		return 0;
	}
	file = file_of(task, ret);
	if (!file)
		return 0;
	flags = open_flags(call, regs, file);
	lists = watch_on ? lists_of(file, call, flags) : 0;
	if (traced || lists)
		send_opened(task, file, flags, lists, traced);
	return 0;
}

#endif
