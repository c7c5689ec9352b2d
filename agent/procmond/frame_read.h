/*
 * Takes frames apart: from the agent, from a replay file, from procmond in the tests. All of it
 * is foreign bytes. It guarantees that a frame it calls good has a known version, exact TLV
 * bounds, no tag twice and the right width for every fixed-width tag. It must never read past
 * what it was given.
 */
#ifndef PROCMOND_FRAME_READ_H
#define PROCMOND_FRAME_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"

struct frame_tlv {
	const uint8_t *bytes; /* NULL = absent; points into the frame */
	size_t length;
};

struct frame_view {
	struct frame_header header;
	struct frame_tlv tlv[FRAME_TAG_LAST + 1];
};

/* `body` is what follows the length prefix. NULL = good, else the name of what is wrong. */
const char *frame_decode(const uint8_t *body, size_t length, struct frame_view *view);

bool frame_has(const struct frame_view *view, enum frame_tag tag);
/* Only for tags whose width frame_decode has checked; absent reads as 0. */
uint32_t frame_get_u32(const struct frame_view *view, enum frame_tag tag);
uint64_t frame_get_u64(const struct frame_view *view, enum frame_tag tag);

/* Reassembles frames from a stream. */
struct frame_reader {
	size_t used;
	uint8_t buf[FRAME_PREFIX_BYTES + FRAME_LENGTH_MAX];
};

enum frame_next { FRAME_NEXT_NONE, FRAME_NEXT_READY, FRAME_NEXT_BAD };

/* READY: body and length are valid until frame_drop. BAD: the length prefix is out of range. */
enum frame_next frame_next(struct frame_reader *reader, const uint8_t **body, size_t *length);
void frame_drop(struct frame_reader *reader);

#endif
