/* Events of files as frames, see event_frame.h. */
#include "event_frame.h"

bool event_file_send(struct frame_writer *writer, const void *bytes_of_event, size_t bytes)
{
	const struct pm_long *event = bytes_of_event;
	const uint8_t *data[PM_SEGMENTS];

	if (!event_long_open(event, bytes, data))
		return false;
	event_path_send(writer, FRAME_TAG_PATH, event, data, PM_SEG_WALK);
	if (event->head.kind == FRAME_KIND_FILE_RENAME)
		event_path_send(writer, FRAME_TAG_PATH_TO, event, data, PM_SEG_ARGV);
	if (event->head.kind == FRAME_KIND_FILE_OPEN || event->head.kind == FRAME_KIND_FILE_CREATE)
		frame_u32(writer, FRAME_TAG_OPEN_FLAGS, event->open_flags);
	return true;
}
