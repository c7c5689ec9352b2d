/*
 * The table of the polling tier, see proc_table.h. It guarantees log-time lookups, so that a poll
 * of many processes stays cheap. It must never keep rows of two processes under one pid.
 */
#include "proc_table.h"

#include <stdlib.h>
#include <string.h>

#include "proc_read.h"

struct proc_row *proc_table_add(struct proc_table *table)
{
	if (table->used == table->room) {
		size_t room = table->room ? 2 * table->room : 512;
		struct proc_row *grown = realloc(table->rows, room * sizeof(*grown));

		if (!grown)
			return NULL;
		table->rows = grown;
		table->room = room;
	}
	memset(&table->rows[table->used], 0, sizeof(struct proc_row));
	return &table->rows[table->used++];
}

static int by_pid(const void *a, const void *b)
{
	const struct proc_row *x = a, *y = b;

	return (x->stat.pid > y->stat.pid) - (x->stat.pid < y->stat.pid);
}

struct proc_row *proc_table_find(const struct proc_table *table, uint32_t pid)
{
	struct proc_row key = {.stat = {.pid = pid}};

	if (!table->used)
		return NULL;
	return bsearch(&key, table->rows, table->used, sizeof(key), by_pid);
}

void proc_table_sort(struct proc_table *table)
{
	if (table->used)
		qsort(table->rows, table->used, sizeof(*table->rows), by_pid);
}

void traced_inherit(const struct pm_traced *parent, uint64_t active_slots, struct pm_traced *child)
{
	uint64_t some = 0, unlimited = ~0ull, borrow;

	for (int i = 0; i < PM_DEPTH_PLANES; i++) {
		some |= parent->depth[i];
		unlimited &= parent->depth[i];
	}
	child->slots = parent->slots & active_slots & some;
	borrow = some & ~unlimited;
	for (int i = 0; i < PM_DEPTH_PLANES; i++) {
		child->depth[i] = parent->depth[i] ^ borrow;
		borrow &= ~parent->depth[i];
	}
}

void traced_put(struct pm_traced *traced, uint32_t slot, uint32_t depth)
{
	traced->slots |= 1ull << slot;
	for (int plane = 0; plane < PM_DEPTH_PLANES; plane++) {
		traced->depth[plane] &= ~(1ull << slot);
		if (depth & 1u << plane)
			traced->depth[plane] |= 1ull << slot;
	}
}

static uint64_t mix(uint64_t sum, const char *text)
{
	/* FNV-1a: only equality matters, nobody gains by a collision but a missed exec. */
	for (; *text; text++)
		sum = (sum ^ (uint8_t)*text) * 0x100000001b3ull;
	return sum;
}

uint64_t proc_image(const struct proc_stat *stat)
{
	char exe[PM_PATH_BYTES];
	uint16_t flags = 0;
	const uint64_t seed = 0xcbf29ce484222325ull;

	/* Workers of the kernel rename themselves at every turn; none of that is an exec. */
	if (stat->kernel_thread)
		return 0;
	/* A program may rename itself as well, so the name counts only where nothing else is shown. */
	if (!proc_read_exe(stat->pid, exe, sizeof(exe), &flags))
		return mix(seed, stat->comm);
	return mix(seed, exe) ^ stat->arg_start;
}
