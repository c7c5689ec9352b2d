/*
 * The processes the polling tier knows: one row each, sorted by pid. It guarantees that a row is
 * one process, by pid and start time. It must never hold file descriptors.
 */
#ifndef PROCMOND_PROC_TABLE_H
#define PROCMOND_PROC_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proc_stat.h"
#include "procmond.h"

struct proc_row {
	struct proc_stat stat;
	struct frame_header header; /* ids as of the last look */
	struct pm_traced traced;
	uint64_t image; /* changes when the program does */
	uint32_t ns_pid;
	bool ids_known; /* those of the header */
	bool in_scope;
	bool exit_sent; /* a zombie that was reported */
};

struct proc_table {
	struct proc_row *rows;
	size_t used;
	size_t room;
};

/* NULL when there is no memory; the row is zeroed. */
struct proc_row *proc_table_add(struct proc_table *table);
struct proc_row *proc_table_find(const struct proc_table *table, uint32_t pid);
void proc_table_sort(struct proc_table *table);
/* The slots of a child, each with one level less, as the kernel's fork handler gives them. */
void traced_inherit(const struct pm_traced *parent, uint64_t active_slots,
		    struct pm_traced *child);
void traced_put(struct pm_traced *traced, uint32_t slot, uint32_t depth);
/* A number that differs after exec: the executable and where its arguments lie, or the name. */
uint64_t proc_image(const struct proc_stat *stat);

#endif
