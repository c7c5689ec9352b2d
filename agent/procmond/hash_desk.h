/*
 * The main loop's side of hashing: which files and processes are to be read, which hash is known
 * already, and the frames that say so. It guarantees that every executed file ends in a hash or a
 * CAUSE, that a file is read once however often it is run, and that no call here waits. It must
 * never open the file of an event itself: that may block.
 */
#ifndef PROCMOND_HASH_DESK_H
#define PROCMOND_HASH_DESK_H

#include "frame_read.h"
#include "frame_write.h"
#include "hash_cache.h"
#include "hash_worker.h"
#include "policy.h"
#include "source.h"

/* 380 KiB at most. More waiting than this means the machine starts programs faster than it is read. */
#define HASH_JOBS_MAX 512
/* Optional reading leaves this many rows to executables. */
#define HASH_JOBS_FOR_EXECUTABLES 256
/* Some seconds of the thread's share. A larger file waits until all smaller ones are handed out. */
#define HASH_LARGE_BYTES (8ull << 20)
/* Writers have mostly closed a small file by then. */
#define HASH_NEW_FILE_DELAY_NS 2000000000ull
/* The loader has mapped what it maps, and most packers have unpacked. */
#define HASH_MEMORY_DELAY_NS 100000000ull

enum hash_state {
	HASH_STATE_FREE,
	HASH_STATE_READY, /* to be handed to the thread */
	HASH_STATE_RUNNING,
	HASH_STATE_WAITING, /* for another row with the same identity */
};

struct hash_row {
	enum hash_state state;
	bool quiet; /* a process that ran before: told only when its file is new */
	struct hash_job job;
};

struct hash_walk {
	uint32_t *pids; /* NULL = no walk */
	size_t used, room, at;
	uint64_t next_ns; /* not before */
	uint64_t memory_slot; /* bit of the trace; 0 = the walk for executables */
	bool executables_pending;
	uint64_t memory_pending; /* bits of traces */
};

struct hash_desk {
	bool enabled; /* the thread runs */
	const struct scope *scope;
	const struct source *source;
	uint64_t hash_bytes_max, new_file_bytes_max;
	bool memory_headers;
	uint64_t memory_slots; /* traces that asked for memory */
	uint64_t queue_full; /* jobs that found no room */
	/* Found while a frame was open; said when it is closed. */
	enum hash_outcome refused;
	bool refused_known;
	struct frame_header refused_header;
	struct file_identity refused_identity;
	struct hash_walk walk;
	size_t used, cursor;
	struct hash_row rows[HASH_JOBS_MAX];
	struct hash_cache cache;
	struct hash_worker worker;
};

/* `desk` is zeroed memory. Without a thread nothing is hashed and every hash is absent. */
bool hash_desk_open(struct hash_desk *desk, const struct scope *scope, const struct source *source);
void hash_desk_close(struct hash_desk *desk);
void hash_desk_set_policy(struct hash_desk *desk, const struct policy *policy);
/* A trace began (its COLLECT) or ended (0). */
void hash_desk_set_trace(struct hash_desk *desk, uint32_t slot, uint32_t collect);

/* The writer's hooks: a frame is about to be closed; a frame was closed. */
void hash_desk_closing(struct hash_desk *desk, struct frame_writer *writer, const uint8_t *body,
		       size_t length);
void hash_desk_closed(struct hash_desk *desk, struct frame_writer *writer);

/* A row for a job of this process; NULL and counted when there is no room. */
struct hash_row *hash_desk_add(struct hash_desk *desk, enum hash_kind kind,
			       const struct frame_header *header);
/* The next few processes of a walk (hash_walk.c). */
void hash_walk_step(struct hash_desk *desk, uint64_t now_ns);

/* Takes results, walks on, hands out what is due. */
void hash_desk_pump(struct hash_desk *desk, struct frame_writer *writer, uint64_t now_ns);
/* `wait_ms` or less while something is under way. */
int hash_desk_wait_ms(const struct hash_desk *desk, int wait_ms);

#endif
