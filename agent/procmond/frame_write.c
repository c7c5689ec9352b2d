/*
 * The frame writer, see frame_write.h. One buffer, filled frame by frame, sent when full and at
 * the end of each round. It guarantees that a TLV that does not fit its frame is a programming
 * error and stops the process, because a silently shortened frame would be false evidence. It
 * must never wait on anything but the agent's reading.
 */
#include "frame_write.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

bool frame_writer_open(struct frame_writer *writer, int fd, int record_fd)
{
	memset(writer, 0, sizeof(*writer));
	writer->fd = fd;
	writer->record_fd = record_fd;
	writer->buf = malloc(FRAME_WRITER_BYTES);
	return writer->buf != NULL;
}

void frame_writer_close(struct frame_writer *writer)
{
	if (writer->record_fd >= 0)
		close(writer->record_fd);
	writer->record_fd = -1;
	free(writer->buf);
	writer->buf = NULL;
}

static void broken_invariant(const char *what)
{
	fprintf(stderr, "procmond: %s; this is a defect in procmond, please report it.\n", what);
	abort();
}

static void make_room(struct frame_writer *writer)
{
	if (FRAME_WRITER_BYTES - writer->used >= FRAME_LENGTH_MAX + FRAME_PREFIX_BYTES)
		return;
	frame_flush(writer);
}

void frame_begin(struct frame_writer *writer, const struct frame_header *header)
{
	struct frame_header copy = *header;

	if (writer->open)
		broken_invariant("a frame was begun inside another");
	if (writer->hooks && !writer->in_hook) {
		writer->in_hook = true;
		writer->hooks->before(writer->hooks->self, writer, header);
		writer->in_hook = false;
	}
	make_room(writer);
	copy.version = FRAME_VERSION;
	writer->open = true;
	writer->frame_at = writer->used;
	writer->used += FRAME_PREFIX_BYTES;
	memcpy(writer->buf + writer->used, &copy, sizeof(copy));
	writer->used += sizeof(copy);
}

void frame_bytes(struct frame_writer *writer, uint16_t tag, const void *bytes, size_t length)
{
	size_t frame_bytes_used = writer->used - writer->frame_at - FRAME_PREFIX_BYTES;
	uint16_t short_length = (uint16_t)length;

	if (!writer->open || length > UINT16_MAX ||
	    frame_bytes_used + FRAME_TLV_BYTES + length > FRAME_LENGTH_MAX)
		broken_invariant("a field does not fit its frame");
	memcpy(writer->buf + writer->used, &tag, sizeof(tag));
	memcpy(writer->buf + writer->used + 2, &short_length, sizeof(short_length));
	if (length)
		memcpy(writer->buf + writer->used + FRAME_TLV_BYTES, bytes, length);
	writer->used += FRAME_TLV_BYTES + length;
}

void frame_text(struct frame_writer *writer, uint16_t tag, const char *text)
{
	frame_bytes(writer, tag, text, strlen(text));
}

void frame_u16(struct frame_writer *writer, uint16_t tag, uint16_t value)
{
	frame_bytes(writer, tag, &value, sizeof(value));
}

void frame_u32(struct frame_writer *writer, uint16_t tag, uint32_t value)
{
	frame_bytes(writer, tag, &value, sizeof(value));
}

void frame_u64(struct frame_writer *writer, uint16_t tag, uint64_t value)
{
	frame_bytes(writer, tag, &value, sizeof(value));
}

void frame_end(struct frame_writer *writer)
{
	bool hooked = writer->hooks && !writer->in_hook;
	uint32_t length;

	if (!writer->open)
		broken_invariant("a frame was ended that was never begun");
	if (hooked) {
		writer->in_hook = true;
		writer->hooks->closing(writer->hooks->self, writer,
				       writer->buf + writer->frame_at + FRAME_PREFIX_BYTES,
				       writer->used - writer->frame_at - FRAME_PREFIX_BYTES);
	}
	length = (uint32_t)(writer->used - writer->frame_at - FRAME_PREFIX_BYTES);
	memcpy(writer->buf + writer->frame_at, &length, sizeof(length));
	writer->open = false;
	if (hooked) {
		writer->hooks->closed(writer->hooks->self, writer);
		writer->in_hook = false;
	}
}

void frame_raw(struct frame_writer *writer, const uint8_t *frame, size_t length)
{
	if (writer->open || length > FRAME_LENGTH_MAX + FRAME_PREFIX_BYTES)
		broken_invariant("a raw frame was written inside another");
	make_room(writer);
	memcpy(writer->buf + writer->used, frame, length);
	writer->used += length;
}

static bool write_record(struct frame_writer *writer)
{
	size_t done = 0;

	while (writer->record_fd >= 0 && done < writer->used) {
		ssize_t n = write(writer->record_fd, writer->buf + done, writer->used - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			fprintf(stderr, "procmond: the record file cannot be written (%s); free some "
					"space or leave out --record.\n", strerror(errno));
			writer->record_failed = true;
			return false;
		}
		done += (size_t)n;
	}
	return true;
}

bool frame_flush(struct frame_writer *writer)
{
	size_t done = 0;

	if (writer->open)
		broken_invariant("a flush inside a frame");
	if (writer->closed || writer->record_failed || !write_record(writer)) {
		writer->used = 0;
		return false;
	}
	while (done < writer->used) {
		ssize_t n = send(writer->fd, writer->buf + done, writer->used - done,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			done += (size_t)n;
		} else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			struct pollfd pollfd = {.fd = writer->fd, .events = POLLOUT};

			/* Waits as long as it takes; a vanished agent wakes it with POLLHUP. */
			poll(&pollfd, 1, -1);
		} else if (n < 0 && errno != EINTR) {
			writer->closed = true;
			break;
		}
	}
	writer->used = 0;
	return !writer->closed;
}

struct frame_header frame_own_header(uint16_t kind, uint16_t tier)
{
	static uint64_t own_start_ticks;
	struct frame_header header = {.version = FRAME_VERSION, .kind = kind, .tier = tier};

	if (!own_start_ticks)
		own_start_ticks = clock_own_start_ticks();
	header.tgid = (uint32_t)getpid();
	header.tid = header.tgid;
	header.start_ticks = own_start_ticks;
	header.ktime_ns = clock_boot_ns();
	header.uid = getuid();
	header.gid = getgid();
	header.euid = geteuid();
	return header;
}
