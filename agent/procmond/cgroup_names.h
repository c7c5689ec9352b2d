/*
 * Tells the agent the path of each cgroup once, before the first frame that carries its id. It
 * guarantees a bounded table and at most one look-up per unknown id and second. It must never guess:
 * an id whose path cannot be found is told nothing.
 */
#ifndef PROCMOND_CGROUP_NAMES_H
#define PROCMOND_CGROUP_NAMES_H

#include "frame_write.h"
#include "scope.h"

/*
 * 16,384 ids, 192 KiB: twice what a node with 500 pods has. An id that was forgotten is told again.
 * Forgetting is per set, the one not seen for the longest first.
 */
#define CGROUP_SETS 2048
#define CGROUP_WAYS 8


struct cgroup_names {
	const struct scope *scope;
	int mount_fd; /* -1 = cgroup v2 is not mounted, or ids cannot be opened */
	uint64_t last_id; /* the one asked for just before: most frames come in runs */
	uint64_t ids[CGROUP_SETS][CGROUP_WAYS]; /* newest use first; 0 = empty */
	uint32_t retry_s[CGROUP_SETS][CGROUP_WAYS]; /* 0 = told; else when to look again */
};

void cgroup_names_open(struct cgroup_names *names, const struct scope *scope);
void cgroup_names_close(struct cgroup_names *names);

/* Before a frame of this header: sends a cgroup frame when its cgroup was not told yet. */
void cgroup_names_tell(struct cgroup_names *names, struct frame_writer *writer,
		       const struct frame_header *header);

#endif
