/*
 * The frames of what was read: `file_hash` and `memory_header`. It guarantees either the hashes or a
 * CAUSE in each. It must never carry a number of a CPU: nothing in the kernel counted these.
 */
#ifndef PROCMOND_HASH_FRAME_H
#define PROCMOND_HASH_FRAME_H

#include "frame_write.h"
#include "hash_job.h"

struct hash_frame {
	const struct frame_header *header; /* the process; kind, flags, number and time are set here */
	const struct file_identity *identity; /* NULL = not known */
	const char *path; /* NULL or empty = not known */
	enum hash_outcome outcome;
	bool path_uncertain;
	const uint8_t *sha256, *blake3; /* only read when the outcome is OK */
};

void hash_frame_send(struct frame_writer *writer, const struct hash_frame *frame);
/* `content` is only read when the outcome is OK. The last result of a good job says nothing. */
void memory_frame_send(struct frame_writer *writer, const struct frame_header *header,
		       const struct hash_result *result, const uint8_t *content);

#endif
