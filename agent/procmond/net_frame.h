/*
 * Frames of what a poll of sockets found. It guarantees one shape for both polling tiers, and a
 * reason for what a poll cannot know. It must never name a process that was not found to hold the
 * socket.
 */
#ifndef PROCMOND_NET_FRAME_H
#define PROCMOND_NET_FRAME_H

#include "frame_write.h"
#include "proc_net.h"

/* Fills header and comm of a process in scope; false: unknown by now, or out of scope. */
typedef bool net_owner(void *context, uint32_t pid, struct frame_header *header, char *comm);

struct net_report {
	struct frame_writer *writer;
	net_owner *owner;
	void *context;
	uint32_t netns; /* 0 = not known */
	bool baseline; /* what was there before is learned, not told */
};

struct net_bytes {
	bool known;
	uint64_t sent;
	uint64_t received;
};

/* What is fresh and has an owner, and what is gone. */
void net_report_send(const struct net_report *report, struct net_table *table);
void net_report_close(const struct net_report *report, const struct net_row *row,
		      const struct net_bytes *bytes);
/* The inode of procmond's own network namespace. */
uint32_t net_own_netns(void);

#endif
