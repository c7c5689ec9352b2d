/*
 * The walk over what runs already: for executables when the policy first asks for hashes, for memory
 * headers when a trace begins. It guarantees a bounded pace: a few processes per round, and none
 * while the desk is busy with events. It must never visit more than ran when it began: what starts
 * later has an event of its own.
 */
#include <stdlib.h>

#include "clock.h"
#include "hash_desk.h"
#include "proc_read.h"

/* Three files of /proc each, some 60 µs: a twentieth of the time at most. */
#define PIDS_PER_ROUND 8
#define ROUND_NS (10 * NS_PER_MS)

static void collect(void *context, uint32_t pid)
{
	struct hash_walk *walk = context;

	if (walk->used == walk->room) {
		size_t room = walk->room ? 2 * walk->room : 512;
		uint32_t *grown = realloc(walk->pids, room * sizeof(*grown));

		if (!grown)
			return;
		walk->pids = grown;
		walk->room = room;
	}
	walk->pids[walk->used++] = pid;
}

/* Memory first: it was asked for by a person or a rule just now. */
static bool begin(struct hash_walk *walk)
{
	if (!walk->memory_pending && !walk->executables_pending)
		return false;
	walk->memory_slot = walk->memory_pending & -walk->memory_pending;
	if (walk->memory_slot)
		walk->memory_pending &= ~walk->memory_slot;
	else
		walk->executables_pending = false;
	walk->used = 0;
	walk->at = 0;
	proc_for_each(collect, walk);
	return walk->pids != NULL;
}

static void end(struct hash_walk *walk)
{
	free(walk->pids);
	walk->pids = NULL;
	walk->room = 0;
}

static bool is_in_scope(const struct hash_desk *desk, uint32_t pid)
{
	char cgroup[SCOPE_PATH_BYTES];

	return desk->scope->whole_machine || (proc_read_cgroup(pid, cgroup, sizeof(cgroup)) &&
					      scope_contains(desk->scope, cgroup));
}

static void visit(struct hash_desk *desk, uint32_t pid)
{
	const struct source *source = desk->source;
	uint64_t slot = desk->walk.memory_slot;
	struct frame_header header = {.tier = (uint16_t)source->tier};
	struct proc_stat stat;
	struct hash_row *row;
	uint32_t ns_pid;

	if (!proc_read_stat(pid, &stat) || stat.state == 'Z' || stat.kernel_thread)
		return;
	if (slot ? !source->slots_of || !(source->slots_of(source->self, pid, stat.start_ticks) & slot)
		 : !is_in_scope(desk, pid))
		return;
	proc_fill_header(&header, &stat, desk->scope, &ns_pid);
	if (slot)
		header.flags = FRAME_FLAG_TRACED;
	row = hash_desk_add(desk, slot ? HASH_KIND_MEMORY : HASH_KIND_IDENTIFY, &header);
	if (row)
		row->quiet = !slot;
}

void hash_walk_step(struct hash_desk *desk, uint64_t now_ns)
{
	struct hash_walk *walk = &desk->walk;

	if (now_ns < walk->next_ns || (!walk->pids && !begin(walk)))
		return;
	walk->next_ns = now_ns + ROUND_NS;
	for (int i = 0; i < PIDS_PER_ROUND && walk->at < walk->used; i++) {
		if (desk->used >= HASH_JOBS_MAX - HASH_JOBS_FOR_EXECUTABLES)
			return;
		visit(desk, walk->pids[walk->at++]);
	}
	if (walk->at == walk->used)
		end(walk);
}
