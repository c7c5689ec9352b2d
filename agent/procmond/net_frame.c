/*
 * Writes the frames of polled sockets, see net_frame.h. It must never send the end of a
 * connection whose beginning had no process to name.
 */
#include "net_frame.h"

#include <string.h>
#include <sys/stat.h>

#include "absent.h"
#include "clock.h"

uint32_t net_own_netns(void)
{
	struct stat st;

	return stat("/proc/self/ns/net", &st) ? 0 : (uint32_t)st.st_ino;
}

static uint16_t kind_of(const struct net_row *row)
{
	if (row->is_listening)
		return row->protocol == NET_TCP ? FRAME_KIND_LISTEN : FRAME_KIND_BIND;
	return row->accepted ? FRAME_KIND_ACCEPT : FRAME_KIND_CONNECT;
}

static void begin(const struct net_report *report, const struct net_row *row, uint16_t kind)
{
	struct frame_writer *writer = report->writer;
	struct frame_header header = row->header;
	/* An IPv4 peer of an IPv6 socket is named as IPv4, as in the kernel tier. */
	bool mapped = row->family == 10 && !row->is_listening &&
		      !memcmp(row->raddr, "\0\0\0\0\0\0\0\0\0\0\377\377", 12);
	size_t skip = mapped ? 12 : 0, bytes = row->family == 2 || mapped ? 4 : 16;

	header.kind = kind;
	header.ktime_ns = clock_boot_ns();
	frame_begin(writer, &header);
	frame_bytes(writer, FRAME_TAG_COMM, row->comm, strnlen(row->comm, PM_COMM_BYTES));
	frame_u16(writer, FRAME_TAG_FAMILY, bytes == 4 ? 2 : 10);
	frame_bytes(writer, FRAME_TAG_LADDR, row->laddr + skip, bytes);
	frame_u16(writer, FRAME_TAG_LPORT, row->lport);
	if (!row->is_listening) {
		frame_bytes(writer, FRAME_TAG_RADDR, row->raddr + skip, bytes);
		frame_u16(writer, FRAME_TAG_RPORT, row->rport);
	}
	if (report->netns)
		frame_u32(writer, FRAME_TAG_NETNS, report->netns);
	if (row->protocol == NET_UDP || row->is_listening)
		frame_u16(writer, FRAME_TAG_PROTOCOL, row->protocol);
	if (row->is_listening)
		frame_u16(writer, FRAME_TAG_SOCKET_TYPE, row->protocol == NET_TCP ? 1 : 2);
}

void net_report_close(const struct net_report *report, const struct net_row *row,
		      const struct net_bytes *bytes)
{
	struct absent absent = {0};

	if (!row->told || row->is_listening || row->protocol != NET_TCP)
		return;
	begin(report, row, FRAME_KIND_CLOSE);
	if (bytes->known) {
		frame_u64(report->writer, FRAME_TAG_BYTES_SENT, bytes->sent);
		frame_u64(report->writer, FRAME_TAG_BYTES_RECEIVED, bytes->received);
	} else {
		absent_add(&absent, "BYTES_SENT", ABSENT_TIER);
		absent_add(&absent, "BYTES_RECEIVED", ABSENT_TIER);
	}
	absent_send(report->writer, &absent);
	frame_end(report->writer);
}

void net_report_send(const struct net_report *report, struct net_table *table)
{
	static const struct net_bytes unknown;

	for (size_t i = 0; i < table->used; i++) {
		struct net_row *row = &table->rows[i];

		if (!row->fresh || !row->owner ||
		    !report->owner(report->context, row->owner, &row->header, row->comm))
			continue;
		row->told = true;
		if (report->baseline)
			continue;
		begin(report, row, kind_of(row));
		/* Only what came about is in the kernel's tables. */
		if (kind_of(row) == FRAME_KIND_CONNECT)
			frame_u32(report->writer, FRAME_TAG_RESULT, 0);
		frame_end(report->writer);
	}
	for (size_t i = 0; i < table->gone_used; i++)
		net_report_close(report, &table->gone[i], &unknown);
	table->gone_used = 0;
}
