/*
 * The processes the netlink tier knows: found by pid in constant time, because every message
 * names one. It guarantees bounded memory, and that a pid that is used again within one clock
 * tick is noticed. It must never hold file descriptors.
 */
#ifndef PROCMOND_NETLINK_TABLE_H
#define PROCMOND_NETLINK_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proc_facts.h"

/* Twice the default pid_max; a row is about 200 bytes, paid for only when it is used. */
#define NLTABLE_ROWS_MAX 65536

struct nlprocess {
	uint32_t tgid; /* 0 = free */
	uint32_t parent_tgid;
	uint64_t start_ticks;
	uint64_t parent_ticks;
	struct proc_ids ids;
	struct pm_traced traced;
	uint32_t sid;
	char comm[PM_COMM_BYTES];
	bool estimated; /* it was gone before its start time was read */
	bool has_threads; /* had another thread at some time */
	bool leader_gone; /* the first thread ended, others may live */
	uint32_t mark; /* of the last scan that saw it */
};

/* Room for the pids of one tick on a machine that does nothing but fork. */
#define NLTABLE_DEAD 1024

struct nltable {
	struct nlprocess *rows;
	size_t room; /* a power of two */
	size_t used;
	/* Who ended last under a pid, by its low bits. */
	struct {
		uint32_t tgid;
		uint64_t start_ticks;
	} dead[NLTABLE_DEAD];
};

struct nlprocess *nltable_find(const struct nltable *table, uint32_t tgid);
/* The row of that pid, emptied; NULL at the limit or without memory. Moves other rows. */
struct nlprocess *nltable_put(struct nltable *table, uint32_t tgid);
void nltable_remove(struct nltable *table, uint32_t tgid);
/* True when a process with this pid and start tick has ended already: the key is not unique. */
bool nltable_was_used(const struct nltable *table, uint32_t tgid, uint64_t start_ticks);
void nltable_free(struct nltable *table);

#endif
