/*
 * Puts lineages in scope, see trace.h. New children are the fork handler's work from the moment
 * the root is in the table; this file finds those that exist already by the kernel's list of tasks,
 * or by walking /proc where the source cannot read that, and walks again until a walk finds nothing
 * new, which closes the gap between reading and filling the table. It must never walk without end: a fork storm ends it after TRACE_PASSES_MAX.
 */
#include "trace.h"

#include <stdlib.h>

#include "proc_read.h"
#include "procmond.h"

#define TRACE_PASSES_MAX 8
#define NOT_IN_LINEAGE UINT32_MAX

struct trace_member {
	uint32_t tgid;
	uint32_t parent;
	uint64_t start_ticks;
	uint32_t distance; /* from the root; NOT_IN_LINEAGE = not in it */
};

struct trace_walk {
	struct trace_member *members;
	size_t used;
	size_t room;
};

static void add_member(void *context, uint32_t tgid, uint32_t parent, uint64_t start_ticks)
{
	struct trace_walk *walk = context;

	if (walk->used == walk->room) {
		size_t room = walk->room ? 2 * walk->room : 1024;
		struct trace_member *grown = realloc(walk->members, room * sizeof(*grown));

		if (!grown)
			return;
		walk->members = grown;
		walk->room = room;
	}
	walk->members[walk->used++] = (struct trace_member){
		tgid, parent, start_ticks, NOT_IN_LINEAGE};
}

static void visit(void *context, uint32_t pid)
{
	struct proc_stat stat;

	if (proc_read_stat(pid, &stat) && stat.state != 'Z')
		add_member(context, stat.pid, stat.parent, stat.start_ticks);
}

static int by_tgid(const void *a, const void *b)
{
	const struct trace_member *x = a, *y = b;

	return (x->tgid > y->tgid) - (x->tgid < y->tgid);
}

static struct trace_member *find(struct trace_walk *walk, uint32_t tgid)
{
	struct trace_member key = {.tgid = tgid};

	if (!walk->used)
		return NULL;
	return bsearch(&key, walk->members, walk->used, sizeof(key), by_tgid);
}

/* Spreads distances from parents to children until nothing changes; at most one sweep per level. */
static void measure(struct trace_walk *walk, uint32_t depth)
{
	bool changed = true;

	while (changed) {
		changed = false;
		for (size_t i = 0; i < walk->used; i++) {
			struct trace_member *member = &walk->members[i];
			struct trace_member *parent = find(walk, member->parent);

			if (member->distance != NOT_IN_LINEAGE || !parent ||
			    parent->distance == NOT_IN_LINEAGE || parent->distance >= depth)
				continue;
			member->distance = parent->distance + 1;
			changed = true;
		}
	}
}

/* One pass; returns the members put in scope, or -1 when the root is gone, -2 when it is full. */
static long pass(struct source *source, const struct command *command, uint32_t depth)
{
	struct trace_walk walk = {0};
	struct trace_member *root;
	long count = 0;

	if (!source->visit_tasks || !source->visit_tasks(source->self, add_member, &walk)) {
		/* What a broken reading found is found again. */
		walk.used = 0;
		proc_for_each(visit, &walk);
	}
	if (walk.used)
		qsort(walk.members, walk.used, sizeof(*walk.members), by_tgid);
	root = find(&walk, command->tgid);
	if (!root || root->start_ticks != command->start_ticks) {
		free(walk.members);
		return -1;
	}
	root->distance = 0;
	measure(&walk, depth >= PM_DEPTH_UNLIMITED ? UINT32_MAX - 1 : depth);
	for (size_t i = 0; i < walk.used && count >= 0; i++) {
		struct trace_member *member = &walk.members[i];
		uint32_t left = depth >= PM_DEPTH_UNLIMITED ? PM_DEPTH_UNLIMITED
							    : depth - member->distance;

		if (member->distance == NOT_IN_LINEAGE)
			continue;
		count = source->trace_put(source->self, member->tgid, member->start_ticks,
					  command->slot, left) ? count + 1 : -2;
	}
	free(walk.members);
	return count;
}

struct trace_result trace_add(struct source *source, const struct command *command,
			      uint64_t *open_slots)
{
	uint32_t depth = command->depth > PM_DEPTH_UNLIMITED ? PM_DEPTH_UNLIMITED : command->depth;
	struct proc_stat root;
	long count = 0, before = -1;
	bool was_open;

	if (command->slot >= PM_SLOTS_MAX)
		return (struct trace_result){0, "slot_range"};
	if (!proc_read_stat(command->tgid, &root) || root.state == 'Z' ||
	    root.start_ticks != command->start_ticks)
		return (struct trace_result){0, "root_gone"};
	was_open = *open_slots & 1ull << command->slot;
	/* The slot first, then the root, then its descendants: forks during the walk inherit. */
	source->trace_open(source->self, command->slot, command->collect);
	if (!source->trace_put(source->self, command->tgid, command->start_ticks, command->slot,
			       depth))
		count = -2;
	for (int i = 0; i < TRACE_PASSES_MAX && count >= 0 && count != before; i++) {
		before = count;
		count = pass(source, command, depth);
	}
	if (count < 0 && !was_open)
		source->trace_close(source->self, command->slot);
	if (count == -1)
		return (struct trace_result){0, "root_gone"};
	if (count < 0)
		return (struct trace_result){0, "table_full"};
	*open_slots |= 1ull << command->slot;
	return (struct trace_result){(uint32_t)count, ""};
}

struct trace_result trace_remove(struct source *source, const struct command *command,
				 uint64_t *open_slots)
{
	if (command->slot >= PM_SLOTS_MAX)
		return (struct trace_result){0, "slot_range"};
	*open_slots &= ~(1ull << command->slot);
	source->trace_close(source->self, command->slot);
	return (struct trace_result){0, ""};
}

void trace_send_state(struct frame_writer *writer, uint16_t tier, const struct command *command,
		      const struct trace_result *result)
{
	struct frame_header header = frame_own_header(FRAME_KIND_TRACE_STATE, tier);

	frame_begin(writer, &header);
	frame_u32(writer, FRAME_TAG_SLOT, command->slot);
	frame_u32(writer, FRAME_TAG_COUNT, result->count);
	frame_text(writer, FRAME_TAG_CAUSE, result->cause);
	frame_end(writer);
}
