/*
 * Writes the traced table, see bpf_trace.h. The kernel creates and deletes rows, only this side
 * changes existing ones: so a new row is created with NOEXIST and an old one replaced with EXIST,
 * and a lost race shows as an error and is tried again. It must never keep a row for a dead
 * process.
 */
#include "bpf_trace.h"

#include <bpf/bpf.h>
#include <errno.h>

#include "proc_read.h"
#include "procmond.h"

#define RACE_TRIES 8
#define CLEAR_PASSES_MAX 8

static void set_slot(struct pm_traced *row, uint32_t slot, uint32_t depth)
{
	uint64_t bit = 1ull << slot;

	row->slots |= bit;
	for (int plane = 0; plane < PM_DEPTH_PLANES; plane++) {
		row->depth[plane] &= ~bit;
		if (depth & 1u << plane)
			row->depth[plane] |= bit;
	}
}

static bool is_alive(uint32_t tgid, uint64_t start_ticks)
{
	struct proc_stat stat;

	return proc_read_stat(tgid, &stat) && stat.start_ticks == start_ticks && stat.state != 'Z';
}

bool bpf_trace_put(int map_fd, uint32_t tgid, uint64_t start_ticks, uint32_t slot, uint32_t depth)
{
	for (int i = 0; i < RACE_TRIES; i++) {
		struct pm_traced row = {0};
		bool exists = !bpf_map_lookup_elem(map_fd, &tgid, &row);
		int error;

		/* A row of a process that had this pid before: overwritten whole. */
		if (exists && row.start_ticks != start_ticks)
			row = (struct pm_traced){0};
		row.start_ticks = start_ticks;
		set_slot(&row, slot, depth);
		error = bpf_map_update_elem(map_fd, &tgid, &row, exists ? BPF_EXIST : BPF_NOEXIST);
		if (error == -E2BIG)
			return false;
		if (error)
			continue;
		/* It may have died between the walk and the update; nobody would delete the row. */
		if (!is_alive(tgid, start_ticks))
			bpf_map_delete_elem(map_fd, &tgid);
		return true;
	}
	return true;
}

/* Returns how many rows held the slot. */
static long clear_pass(int map_fd, uint32_t slot)
{
	static uint32_t keys[PM_TRACED_MAX];
	uint64_t bit = 1ull << slot;
	uint32_t *last = NULL;
	size_t count = 0;
	long cleared = 0;

	/* Keys first, changes after: a change during iteration would restart it. */
	while (count < PM_TRACED_MAX && !bpf_map_get_next_key(map_fd, last, &keys[count]))
		last = &keys[count++];
	for (size_t i = 0; i < count; i++) {
		struct pm_traced row;

		if (bpf_map_lookup_elem(map_fd, &keys[i], &row) || !(row.slots & bit))
			continue;
		cleared++;
		set_slot(&row, slot, 0);
		row.slots &= ~bit;
		if (row.slots)
			bpf_map_update_elem(map_fd, &keys[i], &row, BPF_EXIST);
		else
			bpf_map_delete_elem(map_fd, &keys[i]);
	}
	return cleared;
}

void bpf_trace_clear(int map_fd, uint32_t slot)
{
	for (int i = 0; i < CLEAR_PASSES_MAX && clear_pass(map_fd, slot); i++)
		;
}
