/*
 * Replaying a recording. It guarantees that a damaged file is refused before its first frame is
 * sent, and that every replayed frame is marked as such. It must never mix with live capture.
 */
#ifndef PROCMOND_REPLAY_H
#define PROCMOND_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "frame_write.h"

struct replay_check {
	const char *error; /* NULL = good */
	uint64_t offset; /* of the frame that is wrong */
	uint64_t frames;
	bool starts_with_ready;
};

struct replay_check replay_validate(int fd);
/* The file must have passed replay_validate; false when the agent is gone or the file changed. */
bool replay_send(int fd, struct frame_writer *writer);

#endif
