/*
 * What is added to the frames of any source: cgroup paths, hashes, memory headers. It is one room
 * for the main loop and for the writer, so that no source knows of it. It must never hold a frame
 * back: what is not known when a frame is made comes in a frame of its own.
 */
#ifndef PROCMOND_ENRICH_H
#define PROCMOND_ENRICH_H

#include "cgroup_names.h"
#include "hash_desk.h"

struct enrich {
	struct frame_hooks hooks;
	struct cgroup_names cgroups;
	struct hash_desk desk;
};

/*
 * Starts the hashing thread and hooks into the writer; `scope` and `source` must outlive it. The
 * thread keeps the capabilities and the seccomp filter that stand when this is called.
 */
void enrich_open(struct enrich *enrich, struct frame_writer *writer, const struct scope *scope,
		 const struct source *source);
void enrich_close(struct enrich *enrich);

#endif
