/*
 * Paths of kernel events, see event_frame.h. They arrive leaf-first and are reversed here. It must
 * never write past the room it is given.
 */
#include <string.h>

#include "event_frame.h"

/* A directory walk, a slash, and a name as passed. */
#define JOINED_BYTES (2 * PM_PATH_BYTES + PM_NAME_BYTES + 2)

size_t event_path_join(const uint8_t *walk, size_t bytes, bool rooted, char *path,
		       size_t path_bytes)
{
	size_t used = 0, end = bytes;

	if (rooted && !bytes && path_bytes)
		path[used++] = '/';
	while (end > 0) {
		size_t stop = end - 1; /* the NUL of this component */
		size_t start = stop;

		while (start > 0 && walk[start - 1])
			start--;
		if (used + 1 + (stop - start) > path_bytes)
			break;
		if (rooted || used)
			path[used++] = '/';
		memcpy(path + used, walk + start, stop - start);
		used += stop - start;
		end = start;
	}
	return used;
}

static bool contains_slash_end(const char *path, size_t length)
{
	return length && path[length - 1] == '/';
}

void event_path_send(struct frame_writer *writer, uint16_t tag, const struct pm_long *event,
		     const uint8_t *const data[PM_SEGMENTS], int segment)
{
	static char path[JOINED_BYTES];
	uint32_t end = event->walk_end[segment == PM_SEG_WALK ? 0 : 1];
	uint32_t walk_bytes = event->bytes[segment];
	const uint8_t *name = data[segment + 1];
	uint32_t name_bytes = event->bytes[segment + 1];
	size_t used = 0;

	if (tag == FRAME_TAG_EXE || !name_bytes) {
		/* A single component without a directory (memfd) stays bare. */
		bool bare = end == PM_WALK_DETACHED && walk_bytes &&
			    !memchr(data[segment], 0, walk_bytes - 1);

		used = event_path_join(data[segment], walk_bytes, !bare, path, sizeof(path));
	} else {
		if (name[0] != '/')
			used = event_path_join(data[segment], walk_bytes, true, path,
					       PM_PATH_BYTES + PM_NAME_BYTES);
		/* An empty name is the descriptor itself (AT_EMPTY_PATH). */
		if (used && name_bytes > 1 && !contains_slash_end(path, used))
			path[used++] = '/';
		memcpy(path + used, name, name_bytes - 1);
		used += name_bytes - 1;
	}
	frame_bytes(writer, tag, path, used);
}
