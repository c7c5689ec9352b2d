/*
 * The frame decoder, see frame_read.h. Pure: bytes in, view out. It guarantees one error name per
 * kind of damage, so that a log line tells a version mismatch from a torn stream. It must never
 * accept a frame in part.
 */
#include "frame_read.h"

#include <string.h>

#define TAG_WIDTH(name, number, bytes) [number] = (bytes),
static const uint8_t tag_width[FRAME_TAG_LAST + 1] = {FRAME_TAGS(TAG_WIDTH)};

static const char *decode_tlv(const uint8_t *at, size_t left, struct frame_view *view,
			      size_t *taken)
{
	uint16_t tag, bytes;

	if (left < FRAME_TLV_BYTES)
		return "tlv_header_cut";
	memcpy(&tag, at, sizeof(tag));
	memcpy(&bytes, at + 2, sizeof(bytes));
	if (bytes > left - FRAME_TLV_BYTES)
		return "tlv_past_end";
	*taken = FRAME_TLV_BYTES + bytes;
	/* A later version may add tags: skipped, but only whole. */
	if (tag == 0 || tag > FRAME_TAG_LAST)
		return NULL;
	if (view->tlv[tag].bytes)
		return "tag_twice";
	if (tag_width[tag] && tag_width[tag] != bytes)
		return "tag_width";
	view->tlv[tag].bytes = at + FRAME_TLV_BYTES;
	view->tlv[tag].length = bytes;
	return NULL;
}

const char *frame_decode(const uint8_t *body, size_t length, struct frame_view *view)
{
	size_t at = FRAME_HEADER_BYTES;

	memset(view, 0, sizeof(*view));
	if (length < FRAME_LENGTH_MIN || length > FRAME_LENGTH_MAX)
		return "frame_length";
	memcpy(&view->header, body, sizeof(view->header));
	if (view->header.version != FRAME_VERSION)
		return "frame_version";
	while (at < length) {
		size_t taken = 0;
		const char *error = decode_tlv(body + at, length - at, view, &taken);

		if (error)
			return error;
		at += taken;
	}
	return NULL;
}

bool frame_has(const struct frame_view *view, enum frame_tag tag)
{
	return view->tlv[tag].bytes != NULL;
}

uint32_t frame_get_u32(const struct frame_view *view, enum frame_tag tag)
{
	uint32_t value = 0;

	if (view->tlv[tag].bytes && view->tlv[tag].length == sizeof(value))
		memcpy(&value, view->tlv[tag].bytes, sizeof(value));
	return value;
}

uint64_t frame_get_u64(const struct frame_view *view, enum frame_tag tag)
{
	uint64_t value = 0;

	if (view->tlv[tag].bytes && view->tlv[tag].length == sizeof(value))
		memcpy(&value, view->tlv[tag].bytes, sizeof(value));
	return value;
}

enum frame_next frame_next(struct frame_reader *reader, const uint8_t **body, size_t *length)
{
	uint32_t prefix;

	if (reader->used < FRAME_PREFIX_BYTES)
		return FRAME_NEXT_NONE;
	memcpy(&prefix, reader->buf, sizeof(prefix));
	if (prefix < FRAME_LENGTH_MIN || prefix > FRAME_LENGTH_MAX)
		return FRAME_NEXT_BAD;
	if (reader->used < FRAME_PREFIX_BYTES + (size_t)prefix)
		return FRAME_NEXT_NONE;
	*body = reader->buf + FRAME_PREFIX_BYTES;
	*length = prefix;
	return FRAME_NEXT_READY;
}

void frame_drop(struct frame_reader *reader)
{
	uint32_t prefix;
	size_t total;

	memcpy(&prefix, reader->buf, sizeof(prefix));
	total = FRAME_PREFIX_BYTES + (size_t)prefix;
	memmove(reader->buf, reader->buf + total, reader->used - total);
	reader->used -= total;
}
