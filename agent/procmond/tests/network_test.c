/*
 * Unit tests of the frames of socket events: what each kind carries, names of unix sockets with NUL
 * in them, and events whose lengths lie. Run under AddressSanitizer and UBSan with every event in a
 * heap block of its exact size, so a read past the end is a failure by itself. It must never need
 * privileges.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "event_frame.h"
#include "frame_read.h"

static struct frame_reader reader;
static struct frame_view view;

/* Sends one event through the writer; true when exactly one frame came out, which `view` then shows. */
static bool sent(const void *event, size_t bytes)
{
	struct frame_writer writer;
	const uint8_t *body;
	uint8_t *exact = malloc(bytes ? bytes : 1);
	size_t length;
	ssize_t n;
	int ends[2];
	bool one;

	memcpy(exact, event, bytes);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) || !frame_writer_open(&writer, ends[0], -1))
		abort();
	event_frame_send(&writer, exact, bytes);
	frame_flush(&writer);
	shutdown(ends[0], SHUT_WR);
	reader.used = 0;
	while ((n = read(ends[1], reader.buf + reader.used, sizeof(reader.buf) - reader.used)) > 0)
		reader.used += (size_t)n;
	one = frame_next(&reader, &body, &length) == FRAME_NEXT_READY && !frame_decode(body, length, &view);
	frame_writer_close(&writer);
	close(ends[0]);
	close(ends[1]);
	free(exact);
	return one && reader.used == length + FRAME_PREFIX_BYTES;
}

static bool is_text(enum frame_tag tag, const char *text, size_t length)
{
	return frame_has(&view, tag) && view.tlv[tag].length == length &&
	       !memcmp(view.tlv[tag].bytes, text, length);
}

static uint16_t u16_of(enum frame_tag tag)
{
	uint16_t value = 0;

	if (frame_has(&view, tag))
		memcpy(&value, view.tlv[tag].bytes, sizeof(value));
	return value;
}

static struct pm_net net_event(uint16_t kind, uint16_t family, uint16_t protocol)
{
	struct pm_net event = {.head = {.kind = kind, .tgid = 7}, .family = family, .protocol = protocol,
			       .lport = 40000, .rport = 53, .netns = 99, .socket_type = 2};

	memcpy(event.laddr, "\177\0\0\1", 4);
	memcpy(event.raddr, "\12\0\0\1", 4);
	return event;
}

static void test_each_kind_carries_its_tags(void)
{
	struct pm_close end = {.net = net_event(FRAME_KIND_CLOSE, 2, 6), .bytes_sent = 1ull << 40,
			       .bytes_received = 3};
	struct pm_net event = net_event(FRAME_KIND_CONNECT, 2, 6);

	CHECK(sent(&event, sizeof(event)));
	CHECK(is_text(FRAME_TAG_RADDR, "\12\0\0\1", 4) && u16_of(FRAME_TAG_RPORT) == 53);
	CHECK(!frame_has(&view, FRAME_TAG_PROTOCOL) && frame_has(&view, FRAME_TAG_RESULT));
	event = net_event(FRAME_KIND_CONNECT, 2, 17);
	CHECK(sent(&event, sizeof(event)) && u16_of(FRAME_TAG_PROTOCOL) == 17);
	event = net_event(FRAME_KIND_ACCEPT, 2, 6);
	CHECK(sent(&event, sizeof(event)) && !frame_has(&view, FRAME_TAG_RESULT));
	event = net_event(FRAME_KIND_SOCKET, 17, 0);
	event.result = 5;
	CHECK(sent(&event, sizeof(event)) && frame_get_u32(&view, FRAME_TAG_RESULT) == 5);
	CHECK(u16_of(FRAME_TAG_FAMILY) == 17 && u16_of(FRAME_TAG_SOCKET_TYPE) == 2);
	CHECK(!frame_has(&view, FRAME_TAG_LADDR));
	event = net_event(FRAME_KIND_BIND, 2, 17);
	CHECK(sent(&event, sizeof(event)) && u16_of(FRAME_TAG_LPORT) == 40000);
	CHECK(!frame_has(&view, FRAME_TAG_RADDR) && u16_of(FRAME_TAG_PROTOCOL) == 17);
	event = net_event(FRAME_KIND_DATAGRAM, 2, 1);
	CHECK(sent(&event, sizeof(event)) && u16_of(FRAME_TAG_PROTOCOL) == 1);
	CHECK(sent(&end, sizeof(end)) && frame_get_u64(&view, FRAME_TAG_BYTES_SENT) == 1ull << 40);
	CHECK(frame_get_u64(&view, FRAME_TAG_BYTES_RECEIVED) == 3);
}

static void test_mapped_addresses_are_written_as_ipv4(void)
{
	static const char mapped[] = "\0\0\0\0\0\0\0\0\0\0\xff\xff\12\0\0\1";
	struct pm_net event = net_event(FRAME_KIND_DATAGRAM, 10, 17);

	memset(event.laddr, 0, sizeof(event.laddr));
	memcpy(event.raddr, mapped, 16);
	CHECK(sent(&event, sizeof(event)) && u16_of(FRAME_TAG_FAMILY) == 2);
	CHECK(is_text(FRAME_TAG_RADDR, "\12\0\0\1", 4) && is_text(FRAME_TAG_LADDR, "\0\0\0\0", 4));
	memset(event.raddr, 0, sizeof(event.raddr));
	event.raddr[15] = 1;
	CHECK(sent(&event, sizeof(event)) && u16_of(FRAME_TAG_FAMILY) == 10);
	CHECK(view.tlv[FRAME_TAG_RADDR].length == 16 && view.tlv[FRAME_TAG_LADDR].length == 16);
	event = net_event(FRAME_KIND_LISTEN, 10, 6);
	memset(event.raddr, 0, sizeof(event.raddr));
	memcpy(event.laddr, mapped, 16);
	CHECK(sent(&event, sizeof(event)) && is_text(FRAME_TAG_LADDR, "\12\0\0\1", 4));
}

static struct pm_unix unix_event(uint16_t kind, const char *name, size_t length)
{
	struct pm_unix event = {.net = net_event(kind, 1, 0)};

	event.net.path_bytes = (uint16_t)length;
	memcpy(event.path, name, length < sizeof(event.path) ? length : sizeof(event.path));
	return event;
}

static void test_names_of_unix_sockets_are_written_as_proc_shows_them(void)
{
	char full[PM_UNIX_PATH_BYTES];
	struct pm_unix event = unix_event(FRAME_KIND_CONNECT, "/run/a\0junk", 11);

	CHECK(sent(&event, sizeof(event)) && is_text(FRAME_TAG_PATH, "/run/a", 6));
	CHECK(!frame_has(&view, FRAME_TAG_LADDR) && !frame_has(&view, FRAME_TAG_PROTOCOL));
	event = unix_event(FRAME_KIND_BIND, "\0a\0b\0", 5);
	CHECK(sent(&event, sizeof(event)) && is_text(FRAME_TAG_PATH, "@a@b@", 5));
	event = unix_event(FRAME_KIND_ACCEPT, "", 0);
	CHECK(sent(&event, sizeof(event)) && is_text(FRAME_TAG_PATH, "", 0));
	memset(full, 'x', sizeof(full));
	event = unix_event(FRAME_KIND_LISTEN, full, sizeof(full));
	CHECK(sent(&event, sizeof(event)) && is_text(FRAME_TAG_PATH, full, sizeof(full)));
	event.net.path_bytes = sizeof(full) + 1;
	CHECK(sent(&event, sizeof(event)) && !frame_has(&view, FRAME_TAG_PATH));
}

static void test_a_dns_message_never_reaches_past_its_event(void)
{
	struct pm_dns event = {.net = net_event(FRAME_KIND_DNS, 2, 17)};
	size_t head = sizeof(event.net);

	memset(event.message, 'd', sizeof(event.message));
	event.net.direction = 1;
	event.net.message_bytes = 40;
	CHECK(sent(&event, head + 40) && view.tlv[FRAME_TAG_DNS_MESSAGE].length == 40);
	CHECK(u16_of(FRAME_TAG_DIRECTION) == 1 && u16_of(FRAME_TAG_RPORT) == 53);
	CHECK(!frame_has(&view, FRAME_TAG_LADDR));
	CHECK(sent(&event, head + 39) && !frame_has(&view, FRAME_TAG_DNS_MESSAGE));
	event.net.message_bytes = PM_DNS_BYTES;
	CHECK(sent(&event, sizeof(event)) && view.tlv[FRAME_TAG_DNS_MESSAGE].length == PM_DNS_BYTES);
	event.net.message_bytes = PM_DNS_BYTES + 1;
	CHECK(sent(&event, sizeof(event)) && !frame_has(&view, FRAME_TAG_DNS_MESSAGE));
	event.net.message_bytes = 65535;
	CHECK(sent(&event, sizeof(event)) && !frame_has(&view, FRAME_TAG_DNS_MESSAGE));
	event.net.message_bytes = 0;
	CHECK(sent(&event, head) && !view.tlv[FRAME_TAG_DNS_MESSAGE].length);
}

static void test_every_kind_cut_at_every_byte_is_still_one_frame(void)
{
	static const uint16_t kinds[] = {FRAME_KIND_CONNECT, FRAME_KIND_ACCEPT, FRAME_KIND_CLOSE,
					 FRAME_KIND_SOCKET, FRAME_KIND_BIND, FRAME_KIND_LISTEN,
					 FRAME_KIND_DATAGRAM, FRAME_KIND_DNS};
	static const uint16_t families[] = {0, 1, 2, 10, 16, 65535};

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
		for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
			struct pm_unix event = {.net = net_event(kinds[k], families[f], 6)};

			event.net.path_bytes = 20;
			event.net.message_bytes = 20;
			/* Without its header it has no number: nothing can be sent. */
			CHECK(!sent(&event, sizeof(event.net.head) - 1));
			for (size_t cut = sizeof(event.net.head); cut <= sizeof(event); cut++)
				CHECK(sent(&event, cut) && view.header.tgid == 7);
		}
}

int main(void)
{
	test_each_kind_carries_its_tags();
	test_mapped_addresses_are_written_as_ipv4();
	test_names_of_unix_sockets_are_written_as_proc_shows_them();
	test_a_dns_message_never_reaches_past_its_event();
	test_every_kind_cut_at_every_byte_is_still_one_frame();
	return check_report("network tests");
}
