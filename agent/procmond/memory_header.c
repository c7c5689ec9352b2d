/* Reads the first bytes of mappings on the hashing thread, see memory_header.h. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "memory_header.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
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
	bool stopped;
	bool replaced; /* ended, or ran another program, while it was read */
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
	const char *inode;

	memset(mapping, 0, sizeof(*mapping));
	if (!parse_hex(&at, end, '-', &mapping->start) || !parse_hex(&at, end, ' ', &mapping->end) ||
	    mapping->end <= mapping->start || end - at < HASH_PERMS_BYTES || at[4] != ' ')
		return false;
	memcpy(mapping->perms, at, 4);
	at += HASH_PERMS_BYTES;
	/* Offset and device; then the inode, which is last where there is no path. */
	if (!skip_field(&at, end) || !skip_field(&at, end))
		return false;
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

	/* The link and the mapping name the file alike, a deleted one with the same mark. */
	if (walk->main_seen || !length || mapping->path_bytes != length ||
	    memcmp(mapping->path, walk->exe, length))
		return false;
	walk->main_seen = true;
	return true;
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
	if (walk->given == MEMORY_HEADERS_MAX) {
		struct hash_result more = {.outcome = HASH_TOO_MANY};

		give(walk, &more, NULL);
		return false;
	}
	read_mapping(walk, &mapping);
	return !walk->stopped && !walk->replaced;
}

static void walk_maps(struct memory_walk *walk, int maps_fd)
{
	static char text[LINE_BYTES_MAX];
	size_t used = 0, total = 0;
	ssize_t n;

	while (total < MEMORY_MAPS_BYTES_MAX &&
	       (n = read(maps_fd, text + used, sizeof(text) - used)) > 0) {
		char *line = text, *end;

		total += (size_t)n;
		used += (size_t)n;
		while ((end = memchr(line, '\n', used - (size_t)(line - text)))) {
			if (!take_line(walk, line, (size_t)(end - line)))
				return;
			line = end + 1;
		}
		used -= (size_t)(line - text);
		memmove(text, line, used);
		/* No newline in a full buffer: not a line the kernel writes. */
		if (used == sizeof(text))
			return;
	}
}

static int open_of(uint32_t tgid, const char *what)
{
	char name[64];

	snprintf(name, sizeof(name), "/proc/%u/%s", tgid, what);
	return open(name, O_RDONLY | O_CLOEXEC);
}

static enum hash_outcome run(struct memory_walk *walk)
{
	uint32_t tgid = walk->job->header.tgid;
	char name[64];
	int maps_fd = open_of(tgid, "maps");
	ssize_t length;

	walk->mem_fd = open_of(tgid, "mem");
	if (maps_fd < 0 || walk->mem_fd < 0) {
		enum hash_outcome outcome = errno == EACCES || errno == EPERM ? HASH_NOT_READABLE : HASH_GONE;

		if (maps_fd >= 0)
			close(maps_fd);
		if (walk->mem_fd >= 0)
			close(walk->mem_fd);
		return outcome;
	}
	snprintf(name, sizeof(name), "/proc/%u/exe", tgid);
	length = readlink(name, walk->exe, sizeof(walk->exe) - 1);
	walk->exe[length > 0 ? length : 0] = 0;
	walk_maps(walk, maps_fd);
	close(maps_fd);
	close(walk->mem_fd);
	return HASH_OK;
}

void memory_header_run(const struct hash_job *job, memory_give *give_result, void *context)
{
	struct memory_walk walk = {.job = job, .give = give_result, .context = context};
	struct hash_result end = {.outcome = HASH_GONE, .last = true};

	if (is_image(&walk))
		end.outcome = run(&walk);
	if (walk.replaced)
		end.outcome = HASH_CHANGED_WHILE_READ;
	give(&walk, &end, NULL);
}
