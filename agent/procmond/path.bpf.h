/*
 * Paths from kernel objects: a bounded walk from a dentry up to the process's root directory.
 * It guarantees what the kernel itself would resolve, across mounts, in private namespaces and
 * inside chroot; components leave leaf-first, each with its NUL, and user space reverses them. It
 * must never follow more than PM_PATH_COMPONENTS_MAX steps or write past PM_DATA_BYTES.
 */
#ifndef PROCMOND_PATH_BPF_H
#define PROCMOND_PATH_BPF_H

/* Where each component of the last walk of a file event begins: a match reads them root-first. */
struct walk_marks {
	__u32 count;
	__u32 at[PM_PATH_COMPONENTS_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct walk_marks);
} walk_marks SEC(".maps");

static __always_inline struct walk_marks *marks_row(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&walk_marks, &zero);
}

struct walk {
	struct dentry *dentry;
	struct vfsmount *mount;
	struct dentry *root_dentry;
	struct vfsmount *root_mount;
	struct dentry *mount_top; /* of `mount`: read once per mount, not per component */
	__u32 row;
	__u32 start;
	__u32 pos;
	__u16 flags;
	__u16 end;
};

/* What a step needs of a dentry: its parent and its name, which lie side by side. */
struct dentry_step {
	struct dentry *parent;
	struct qstr name;
};

static __always_inline void read_step(struct dentry_step *step, struct dentry *dentry)
{
	__u32 parent_at = bpf_core_field_offset(struct dentry, d_parent);

	/* Decided when the program is loaded: one read of kernel memory instead of two. */
	if (bpf_core_field_offset(struct dentry, d_name) == parent_at + sizeof(step->parent)) {
		bpf_probe_read_kernel(step, sizeof(*step), (void *)dentry + parent_at);
	} else {
		bpf_core_read(&step->parent, sizeof(step->parent), &dentry->d_parent);
		bpf_core_read(&step->name, sizeof(step->name), &dentry->d_name);
	}
}

static __always_inline int walk_name(struct walk *walk, const struct dentry_step *step)
{
	/* Looked up again: the verifier does not carry a map pointer through a bpf_loop context. */
	struct pm_long *event = scratch_row(walk->row);
	__u32 pos = walk->pos;
	long bytes;

	if (!event)
		return -1;
	if (pos >= PM_DATA_BYTES - PM_NAME_BYTES || pos - walk->start >= PM_PATH_BYTES) {
		walk->flags |= FRAME_FLAG_PATH_CUT;
		return -1;
	}
	/* To its NUL, not by its length: a rename under way may change one before the other. */
	bytes = bpf_probe_read_kernel_str(event->data + pos, PM_NAME_BYTES, step->name.name);
	if (bytes <= 0) {
		walk->flags |= FRAME_FLAG_PATH_UNCERTAIN;
		return -1;
	}
	walk->pos = pos + bytes;
	if (walk->row == SCRATCH_FILE) {
		/* Counted in the map: a number the verifier can follow makes it walk every step. */
		struct walk_marks *marks = marks_row();
		__u32 count = marks ? marks->count : PM_PATH_COMPONENTS_MAX;

		if (marks && count < PM_PATH_COMPONENTS_MAX) {
			marks->at[count] = pos;
			marks->count = count + 1;
		}
	}
	return 0;
}

static long walk_step(__u32 i, struct walk *walk)
{
	struct dentry *dentry = walk->dentry;
	struct vfsmount *vfsmount = walk->mount;
	struct dentry_step step = {};

	if (dentry == walk->root_dentry && vfsmount == walk->root_mount) {
		walk->end = PM_WALK_ROOTED;
		return 1;
	}
	if (dentry == walk->mount_top) {
		struct mount *mount = (void *)vfsmount -
				      bpf_core_field_offset(struct mount, mnt);
		struct mount *up = BPF_CORE_READ(mount, mnt_parent);

		if (up == mount) {
			/* The top of a tree that is not ours: unmounted, or outside a chroot. */
			walk->flags |= FRAME_FLAG_PATH_UNCERTAIN;
			return 1;
		}
		walk->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		vfsmount = (void *)up + bpf_core_field_offset(struct mount, mnt);
		walk->mount = vfsmount;
		walk->mount_top = BPF_CORE_READ(vfsmount, mnt_root);
		return 0;
	}
	read_step(&step, dentry);
	if (walk_name(walk, &step))
		return 1;
	if (step.parent == dentry)
		return 1;
	walk->dentry = step.parent;
	return 0;
}

/* Row of the scratch map and segment in one argument: a function of the kernel side has five. */
#define WALK_TO(row, segment) ((row) << 8 | (segment))

/* Appends one walk, as `task` sees it, at `start` and returns where the next segment begins. */
static __noinline __u32 walk_path_of(struct task_struct *task, struct path *path,
				     struct pm_long *event, __u32 start, __u32 to)
{
	struct dentry *dentry = NULL;
	struct vfsmount *vfsmount = NULL;
	struct walk walk = {.row = to >> 8, .start = start, .pos = start, .end = PM_WALK_DETACHED};
	__u32 segment = to & 0xff;
	long steps;

	if (!path || !event)
		return start;
	if (walk.row == SCRATCH_FILE) {
		struct walk_marks *marks = marks_row();

		if (marks)
			marks->count = 0;
	}
	/* Through locals: CO-RE would try to relocate the fields of our own struct as well. */
	bpf_core_read(&dentry, sizeof(dentry), &path->dentry);
	walk.dentry = dentry;
	bpf_core_read(&vfsmount, sizeof(vfsmount), &path->mnt);
	walk.mount = vfsmount;
	walk.mount_top = BPF_CORE_READ(vfsmount, mnt_root);
	walk.root_dentry = BPF_CORE_READ(task, fs, root.dentry);
	walk.root_mount = BPF_CORE_READ(task, fs, root.mnt);
	if (!dentry)
		return start;
	/* A name that is no longer in its directory (deleted, still open) is where it once was. */
	if (BPF_CORE_READ(dentry, d_parent) != dentry && !BPF_CORE_READ(dentry, d_hash.pprev))
		walk.flags |= FRAME_FLAG_PATH_UNCERTAIN;
	steps = bpf_loop(PM_PATH_COMPONENTS_MAX, walk_step, &walk, 0);
	if (steps >= PM_PATH_COMPONENTS_MAX)
		walk.flags |= FRAME_FLAG_PATH_CUT;
	event->walk_end[segment == PM_SEG_WALK ? 0 : 1] = walk.end;
	event->head.flags |= walk.flags;
	event->bytes[segment & (PM_SEGMENTS - 1)] = walk.pos - start;
	return walk.pos;
}

static __always_inline __u32 walk_path(struct path *path, struct pm_long *event, __u32 row,
				       __u32 start, __u32 segment)
{
	return walk_path_of(bpf_get_current_task_btf(), path, event, start, WALK_TO(row, segment));
}

#define NS_PER_SECOND 1000000000ull
/* Since 6.13 the top bit of the change time's nanoseconds says that somebody asked for it. */
#define TIME_NS_MASK 0x7fffffffu

/* Where the times of a file lay before 6.11, and before 6.6 (the change time) or 6.7. */
struct inode___before_6_11 {
	struct timespec64 __i_mtime;
	struct timespec64 __i_ctime;
} __attribute__((preserve_access_index));
struct inode___before_6_7 {
	struct timespec64 i_mtime;
	struct timespec64 i_ctime;
} __attribute__((preserve_access_index));

static __always_inline void fill_file_times(struct pm_long *event, struct inode *inode)
{
	struct inode___before_6_11 *middle = (void *)inode;
	struct inode___before_6_7 *old = (void *)inode;

	if (bpf_core_field_exists(struct inode, i_mtime_sec)) {
		event->mtime_ns = inode->i_mtime_sec * NS_PER_SECOND + inode->i_mtime_nsec;
		event->ctime_ns = inode->i_ctime_sec * NS_PER_SECOND +
			       (inode->i_ctime_nsec & TIME_NS_MASK);
		return;
	}
	if (bpf_core_field_exists(struct inode___before_6_11, __i_ctime))
		event->ctime_ns = middle->__i_ctime.tv_sec * NS_PER_SECOND + middle->__i_ctime.tv_nsec;
	else if (bpf_core_field_exists(struct inode___before_6_7, i_ctime))
		event->ctime_ns = old->i_ctime.tv_sec * NS_PER_SECOND + old->i_ctime.tv_nsec;
	if (bpf_core_field_exists(struct inode___before_6_11, __i_mtime))
		event->mtime_ns = middle->__i_mtime.tv_sec * NS_PER_SECOND + middle->__i_mtime.tv_nsec;
	else if (bpf_core_field_exists(struct inode___before_6_7, i_mtime))
		event->mtime_ns = old->i_mtime.tv_sec * NS_PER_SECOND + old->i_mtime.tv_nsec;
}

/* `inode` is one the verifier knows: reached by plain loads from a task or a file. */
static __always_inline void fill_file_id(struct pm_long *event, struct inode *inode)
{
	event->dev = inode->i_sb->s_dev;
	event->ino = inode->i_ino;
	event->size = inode->i_size;
	fill_file_times(event, inode);
}

/* The open file behind a descriptor of the current task. */
static __always_inline struct file *file_of(struct task_struct *task, __u32 fd)
{
	struct fdtable *table = task->files->fdt;
	struct file **row = table->fd;
	struct file *file = NULL;

	if (fd >= table->max_fds)
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), row + fd);
	return file;
}

#endif
