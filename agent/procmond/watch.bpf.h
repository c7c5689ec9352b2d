/*
 * The watch list and the credential list, compared in the kernel: a path is laid out root-first as
 * its process sees it, `.` and `..` resolved by text, and looked up. It guarantees that a policy
 * replaces the one before as a whole: each list is one map behind one pointer. It must never cost
 * anything while nothing is listed.
 */
#ifndef PROCMOND_WATCH_BPF_H
#define PROCMOND_WATCH_BPF_H

/* See pm_leaf_bit. */
volatile __u64 credential_leaves[PM_LEAF_WORDS] = {};

struct watch_paths {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, PM_WATCH_PATHS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct pm_watch_key);
	__type(value, __u32);
} watch_paths_a SEC(".maps"), watch_paths_b SEC(".maps");

/* User space fills the inner map that is not in force and then turns the pointer. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct watch_paths);
} watch_paths SEC(".maps") = {.values = {&watch_paths_a}};

struct credentials {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PM_CREDENTIAL_ROWS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct pm_credential_key);
	__type(value, __u64);
} credentials_a SEC(".maps"), credentials_b SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct credentials);
} credentials SEC(".maps") = {.values = {&credentials_a}};

/* A directory walk and a name as passed; a power of two, so that a mask bounds every index. */
#define ROOTED_BYTES 8192
#define ROOTED_COMPONENTS (ROOTED_BYTES / 2)

/* A path root-first: "/" before each component, and where each of those slashes lies. */
struct rooted {
	__u32 bytes;
	__u32 depth;
	__u16 starts[ROOTED_COMPONENTS];
	struct pm_credential_key part;
	/* The path is the key of the prefix table where it lies. */
	__u32 prefix_bits;
	__u8 path[ROOTED_BYTES + PM_NAME_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rooted);
} rooted_scratch SEC(".maps");

static __always_inline struct rooted *rooted_row(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&rooted_scratch, &zero);
}

/* The components of the last walk, which came leaf-first, from the last to the first. */
static long push_walked(__u32 i, void *context)
{
	struct rooted *rooted = rooted_row();
	struct pm_long *event = scratch_row(SCRATCH_FILE);
	struct walk_marks *marks = marks_row();
	__u32 index, at, bytes;
	long length;

	if (!rooted || !event || !marks)
		return 1;
	index = marks->count - 1 - i;
	if (index >= PM_PATH_COMPONENTS_MAX)
		return 1;
	at = marks->at[index];
	bytes = rooted->bytes;
	if (at > PM_DATA_BYTES - PM_NAME_BYTES || bytes >= ROOTED_BYTES)
		return 1;
	rooted->starts[rooted->depth++ & (ROOTED_COMPONENTS - 1)] = bytes;
	rooted->path[bytes] = '/';
	length = bpf_probe_read_kernel_str(rooted->path + bytes + 1, PM_NAME_BYTES - 1,
					   event->data + at);
	/* The NUL makes up for the slash. */
	rooted->bytes = bytes + (length > 0 ? length : 0);
	return 0;
}

static __always_inline void begin_rooted(void)
{
	struct rooted *rooted = rooted_row();

	if (rooted)
		rooted->bytes = rooted->depth = 0;
}

/* Not static, as two below: the verifier then walks it once instead of at every call. */
__noinline int root_walked(void)
{
	return bpf_loop(PM_PATH_COMPONENTS_MAX, push_walked, NULL, 0);
}

/* Of a name as passed: where it is read from, and whether a component is being written. */
struct push_name {
	__u32 at;
	__u32 begun;
};

static __always_inline void end_component(struct rooted *rooted)
{
	__u32 last = (rooted->depth - 1) & (ROOTED_COMPONENTS - 1);
	__u32 start = rooted->starts[last] & (ROOTED_BYTES - 1);
	__u32 length = rooted->bytes - start - 1;
	bool dot = rooted->path[start + 1] == '.';

	if (length == 1 && dot) {
		rooted->bytes = start;
		rooted->depth--;
	} else if (length == 2 && dot && rooted->path[start + 2] == '.') {
		rooted->bytes = start;
		rooted->depth--;
		/* Above the root is the root. */
		if (!rooted->depth)
			return;
		last = (rooted->depth - 1) & (ROOTED_COMPONENTS - 1);
		rooted->bytes = rooted->starts[last];
		rooted->depth--;
	}
}

static long push_char(__u32 i, struct push_name *push)
{
	struct rooted *rooted = rooted_row();
	struct pm_long *event = scratch_row(SCRATCH_FILE);
	__u32 at = push->at + i, bytes;
	__u8 c;

	if (!rooted || !event || at >= PM_DATA_BYTES)
		return 1;
	c = event->data[at];
	bytes = rooted->bytes;
	if (bytes >= ROOTED_BYTES)
		return 1;
	if (!c || c == '/') {
		if (push->begun)
			end_component(rooted);
		push->begun = 0;
		return !c;
	}
	if (!push->begun) {
		push->begun = 1;
		rooted->starts[rooted->depth++ & (ROOTED_COMPONENTS - 1)] = bytes;
		rooted->path[bytes++] = '/';
	}
	rooted->path[bytes] = c;
	rooted->bytes = bytes + 1;
	return 0;
}

/* Appends the name that lies NUL-terminated at `at` of the file event's data. */
__noinline int root_name(__u32 at)
{
	struct push_name push = {.at = at};

	return bpf_loop(PM_PATH_BYTES, push_char, &push, 0);
}

/* A directory counts as its own content: renaming it moves what the list names. */
static __always_inline __u32 match_watched(struct rooted *rooted)
{
	__u32 zero = 0, bytes = rooted->bytes;
	void *paths = bpf_map_lookup_elem(&watch_paths, &zero);

	if (!paths)
		return 0;
	if (bytes < PM_WATCH_BYTES)
		rooted->path[bytes++] = '/';
	rooted->prefix_bits = 8 * (bytes < PM_WATCH_BYTES ? bytes : PM_WATCH_BYTES);
	return bpf_map_lookup_elem(paths, &rooted->prefix_bits) ? FRAME_FLAG_WATCHED : 0;
}

/* The paths of the list that have this name, or `*`, at this level. */
static __always_inline __u64 credential_mask(void *rows, struct rooted *rooted, __u32 level,
					     const void *name, __u32 bytes)
{
	__u64 *named, mask = 0;

	rooted->part.level = level;
	__builtin_memset(rooted->part.name, 0, PM_WATCH_BYTES);
	if (bytes < PM_WATCH_BYTES) {
		bpf_probe_read_kernel(rooted->part.name, bytes, name);
		named = bpf_map_lookup_elem(rows, &rooted->part);
		mask = named ? *named : 0;
	}
	__builtin_memset(rooted->part.name, 0, PM_WATCH_BYTES);
	rooted->part.name[0] = '*';
	named = bpf_map_lookup_elem(rows, &rooted->part);
	return named ? mask | *named : mask;
}

struct credential_match {
	__u64 mask;
	__u32 end;
};

static long match_component(__u32 level, struct credential_match *match)
{
	struct rooted *rooted = rooted_row();
	__u32 zero = 0, start, index;
	void *rows = bpf_map_lookup_elem(&credentials, &zero);

	if (!rooted || !rows || level >= rooted->depth)
		return 1;
	index = (rooted->depth - 1 - level) & (ROOTED_COMPONENTS - 1);
	start = rooted->starts[index] & (ROOTED_BYTES - 1);
	match->mask &= credential_mask(rows, rooted, level, rooted->path + start + 1,
				       match->end - start - 1);
	match->end = start;
	return !match->mask;
}

static __always_inline __u32 match_credential(struct rooted *rooted)
{
	struct credential_match match = {.mask = ~0ull, .end = rooted->bytes};
	__u32 zero = 0;
	__u64 *counted;
	void *rows;

	/* A longer path has more components than a listed one can. */
	if (!rooted->depth || rooted->depth > PM_WATCH_BYTES / 2)
		return 0;
	bpf_loop(PM_WATCH_BYTES / 2, match_component, &match, 0);
	rows = bpf_map_lookup_elem(&credentials, &zero);
	if (!match.mask || !rows)
		return 0;
	rooted->part.level = rooted->depth;
	__builtin_memset(rooted->part.name, 0, PM_WATCH_BYTES);
	counted = bpf_map_lookup_elem(rows, &rooted->part);
	return counted && *counted & match.mask ? FRAME_FLAG_CREDENTIAL : 0;
}

/* The flags of the lists that the rooted path is on, of the lists asked for. */
__noinline int match_rooted(__u32 lists)
{
	struct rooted *rooted = rooted_row();
	__u32 flags = 0;

	lists &= watch_on;
	if (!rooted)
		return 0;
	if (lists & PM_WATCH_CREDENTIALS)
		flags |= match_credential(rooted);
	if (lists & PM_WATCH_PATHS)
		flags |= match_watched(rooted);
	return flags;
}

/*
 * The same, of the walk of a file event. A path that was cut lost its end at the root, so no prefix
 * can rule it out: it counts as watched. No credential path is that long.
 */
static __always_inline __u32 listed_as(struct pm_long *event, __u32 lists)
{
	__u32 flags = match_rooted(lists);

	if (event->head.flags & FRAME_FLAG_PATH_CUT && lists & watch_on & PM_WATCH_PATHS)
		flags |= FRAME_FLAG_WATCHED;
	return flags;
}

/* Whether an opened file can be a listed one, by its last name: what an ordinary read pays. */
static __always_inline bool is_credential_leaf(struct file *file)
{
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	struct rooted *rooted;
	struct qstr name = {};
	__u32 zero = 0, bit;
	__u64 first = 0;
	void *rows;

	if (watch_on & PM_WATCH_ANY_LEAF)
		return true;
	bpf_core_read(&name, sizeof(name), &dentry->d_name);
	bpf_probe_read_kernel(&first, sizeof(first), name.name);
	/* The root of a filesystem, or a file opened by a handle, whose name nobody looked up. */
	if ((first & 0xff) == '/')
		return true;
	bit = pm_leaf_bit(first, name.len);
	if (!(credential_leaves[bit / 64 & (PM_LEAF_WORDS - 1)] & 1ull << (bit & 63)))
		return false;
	rooted = rooted_row();
	rows = bpf_map_lookup_elem(&credentials, &zero);
	if (!rooted || !rows || name.len >= PM_WATCH_BYTES)
		return false;
	rooted->part.level = 0;
	__builtin_memset(rooted->part.name, 0, PM_WATCH_BYTES);
	bpf_probe_read_kernel(rooted->part.name, name.len & (PM_WATCH_BYTES - 1), name.name);
	return bpf_map_lookup_elem(rows, &rooted->part) != NULL;
}

#endif
