/*
 * The snapshot: what runs already when observation begins, told by the kernel's list of tasks where
 * the source can read it, else by walking /proc. It guarantees one frame per process in
 * scope and a count at the end. It must never wait for a process: one that vanishes is left out,
 * its exit is in the ring.
 */
#include "proc_read.h"
#include "source.h"

struct snapshot {
	struct frame_writer *writer;
	const struct scope *scope;
	enum frame_tier tier;
	uint32_t count;
};

static void visit(void *context, uint32_t pid)
{
	struct snapshot *snapshot = context;
	char cgroup[SCOPE_PATH_BYTES];
	struct proc_stat stat;

	if (snapshot->writer->closed || !proc_read_stat(pid, &stat) || stat.state == 'Z')
		return;
	if (!snapshot->scope->whole_machine &&
	    (!proc_read_cgroup(pid, cgroup, sizeof(cgroup)) ||
	     !scope_contains(snapshot->scope, cgroup)))
		return;
	snapshot->count += proc_send_exec(snapshot->writer, FRAME_KIND_SNAPSHOT, snapshot->tier, 0,
					  &stat, snapshot->scope);
}

void snapshot_send(struct frame_writer *writer, const struct scope *scope,
		   const struct source *source)
{
	struct snapshot snapshot = {writer, scope, source->tier, 0};
	struct frame_header header;
	long count = source->snapshot ? source->snapshot(source->self, writer) : -1;

	/* One that was cut short begins anew: the agent takes the later frame of a process. */
	if (count < 0) {
		proc_for_each(visit, &snapshot);
		count = snapshot.count;
	}
	header = frame_own_header(FRAME_KIND_SNAPSHOT_END, source->tier);
	frame_begin(writer, &header);
	frame_u32(writer, FRAME_TAG_COUNT, (uint32_t)count);
	frame_end(writer);
}
