/*
 * Writes frames to the agent. It guarantees whole frames in the order they were begun, each byte
 * also in the record file if there is one. It must never drop: when the agent does not read, the
 * flush waits, the ring is left alone meanwhile, and the kernel's numbers show what was lost.
 */
#ifndef PROCMOND_FRAME_WRITE_H
#define PROCMOND_FRAME_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"

struct frame_writer;

/*
 * What a room adds to the frames of others. Frames and fields that a hook writes do not come back to
 * the hooks.
 */
struct frame_hooks {
	void *self;
	/* Before a frame; may write frames. */
	void (*before)(void *self, struct frame_writer *writer, const struct frame_header *header);
	/* The frame is complete but for what this adds to it; may write fields. */
	void (*closing)(void *self, struct frame_writer *writer, const uint8_t *body, size_t length);
	/* The frame is closed; may write frames. */
	void (*closed)(void *self, struct frame_writer *writer);
};

struct frame_writer {
	int fd;
	int record_fd; /* -1 = no recording; owned by the writer */
	bool closed; /* the agent is gone */
	bool record_failed;
	bool open; /* between frame_begin and frame_end */
	size_t used; /* bytes in buf, the open frame included */
	size_t frame_at; /* where the open frame's length prefix lies */
	uint8_t *buf;
	const struct frame_hooks *hooks; /* NULL = none */
	bool in_hook;
};

/* Room for several frames: one system call then carries a burst. */
#define FRAME_WRITER_BYTES (4 * (FRAME_LENGTH_MAX + FRAME_PREFIX_BYTES))

bool frame_writer_open(struct frame_writer *writer, int fd, int record_fd);
void frame_writer_close(struct frame_writer *writer);

void frame_begin(struct frame_writer *writer, const struct frame_header *header);
void frame_bytes(struct frame_writer *writer, uint16_t tag, const void *bytes, size_t length);
void frame_text(struct frame_writer *writer, uint16_t tag, const char *text);
void frame_u16(struct frame_writer *writer, uint16_t tag, uint16_t value);
void frame_u32(struct frame_writer *writer, uint16_t tag, uint32_t value);
void frame_u64(struct frame_writer *writer, uint16_t tag, uint64_t value);
void frame_end(struct frame_writer *writer);

/* Passes on a frame that was validated elsewhere, length prefix included. */
void frame_raw(struct frame_writer *writer, const uint8_t *frame, size_t length);

/* False when the agent is gone or the recording failed; the caller then leaves. */
bool frame_flush(struct frame_writer *writer);

/* A header for what procmond says itself: own process, not numbered, now. */
struct frame_header frame_own_header(uint16_t kind, uint16_t tier);

#endif
