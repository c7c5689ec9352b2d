/* Reads the first bytes of mappings on the hashing thread, see memory_header.h. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "memory_header.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "proc_read.h"

/* A line is a path of at most 4,096 bytes, each perhaps escaped to four, behind 80 of numbers. */
#define LINE_BYTES_MAX 17000

struct memory_walk {
	const struct hash_job *job;
	memory_give *give;
	void *context;
	int mem_fd;
	uint64_t arg_start; /* of the image; 0 = not read yet */
	unsigned given;
	bool main_seen;
	bool full; /* as many as a process may have, which was told; only its executable is sought now */
	bool cut; /* there is more of the list than is read */
	bool unreadable;
	bool stopped;
	bool replaced; /* ended, or ran another program, while it was read */
	/* The executable; ino 0 = not known. */
	uint64_t exe_dev, exe_ino;
	bool by_name; /* its filesystem shows another device to stat than to maps */
	char exe[HASH_PATH_BYTES];
};

static bool parse_hex(const char **at, const char *end, char stop, uint64_t *value)
{
	const char *p = *at;

	*value = 0;
	for (; p < end && *p != stop && p - *at < 16; p++) {
		int digit = *p >= '0' && *p <= '9' ? *p - '0' : *p >= 'a' && *p <= 'f' ? *p - 'a' + 10 : -1;

		if (digit < 0)
			return false;
		*value = *value << 4 | (uint64_t)digit;
	}
	if (p == *at || p >= end || *p != stop)
		return false;
	*at = p + 1;
	return true;
}

static bool skip_field(const char **at, const char *end)
{
	const char *stop = memchr(*at, ' ', (size_t)(end - *at));

	if (!stop || stop == *at)
		return false;
	*at = stop + 1;
	return true;
}

bool memory_mapping_parse(const char *line, size_t length, struct memory_mapping *mapping)
{
	const char *at = line, *end = line + length;
	uint64_t major, minor;
	const char *inode;

	memset(mapping, 0, sizeof(*mapping));
	if (!parse_hex(&at, end, '-', &mapping->start) || !parse_hex(&at, end, ' ', &mapping->end) ||
	    mapping->end <= mapping->start || end - at < HASH_PERMS_BYTES || at[4] != ' ')
		return false;
	memcpy(mapping->perms, at, 4);
	at += HASH_PERMS_BYTES;
	/* Offset and device; then the inode, which is last where there is no path. */
	if (!skip_field(&at, end) || !parse_hex(&at, end, ':', &major) ||
	    !parse_hex(&at, end, ' ', &minor))
		return false;
	mapping->dev = major << 20 | minor;
	inode = at;
	for (; at < end && *at >= '0' && *at <= '9'; at++)
		mapping->inode = mapping->inode * 10 + (uint64_t)(*at - '0');
	if (at == inode || (at < end && *at != ' '))
		return false;
	while (at < end && *at == ' ')
		at++;
	mapping->path = at;
	mapping->path_bytes = (size_t)(end - at);
	return true;
}

static bool begins(const struct memory_mapping *mapping, const char *text)
{
	size_t length = strlen(text);

	return mapping->path_bytes >= length && !memcmp(mapping->path, text, length);
}

static bool is_deleted(const struct memory_mapping *mapping)
{
	static const char mark[] = " (deleted)";
	size_t length = sizeof(mark) - 1;

	return mapping->path_bytes > length &&
	       !memcmp(mapping->path + mapping->path_bytes - length, mark, length);
}

bool memory_mapping_is_foreign(const struct memory_mapping *mapping)
{
	if (mapping->perms[2] != 'x' || begins(mapping, "[vdso]") || begins(mapping, "[vsyscall]"))
		return false;
	return !mapping->inode || is_deleted(mapping) || begins(mapping, "/memfd:");
}

static bool is_main(struct memory_walk *walk, const struct memory_mapping *mapping)
{
	size_t length = strlen(walk->exe);
	bool same_number = walk->exe_ino && mapping->inode == walk->exe_ino;

	if (walk->main_seen)
		return false;
	/* Not by name where the inode tells it: a name is escaped in maps, and may be too long to hold. */
	if (walk->by_name)
		walk->main_seen = same_number || (length && mapping->path_bytes == length &&
						  !memcmp(mapping->path, walk->exe, length));
	else
		walk->main_seen = same_number && mapping->dev == walk->exe_dev;
	return walk->main_seen;
}

/* The argument address is random per exec: the same one means the same image. */
static bool is_image(struct memory_walk *walk)
{
	const struct frame_header *header = &walk->job->header;
	struct proc_stat stat;

	if (!proc_read_stat(header->tgid, &stat) || stat.start_ticks != header->start_ticks ||
	    (walk->arg_start && stat.arg_start != walk->arg_start))
		return false;
	walk->arg_start = stat.arg_start;
	return true;
}

static void give(struct memory_walk *walk, struct hash_result *result, const uint8_t *content)
{
	result->kind = HASH_KIND_MEMORY;
	result->content = -1;
	if (!walk->stopped && !walk->give(walk->context, result, content))
		walk->stopped = true;
	walk->given++;
}

static void read_mapping(struct memory_walk *walk, const struct memory_mapping *mapping)
{
	uint64_t length = mapping->end - mapping->start;
	struct hash_result result = {.outcome = HASH_OK, .address = mapping->start};
	uint8_t content[HASH_CONTENT_BYTES];
	SHA256_CTX sha256;
	ssize_t n;

	memcpy(result.perms, mapping->perms, sizeof(result.perms));
	if (mapping->path_bytes < sizeof(result.path))
		memcpy(result.path, mapping->path, mapping->path_bytes);
	n = pread(walk->mem_fd, content, length < sizeof(content) ? length : sizeof(content),
		  (off_t)mapping->start);
	/* Believed only when the process is still what it was after the reading. */
	if (!is_image(walk)) {
		walk->replaced = true;
		return;
	}
	if (n <= 0) {
		result.outcome = HASH_NOT_READABLE;
		give(walk, &result, NULL);
		return;
	}
	result.content_bytes = (uint32_t)n;
	/* Not SHA256(): that one brings the whole provider machinery of libcrypto into the binary. */
	SHA256_Init(&sha256);
	SHA256_Update(&sha256, content, (size_t)n);
	SHA256_Final(result.sha256, &sha256);
	give(walk, &result, content);
}

/* False = enough. */
static bool take_line(struct memory_walk *walk, const char *line, size_t length)
{
	struct memory_mapping mapping;
	bool main;

	if (!memory_mapping_parse(line, length, &mapping))
		return true;
	main = is_main(walk, &mapping);
	if (!main && !memory_mapping_is_foreign(&mapping))
		return true;
	if (!main && walk->given >= MEMORY_HEADERS_MAX) {
		struct hash_result more = {.outcome = HASH_TOO_MANY};

		if (!walk->full)
			give(walk, &more, NULL);
		walk->full = true;
	} else {
		read_mapping(walk, &mapping);
	}
	return !walk->stopped && !walk->replaced && !(walk->full && walk->main_seen);
}

static void walk_maps(struct memory_walk *walk, int maps_fd)
{
	static char text[LINE_BYTES_MAX];
	size_t used = 0, total = 0;

	while (!walk->cut) {
		ssize_t n = read(maps_fd, text + used, sizeof(text) - used);
		char *line = text, *end;

		if (n <= 0) {
			walk->unreadable = n < 0;
			return;
		}

		total += (size_t)n;
		used += (size_t)n;
		while ((end = memchr(line, '\n', used - (size_t)(line - text)))) {
			if (!take_line(walk, line, (size_t)(end - line)))
				return;
			line = end + 1;
		}
		used -= (size_t)(line - text);
		memmove(text, line, used);
		/* No newline in a full buffer is not a line the kernel writes. */
		walk->cut = total >= MEMORY_MAPS_BYTES_MAX || used == sizeof(text);
	}
}

static int open_of(uint32_t tgid, const char *what)
{
	char name[64];

	snprintf(name, sizeof(name), "/proc/%u/%s", tgid, what);
	return open(name, O_RDONLY | O_CLOEXEC);
}

/* The link leads to the file itself, whatever its name is by now. */
static void find_exe(struct memory_walk *walk)
{
	char name[64];
	struct statx st;
	struct statfs fs;
	ssize_t length;
	int fd;

	snprintf(name, sizeof(name), "/proc/%u/exe", walk->job->header.tgid);
	fd = open(name, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return;
	if (!statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &st) && !fstatfs(fd, &fs)) {
		walk->exe_dev = (uint64_t)st.stx_dev_major << 20 | st.stx_dev_minor;
		walk->exe_ino = st.stx_ino;
		walk->by_name = (uint32_t)fs.f_type == OVERLAYFS_SUPER_MAGIC ||
				(uint32_t)fs.f_type == BTRFS_SUPER_MAGIC;
	}
	close(fd);
	length = readlink(name, walk->exe, sizeof(walk->exe));
	/* A full buffer holds a cut name. */
	walk->exe[length > 0 && (size_t)length < sizeof(walk->exe) ? length : 0] = 0;
}

/* What is to be said of the walk as a whole. */
static enum hash_outcome outcome_of(struct memory_walk *walk)
{
	if (!walk->main_seen && !is_image(walk))
		walk->replaced = true;
	if (walk->replaced)
		return HASH_CHANGED_WHILE_READ;
	if (walk->unreadable)
		return HASH_NOT_READABLE;
	if (walk->cut)
		return HASH_TOO_MANY;
	return walk->main_seen ? HASH_OK : HASH_MAIN_NOT_FOUND;
}

static enum hash_outcome run(struct memory_walk *walk)
{
	uint32_t tgid = walk->job->header.tgid;
	int maps_fd = open_of(tgid, "maps");

	walk->mem_fd = open_of(tgid, "mem");
	if (maps_fd < 0 || walk->mem_fd < 0) {
		enum hash_outcome outcome = errno == EACCES || errno == EPERM ? HASH_NOT_READABLE : HASH_GONE;

		if (maps_fd >= 0)
			close(maps_fd);
		if (walk->mem_fd >= 0)
			close(walk->mem_fd);
		return outcome;
	}
	find_exe(walk);
	walk_maps(walk, maps_fd);
	close(maps_fd);
	close(walk->mem_fd);
	return outcome_of(walk);
}

void memory_header_run(const struct hash_job *job, memory_give *give_result, void *context)
{
	struct memory_walk walk = {.job = job, .give = give_result, .context = context};
	struct hash_result end = {.outcome = HASH_GONE, .last = true};

	if (is_image(&walk))
		end.outcome = run(&walk);
	give(&walk, &end, NULL);
}
