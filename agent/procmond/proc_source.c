/*
 * The polling tier: fork, exec, exit and TCP derived from the difference of two looks at /proc,
 * and the snapshot both tiers begin with. It runs anywhere, also without root. It guarantees that
 * what it says was true when it looked. It must never number its events: nothing counts what it
 * missed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "absent.h"
#include "clock.h"
#include "net_frame.h"
#include "pace.h"
#include "proc_facts.h"
#include "proc_read.h"
#include "proc_table.h"
#include "source.h"

struct proc_source {
	const struct scope *scope;
	struct frame_writer *writer; /* of the pump that runs */
	struct proc_table known;
	struct proc_table next; /* being filled by a poll */
	struct net_table net;
	struct source_sampling sampling;
	uint64_t polled_at_ns; /* the last time */
	uint64_t kept_ns; /* the interval really kept */
	uint32_t netns;
	uint64_t poll_at_ns;
	uint64_t stats_at_ns;
	uint64_t active_slots;
	bool sheds_network;
	uint64_t network_polls_shed;
};

static uint16_t traced_flag(const struct proc_source *self, const struct proc_row *row)
{
	return row->traced.slots & self->active_slots ? FRAME_FLAG_TRACED : 0;
}

static void begin(struct proc_source *self, struct proc_row *row, uint16_t kind)
{
	struct frame_header header = row->header;

	header.kind = kind;
	header.tier = FRAME_TIER_PROC;
	header.flags = traced_flag(self, row);
	header.ktime_ns = clock_boot_ns();
	frame_begin(self->writer, &header);
	frame_bytes(self->writer, FRAME_TAG_COMM, row->stat.comm,
		    strnlen(row->stat.comm, PM_COMM_BYTES));
}

static void send_fork(struct proc_source *self, struct proc_row *row, const struct proc_row *parent)
{
	struct absent absent = {0};

	begin(self, row, FRAME_KIND_FORK);
	frame_u32(self->writer, FRAME_TAG_PARENT_TGID, row->stat.parent);
	if (parent)
		frame_u64(self->writer, FRAME_TAG_PARENT_TICKS, parent->stat.start_ticks);
	else if (row->stat.parent)
		absent_add(&absent, "PARENT_TICKS", ABSENT_GONE);
	if (row->ns_pid)
		frame_u32(self->writer, FRAME_TAG_NS_PID, row->ns_pid);
	else
		absent_add(&absent, "NS_PID", ABSENT_GONE);
	absent_add_ids(&absent, row->ids_known, row->header.cgroup_id);
	absent_send(self->writer, &absent);
	frame_end(self->writer);
}

static void send_exit(struct proc_source *self, struct proc_row *row)
{
	struct absent absent = {0};

	if (row->exit_sent || !row->in_scope)
		return;
	row->exit_sent = true;
	begin(self, row, FRAME_KIND_EXIT);
	/* Only a zombie still shows its code, and 0 also stands for "not permitted". */
	if (row->stat.exit_code)
		frame_u32(self->writer, FRAME_TAG_EXIT_CODE, row->stat.exit_code);
	else
		absent_add(&absent, "EXIT_CODE", ABSENT_TIER);
	absent_add_ids(&absent, row->ids_known, row->header.cgroup_id);
	absent_send(self->writer, &absent);
	frame_end(self->writer);
}

static bool look_up_scope(struct proc_source *self, uint32_t pid)
{
	char cgroup[SCOPE_PATH_BYTES];

	if (self->scope->whole_machine)
		return true;
	return proc_read_cgroup(pid, cgroup, sizeof(cgroup)) && scope_contains(self->scope, cgroup);
}

static void visit(void *context, uint32_t pid)
{
	struct proc_source *self = context;
	struct proc_row *row, *before = proc_table_find(&self->known, pid);
	struct proc_stat stat;

	if (!proc_read_stat(pid, &stat))
		return;
	row = proc_table_add(&self->next);
	if (!row)
		return;
	if (before && before->stat.start_ticks == stat.start_ticks)
		*row = *before;
	row->stat = stat;
}

/* What changed in one process; rows are sorted, so parents can be found in both tables. */
static void compare(struct proc_source *self, struct proc_row *row, bool baseline)
{
	struct proc_row *before = proc_table_find(&self->known, row->stat.pid);
	struct proc_row *parent = proc_table_find(&self->next, row->stat.parent);
	bool is_new = !before || before->stat.start_ticks != row->stat.start_ticks;
	bool was_in_scope, enters;
	uint64_t image;

	if (row->stat.state == 'Z' && !is_new) {
		send_exit(self, row);
		return;
	}
	/* An exec lays out its arguments anew; while they lie where they lay, nothing needs reading. */
	image = !is_new && before->stat.arg_start && before->stat.arg_start == row->stat.arg_start
			? before->image
			: proc_image(&row->stat);
	/* A process that was moved into the scope is new to the agent, so it is introduced. */
	was_in_scope = !is_new && row->in_scope;
	row->in_scope = look_up_scope(self, row->stat.pid);
	enters = row->in_scope && !was_in_scope;
	if (is_new || enters)
		row->ids_known = proc_fill_header(&row->header, &row->stat, self->scope, &row->ns_pid);
	if (is_new && parent && !baseline)
		traced_inherit(&parent->traced, self->active_slots, &row->traced);
	if (row->in_scope && !baseline) {
		if (enters)
			send_fork(self, row, parent);
		if (enters ? !parent || parent->image != image : row->image != image)
			proc_send_exec(self->writer, FRAME_KIND_EXEC, FRAME_TIER_PROC,
				       traced_flag(self, row), &row->stat, self->scope);
		if (is_new && row->stat.state == 'Z')
			send_exit(self, row);
	}
	row->image = image;
}

static void poll_processes(struct proc_source *self, bool baseline)
{
	struct proc_table old;

	self->next.used = 0;
	proc_for_each(visit, self);
	proc_table_sort(&self->next);
	for (size_t i = 0; i < self->next.used; i++)
		compare(self, &self->next.rows[i], baseline);
	for (size_t i = 0; i < self->known.used && !baseline; i++) {
		struct proc_row *row = &self->known.rows[i];
		struct proc_row *now = proc_table_find(&self->next, row->stat.pid);

		if (!now || now->stat.start_ticks != row->stat.start_ticks) {
			row->stat.exit_code = 0;
			send_exit(self, row);
		}
	}
	/* The old rows' memory is reused by the next poll. */
	old = self->known;
	self->known = self->next;
	self->next = old;
}

static bool owner(void *context, uint32_t pid, struct frame_header *header, char *comm)
{
	struct proc_source *self = context;
	struct proc_row *row = proc_table_find(&self->known, pid);

	if (!row || !row->in_scope)
		return false;
	*header = row->header;
	header->tier = FRAME_TIER_PROC;
	header->flags = traced_flag(self, row);
	memcpy(comm, row->stat.comm, PM_COMM_BYTES);
	return true;
}

static void poll_network(struct proc_source *self, bool baseline)
{
	struct net_report report = {self->writer, owner, self, self->netns, baseline};
	struct net_table next = {0};

	net_table_read_proc(&next);
	if (net_table_replace(&self->net, &next, 0))
		for (size_t i = 0; i < self->known.used; i++)
			if (self->known.rows[i].in_scope)
				net_table_claim(&self->net, self->known.rows[i].stat.pid);
	net_report_send(&report, &self->net);
}

static void send_stats(struct proc_source *self)
{
	struct frame_header header = frame_own_header(FRAME_KIND_STATS, FRAME_TIER_PROC);
	struct clock_pair pair = clock_read_pair();

	header.ktime_ns = pair.boot_ns;
	frame_begin(self->writer, &header);
	frame_u64(self->writer, FRAME_TAG_WALL_NS, pair.wall_ns);
	/* Longer than configured where polling at that pace would be the load. */
	frame_u32(self->writer, FRAME_TAG_POLL_MS, (uint32_t)(self->kept_ns / NS_PER_MS));
	frame_end(self->writer);
}

static bool proc_pump(void *context, struct frame_writer *writer, uint64_t now_ns)
{
	struct proc_source *self = context;

	self->writer = writer;
	if (now_ns >= self->poll_at_ns) {
		struct pace pace = pace_begin(now_ns);

		if (self->polled_at_ns)
			self->kept_ns = now_ns - self->polled_at_ns;
		self->polled_at_ns = now_ns;
		poll_processes(self, false);
		if (self->sheds_network)
			self->network_polls_shed += self->sampling.connections;
		else if (self->sampling.connections)
			poll_network(self, false);
		self->poll_at_ns = pace_next(&pace, self->sampling.poll_ms);
	}
	if (now_ns >= self->stats_at_ns) {
		send_stats(self);
		self->stats_at_ns = now_ns + NS_PER_SECOND;
	}
	return frame_flush(writer);
}

static int proc_wait_ms(void *context, uint64_t now_ns)
{
	struct proc_source *self = context;
	uint64_t at = self->poll_at_ns < self->stats_at_ns ? self->poll_at_ns : self->stats_at_ns;

	return pace_wait_ms(now_ns, at);
}

static bool put(void *context, uint32_t tgid, uint64_t start_ticks, uint32_t slot, uint32_t depth)
{
	struct proc_source *self = context;
	struct proc_row *row = proc_table_find(&self->known, tgid);

	/* Born since the last poll: it inherits when the next one finds it. */
	if (!row || row->stat.start_ticks != start_ticks)
		return true;
	traced_put(&row->traced, slot, depth);
	return true;
}

static void slot_open(void *context, uint32_t slot, uint32_t collect)
{
	struct proc_source *self = context;

	(void)collect;
	self->active_slots |= 1ull << slot;
}

static void slot_close(void *context, uint32_t slot)
{
	struct proc_source *self = context;

	self->active_slots &= ~(1ull << slot);
	for (size_t i = 0; i < self->known.used; i++)
		self->known.rows[i].traced.slots &= ~(1ull << slot);
}

static uint64_t slots_of(void *context, uint32_t tgid, uint64_t start_ticks)
{
	struct proc_source *self = context;
	struct proc_row *row = proc_table_find(&self->known, tgid);

	return row && row->stat.start_ticks == start_ticks ? row->traced.slots & self->active_slots : 0;
}

/* Of all classes only the connections are a look of their own, and the dearest. */
static void set_shed(void *context, uint64_t classes)
{
	struct proc_source *self = context;

	self->sheds_network = classes & 1ull << FRAME_SHED_NETWORK;
}

/* What was not looked at cannot be counted: each look that was left out counts as one. */
static void shed_totals(void *context, uint64_t totals[FRAME_SHED_CLASS_COUNT])
{
	struct proc_source *self = context;

	totals[FRAME_SHED_NETWORK] = self->network_polls_shed;
}

static void proc_close(void *context)
{
	struct proc_source *self = context;

	free(self->known.rows);
	free(self->next.rows);
	net_table_free(&self->net);
	free(self);
}

static void report_sight(const struct proc_source *self, struct source_report *report)
{
	const char *hidden = proc_hidden_by();

	snprintf(report->programs, sizeof(report->programs), "poll");
	snprintf(report->missing, sizeof(report->missing),
		 SOURCE_KERNEL_ONLY ",set_id,ptrace,processes between polls,exit codes,creators,bytes%s%s%s",
		 self->sampling.connections ? "" : ",connections",
		 proc_sees_others() ? "" : ",programs and sockets of other users",
		 hidden ? ",hidden processes" : "");
	if (hidden)
		snprintf(report->cause, sizeof(report->cause), "proc: %s, only %s are shown", hidden,
			 strcmp(hidden, "hidepid") ? "its own processes" : "processes of this user");
}

bool proc_source_open(struct source *source, const struct scope *scope,
		      const struct source_sampling *sampling, struct source_report *report)
{
	struct proc_source *self = calloc(1, sizeof(*self));

	if (!self)
		return false;
	self->scope = scope;
	self->sampling = *sampling;
	self->kept_ns = sampling->poll_ms * NS_PER_MS;
	self->netns = net_own_netns();
	/* A first look, so that the first poll reports only what began after it. */
	poll_processes(self, true);
	if (sampling->connections)
		poll_network(self, true);
	report_sight(self, report);
	*source = (struct source){
		.tier = FRAME_TIER_PROC, .self = self, .pump = proc_pump, .wait_ms = proc_wait_ms,
		.trace_put = put, .trace_open = slot_open, .trace_close = slot_close,
		.close = proc_close, .set_policy = proc_env_select, .slots_of = slots_of,
		.set_shed = set_shed, .shed_totals = shed_totals,
	};
	return true;
}
