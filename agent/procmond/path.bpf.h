/*
 * Paths from kernel objects: a bounded walk from a dentry up to the process's root directory.
 * It guarantees what the kernel itself would resolve, across mounts, in private namespaces and
 * inside chroot; components leave leaf-first, each with its NUL, and user space reverses them. It
 * must never follow more than PM_PATH_COMPONENTS_MAX steps or write past PM_DATA_BYTES.
 */
#ifndef PROCMOND_PATH_BPF_H
#define PROCMOND_PATH_BPF_H

struct walk {
	struct dentry *dentry;
	struct vfsmount *mount;
	struct dentry *root_dentry;
	struct vfsmount *root_mount;
	__u32 row;
	__u32 start;
	__u32 pos;
	__u16 flags;
	__u16 end;
};

static __always_inline int walk_name(struct walk *walk, struct dentry *dentry)
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
	bytes = bpf_probe_read_kernel_str(event->data + pos, PM_NAME_BYTES,
					  BPF_CORE_READ(dentry, d_name.name));
	if (bytes <= 0) {
		walk->flags |= FRAME_FLAG_PATH_UNCERTAIN;
		return -1;
	}
	walk->pos = pos + bytes;
	return 0;
}

static long walk_step(__u32 i, struct walk *walk)
{
	struct dentry *dentry = walk->dentry;
	struct vfsmount *vfsmount = walk->mount;
	struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
	struct dentry *mount_root = BPF_CORE_READ(vfsmount, mnt_root);

	if (dentry == walk->root_dentry && vfsmount == walk->root_mount) {
		walk->end = PM_WALK_ROOTED;
		return 1;
	}
	if (dentry == mount_root) {
		struct mount *mount = (void *)vfsmount -
				      bpf_core_field_offset(struct mount, mnt);
		struct mount *up = BPF_CORE_READ(mount, mnt_parent);

		if (up == mount) {
			/* The top of a tree that is not ours: unmounted, or outside a chroot. */
			walk->flags |= FRAME_FLAG_PATH_UNCERTAIN;
			return 1;
		}
		walk->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		walk->mount = (void *)up + bpf_core_field_offset(struct mount, mnt);
		return 0;
	}
	if (walk_name(walk, dentry))
		return 1;
	if (parent == dentry)
		return 1;
	walk->dentry = parent;
	return 0;
}

/* Appends one walk at `start` and returns where the next segment begins. */
static __noinline __u32 walk_path(struct path *path, struct pm_long *event, __u32 row, __u32 start,
				  __u32 segment)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct dentry *dentry = NULL;
	struct walk walk = {.row = row, .start = start, .pos = start, .end = PM_WALK_DETACHED};
	long steps;

	if (!path || !event)
		return start;
	/* Through locals: CO-RE would try to relocate the fields of our own struct as well. */
	bpf_core_read(&dentry, sizeof(dentry), &path->dentry);
	walk.dentry = dentry;
	bpf_core_read(&walk.mount, sizeof(walk.mount), &path->mnt);
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

/* The open file behind a descriptor of the current task. */
static __always_inline struct file *file_of(struct task_struct *task, __u32 fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **row = BPF_CORE_READ(table, fd);
	struct file *file = NULL;

	if (fd >= BPF_CORE_READ(table, max_fds))
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), row + fd);
	return file;
}

#endif
