/*
 * A hash table with open addressing, see netlink_table.h. It guarantees no row out of reach: a
 * removal closes the gap it leaves. It must never be more than half full, or lookups would walk.
 */
#include "netlink_table.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 1024

static size_t home_of(const struct nltable *table, uint32_t tgid)
{
	/* Knuth's multiplier spreads neighbouring pids. */
	return (size_t)(tgid * 2654435761u) & (table->room - 1);
}

static struct nlprocess *slot_of(const struct nltable *table, uint32_t tgid)
{
	size_t at = home_of(table, tgid);

	while (table->rows[at].tgid && table->rows[at].tgid != tgid)
		at = (at + 1) & (table->room - 1);
	return &table->rows[at];
}

struct nlprocess *nltable_find(const struct nltable *table, uint32_t tgid)
{
	struct nlprocess *row = table->room && tgid ? slot_of(table, tgid) : NULL;

	return row && row->tgid ? row : NULL;
}

static bool grow(struct nltable *table)
{
	struct nltable bigger = {.room = table->room ? 2 * table->room : ROOM_FIRST};

	bigger.rows = calloc(bigger.room, sizeof(*bigger.rows));
	if (!bigger.rows)
		return false;
	for (size_t i = 0; i < table->room; i++)
		if (table->rows[i].tgid)
			*slot_of(&bigger, table->rows[i].tgid) = table->rows[i];
	free(table->rows);
	table->rows = bigger.rows;
	table->room = bigger.room;
	return true;
}

struct nlprocess *nltable_put(struct nltable *table, uint32_t tgid)
{
	struct nlprocess *row = nltable_find(table, tgid);

	if (!row) {
		if (table->used >= NLTABLE_ROWS_MAX)
			return NULL;
		if (2 * (table->used + 1) > table->room && !grow(table))
			return NULL;
		row = slot_of(table, tgid);
		table->used++;
	}
	memset(row, 0, sizeof(*row));
	row->tgid = tgid;
	return row;
}

void nltable_remove(struct nltable *table, uint32_t tgid)
{
	struct nlprocess *row = nltable_find(table, tgid);
	size_t hole, at;

	if (!row)
		return;
	table->dead[tgid % NLTABLE_DEAD].tgid = tgid;
	table->dead[tgid % NLTABLE_DEAD].start_ticks = row->start_ticks;
	hole = at = (size_t)(row - table->rows);
	/* Moves back each follower that may stand at the hole, so that no search ends too early. */
	for (;;) {
		size_t home, mask = table->room - 1;

		at = (at + 1) & mask;
		if (!table->rows[at].tgid)
			break;
		home = home_of(table, table->rows[at].tgid);
		if (((at - home) & mask) < ((at - hole) & mask))
			continue;
		table->rows[hole] = table->rows[at];
		hole = at;
	}
	table->rows[hole].tgid = 0;
	table->used--;
}

bool nltable_was_used(const struct nltable *table, uint32_t tgid, uint64_t start_ticks)
{
	return table->dead[tgid % NLTABLE_DEAD].tgid == tgid &&
	       table->dead[tgid % NLTABLE_DEAD].start_ticks == start_ticks;
}

void nltable_free(struct nltable *table)
{
	free(table->rows);
	*table = (struct nltable){0};
}
