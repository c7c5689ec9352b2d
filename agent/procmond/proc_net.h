/*
 * TCP connections as /proc shows them, for the polling tier. It guarantees that a connection is
 * reported once, with the process that holds it. It must never claim completeness: what came and
 * went between two polls is not seen.
 */
#ifndef PROCMOND_PROC_NET_H
#define PROCMOND_PROC_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct net_row {
	uint64_t inode;
	uint16_t family; /* 2 or 10 */
	uint16_t lport;
	uint16_t rport;
	uint8_t laddr[16];
	uint8_t raddr[16];
	bool accepted; /* its local port is listened on */
	bool fresh; /* not there at the poll before */
	uint32_t owner; /* 0 = not found or not permitted */
};

struct net_table {
	struct net_row *rows; /* established, sorted by inode */
	size_t used;
	size_t room;
};

bool net_row_parse(const char *line, uint16_t family, struct net_row *row, int *state);
/* Replaces the table; returns how many rows are fresh. */
size_t net_table_poll(struct net_table *table);
/* Looks through the descriptors of one process for fresh rows without an owner. */
void net_table_claim(struct net_table *table, uint32_t pid);

#endif
