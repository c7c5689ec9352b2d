/*
 * The first bytes of what a process executes: the first mapping of its main executable and its
 * anonymous, memfd and deleted executable mappings. It guarantees that all of it is one image of
 * one process, compared by start time and argument address before and after, and that the last
 * result says why when something was left out or no mapping of the executable was found. It must never
 * write to a process, stop it, or read more than the first page of a mapping.
 */
#ifndef PROCMOND_MEMORY_HEADER_H
#define PROCMOND_MEMORY_HEADER_H

#include <stddef.h>

#include "hash_job.h"

/* Per process. A JIT has hundreds of such mappings; the first ones say what it is. */
#define MEMORY_HEADERS_MAX 16
/* Some 10,000 lines of /proc/PID/maps; of a larger one the rest is not looked at, and said so. */
#define MEMORY_MAPS_BYTES_MAX (1 << 20)

struct memory_mapping {
	uint64_t start;
	uint64_t end;
	uint64_t dev; /* major << 20 | minor */
	uint64_t inode;
	char perms[HASH_PERMS_BYTES];
	const char *path; /* inside the line, not terminated; may be empty */
	size_t path_bytes;
};

/* One line of /proc/PID/maps without its newline. False = not such a line. */
bool memory_mapping_parse(const char *line, size_t length, struct memory_mapping *mapping);
/* Executable, and not backed by a file that has a name: what injected or unpacked code looks like. */
bool memory_mapping_is_foreign(const struct memory_mapping *mapping);

/*
 * Runs a memory job. `give` gets each result with its content (NULL = none) and copies both; the
 * last one has `last` set. It returns false when the thread is to stop.
 */
typedef bool memory_give(void *context, struct hash_result *result, const uint8_t *content);
void memory_header_run(const struct hash_job *job, memory_give *give, void *context);

#endif
