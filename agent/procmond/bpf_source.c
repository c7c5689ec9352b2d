/*
 * The kernel programs as a source of events. It guarantees the order of the ring, and stats whose
 * heads are covered: every number up to a published head was offered to the agent before, or is
 * lost. It must never read the ring faster than the agent takes frames: the loss is then counted
 * in the kernel, where it has numbers.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf_guard.h"
#include "bpf_load.h"
#include "bpf_partial.h"
#include "bpf_tasks.h"
#include "bpf_trace.h"
#include "bpf_watch.h"
#include "clock.h"
#include "event_frame.h"
#include "proc_read.h"
#include "procmond.skel.h"
#include "source.h"

/*
 * The programs never wake the reader, so this is the latency of an event: short enough that a trace
 * feels immediate, long enough that a hundred rounds a second cost nothing measurable.
 */
#define ROUND_MS 10
/* Leave the ring now and then, so that a storm cannot keep the agent's commands waiting. */
#define EVENTS_PER_ROUND 4096
/* Two u64 arrays must fit one frame. */
#define CPUS_MAX 2048

struct bpf_source {
	struct procmond_bpf *skeleton;
	struct name_entry entry;
	struct ring_buffer *ring;
	struct bpf_guard *guard;
	const struct scope *scope; /* the session's */
	bool partial_pending; /* a trace took processes in since the last look */
	struct frame_writer *writer; /* of the pump that runs */
	int cpus;
	unsigned events_in_round;
	uint64_t bytes_since_sample;
	uint64_t stats_at_ns;
	bool stats_pending;
	struct pm_cpu_state *sample;
	struct pm_cpu_state *shed;
	uint64_t *column;
};

static int on_event(void *context, void *event, size_t bytes)
{
	struct bpf_source *self = context;

	event_frame_send(self->writer, event, bytes);
	self->bytes_since_sample += bytes;
	if (self->writer->closed || self->writer->record_failed)
		return -EPIPE;
	return ++self->events_in_round >= EVENTS_PER_ROUND ? -EAGAIN : 0;
}

static uint64_t program_misses(const struct bpf_source *self)
{
	struct bpf_program *program;
	uint64_t sum = 0;

	bpf_object__for_each_program(program, self->skeleton->obj) {
		struct bpf_prog_info info = {0};
		__u32 bytes = sizeof(info);
		int fd = bpf_program__fd(program);

		if (fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &bytes))
			sum += info.recursion_misses;
	}
	return sum;
}

static void send_column(struct bpf_source *self, struct frame_writer *writer, uint16_t tag,
			size_t offset)
{
	for (int i = 0; i < self->cpus; i++)
		memcpy(&self->column[i], (const char *)&self->sample[i] + offset, sizeof(uint64_t));
	frame_bytes(writer, tag, self->column, (size_t)self->cpus * sizeof(uint64_t));
}

static void send_stats(struct bpf_source *self, struct frame_writer *writer)
{
	struct frame_header header = frame_own_header(FRAME_KIND_STATS, FRAME_TIER_EBPF);
	struct clock_pair pair = clock_read_pair();

	header.ktime_ns = pair.boot_ns;
	frame_begin(writer, &header);
	send_column(self, writer, FRAME_TAG_CPU_HEADS, offsetof(struct pm_cpu_state, head));
	send_column(self, writer, FRAME_TAG_CPU_DROPS, offsetof(struct pm_cpu_state, drops));
	frame_u64(writer, FRAME_TAG_WALL_NS, pair.wall_ns);
	frame_u64(writer, FRAME_TAG_MISSES, program_misses(self));
	frame_end(writer);
}

static void sample_heads(struct bpf_source *self, uint64_t now_ns)
{
	uint32_t zero = 0;
	int fd = bpf_map__fd(self->skeleton->maps.cpu_state);

	if (bpf_map_lookup_elem(fd, &zero, self->sample))
		return;
	self->stats_pending = true;
	self->bytes_since_sample = 0;
	self->stats_at_ns = now_ns + NS_PER_SECOND;
}

static bool bpf_pump(void *context, struct frame_writer *writer, uint64_t now_ns)
{
	struct bpf_source *self = context;
	int taken;

	self->writer = writer;
	self->events_in_round = 0;
	taken = ring_buffer__consume(self->ring);
	/* Sampled a round ago: empty now, or a whole ring later, means all of it has passed. */
	if (self->stats_pending && (taken >= 0 || self->bytes_since_sample >= PM_RING_BYTES)) {
		send_stats(self, writer);
		bpf_guard_check(self->guard, writer);
		self->stats_pending = false;
	}
	if (self->partial_pending) {
		self->partial_pending = false;
		bpf_partial_send(bpf_map__fd(self->skeleton->maps.partial),
				 bpf_map__fd(self->skeleton->maps.traced), self->scope, writer);
	}
	if (!self->stats_pending && now_ns >= self->stats_at_ns)
		sample_heads(self, now_ns);
	return frame_flush(writer);
}

static int bpf_wait_ms(void *context, uint64_t now_ns)
{
	struct bpf_source *self = context;

	(void)now_ns;
	/* A round that was cut short goes on at once. */
	return self->events_in_round >= EVENTS_PER_ROUND ? 0 : ROUND_MS;
}

static bool put(void *context, uint32_t tgid, uint64_t start_ticks, uint32_t slot, uint32_t depth)
{
	struct bpf_source *self = context;

	self->partial_pending = true;
	return bpf_trace_put(bpf_map__fd(self->skeleton->maps.traced), tgid, start_ticks, slot,
			     depth);
}

static void slot_open(void *context, uint32_t slot, uint32_t collect)
{
	struct bpf_source *self = context;
	struct procmond_bpf__bss *set = bpf_guard_globals(self->guard);
	uint64_t bit = 1ull << slot;

	if (collect & FRAME_COLLECT_FILE)
		self->skeleton->bss->file_slots = set->file_slots |= bit;
	else
		self->skeleton->bss->file_slots = set->file_slots &= ~bit;
	self->skeleton->bss->active_slots = set->active_slots |= bit;
}

static void slot_close(void *context, uint32_t slot)
{
	struct bpf_source *self = context;
	struct procmond_bpf__bss *set = bpf_guard_globals(self->guard);
	uint64_t bit = 1ull << slot;

	/* The kernel stops looking at the slot before its rows go. */
	self->skeleton->bss->active_slots = set->active_slots &= ~bit;
	self->skeleton->bss->file_slots = set->file_slots &= ~bit;
	bpf_trace_clear(bpf_map__fd(self->skeleton->maps.traced), slot);
}

static bool set_policy(void *context, const struct policy *policy)
{
	struct bpf_source *self = context;
	struct procmond_bpf__bss *set = bpf_guard_globals(self->guard);

	/* The names before the first environment arrives; it is read no more before they go. */
	if (!policy->env_count)
		self->skeleton->bss->env_is_read = set->env_is_read = 0;
	event_process_set_env_names(policy);
	if (policy->env_count)
		self->skeleton->bss->env_is_read = set->env_is_read = 1;
	return bpf_watch_set(self->skeleton, set, policy);
}

static void set_agent(void *context, uint32_t tgid)
{
	struct bpf_source *self = context;

	bpf_guard_set_agent(self->guard, tgid);
}

static int task_link_fd(const struct bpf_source *self)
{
	return self->skeleton->links.on_task ? bpf_link__fd(self->skeleton->links.on_task) : -1;
}

static void send_task(void *context, const struct pm_long *event, size_t bytes)
{
	struct frame_writer *writer = context;

	if (!writer->closed)
		event_frame_send(writer, event, bytes);
}

static long snapshot(void *context, struct frame_writer *writer)
{
	struct bpf_source *self = context;

	return task_link_fd(self) < 0 ? -1 : bpf_tasks_read(task_link_fd(self), send_task, writer);
}

struct task_visit {
	source_visit *visit;
	void *context;
};

static void visit_task(void *context, const struct pm_long *event, size_t bytes)
{
	struct task_visit *to = context;

	(void)bytes;
	to->visit(to->context, event->head.tgid, event->parent_tgid, event->head.start_ticks);
}

static bool visit_tasks(void *context, source_visit *visit, void *visit_context)
{
	struct bpf_source *self = context;
	struct task_visit to = {visit, visit_context};
	bool whole;

	if (task_link_fd(self) < 0)
		return false;
	self->skeleton->bss->task_iter_is_lean = 1;
	whole = bpf_tasks_read(task_link_fd(self), visit_task, &to) >= 0;
	self->skeleton->bss->task_iter_is_lean = 0;
	return whole;
}

static uint64_t slots_of(void *context, uint32_t tgid, uint64_t start_ticks)
{
	struct bpf_source *self = context;
	struct pm_traced row;

	if (bpf_map_lookup_elem(bpf_map__fd(self->skeleton->maps.traced), &tgid, &row) ||
	    row.start_ticks != start_ticks)
		return 0;
	return row.slots & bpf_guard_globals(self->guard)->active_slots;
}

static void set_shed(void *context, uint64_t classes)
{
	struct bpf_source *self = context;

	self->skeleton->bss->shed_mask = bpf_guard_globals(self->guard)->shed_mask = classes;
}

static void shed_totals(void *context, uint64_t totals[FRAME_SHED_CLASS_COUNT])
{
	struct bpf_source *self = context;
	uint32_t zero = 0;

	/* A buffer of its own: the sample of the heads may still be waiting to be sent. */
	if (bpf_map_lookup_elem(bpf_map__fd(self->skeleton->maps.cpu_state), &zero, self->shed))
		return;
	for (int cpu = 0; cpu < self->cpus; cpu++)
		for (int class = 0; class < FRAME_SHED_CLASS_COUNT; class++)
			totals[class] += self->shed[cpu].shed[class];
}

static void bpf_close(void *context)
{
	struct bpf_source *self = context;

	bpf_guard_close(self->guard);
	ring_buffer__free(self->ring);
	name_entry_close(&self->entry);
	procmond_bpf__destroy(self->skeleton);
	free(self->sample);
	free(self->shed);
	free(self->column);
	free(self);
}

bool bpf_source_open(struct source *source, const struct scope *scope,
		     struct source_report *report)
{
	struct bpf_source *self;

	memset(report, 0, sizeof(*report));
	/* Pids and start times of the events are those of the first namespaces; /proc must agree. */
	if (!proc_in_init_namespaces()) {
		snprintf(report->cause, sizeof(report->cause), "not_in_init_namespace");
		return false;
	}
	self = calloc(1, sizeof(*self));
	if (!self)
		return false;
	self->skeleton = bpf_load(scope->cgroup_id, report, &self->entry);
	if (!self->skeleton) {
		free(self);
		return false;
	}
	self->cpus = libbpf_num_possible_cpus();
	self->sample = calloc((size_t)self->cpus, sizeof(*self->sample));
	self->shed = calloc((size_t)self->cpus, sizeof(*self->shed));
	if (self->cpus > CPUS_MAX)
		self->cpus = CPUS_MAX;
	self->column = calloc((size_t)self->cpus, sizeof(*self->column));
	self->ring = ring_buffer__new(bpf_map__fd(self->skeleton->maps.ring), on_event, self, NULL);
	self->guard = bpf_guard_open(self->skeleton, &self->entry);
	self->scope = scope;
	if (!self->ring || !self->sample || !self->shed || !self->column || !self->guard) {
		bpf_close(self);
		snprintf(report->cause, sizeof(report->cause), "no_memory");
		return false;
	}
	/* Loading parses the kernel's type information; none of it is needed from here on. */
	malloc_trim(0);
	*source = (struct source){.tier = FRAME_TIER_EBPF, .self = self, .pump = bpf_pump,
				  .wait_ms = bpf_wait_ms, .trace_put = put, .trace_open = slot_open,
				  .trace_close = slot_close, .close = bpf_close,
				  .set_policy = set_policy, .snapshot = snapshot,
				  .visit_tasks = visit_tasks, .set_agent = set_agent,
				  .slots_of = slots_of,
				  .set_shed = set_shed, .shed_totals = shed_totals};
	return true;
}
