/*
 * The sockets of this network namespace, for the tiers that poll: a table that is replaced by
 * each poll and tells what came and what went. It guarantees that a socket is reported once, with
 * the process that holds it. It must never claim completeness: what came and went between two
 * polls is not seen.
 */
#ifndef PROCMOND_PROC_NET_H
#define PROCMOND_PROC_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "procmond.h"

#define NET_TCP 6
#define NET_UDP 17

/* The kernel's names of states, as /proc and sock_diag number them. */
enum net_state {
	NET_STATE_ESTABLISHED = 1,
	NET_STATE_SYN_SENT = 2,
	NET_STATE_SYN_RECV = 3,
	NET_STATE_TIME_WAIT = 6,
	NET_STATE_CLOSED = 7, /* of UDP: no peer */
	NET_STATE_LISTEN = 10,
};

struct net_row {
	uint64_t key; /* what it is known by: the cookie, or the inode where there is none */
	uint64_t inode; /* 0 = its process has closed it */
	uint16_t family; /* 2 or 10 */
	uint16_t lport;
	uint16_t rport;
	uint8_t protocol;
	uint8_t laddr[16];
	uint8_t raddr[16];
	bool is_listening; /* TCP: listens; UDP: has no peer */
	bool accepted; /* its local port is listened on */
	bool fresh; /* not there at the poll before, or nobody was found to hold it then */
	uint8_t searches; /* polls that looked for who holds it */
	bool told; /* its process was found, `header` and `comm` are set */
	uint8_t missed; /* polls since it was last there */
	uint32_t owner; /* 0 = not found or not permitted */
	struct frame_header header; /* of the process, when it was found */
	char comm[PM_COMM_BYTES];
};

struct net_table {
	struct net_row *rows; /* sorted by key */
	size_t used;
	size_t room;
	struct net_row **fresh; /* without an owner, sorted by inode */
	size_t fresh_used;
	struct net_row *gone; /* since the poll before */
	size_t gone_used;
};

bool net_row_parse(const char *line, uint16_t family, struct net_row *row, int *state);
/* Adds a row to a table that is being filled; one the limit has no room for is left out. */
void net_table_add(struct net_table *next, const struct net_row *row);
/* Reads /proc/net into an empty table. */
void net_table_read_proc(struct net_table *next);
/*
 * `next` becomes the table; what both have keeps its owner. A row that is missing is kept for
 * `patience` polls before it is among the gone. Returns how many rows are fresh.
 */
size_t net_table_replace(struct net_table *table, struct net_table *next, unsigned patience);
struct net_row *net_table_find(const struct net_table *table, uint64_t key);
/* Looks through the descriptors of one process for fresh rows without an owner. */
void net_table_claim(struct net_table *table, uint32_t pid);
void net_table_free(struct net_table *table);

#endif
