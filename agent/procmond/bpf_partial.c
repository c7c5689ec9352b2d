/* The frames of bpf_partial.h. Most hosts have no row at all, so a walk is one system call. */
#include "bpf_partial.h"

#include <bpf/bpf.h>

#include "event_frame.h"
#include "proc_read.h"
#include "procmond.h"

static void send_one(struct frame_writer *writer, const struct scope *scope, uint32_t tgid,
		     const struct pm_partial_row *row, uint32_t cause)
{
	struct frame_header header = frame_own_header(FRAME_KIND_VIEW_PARTIAL, FRAME_TIER_EBPF);
	uint64_t now_ns = header.ktime_ns;
	struct proc_stat stat;
	uint32_t ns_pid;

	/* Gone: its exit says that nothing more comes. */
	if (!proc_read_stat(tgid, &stat) || stat.start_ticks != row->start_ticks)
		return;
	proc_fill_header(&header, &stat, scope, &ns_pid);
	header.ktime_ns = now_ns;
	header.flags = FRAME_FLAG_TRACED;
	frame_begin(writer, &header);
	frame_text(writer, FRAME_TAG_COMM, stat.comm);
	frame_text(writer, FRAME_TAG_CAUSE, event_process_partial_cause(cause));
	frame_end(writer);
}

void bpf_partial_send(int partial_fd, int traced_fd, const struct scope *scope,
		      struct frame_writer *writer)
{
	static uint32_t keys[PM_PARTIAL_MAX];
	uint32_t *last = NULL;
	size_t count = 0;

	/* Keys first, changes after: a change during iteration would restart it. */
	while (count < PM_PARTIAL_MAX && !bpf_map_get_next_key(partial_fd, last, &keys[count]))
		last = &keys[count++];
	for (size_t i = 0; i < count; i++) {
		struct pm_partial_row row;
		struct pm_traced traced;

		if (bpf_map_lookup_elem(partial_fd, &keys[i], &row) || !(row.seen & ~row.told) ||
		    bpf_map_lookup_elem(traced_fd, &keys[i], &traced) ||
		    traced.start_ticks != row.start_ticks)
			continue;
		for (uint32_t cause = PM_PARTIAL_IO_URING; cause <= PM_PARTIAL_COMPAT32; cause <<= 1)
			if (row.seen & ~row.told & cause)
				send_one(writer, scope, keys[i], &row, cause);
		row.told = row.seen;
		bpf_map_update_elem(partial_fd, &keys[i], &row, BPF_EXIST);
	}
}
