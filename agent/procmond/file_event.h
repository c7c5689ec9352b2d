/*
 * What kernel and user side share about files: which fields an event filled, and the keys of the
 * tables of watched and credential paths. It guarantees keys without padding, because the kernel
 * compares them byte for byte. It must never hold a path longer than the signed policy allows.
 */
#ifndef PROCMOND_FILE_EVENT_H
#define PROCMOND_FILE_EVENT_H

/*
 * What a process that is not traced may tell of watched files: 2,000 a second after a burst of 4,000,
 * which unpacking a package or a build under a watched path stays below; so many processes at once.
 */
#define PM_WATCHED_COST_NS 500000ull
#define PM_WATCHED_BURST 4000
#define PM_WATCHED_SHARES 2048

enum pm_file_has {
	PM_FILE_HAS_FLAGS = 1, /* open_flags */
	PM_FILE_HAS_INODE = 2, /* dev, ino, size, mode */
	PM_FILE_HAS_MODE = 4, /* mode, as asked for by the call */
	PM_FILE_HAS_RESULT = 8,
};

/* As in the signed policy. */
#define PM_WATCH_PATHS_MAX 256
#define PM_WATCH_BYTES 128
/* A credential path is one bit of a mask, so there are as many as a mask has bits. */
#define PM_CREDENTIALS_MAX 64
/* "/a/a/a…" has a component for every two bytes; each is a row, and one row says how many there are. */
#define PM_CREDENTIAL_ROWS_MAX (PM_CREDENTIALS_MAX * (PM_WATCH_BYTES / 2 + 1))

/* Bits of `watch_on`. */
enum pm_watch_on {
	PM_WATCH_PATHS = 1,
	PM_WATCH_CREDENTIALS = 2,
	/* A credential path ends in `*`: the name of a file alone cannot rule it out. */
	PM_WATCH_ANY_LEAF = 4,
};

/* A key of the table of prefixes: they are compared by bytes, bits are how that table counts. */
struct pm_watch_key {
	__u32 prefix_bits;
	__u8 path[PM_WATCH_BYTES];
};

/*
 * Credential paths as masks: bit i is path i. The row {level, name} holds the paths whose component
 * `level` counted from the leaf is `name`, or is `*` when the name is "*". The row {n, ""} holds the
 * paths of n components. A path is listed if its bit survives the masks of all its components.
 */
struct pm_credential_key {
	__u32 level;
	__u8 name[PM_WATCH_BYTES];
};

/*
 * A set of bits for the leaf names of credential files, by their first eight bytes and their length:
 * what an ordinary read-open is tested against before anything is looked up. 64 names set at most
 * one bit in sixteen.
 */
#define PM_LEAF_WORDS 16

static inline __u32 pm_leaf_bit(__u64 first, __u32 length)
{
	if (length < 8)
		first &= (1ull << 8 * length) - 1;
	/* The golden ratio as a 64-bit fraction spreads neighbours; the top bits are the best mixed. */
	return (__u32)((first + length) * 0x9e3779b97f4a7c15ull >> 54);
}

_Static_assert(PM_LEAF_WORDS * 64 == 1 << (64 - 54), "every bit has a place");
_Static_assert(sizeof(struct pm_watch_key) == 4 + PM_WATCH_BYTES, "no padding");
_Static_assert(sizeof(struct pm_credential_key) == 4 + PM_WATCH_BYTES, "no padding");

#endif
