/*
 * What the main loop and the hashing thread hand each other. Plain values only: each side has its
 * own copy, so neither waits for the other. It must never hold a pointer into the other side.
 */
#ifndef PROCMOND_HASH_JOB_H
#define PROCMOND_HASH_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"

#define HASH_BYTES 32
/* Longer paths are read through /proc only; nearly none are. Keeps the table of jobs small. */
#define HASH_PATH_BYTES 512
#define HASH_PERMS_BYTES 5
#define HASH_CONTENT_BYTES 4096

/* What makes a file the file that was hashed: a change of any of these is another file. */
struct file_identity {
	uint64_t dev; /* major << 20 | minor */
	uint64_t ino;
	uint64_t size;
	uint64_t mtime_ns;
	uint64_t ctime_ns;
};

/* X(NAME, wire text of CAUSE; empty = it went well) */
#define HASH_OUTCOMES(X) \
	X(OK, "") X(TOO_LARGE, "too_large") X(GONE, "gone") \
	X(CHANGED_WHILE_READ, "changed_while_read") X(NOT_READABLE, "not_readable") \
	X(NOT_REGULAR, "not_regular") X(REMOTE, "remote") X(QUEUE_FULL, "queue_full") \
	X(DISABLED, "disabled") X(TOO_MANY, "too_many") X(MAIN_NOT_FOUND, "main_not_found")
#define HASH_ENUM_OUTCOME(name, text) HASH_##name,
enum hash_outcome { HASH_OUTCOMES(HASH_ENUM_OUTCOME) };

enum hash_kind {
	HASH_KIND_IDENTIFY, /* which file does this process run? */
	HASH_KIND_EXECUTABLE, /* hash the file of that identity */
	HASH_KIND_NEW_FILE, /* hash what lies at `path` */
	HASH_KIND_MEMORY, /* the first bytes of executable mappings */
};

struct hash_job {
	enum hash_kind kind;
	bool identity_known;
	uint32_t slot; /* of the desk's table; comes back with each result */
	uint32_t parent_tgid; /* whose mount namespace may still show the path; 0 = not known */
	uint64_t bytes_max;
	uint64_t not_before_ns; /* CLOCK_BOOTTIME */
	uint64_t made_wall_ns; /* new file: when it was created */
	struct frame_header header; /* the process; it heads the frame */
	struct file_identity identity;
	/* New file: the kernel's name for what was made. */
	bool made_known;
	uint64_t made_dev, made_ino;
	char path[HASH_PATH_BYTES]; /* as the event says it, empty = not known */
};

struct hash_result {
	enum hash_kind kind;
	enum hash_outcome outcome;
	uint32_t slot;
	bool last; /* of its job: only memory jobs have several results */
	bool identity_known;
	bool path_uncertain; /* found by its path alone: process ended, or its inode proves nothing */
	struct file_identity identity;
	uint8_t sha256[HASH_BYTES];
	uint8_t blake3[HASH_BYTES];
	char path[HASH_PATH_BYTES]; /* empty = not known */
	/* memory */
	uint64_t address;
	char perms[HASH_PERMS_BYTES];
	int32_t content; /* buffer of the worker, given back by hash_worker_release; -1 = none */
	uint32_t content_bytes;
};

#endif
