/*
 * What the two halves of the netlink tier share: receiving and telling. It guarantees that a
 * frame of a message carries that message's number. It must never be included by another tier.
 */
#ifndef PROCMOND_NETLINK_SOURCE_H
#define PROCMOND_NETLINK_SOURCE_H

#include "netlink_diag.h"
#include "netlink_proc.h"
#include "netlink_table.h"
#include "source.h"

/* Messages that were read and wait; looked through for what came after one of them. */
#define NLQUEUE_EVENTS 256

struct nlsource {
	const struct scope *scope;
	struct frame_writer *writer; /* of the pump that runs */
	int fd; /* bound to the connector's group */
	int probe_fd; /* asks for a numbered answer on each CPU */
	struct nltable table;
	struct nlproc_counter *counters;
	uint64_t *column;
	uint32_t cpus;
	uint64_t boot_minus_monotonic_ns;
	struct nlproc_event queue[NLQUEUE_EVENTS];
	size_t queue_from;
	size_t queue_used;
	bool drained; /* nothing waits in the kernel */
	bool overrun; /* the kernel said that it dropped messages */
	bool lost; /* numbers were missing since the last scan of /proc */
	uint32_t mark; /* of the last scan */
	uint32_t argv_gone;
	uint64_t active_slots;
	struct nldiag diag;
	struct net_table net;
	uint32_t netns;
	struct source_sampling sampling;
	uint64_t poll_at_ns;
	bool sheds_network;
	uint64_t network_polls_shed;
	uint64_t stats_at_ns;
	uint64_t scan_at_ns;
};

/* Reads what waits in the kernel into the queue, without waiting. */
void nlsource_receive(struct nlsource *self);
/* Tells one message. */
void nlsource_tell(struct nlsource *self, const struct nlproc_event *event);
/* Compares the table with /proc; tells what is new and what is gone unless `baseline`. */
void nlsource_scan(struct nlsource *self, bool baseline);
/* For net_report: the header of a known process. */
bool nlsource_owner(void *context, uint32_t pid, struct frame_header *header, char *comm);

#endif
