/*
 * Events of files as frames, see event_frame.h. It guarantees that a tag is there only when the
 * kernel filled its field. It must never show the text of a symbolic link as a path that was walked.
 */
#include "event_frame.h"

static void send_second(struct frame_writer *writer, const struct pm_long *event,
			const uint8_t *data[PM_SEGMENTS])
{
	uint32_t text_bytes = event->bytes[PM_SEG_NAME_TO];

	switch (event->head.kind) {
	case FRAME_KIND_FILE_RENAME:
	case FRAME_KIND_FILE_LINK:
		event_path_send(writer, FRAME_TAG_PATH_TO, event, data, PM_SEG_ARGV);
		break;
	case FRAME_KIND_FILE_SYMLINK:
		frame_bytes(writer, FRAME_TAG_PATH_TO, data[PM_SEG_NAME_TO],
			    text_bytes ? text_bytes - 1 : 0);
		break;
	default:
		break;
	}
}

bool event_file_send(struct frame_writer *writer, const void *bytes_of_event, size_t bytes)
{
	const struct pm_long *event = bytes_of_event;
	const uint8_t *data[PM_SEGMENTS];

	if (!event_long_open(event, bytes, data))
		return false;
	event_path_send(writer, FRAME_TAG_PATH, event, data, PM_SEG_WALK);
	send_second(writer, event, data);
	if (event->file_has & PM_FILE_HAS_FLAGS)
		frame_u32(writer, FRAME_TAG_OPEN_FLAGS, event->open_flags);
	if (event->file_has & PM_FILE_HAS_INODE) {
		frame_u64(writer, FRAME_TAG_DEV, event->dev);
		frame_u64(writer, FRAME_TAG_INO, event->ino);
		frame_u64(writer, FRAME_TAG_SIZE, event->size);
	}
	if (event->file_has & (PM_FILE_HAS_INODE | PM_FILE_HAS_MODE))
		frame_u32(writer, FRAME_TAG_MODE, event->mode);
	if (event->file_has & PM_FILE_HAS_RESULT)
		frame_u32(writer, FRAME_TAG_RESULT, (uint32_t)event->result);
	return true;
}
