/* Writes the frames of what was read, see hash_frame.h. */
#include "hash_frame.h"

#include <string.h>

#include "clock.h"

#define OUTCOME_TEXT(name, text) [HASH_##name] = text,
static const char *const causes[] = {HASH_OUTCOMES(OUTCOME_TEXT)};

static struct frame_header header_of(const struct frame_header *process, uint16_t kind)
{
	struct frame_header header = *process;

	header.kind = kind;
	header.flags = process->flags & (FRAME_FLAG_TRACED | FRAME_FLAG_WATCHED);
	header.cpu = 0;
	header.cpu_seq = 0;
	header.ktime_ns = clock_boot_ns();
	return header;
}

static void send_path(struct frame_writer *writer, const char *path)
{
	if (path && path[0])
		frame_text(writer, FRAME_TAG_PATH, path);
}

void hash_frame_send(struct frame_writer *writer, const struct hash_frame *frame)
{
	struct frame_header header = header_of(frame->header, FRAME_KIND_FILE_HASH);

	if (frame->path_uncertain)
		header.flags |= FRAME_FLAG_PATH_UNCERTAIN;
	frame_begin(writer, &header);
	send_path(writer, frame->path);
	if (frame->identity) {
		frame_u64(writer, FRAME_TAG_DEV, frame->identity->dev);
		frame_u64(writer, FRAME_TAG_INO, frame->identity->ino);
		frame_u64(writer, FRAME_TAG_SIZE, frame->identity->size);
		frame_u64(writer, FRAME_TAG_MTIME_NS, frame->identity->mtime_ns);
		frame_u64(writer, FRAME_TAG_CTIME_NS, frame->identity->ctime_ns);
	}
	if (frame->outcome == HASH_OK) {
		frame_bytes(writer, FRAME_TAG_SHA256, frame->sha256, HASH_BYTES);
		frame_bytes(writer, FRAME_TAG_BLAKE3, frame->blake3, HASH_BYTES);
	} else {
		frame_text(writer, FRAME_TAG_CAUSE, causes[frame->outcome]);
	}
	frame_end(writer);
}

void memory_frame_send(struct frame_writer *writer, const struct frame_header *header,
		       const struct hash_result *result, const uint8_t *content)
{
	struct frame_header copy = header_of(header, FRAME_KIND_MEMORY_HEADER);

	if (result->last && result->outcome == HASH_OK)
		return;
	frame_begin(writer, &copy);
	if (result->address) {
		frame_u64(writer, FRAME_TAG_ADDRESS, result->address);
		frame_text(writer, FRAME_TAG_PERMS, result->perms);
	}
	send_path(writer, result->path);
	if (result->outcome == HASH_OK) {
		frame_bytes(writer, FRAME_TAG_CONTENT, content, result->content_bytes);
		frame_bytes(writer, FRAME_TAG_SHA256, result->sha256, HASH_BYTES);
	} else {
		frame_text(writer, FRAME_TAG_CAUSE, causes[result->outcome]);
	}
	frame_end(writer);
}
