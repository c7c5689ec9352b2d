/*
 * Kernel events become frames here: the header every event has, then what its room adds. It must
 * never trust a length from the ring beyond the bytes that came with it.
 */
#include "event_frame.h"

#include <string.h>

typedef bool send_fn(struct frame_writer *writer, const void *event, size_t bytes);

/* Which room knows the kind. A kind without a room cannot come from the programs of this build. */
static send_fn *const senders[FRAME_KIND_TO_AGENT_LAST + 1] = {
	[FRAME_KIND_FORK] = event_process_send,
	[FRAME_KIND_EXEC] = event_process_send,
	[FRAME_KIND_EXIT] = event_process_send,
	[FRAME_KIND_SNAPSHOT] = event_process_send,
	[FRAME_KIND_SET_ID] = event_process_send,
	[FRAME_KIND_PTRACE] = event_process_send,
	[FRAME_KIND_TAMPER] = event_process_send,
	[FRAME_KIND_VIEW_PARTIAL] = event_process_send,
	[FRAME_KIND_CONNECT] = event_network_send,
	[FRAME_KIND_ACCEPT] = event_network_send,
	[FRAME_KIND_CLOSE] = event_network_send,
	[FRAME_KIND_SOCKET] = event_network_send,
	[FRAME_KIND_BIND] = event_network_send,
	[FRAME_KIND_LISTEN] = event_network_send,
	[FRAME_KIND_DATAGRAM] = event_network_send,
	[FRAME_KIND_DNS] = event_network_send,
	[FRAME_KIND_FILE_OPEN] = event_file_send,
	[FRAME_KIND_FILE_CREATE] = event_file_send,
	[FRAME_KIND_FILE_RENAME] = event_file_send,
	[FRAME_KIND_FILE_UNLINK] = event_file_send,
	[FRAME_KIND_FILE_LINK] = event_file_send,
	[FRAME_KIND_FILE_SYMLINK] = event_file_send,
	[FRAME_KIND_FILE_CHMOD] = event_file_send,
};

bool event_long_open(const struct pm_long *event, size_t bytes, const uint8_t *data[PM_SEGMENTS])
{
	size_t at = 0, room;

	if (bytes < PM_LONG_HEAD_BYTES)
		return false;
	room = bytes - PM_LONG_HEAD_BYTES;
	for (int i = 0; i < PM_SEGMENTS; i++) {
		data[i] = event->data + at;
		at += event->bytes[i];
		if (event->bytes[i] > PM_DATA_BYTES || at > room)
			return false;
	}
	return true;
}

static void send_comm(struct frame_writer *writer, const struct pm_event *event)
{
	frame_bytes(writer, FRAME_TAG_COMM, event->comm,
		    strnlen((const char *)event->comm, sizeof(event->comm)));
}

void event_frame_send(struct frame_writer *writer, const void *bytes_of_event, size_t bytes)
{
	const struct pm_event *event = bytes_of_event;
	struct frame_header header = {.tier = FRAME_TIER_EBPF};

	if (bytes < sizeof(*event) || event->kind > FRAME_KIND_TO_AGENT_LAST || !senders[event->kind])
		return;
	header.kind = event->kind;
	header.flags = event->flags;
	header.cpu = event->cpu;
	header.tgid = event->tgid;
	header.tid = event->tid;
	header.cpu_seq = event->cpu_seq;
	header.ktime_ns = event->ktime_ns;
	header.start_ticks = event->start_ticks;
	header.uid = event->uid;
	header.gid = event->gid;
	header.euid = event->euid;
	header.cgroup_id = event->cgroup_id;
	frame_begin(writer, &header);
	send_comm(writer, event);
	/* An event too short for its kind leaves with its header, so that its number is not a hole. */
	senders[event->kind](writer, bytes_of_event, bytes);
	frame_end(writer);
}
