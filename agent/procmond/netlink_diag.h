/*
 * Sockets by sock_diag: the table of all, and a message when a TCP socket ends. It guarantees the
 * kernel's own cookie as the name of a socket, so that the end is matched with what was seen
 * before, and bounded waiting. It must never ask the kernel to act on a socket (SOCK_DESTROY).
 */
#ifndef PROCMOND_NETLINK_DIAG_H
#define PROCMOND_NETLINK_DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net_frame.h"
#include "proc_net.h"

struct nldiag {
	int dump_fd; /* -1 = sock_diag is not there */
	int ends_fd; /* -1 = ends are not told */
	uint32_t sequence;
};

enum nldiag_next { NLDIAG_ROW, NLDIAG_SKIP, NLDIAG_DONE, NLDIAG_BAD };

/*
 * Takes the message at *at and moves behind it. NLDIAG_DONE: no more in this datagram, or the end
 * of a dump. `bytes` is known where the message carries TCP statistics.
 */
enum nldiag_next nldiag_next(const uint8_t **at, size_t *left, struct net_row *row, int *state,
			     struct net_bytes *bytes);

void nldiag_open(struct nldiag *diag);
void nldiag_close(struct nldiag *diag);
/* False when the kernel did not answer; `next` may then hold a part. */
bool nldiag_dump(struct nldiag *diag, struct net_table *next, const struct net_table *known);
/* Calls `ended` for each TCP socket that ended since. */
typedef void nldiag_ended(void *context, uint64_t key, const struct net_bytes *bytes);
void nldiag_ends(struct nldiag *diag, nldiag_ended *ended, void *context);

#endif
