/* Events of processes as frames, see event_frame.h. */
#include <string.h>

#include "event_frame.h"

static void send_exec(struct frame_writer *writer, const struct pm_long *event,
		      const uint8_t *const data[PM_SEGMENTS])
{
	uint32_t argv_bytes = event->bytes[PM_SEG_ARGV];

	if (event->bytes[PM_SEG_WALK])
		event_path_send(writer, FRAME_TAG_EXE, event, data, PM_SEG_WALK);
	if (event->bytes[PM_SEG_NAME])
		frame_bytes(writer, FRAME_TAG_FILENAME, data[PM_SEG_NAME],
			    event->bytes[PM_SEG_NAME] - 1);
	/* NUL between arguments, none after the last. */
	if (argv_bytes && !data[PM_SEG_ARGV][argv_bytes - 1])
		argv_bytes--;
	frame_bytes(writer, FRAME_TAG_ARGV, data[PM_SEG_ARGV], argv_bytes);
	frame_u32(writer, FRAME_TAG_PARENT_TGID, event->parent_tgid);
	frame_u64(writer, FRAME_TAG_PARENT_TICKS, event->parent_ticks);
	frame_u32(writer, FRAME_TAG_SID, event->sid);
	if (event->tty[0])
		frame_bytes(writer, FRAME_TAG_TTY, event->tty,
			    strnlen((const char *)event->tty, sizeof(event->tty)));
	frame_u32(writer, FRAME_TAG_NS_PID, event->head.ns_pid);
}

bool event_process_send(struct frame_writer *writer, const void *bytes_of_event, size_t bytes)
{
	const struct pm_event *head = bytes_of_event;

	if (head->kind == FRAME_KIND_FORK) {
		const struct pm_fork *fork = bytes_of_event;

		if (bytes < sizeof(*fork))
			return false;
		frame_u32(writer, FRAME_TAG_PARENT_TGID, fork->parent_tgid);
		frame_u64(writer, FRAME_TAG_PARENT_TICKS, fork->parent_ticks);
		frame_u32(writer, FRAME_TAG_NS_PID, head->ns_pid);
	} else if (head->kind == FRAME_KIND_EXIT) {
		const struct pm_exit *end = bytes_of_event;

		if (bytes < sizeof(*end))
			return false;
		frame_u32(writer, FRAME_TAG_EXIT_CODE, end->exit_code);
	} else {
		const uint8_t *data[PM_SEGMENTS];

		if (!event_long_open(bytes_of_event, bytes, data))
			return false;
		send_exec(writer, bytes_of_event, data);
	}
	return true;
}
