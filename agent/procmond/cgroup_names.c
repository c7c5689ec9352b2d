/*
 * Names cgroups, see cgroup_names.h. The id of a cgroup is its file handle, so the kernel opens the
 * directory of an id directly; nothing is walked. Where that is not permitted (no
 * CAP_DAC_READ_SEARCH), the process of the frame is asked, and believed only if the directory it
 * names has the id. Neither touches a disk: cgroup2 and proc live in memory.
 */
#include "cgroup_names.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "proc_read.h"

/* linux/exportfs.h: the handle of a kernfs node is its 64-bit id. Kernel 5.5 and later. */
#define FILEID_KERNFS 0xfe
#define DELETED " (deleted)"

void cgroup_names_open(struct cgroup_names *names, const struct scope *scope)
{
	memset(names, 0, sizeof(*names));
	names->scope = scope;
	names->mount_fd = scope->mount[0] ? open(scope->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

void cgroup_names_close(struct cgroup_names *names)
{
	if (names->mount_fd >= 0)
		close(names->mount_fd);
	names->mount_fd = -1;
}

/* The path below the mount of what `fd` is; false when it lies elsewhere or was removed. */
static bool path_of(const struct cgroup_names *names, int fd, char *path, size_t bytes)
{
	static char full[2 * SCOPE_PATH_BYTES];
	size_t mount_bytes = strlen(names->scope->mount);
	char name[64];
	ssize_t length;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	length = readlink(name, full, sizeof(full) - 1);
	if (length <= 0)
		return false;
	full[length] = 0;
	if (mount_bytes == 1)
		mount_bytes = 0;
	if (strncmp(full, names->scope->mount, mount_bytes) ||
	    (full[mount_bytes] != '/' && full[mount_bytes] != 0))
		return false;
	if ((size_t)length > strlen(DELETED) && !strcmp(full + length - strlen(DELETED), DELETED))
		return false;
	return snprintf(path, bytes, "%s", full[mount_bytes] ? full + mount_bytes : "/") < (int)bytes;
}

static bool find_by_handle(const struct cgroup_names *names, uint64_t id, char *path, size_t bytes)
{
	union {
		struct file_handle handle;
		uint8_t room[sizeof(struct file_handle) + sizeof(id)];
	} node = {.handle = {.handle_bytes = sizeof(id), .handle_type = FILEID_KERNFS}};
	bool found;
	int fd;

	if (names->mount_fd < 0)
		return false;
	memcpy(node.room + offsetof(struct file_handle, f_handle), &id, sizeof(id));
	fd = open_by_handle_at(names->mount_fd, &node.handle, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return false;
	found = path_of(names, fd, path, bytes);
	close(fd);
	return found;
}

static bool find_by_process(const struct cgroup_names *names, const struct frame_header *header,
			    char *path, size_t bytes)
{
	return header->tgid && proc_read_cgroup(header->tgid, path, bytes) &&
	       scope_cgroup_id_of(names->scope, path) == header->cgroup_id;
}

/* Moves way `at` of a set to its front and returns whether the id must be looked up now. */
static bool is_wanted(struct cgroup_names *names, uint64_t id, uint32_t now_s, uint32_t **retry_s)
{
	size_t set = id * 0x9e3779b97f4a7c15ull >> 53;
	uint64_t *ids = names->ids[set];
	uint32_t *retries = names->retry_s[set];
	size_t at = 0;
	uint32_t retry;

	while (at < CGROUP_WAYS - 1 && ids[at] != id)
		at++;
	retry = ids[at] == id ? retries[at] : now_s;
	memmove(ids + 1, ids, at * sizeof(*ids));
	memmove(retries + 1, retries, at * sizeof(*retries));
	ids[0] = id;
	retries[0] = retry;
	*retry_s = retries;
	return retry && now_s >= retry;
}

void cgroup_names_tell(struct cgroup_names *names, struct frame_writer *writer,
		       const struct frame_header *header)
{
	static char path[SCOPE_PATH_BYTES];
	struct frame_header own;
	uint32_t *retry_s;
	uint32_t now_s;

	if (!header->cgroup_id || header->cgroup_id == names->last_id || !names->scope->mount[0])
		return;
	/* At least 1, because 0 stands for told. */
	now_s = (uint32_t)(clock_boot_ns() / NS_PER_SECOND) + 1;
	if (is_wanted(names, header->cgroup_id, now_s, &retry_s)) {
		if (!find_by_handle(names, header->cgroup_id, path, sizeof(path)) &&
		    !find_by_process(names, header, path, sizeof(path))) {
			*retry_s = now_s + 1;
			return;
		}
		*retry_s = 0;
		own = frame_own_header(FRAME_KIND_CGROUP, header->tier);
		own.cgroup_id = header->cgroup_id;
		frame_begin(writer, &own);
		frame_text(writer, FRAME_TAG_CGROUP_PATH, path);
		frame_end(writer);
	}
	if (!*retry_s)
		names->last_id = header->cgroup_id;
}
