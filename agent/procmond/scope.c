/*
 * Finds the cgroup v2 tree and names groups in it, see scope.h. On hybrid hosts the tree is not
 * at the usual place, so it is looked up in mountinfo. It guarantees that the id compared in the
 * kernel is the id of the directory named here. It must never follow a path out of the mount.
 */
#include "scope.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "proc_read.h"

/* Mountinfo is bounded only by the number of mounts; beyond this it is read in part. */
#define MOUNTINFO_BYTES_MAX (256 * 1024)

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static void unescape(const char *from, size_t length, char *to, size_t to_bytes)
{
	size_t used = 0;

	for (size_t i = 0; i < length && used + 1 < to_bytes; i++) {
		if (from[i] == '\\' && i + 3 < length) {
			to[used++] = (char)((from[i + 1] - '0') * 64 + (from[i + 2] - '0') * 8 +
					    (from[i + 3] - '0'));
			i += 3;
		} else {
			to[used++] = from[i];
		}
	}
	to[used] = 0;
}

bool scope_find_mount(const char *mountinfo, char *mount, size_t mount_bytes)
{
	const char *line = mountinfo;

	while (*line) {
		const char *end = strchrnul(line, '\n');
		const char *type = memmem(line, (size_t)(end - line), " - cgroup2 ", 11);
		const char *at = line;

		/* Fields: id parent major:minor root mount-point … */
		for (int field = 0; type && field < 4; field++) {
			at = memchr(at, ' ', (size_t)(type - at));
			if (!at)
				break;
			at++;
		}
		if (type && at) {
			const char *stop = memchr(at, ' ', (size_t)(end - at));

			unescape(at, (size_t)((stop ? stop : end) - at), mount, mount_bytes);
			return true;
		}
		line = *end ? end + 1 : end;
	}
	return false;
}

static void find_mount(struct scope *scope)
{
	static char text[MOUNTINFO_BYTES_MAX];
	long bytes = proc_read_file("/proc/self/mountinfo", text, sizeof(text) - 1);

	if (bytes < 0)
		return;
	text[bytes] = 0;
	if (!scope_find_mount(text, scope->mount, sizeof(scope->mount)))
		scope->mount[0] = 0;
}

uint64_t scope_cgroup_id_of(const struct scope *scope, const char *cgroup_path)
{
	char full[2 * SCOPE_PATH_BYTES];
	struct stat st;

	if (!scope->mount[0])
		return 0;
	snprintf(full, sizeof(full), "%s%s", scope->mount, cgroup_path);
	/* The inode of a cgroup directory is the id the kernel keeps in kn->id. */
	return stat(full, &st) ? 0 : (uint64_t)st.st_ino;
}

bool scope_open(struct scope *scope, const char *path)
{
	size_t length;

	memset(scope, 0, sizeof(*scope));
	find_mount(scope);
	while (*path == '/')
		path++;
	length = strlen(path);
	while (length && path[length - 1] == '/')
		length--;
	if (!length) {
		scope->whole_machine = true;
		return true;
	}
	snprintf(scope->path, sizeof(scope->path), "/%.*s", (int)length, path);
	if (!scope->mount[0]) {
		fprintf(stderr, "procmond: a cgroup scope needs cgroup v2, which is not mounted; mount "
				"it or configure an empty scope.\n");
		return false;
	}
	scope->cgroup_id = scope_cgroup_id_of(scope, scope->path);
	if (!scope->cgroup_id) {
		fprintf(stderr, "procmond: the scope %s does not exist below %s; create that cgroup "
				"first.\n", scope->path, scope->mount);
		return false;
	}
	return true;
}

bool scope_contains(const struct scope *scope, const char *cgroup_path)
{
	size_t length = strlen(scope->path);

	if (scope->whole_machine)
		return true;
	return !strncmp(cgroup_path, scope->path, length) &&
	       (cgroup_path[length] == '/' || cgroup_path[length] == 0);
}
