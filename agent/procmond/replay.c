/*
 * Reads recordings, see replay.h. A recording is the concatenated frames procmond once sent; it
 * may come from anywhere. It guarantees that only kinds that procmond itself sends pass, each
 * frame valid on its own. It must never answer an agent with a recorded answer: trace_state is
 * left out.
 */
#include "replay.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "frame_read.h"

/* Fills the reader from the file; 0 at the end, negative on error. */
static ssize_t fill(int fd, struct frame_reader *reader)
{
	ssize_t n;

	do {
		n = read(fd, reader->buf + reader->used, sizeof(reader->buf) - reader->used);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		reader->used += (size_t)n;
	return n;
}

/* `writer` NULL = only validate. */
static struct replay_check run(int fd, struct frame_writer *writer)
{
	static struct frame_reader reader;
	struct replay_check check = {0};
	struct frame_view view;
	const uint8_t *body;
	size_t length;

	reader.used = 0;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return (struct replay_check){.error = "not_seekable"};
	for (;;) {
		enum frame_next next = frame_next(&reader, &body, &length);

		if (next == FRAME_NEXT_BAD)
			check.error = "frame_length";
		else if (next == FRAME_NEXT_READY)
			check.error = frame_decode(body, length, &view);
		if (!check.error && next == FRAME_NEXT_READY &&
		    (!view.header.kind || view.header.kind > FRAME_KIND_TO_AGENT_LAST))
			check.error = "kind_unknown";
		if (check.error)
			return check;
		if (next == FRAME_NEXT_NONE) {
			ssize_t n = fill(fd, &reader);

			if (n < 0 || (n == 0 && reader.used))
				check.error = n < 0 ? "unreadable" : "file_cut";
			if (n <= 0)
				return check;
			continue;
		}
		if (!check.frames++)
			check.starts_with_ready = view.header.kind == FRAME_KIND_READY;
		check.offset += FRAME_PREFIX_BYTES + length;
		if (writer && view.header.kind != FRAME_KIND_TRACE_STATE) {
			uint8_t *flags = reader.buf + FRAME_PREFIX_BYTES +
					 offsetof(struct frame_header, flags);

			*flags |= FRAME_FLAG_REPLAYED;
			frame_raw(writer, reader.buf, FRAME_PREFIX_BYTES + length);
			if (writer->closed || writer->record_failed)
				return check;
		}
		frame_drop(&reader);
	}
}

struct replay_check replay_validate(int fd)
{
	return run(fd, NULL);
}

bool replay_send(int fd, struct frame_writer *writer)
{
	return !run(fd, writer).error && frame_flush(writer);
}
