/*
 * Hashes files, see hash_file.h. A file is first opened without access to its content (O_PATH),
 * looked at, and only then opened for reading through that descriptor, so that no name is resolved
 * twice. Executables come from /proc/PID/exe, which shows deleted files and memfds too; where the
 * process has ended already, the path is tried and taken only if the identity is the kernel's.
 * The page cache is not filled with large files.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "hash_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "blake3.h"
#include "clock.h"
#include "proc_read.h"

/* Small enough to stay in the second-level cache between the two hashes. */
#define PIECE_BYTES (128 * 1024)
/* A file that changes this often is being written. */
#define READS_MAX 3
/* A smaller file is about to be used by whoever ran it: its pages stay in the page cache. */
#define KEEP_CACHED_BYTES (32ull << 20)
/* A file created in the same clock tick as its event may carry the tick before. */
#define CREATED_SLACK_NS NS_PER_SECOND
/* Not in linux/magic.h of every distribution. */
#define CIFS_MAGIC 0xff534d42u
#define CEPH_MAGIC 0x00c36400u
#define LUSTRE_MAGIC 0x0bd00bd0u
#define GPFS_MAGIC 0x47504653u

/* Where a read may wait for another machine or for a program for ever. */
static bool is_remote(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs))
		return true;
	switch ((uint32_t)fs.f_type) {
	case NFS_SUPER_MAGIC: case SMB_SUPER_MAGIC: case SMB2_SUPER_MAGIC: case CIFS_MAGIC:
	case FUSE_SUPER_MAGIC: case V9FS_MAGIC: case CEPH_MAGIC: case LUSTRE_MAGIC: case GPFS_MAGIC:
	case AFS_SUPER_MAGIC: case AFS_FS_MAGIC: case CODA_SUPER_MAGIC: case OCFS2_SUPER_MAGIC:
		return true;
	default:
		return false;
	}
}

static uint64_t ns_of(const struct statx_timestamp *at)
{
	return (uint64_t)at->tv_sec * NS_PER_SECOND + at->tv_nsec;
}

/* What the filesystem knows by itself: a network filesystem is not asked. */
static bool identify(int fd, struct file_identity *identity, bool *regular)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &st))
		return false;
	*identity = (struct file_identity){(uint64_t)st.stx_dev_major << 20 | st.stx_dev_minor,
					   st.stx_ino, st.stx_size, ns_of(&st.stx_mtime),
					   ns_of(&st.stx_ctime)};
	*regular = S_ISREG(st.stx_mode);
	return true;
}

static bool is_same(const struct file_identity *a, const struct file_identity *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/*
 * Overlay and btrfs show another device to stat than their inodes have in the kernel (both without a
 * major number), overlay sometimes another inode number.
 */
static bool is_likely(const struct file_identity *found, const struct file_identity *kernels)
{
	bool anonymous = !(found->dev >> 20 | kernels->dev >> 20);

	return found->size == kernels->size && found->mtime_ns == kernels->mtime_ns &&
	       (anonymous || (found->dev == kernels->dev && found->ino == kernels->ino));
}

/* Still the process the event was of, and not a later one with its number. */
static bool is_process(const struct frame_header *header)
{
	struct proc_stat stat;

	return proc_read_stat(header->tgid, &stat) && stat.start_ticks == header->start_ticks;
}

/*
 * Paths of events are resolved already, so a symlink in one was put there since and is not followed:
 * each component is opened by itself. openat2 could do it at once, but no system call filter can see
 * its flags.
 */
static int open_below(const char *root, const char *path)
{
	int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	while (fd >= 0 && *path) {
		size_t length = strcspn(path, "/");
		char name[NAME_MAX + 1];
		int next = -1;

		if (length && length <= NAME_MAX) {
			memcpy(name, path, length);
			name[length] = 0;
			/* Paths of events have no such component; it would climb out of the root. */
			if (strcmp(name, ".."))
				next = openat(fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		}
		path += length;
		if (!length) {
			path++;
			continue;
		}
		close(fd);
		fd = next;
	}
	return fd;
}

static int open_below_process(uint32_t tgid, const char *path)
{
	char root[64];

	snprintf(root, sizeof(root), "/proc/%u/root", tgid);
	return open_below(root, path);
}

static void read_path(const struct hash_job *job, struct hash_result *result)
{
	static char path[4096 + sizeof(" (deleted)")];
	uint16_t flags = 0;

	if (proc_read_exe(job->header.tgid, path, sizeof(path), &flags) &&
	    strlen(path) < sizeof(result->path))
		strcpy(result->path, path);
}

/* The executable while its process lives. Another exec since then shows another path. */
static int open_running(const struct hash_job *job, struct hash_result *result)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "/proc/%u/exe", job->header.tgid);
	fd = open(name, O_PATH | O_CLOEXEC);
	if (fd < 0) {
		if (errno == EACCES || errno == EPERM)
			result->outcome = HASH_NOT_READABLE;
		return -1;
	}
	read_path(job, result);
	if (is_process(&job->header) &&
	    (job->identity_known || !job->path[0] || !strcmp(job->path, result->path)))
		return fd;
	close(fd);
	result->path[0] = 0;
	return -1;
}

/*
 * A running file cannot be written, but it can be unlinked or renamed, which sets its ctime. What
 * lies at a path may be anything: there ctime and inode must be the kernel's.
 */
static bool is_file_of(int fd, const struct file_identity *kernels, bool by_path)
{
	struct file_identity found;
	bool regular;

	return fd >= 0 && identify(fd, &found, &regular) && is_likely(&found, kernels) &&
	       (!by_path || (found.ctime_ns == kernels->ctime_ns && found.ino == kernels->ino));
}

/* By its path, in each mount namespace that may show it. */
static int open_executable(const struct hash_job *job, struct hash_result *result)
{
	int fd = open_running(job, result);

	if (fd >= 0 && (!job->identity_known || is_file_of(fd, &job->identity, false)))
		return fd;
	result->path[0] = 0;
	for (int i = 0; i < 3 && job->identity_known && job->path[0] == '/'; i++) {
		if (fd >= 0)
			close(fd);
		fd = i == 0   ? open_below("/", job->path)
		     : i == 1 ? open_below_process(job->header.tgid, job->path)
			      : open_below_process(job->parent_tgid, job->path);
		if (is_file_of(fd, &job->identity, true)) {
			strcpy(result->path, job->path);
			return fd;
		}
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

/*
 * Whether what lies at the path is what was made there, and not mounted or renamed over it since.
 * Overlay shows stat another device, sometimes another number, than its inodes have, btrfs another
 * device: there the path alone must do, and the result says so.
 */
static bool is_what_was_made(int fd, const struct file_identity *found, const struct hash_job *job,
			     struct hash_result *result)
{
	struct statfs fs;
	bool same_number = found->ino == job->made_ino;

	if (same_number && found->dev == job->made_dev)
		return true;
	result->path_uncertain = true;
	if (found->dev >> 20 || job->made_dev >> 20 || fstatfs(fd, &fs))
		return false;
	return (uint32_t)fs.f_type == OVERLAYFS_SUPER_MAGIC ||
	       ((uint32_t)fs.f_type == BTRFS_SUPER_MAGIC && same_number);
}

/* After its process ended, the path in our own namespace, if what lies there is no older. */
static int open_new_file(const struct hash_job *job, struct hash_result *result)
{
	struct file_identity found;
	bool regular, lives = is_process(&job->header);
	int fd = lives ? open_below_process(job->header.tgid, job->path)
		       : open_below("/", job->path);

	strcpy(result->path, job->path);
	result->path_uncertain = !lives || !job->made_known;
	if (fd < 0)
		return fd;
	if (job->made_known &&
	    (!identify(fd, &found, &regular) || !is_what_was_made(fd, &found, job, result))) {
		result->outcome = HASH_CHANGED_WHILE_READ;
		close(fd);
		return -1;
	}
	if (lives && is_process(&job->header))
		return fd;
	if (identify(fd, &found, &regular) && found.ctime_ns + CREATED_SLACK_NS >= job->made_wall_ns)
		return fd;
	close(fd);
	return -1;
}

/*
 * One piece. Of a large file it is dropped from the page cache again, which would be charged to
 * procmond; what somebody has mapped stays, so whoever runs the file does not notice.
 */
static ssize_t read_piece(int fd, uint8_t *piece, uint64_t at, bool drop)
{
	ssize_t n;

	do {
		n = pread(fd, piece, PIECE_BYTES, (off_t)at);
	} while (n < 0 && errno == EINTR);
	if (n > 0 && drop)
		posix_fadvise(fd, (off_t)at, n, POSIX_FADV_DONTNEED);
	return n;
}

static enum hash_outcome digest(int fd, uint64_t size, struct hash_result *result,
				hash_pause *pause, void *context)
{
	/* One thread: static keeps its stack small. */
	static uint8_t piece[PIECE_BYTES];
	static struct blake3 blake3;
	bool drop = size > KEEP_CACHED_BYTES;
	SHA256_CTX sha256;
	uint64_t at = 0;

	SHA256_Init(&sha256);
	blake3_open(&blake3);
	while (at < size) {
		ssize_t n = read_piece(fd, piece, at, drop);

		if (n <= 0)
			return n ? HASH_NOT_READABLE : HASH_CHANGED_WHILE_READ;
		/* What was appended meanwhile shows in the size afterwards. */
		if ((uint64_t)n > size - at)
			n = (ssize_t)(size - at);
		SHA256_Update(&sha256, piece, (size_t)n);
		blake3_add(&blake3, piece, (size_t)n);
		at += (uint64_t)n;
		if (!pause(context))
			return HASH_DISABLED;
	}
	SHA256_Final(result->sha256, &sha256);
	blake3_close(&blake3, result->blake3);
	return HASH_OK;
}

/*
 * Reading must leave no trace in the file's times, which only its owner and CAP_FOWNER may ask for.
 * The time of an executable was set by running it, and reading sets it no more; a new file's would
 * show that somebody looked.
 */
static int open_content(int path_fd, enum hash_kind kind)
{
	int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", path_fd);
	fd = open(name, flags | O_NOATIME);
	return fd < 0 && errno == EPERM && kind != HASH_KIND_NEW_FILE ? open(name, flags) : fd;
}

static enum hash_outcome hash_open_file(int path_fd, uint64_t bytes_max, struct hash_result *result,
					hash_pause *pause, void *context)
{
	struct file_identity after;
	enum hash_outcome outcome;
	bool regular;
	int fd;

	if (result->identity.size > bytes_max)
		return HASH_TOO_LARGE;
	fd = open_content(path_fd, result->kind);
	if (fd < 0)
		return HASH_NOT_READABLE;
	outcome = digest(fd, result->identity.size, result, pause, context);
	if (outcome == HASH_OK && (!identify(fd, &after, &regular) || !is_same(&after, &result->identity)))
		outcome = HASH_CHANGED_WHILE_READ;
	close(fd);
	return outcome;
}

/* Again when it was changed meanwhile: also a rename is a change, and happens once. */
static enum hash_outcome hash_as_found(int path_fd, uint64_t bytes_max, struct hash_result *result,
				       hash_pause *pause, void *context)
{
	enum hash_outcome outcome = HASH_CHANGED_WHILE_READ;
	bool regular;

	for (int i = 0; i < READS_MAX && outcome == HASH_CHANGED_WHILE_READ; i++)
		if (i == 0 || identify(path_fd, &result->identity, &regular))
			outcome = hash_open_file(path_fd, bytes_max, result, pause, context);
	return outcome;
}

void hash_file_run(const struct hash_job *job, struct hash_result *result, hash_pause *pause,
		   void *context)
{
	bool regular = false;
	int fd;

	*result = (struct hash_result){.kind = job->kind, .outcome = HASH_GONE, .content = -1,
				       .identity = job->identity,
				       .identity_known = job->identity_known};
	fd = job->kind == HASH_KIND_NEW_FILE ? open_new_file(job, result)
					     : open_executable(job, result);
	if (fd < 0)
		return;
	if (!identify(fd, &result->identity, &regular))
		result->outcome = HASH_NOT_READABLE;
	else if (!regular)
		result->outcome = HASH_NOT_REGULAR;
	else if (is_remote(fd))
		result->outcome = HASH_REMOTE;
	else if (job->kind == HASH_KIND_IDENTIFY)
		result->outcome = HASH_OK;
	else
		result->outcome = hash_as_found(fd, job->bytes_max, result, pause, context);
	close(fd);
	/* The kernel's name for the file is the one its exec event carries; ctime is that of the reading. */
	if (job->identity_known) {
		result->identity.dev = job->identity.dev;
		result->identity.ino = job->identity.ino;
	}
	result->identity_known = true;
}
