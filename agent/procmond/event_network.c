/*
 * Events of sockets as frames, see event_frame.h. IPv4 addresses inside IPv6 sockets are written as
 * IPv4, so that both ends of a connection name it alike; abstract names of unix sockets are written
 * as /proc/net/unix shows them. It must never trust a length of the event beyond its room.
 */
#include <string.h>

#include "event_frame.h"

#define FAMILY_UNIX 1
#define FAMILY_INET 2
#define FAMILY_INET6 10
#define PROTOCOL_TCP 6
#define ANY_BYTES 16

static bool is_mapped(const uint8_t *address)
{
	static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	return !memcmp(address, prefix, sizeof(prefix));
}

static bool is_any(const uint8_t *address)
{
	static const uint8_t zero[ANY_BYTES];

	return !memcmp(address, zero, sizeof(zero));
}

/* An address that is not bound to anything yet belongs to the family of the other one. */
static void send_address(struct frame_writer *writer, uint16_t tag, const uint8_t *address,
			 size_t address_bytes)
{
	frame_bytes(writer, tag, address + (address_bytes == 4 && is_mapped(address) ? 12 : 0),
		    address_bytes);
}

static size_t address_bytes_of(const struct pm_net *event)
{
	bool mapped = is_mapped(event->raddr) || (is_any(event->raddr) && is_mapped(event->laddr));

	return event->family == FAMILY_INET || mapped ? 4 : 16;
}

static bool has_remote(uint16_t kind)
{
	return kind != FRAME_KIND_BIND && kind != FRAME_KIND_LISTEN;
}

static void send_inet(struct frame_writer *writer, const struct pm_net *event)
{
	uint16_t kind = event->head.kind;
	size_t address_bytes = address_bytes_of(event);

	frame_u16(writer, FRAME_TAG_FAMILY, address_bytes == 4 ? FAMILY_INET : FAMILY_INET6);
	if (kind != FRAME_KIND_DNS) {
		send_address(writer, FRAME_TAG_LADDR, event->laddr, address_bytes);
		frame_u16(writer, FRAME_TAG_LPORT, event->lport);
	}
	if (has_remote(kind)) {
		send_address(writer, FRAME_TAG_RADDR, event->raddr, address_bytes);
		frame_u16(writer, FRAME_TAG_RPORT, event->rport);
	}
	frame_u32(writer, FRAME_TAG_NETNS, event->netns);
}

static void send_protocol(struct frame_writer *writer, const struct pm_net *event)
{
	uint16_t kind = event->head.kind;
	bool told = kind == FRAME_KIND_SOCKET || kind == FRAME_KIND_BIND || kind == FRAME_KIND_LISTEN;

	if (told)
		frame_u16(writer, FRAME_TAG_SOCKET_TYPE, event->socket_type);
	/* Of a connection, no protocol means TCP; a unix socket has none. */
	if (told || kind == FRAME_KIND_DATAGRAM ||
	    (kind != FRAME_KIND_DNS && event->family != FAMILY_UNIX && event->protocol != PROTOCOL_TCP))
		frame_u16(writer, FRAME_TAG_PROTOCOL, event->protocol);
}

static bool send_unix_path(struct frame_writer *writer, const struct pm_unix *event, size_t bytes)
{
	uint8_t path[PM_UNIX_PATH_BYTES];
	size_t length;

	if (bytes < sizeof(*event) || event->net.path_bytes > sizeof(path))
		return false;
	length = event->net.path_bytes;
	memcpy(path, event->path, length);
	/* Of a name in the file system the NUL ends it; of an abstract one all bytes count. */
	if (length && path[0])
		length = strnlen((const char *)path, length);
	for (size_t i = 0; i < length; i++)
		if (!path[i])
			path[i] = '@';
	frame_bytes(writer, FRAME_TAG_PATH, path, length);
	return true;
}

static bool send_message(struct frame_writer *writer, const struct pm_dns *event, size_t bytes)
{
	size_t room = bytes - offsetof(struct pm_dns, message);

	if (event->net.message_bytes > PM_DNS_BYTES || event->net.message_bytes > room)
		return false;
	frame_bytes(writer, FRAME_TAG_DNS_MESSAGE, event->message, event->net.message_bytes);
	frame_u16(writer, FRAME_TAG_DIRECTION, event->net.direction);
	return true;
}

bool event_network_send(struct frame_writer *writer, const void *bytes_of_event, size_t bytes)
{
	const struct pm_net *event = bytes_of_event;
	uint16_t kind;

	if (bytes < sizeof(*event))
		return false;
	kind = event->head.kind;
	if (kind != FRAME_KIND_SOCKET && (event->family == FAMILY_INET || event->family == FAMILY_INET6))
		send_inet(writer, event);
	else
		frame_u16(writer, FRAME_TAG_FAMILY, event->family);
	send_protocol(writer, event);
	if (kind == FRAME_KIND_CONNECT || kind == FRAME_KIND_CLOSE || kind == FRAME_KIND_SOCKET)
		frame_u32(writer, FRAME_TAG_RESULT, (uint32_t)event->result);
	if (kind == FRAME_KIND_DNS)
		return send_message(writer, bytes_of_event, bytes);
	if (kind == FRAME_KIND_CLOSE) {
		const struct pm_close *end = bytes_of_event;

		if (bytes < sizeof(*end))
			return false;
		frame_u64(writer, FRAME_TAG_BYTES_SENT, end->bytes_sent);
		frame_u64(writer, FRAME_TAG_BYTES_RECEIVED, end->bytes_received);
	}
	if (kind != FRAME_KIND_SOCKET && event->family == FAMILY_UNIX) {
		/* The namespace of an abstract name is the network's. */
		frame_u32(writer, FRAME_TAG_NETNS, event->netns);
		return send_unix_path(writer, bytes_of_event, bytes);
	}
	return true;
}
