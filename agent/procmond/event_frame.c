/*
 * Encodes kernel events, see event_frame.h. Paths arrive leaf-first and are reversed here; IPv4
 * addresses inside IPv6 sockets are written as IPv4, so that both ends of a connection name it
 * alike. It must never trust a length from the ring beyond the bytes that came with it.
 */
#include "event_frame.h"

#include <string.h>

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

static void send_path(struct frame_writer *writer, uint16_t tag, const struct pm_long *event,
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
		if (used && !contains_slash_end(path, used))
			path[used++] = '/';
		memcpy(path + used, name, name_bytes - 1);
		used += name_bytes - 1;
	}
	frame_bytes(writer, tag, path, used);
}

static void send_comm(struct frame_writer *writer, const struct pm_event *event)
{
	frame_bytes(writer, FRAME_TAG_COMM, event->comm,
		    strnlen((const char *)event->comm, sizeof(event->comm)));
}

static void send_exec(struct frame_writer *writer, const struct pm_long *event,
		      const uint8_t *const data[PM_SEGMENTS])
{
	uint32_t argv_bytes = event->bytes[PM_SEG_ARGV];

	if (event->bytes[PM_SEG_WALK])
		send_path(writer, FRAME_TAG_EXE, event, data, PM_SEG_WALK);
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

static void send_long(struct frame_writer *writer, const struct pm_long *event, size_t bytes)
{
	const uint8_t *data[PM_SEGMENTS];
	size_t at = 0, room = bytes - PM_LONG_HEAD_BYTES;

	for (int i = 0; i < PM_SEGMENTS; i++) {
		data[i] = event->data + at;
		at += event->bytes[i];
		if (event->bytes[i] > PM_DATA_BYTES || at > room)
			return;
	}
	if (event->head.kind == FRAME_KIND_EXEC) {
		send_exec(writer, event, data);
		return;
	}
	send_path(writer, FRAME_TAG_PATH, event, data, PM_SEG_WALK);
	if (event->head.kind == FRAME_KIND_FILE_RENAME)
		send_path(writer, FRAME_TAG_PATH_TO, event, data, PM_SEG_ARGV);
	if (event->head.kind == FRAME_KIND_FILE_OPEN || event->head.kind == FRAME_KIND_FILE_CREATE)
		frame_u32(writer, FRAME_TAG_OPEN_FLAGS, event->open_flags);
}

static bool is_mapped(const uint8_t *address)
{
	static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	return !memcmp(address, prefix, sizeof(prefix));
}

static void send_net(struct frame_writer *writer, const struct pm_net *event)
{
	bool mapped = event->family == 10 && is_mapped(event->raddr);
	size_t bytes = event->family == 2 || mapped ? 4 : 16;

	frame_u16(writer, FRAME_TAG_FAMILY, bytes == 4 ? 2 : 10);
	frame_bytes(writer, FRAME_TAG_LADDR, event->laddr + (mapped ? 12 : 0), bytes);
	frame_u16(writer, FRAME_TAG_LPORT, event->lport);
	frame_bytes(writer, FRAME_TAG_RADDR, event->raddr + (mapped ? 12 : 0), bytes);
	frame_u16(writer, FRAME_TAG_RPORT, event->rport);
	frame_u32(writer, FRAME_TAG_NETNS, event->netns);
	if (event->head.kind == FRAME_KIND_CONNECT)
		frame_u32(writer, FRAME_TAG_RESULT, (uint32_t)event->result);
}

static size_t event_bytes_min(uint16_t kind)
{
	switch (kind) {
	case FRAME_KIND_FORK: return sizeof(struct pm_fork);
	case FRAME_KIND_EXIT: return sizeof(struct pm_exit);
	case FRAME_KIND_CONNECT:
	case FRAME_KIND_ACCEPT: return sizeof(struct pm_net);
	default: return PM_LONG_HEAD_BYTES;
	}
}

void event_frame_send(struct frame_writer *writer, const void *bytes_of_event, size_t bytes)
{
	const struct pm_event *event = bytes_of_event;
	struct frame_header header = {.tier = FRAME_TIER_EBPF};

	if (bytes < sizeof(*event) || bytes < event_bytes_min(event->kind))
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
	if (event->kind == FRAME_KIND_FORK) {
		const struct pm_fork *fork = bytes_of_event;

		frame_u32(writer, FRAME_TAG_PARENT_TGID, fork->parent_tgid);
		frame_u64(writer, FRAME_TAG_PARENT_TICKS, fork->parent_ticks);
		frame_u32(writer, FRAME_TAG_NS_PID, event->ns_pid);
	} else if (event->kind == FRAME_KIND_EXIT) {
		frame_u32(writer, FRAME_TAG_EXIT_CODE,
			  ((const struct pm_exit *)bytes_of_event)->exit_code);
	} else if (event->kind == FRAME_KIND_CONNECT || event->kind == FRAME_KIND_ACCEPT) {
		send_net(writer, bytes_of_event);
	} else {
		send_long(writer, bytes_of_event, bytes);
	}
	frame_end(writer);
}
