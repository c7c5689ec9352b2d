/*
 * Events of sockets as frames, see event_frame.h. IPv4 addresses inside IPv6 sockets are written as
 * IPv4, so that both ends of a connection name it alike.
 */
#include <string.h>

#include "event_frame.h"

static bool is_mapped(const uint8_t *address)
{
	static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	return !memcmp(address, prefix, sizeof(prefix));
}

bool event_network_send(struct frame_writer *writer, const void *bytes_of_event, size_t bytes)
{
	const struct pm_net *event = bytes_of_event;
	bool mapped;
	size_t address_bytes;

	if (bytes < sizeof(*event))
		return false;
	mapped = event->family == 10 && is_mapped(event->raddr);
	address_bytes = event->family == 2 || mapped ? 4 : 16;
	frame_u16(writer, FRAME_TAG_FAMILY, address_bytes == 4 ? 2 : 10);
	frame_bytes(writer, FRAME_TAG_LADDR, event->laddr + (mapped ? 12 : 0), address_bytes);
	frame_u16(writer, FRAME_TAG_LPORT, event->lport);
	frame_bytes(writer, FRAME_TAG_RADDR, event->raddr + (mapped ? 12 : 0), address_bytes);
	frame_u16(writer, FRAME_TAG_RPORT, event->rport);
	frame_u32(writer, FRAME_TAG_NETNS, event->netns);
	if (event->head.kind == FRAME_KIND_CONNECT)
		frame_u32(writer, FRAME_TAG_RESULT, (uint32_t)event->result);
	return true;
}
