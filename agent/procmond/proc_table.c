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
