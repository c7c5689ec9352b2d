/*
 * The reader of the task iterator, see bpf_tasks.h. The kernel writes records one after the other and
 * cuts its answers where the buffer ends. It must never trust a record's length beyond its own room.
 */
#include "bpf_tasks.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The longest record, and one more answer of the kernel behind the start of one. */
#define READ_BYTES (2 * sizeof(struct pm_long))

static size_t record_bytes(const struct pm_long *event)
{
	size_t sum = PM_LONG_HEAD_BYTES;

	for (int i = 0; i < PM_SEGMENTS; i++)
		sum += event->bytes[i];
	return sum;
}

/* Visits what is whole; returns the bytes left over, or SIZE_MAX for a record that cannot be. */
static size_t visit_whole(char *room, size_t used, bpf_task_visit *visit, void *context, long *count)
{
	size_t at = 0;

	while (used - at >= PM_LONG_HEAD_BYTES) {
		static struct pm_long event;
		size_t bytes;

		memcpy(&event, room + at, PM_LONG_HEAD_BYTES);
		bytes = record_bytes(&event);
		if (bytes > sizeof(event))
			return SIZE_MAX;
		if (bytes > used - at)
			break;
		memcpy(event.data, room + at + PM_LONG_HEAD_BYTES, bytes - PM_LONG_HEAD_BYTES);
		visit(context, &event, bytes);
		++*count;
		at += bytes;
	}
	memmove(room, room + at, used - at);
	return used - at;
}

long bpf_tasks_read(int link_fd, bpf_task_visit *visit, void *context)
{
	char *room = malloc(READ_BYTES);
	int fd = bpf_iter_create(link_fd);
	size_t used = 0;
	long count = 0;
	ssize_t n = -1;

	while (room && fd >= 0 && used != SIZE_MAX) {
		n = read(fd, room + used, READ_BYTES - used);
		/* EAGAIN: the kernel has skipped many tasks and let others run. */
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			break;
		used = visit_whole(room, used + (size_t)n, visit, context, &count);
	}
	if (fd >= 0)
		close(fd);
	free(room);
	return n == 0 && !used ? count : -1;
}
