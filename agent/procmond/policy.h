/*
 * The capture policy as the agent hands it on: what is watched, hashed and read beyond processes
 * and connections. It guarantees that a policy it accepts fits the kernel's tables: counts and
 * lengths are bounded, every path begins with '/', no entry is empty. It must never widen itself:
 * a tag that is absent means none of that.
 */
#ifndef PROCMOND_POLICY_H
#define PROCMOND_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame_read.h"

/* The bounds of the signed policy: its kernel table is preallocated. */
#define POLICY_WATCH_PATHS_MAX 256
#define POLICY_CREDENTIAL_PATHS_MAX 64
#define POLICY_ENV_NAMES_MAX 32
/* A longer prefix cannot be a key of the kernel's table. */
#define POLICY_PATH_BYTES_MAX 128
#define POLICY_ENV_NAME_BYTES_MAX 64
/* A larger file would keep the hashing thread busy for minutes at its pace. */
#define POLICY_HASH_BYTES_MAX (1ull << 32)
#define POLICY_NEW_FILE_BYTES_MAX (16ull << 20)

struct policy {
	size_t watch_count;
	size_t credential_count;
	size_t env_count;
	/* NUL-terminated, and not longer than the bound without the NUL. */
	char watch_paths[POLICY_WATCH_PATHS_MAX][POLICY_PATH_BYTES_MAX + 1];
	char credential_paths[POLICY_CREDENTIAL_PATHS_MAX][POLICY_PATH_BYTES_MAX + 1];
	char env_names[POLICY_ENV_NAMES_MAX][POLICY_ENV_NAME_BYTES_MAX + 1];
	uint64_t hash_bytes_max; /* 0 = executables are not hashed */
	uint64_t new_file_bytes_max; /* 0 = new files are not hashed */
	bool memory_headers; /* a trace may ask for the first bytes of executable mappings */
};

/* NULL = good, else the name of what is wrong; `policy` is then not to be used. */
const char *policy_decode(const struct frame_view *view, struct policy *policy);

#endif
