/*
 * The cgroup scope: which processes count. It guarantees one meaning for both tiers: the named
 * cgroup v2 group or any below it. It must never widen by itself: a scope that cannot be found is
 * an error, not the whole machine.
 */
#ifndef PROCMOND_SCOPE_H
#define PROCMOND_SCOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCOPE_PATH_BYTES 4352

struct scope {
	bool whole_machine;
	uint64_t cgroup_id;
	char mount[SCOPE_PATH_BYTES]; /* where cgroup v2 is mounted; empty = nowhere */
	char path[SCOPE_PATH_BYTES]; /* "/a/b", no trailing slash */
};

/* False after one sentence on stderr. */
bool scope_open(struct scope *scope, const char *path);
bool scope_contains(const struct scope *scope, const char *cgroup_path);
/* The id of a cgroup path as /proc/PID/cgroup shows it; 0 = not known. */
uint64_t scope_cgroup_id_of(const struct scope *scope, const char *cgroup_path);

/* Finds the cgroup2 mount point in the text of mountinfo; exported for its test. */
bool scope_find_mount(const char *mountinfo, char *mount, size_t mount_bytes);

#endif
