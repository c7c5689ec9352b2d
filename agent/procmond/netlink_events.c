/*
 * Turns messages of the connector into frames, and keeps the table of processes that they need.
 * A message names a pid and little else: the rest is read from /proc at once, and is `gone` when
 * that was too late. It guarantees that what is read belongs to the process the message is about:
 * read through a descriptor of that process whose start time is the one known. It must never take
 * facts from a process that began after the message.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "netlink_source.h"
#include "proc_read.h"
#include "proc_table.h"

#define NS_PER_TICK 10000000ull
/* The number kernfs gives to the root of every hierarchy. */
#define CGROUP_ROOT_ID 1

static uint64_t boot_ns_of(const struct nlsource *self, const struct nlproc_event *event)
{
	return event->monotonic_ns + self->boot_minus_monotonic_ns;
}

static uint16_t traced_flag(const struct nlsource *self, const struct nlprocess *row)
{
	return row->traced.slots & self->active_slots ? FRAME_FLAG_TRACED : 0;
}

static struct frame_header header_of(const struct nlsource *self, const struct nlprocess *row)
{
	struct frame_header header = {.tier = FRAME_TIER_NETLINK, .tgid = row->tgid,
				      .tid = row->tgid, .start_ticks = row->start_ticks};

	header.flags = traced_flag(self, row);
	proc_ids_to_header(&row->ids, &header);
	return header;
}

/* Takes the next number of the message's CPU: only what becomes a frame has one. */
static void begin(struct nlsource *self, const struct nlproc_event *event, uint16_t kind,
		  const struct nlprocess *row, uint16_t flags)
{
	struct frame_header header = header_of(self, row);

	header.kind = kind;
	header.flags |= flags;
	header.cpu = event->cpu;
	header.tid = kind == FRAME_KIND_PTRACE ? event->other_tid : event->tid;
	header.ktime_ns = boot_ns_of(self, event);
	if (event->cpu < self->cpus)
		header.cpu_seq = ++self->counters[event->cpu].head;
	frame_begin(self->writer, &header);
	if (row->comm[0])
		frame_bytes(self->writer, FRAME_TAG_COMM, row->comm,
			    strnlen(row->comm, sizeof(row->comm)));
}

static void take_stat(struct nlprocess *row, const struct proc_stat *stat)
{
	row->start_ticks = stat->start_ticks;
	row->sid = stat->sid;
	row->has_threads = stat->threads > 1;
	memcpy(row->comm, stat->comm, sizeof(row->comm));
}

/*
 * A descriptor of the process that the message is about, with its stat; -1 when it is gone. A
 * known start time must be met; else the process must have begun before the message.
 */
static int look(const struct nlsource *self, const struct nlproc_event *event,
		const struct nlprocess *known, struct proc_stat *stat)
{
	uint64_t latest = boot_ns_of(self, event) / NS_PER_TICK;
	int dir = known && known->estimated ? -1 : proc_dir_open(event->tgid);

	if (dir >= 0 && proc_dir_stat(dir, event->tgid, stat) &&
	    (known ? stat->start_ticks == known->start_ticks : stat->start_ticks <= latest))
		return dir;
	if (dir >= 0)
		close(dir);
	return -1;
}

/* Reads the ids; what it was too late for stays as it was. */
static void refresh_ids(const struct nlsource *self, int dir, struct proc_ids *ids)
{
	struct proc_ids now;

	proc_dir_ids(dir, self->scope, &now);
	if (!now.scope_known) {
		now.in_scope = ids->in_scope;
		now.cgroup_id = ids->cgroup_id;
	}
	if (!now.known) {
		now.uid = ids->uid;
		now.gid = ids->gid;
		now.euid = ids->euid;
		now.ns_pid = ids->ns_pid;
		now.known = ids->known;
	}
	*ids = now;
}

/* The row of a process whose fork was not seen. */
static struct nlprocess *adopt(struct nlsource *self, const struct nlproc_event *event)
{
	static struct nlprocess spare;
	struct nlprocess *row = nltable_find(&self->table, event->tgid);
	struct proc_stat stat;
	int dir;

	if (row)
		return row;
	row = nltable_put(&self->table, event->tgid);
	if (!row) {
		/* The table is full: the event is told, the process is not remembered. */
		row = &spare;
		*row = (struct nlprocess){.tgid = event->tgid};
	}
	row->mark = self->mark;
	row->ids.in_scope = self->scope->whole_machine;
	dir = look(self, event, NULL, &stat);
	if (dir < 0) {
		row->estimated = true;
		return row;
	}
	take_stat(row, &stat);
	row->parent_tgid = stat.parent;
	refresh_ids(self, dir, &row->ids);
	close(dir);
	return row;
}

/* Of the header's own fields, those that are not known or not exact. */
static void add_header_reasons(struct absent *absent, const struct nlprocess *row)
{
	absent_add_ids(absent, row->ids.known, row->ids.cgroup_id);
	if (row->estimated)
		absent_add(absent, "START_TICKS", row->start_ticks ? ABSENT_ESTIMATED : ABSENT_GONE);
}

static uint64_t ticks_of(const struct nlsource *self, uint32_t tgid)
{
	const struct nlprocess *row = nltable_find(&self->table, tgid);
	struct proc_stat stat;

	if (row)
		return row->start_ticks;
	return tgid && proc_read_stat(tgid, &stat) ? stat.start_ticks : 0;
}

static void send_parent(struct nlsource *self, uint32_t tgid, uint64_t ticks, struct absent *absent)
{
	frame_u32(self->writer, FRAME_TAG_PARENT_TGID, tgid);
	if (ticks)
		frame_u64(self->writer, FRAME_TAG_PARENT_TICKS, ticks);
	else if (tgid)
		absent_add(absent, "PARENT_TICKS", ABSENT_GONE);
}

/* Where the parent is now: a process may have moved between cgroups, which no message tells. */
static void take_parent_group(const struct nlsource *self, const struct nlprocess *parent,
			      struct proc_ids *ids)
{
	int dir = proc_dir_open(parent->tgid);
	struct proc_stat stat;
	struct proc_ids now = {0};

	ids->in_scope = parent->ids.in_scope;
	ids->cgroup_id = parent->ids.cgroup_id;
	if (dir < 0)
		return;
	if (proc_dir_stat(dir, parent->tgid, &stat) && stat.start_ticks == parent->start_ticks)
		proc_dir_ids(dir, self->scope, &now);
	if (now.scope_known) {
		ids->in_scope = now.in_scope;
		ids->cgroup_id = now.cgroup_id;
	}
	close(dir);
}

static void tell_fork(struct nlsource *self, const struct nlproc_event *event)
{
	const struct nlprocess *found = nltable_find(&self->table, event->other_tgid);
	struct nlprocess parent = found ? *found : (struct nlprocess){.tgid = event->other_tgid};
	struct nlprocess child = {.tgid = event->tgid, .parent_tgid = event->other_tgid,
				  .mark = self->mark};
	struct absent absent = {0};
	struct nlprocess *row;
	struct proc_stat stat;
	int dir = look(self, event, NULL, &stat);

	child.parent_ticks = found ? parent.start_ticks : ticks_of(self, parent.tgid);
	child.ids.in_scope = found ? parent.ids.in_scope : self->scope->whole_machine;
	child.ids.cgroup_id = parent.ids.cgroup_id;
	child.sid = parent.sid;
	if (dir >= 0) {
		take_stat(&child, &stat);
		refresh_ids(self, dir, &child.ids);
		close(dir);
	} else {
		child.estimated = true;
		child.start_ticks = boot_ns_of(self, event) / NS_PER_TICK;
	}
	/* A fork is told before the child is put into its group: until then /proc shows the root. */
	if (found && (dir < 0 ? !self->scope->whole_machine : child.ids.cgroup_id == CGROUP_ROOT_ID))
		take_parent_group(self, &parent, &child.ids);
	if (!child.ids.ns_pid)
		absent_add(&absent, "NS_PID", ABSENT_GONE);
	/* What a child has at its first moment is its parent's; /proc may show later ones. */
	if (parent.ids.known) {
		child.ids.uid = parent.ids.uid;
		child.ids.gid = parent.ids.gid;
		child.ids.euid = parent.ids.euid;
		child.ids.known = true;
	}
	if (found) {
		memcpy(child.comm, parent.comm, sizeof(child.comm));
		traced_inherit(&parent.traced, self->active_slots, &child.traced);
	}
	add_header_reasons(&absent, &child);
	if (nltable_was_used(&self->table, child.tgid, child.start_ticks))
		absent_add(&absent, "START_TICKS", ABSENT_AMBIGUOUS);
	row = nltable_put(&self->table, child.tgid);
	if (row)
		*row = child;
	if (!child.ids.in_scope)
		return;
	begin(self, event, FRAME_KIND_FORK, &child, 0);
	send_parent(self, child.parent_tgid, child.parent_ticks, &absent);
	if (child.ids.ns_pid)
		frame_u32(self->writer, FRAME_TAG_NS_PID, child.ids.ns_pid);
	absent_send(self->writer, &absent);
	frame_end(self->writer);
}

/* Another exec of the process that has happened meanwhile: what /proc shows may be its program. */
static bool is_overtaken(struct nlsource *self, const struct nlproc_event *event)
{
	nlsource_receive(self);
	for (size_t i = self->queue_from; i < self->queue_used; i++)
		if (self->queue[i].kind == NLPROC_EXEC && self->queue[i].tgid == event->tgid)
			return true;
	return false;
}

static void tell_exec(struct nlsource *self, const struct nlproc_event *event)
{
	static struct proc_program program;
	struct nlprocess *row = adopt(self, event);
	struct proc_stat stat = {.parent = row->parent_tgid, .sid = row->sid};
	int dir = look(self, event, row, &stat);
	uint64_t parent_ticks = row->parent_ticks;

	proc_dir_program(dir, false, &program);
	if (dir >= 0) {
		take_stat(row, &stat);
		refresh_ids(self, dir, &row->ids);
		close(dir);
	}
	if (dir >= 0 && is_overtaken(self, event))
		proc_dir_program(-1, false, &program);
	row->leader_gone = false;
	if (stat.parent != row->parent_tgid || !parent_ticks)
		parent_ticks = ticks_of(self, stat.parent);
	if (!row->ids.in_scope)
		return;
	self->argv_gone += !program.has_argv && !program.has_exe;
	begin(self, event, FRAME_KIND_EXEC, row, program.flags);
	if (dir < 0)
		absent_add(&program.absent, "TTY", ABSENT_GONE);
	else
		proc_tty_send(self->writer, stat.tty_nr);
	send_parent(self, stat.parent, parent_ticks, &program.absent);
	frame_u32(self->writer, FRAME_TAG_SID, stat.sid);
	if (row->ids.ns_pid)
		frame_u32(self->writer, FRAME_TAG_NS_PID, row->ids.ns_pid);
	add_header_reasons(&program.absent, row);
	proc_program_send(self->writer, &program);
	frame_end(self->writer);
}

/* Whether the whole process has ended with this thread. Asks /proc only where threads were. */
static bool is_last(struct nlsource *self, const struct nlproc_event *event, struct nlprocess *row)
{
	struct proc_stat stat;
	int dir;

	if (event->tid == event->tgid)
		row->leader_gone = true;
	if (!row->leader_gone)
		return false;
	if (!row->has_threads)
		return true;
	dir = look(self, event, row, &stat);
	if (dir < 0)
		return true;
	close(dir);
	return stat.state == 'Z' && stat.threads <= 1;
}

static void tell_exit(struct nlsource *self, const struct nlproc_event *event)
{
	struct nlprocess *row = nltable_find(&self->table, event->tgid);
	struct absent absent = {0};

	/* Of a thread, or of a process whose end the scan has told already. */
	if (!row && (event->tid != event->tgid ||
		     self->table.dead[event->tgid % NLTABLE_DEAD].tgid == event->tgid))
		return;
	if (!row)
		row = adopt(self, event);
	if (!is_last(self, event, row))
		return;
	if (row->ids.in_scope) {
		add_header_reasons(&absent, row);
		begin(self, event, FRAME_KIND_EXIT, row, 0);
		frame_u32(self->writer, FRAME_TAG_EXIT_CODE, event->exit_code);
		absent_send(self->writer, &absent);
		frame_end(self->writer);
	}
	nltable_remove(&self->table, event->tgid);
}

static void tell_ids(struct nlsource *self, const struct nlproc_event *event)
{
	struct nlprocess *row = adopt(self, event);
	struct proc_ids old = row->ids;
	struct absent absent = {0};

	if (event->kind == NLPROC_UID) {
		row->ids.uid = event->real_id;
		row->ids.euid = event->effective_id;
	} else {
		row->ids.gid = event->real_id;
	}
	/* Each thread tells of its own; what they have in common is told once. */
	if (!row->ids.in_scope ||
	    (old.known && old.uid == row->ids.uid && old.euid == row->ids.euid &&
	     old.gid == row->ids.gid))
		return;
	begin(self, event, FRAME_KIND_SET_ID, row, 0);
	if (old.known) {
		frame_u32(self->writer, FRAME_TAG_OLD_UID, old.uid);
		frame_u32(self->writer, FRAME_TAG_OLD_GID, old.gid);
		frame_u32(self->writer, FRAME_TAG_OLD_EUID, old.euid);
	} else {
		absent_add(&absent, "OLD_UID", ABSENT_GONE);
		absent_add(&absent, "OLD_GID", ABSENT_GONE);
		absent_add(&absent, "OLD_EUID", ABSENT_GONE);
	}
	absent_add(&absent, "CALL", ABSENT_TIER);
	add_header_reasons(&absent, row);
	absent_send(self->writer, &absent);
	frame_end(self->writer);
}

static void tell_ptrace(struct nlsource *self, const struct nlproc_event *event)
{
	struct nlproc_event of_tracer = *event;
	const struct nlprocess *tracer;
	struct absent absent = {0};
	uint64_t target_ticks;

	/* Letting go names nobody. */
	if (!event->other_tgid)
		return;
	target_ticks = ticks_of(self, event->tgid);
	of_tracer.tgid = event->other_tgid;
	tracer = adopt(self, &of_tracer);
	if (!tracer->ids.in_scope)
		return;
	begin(self, event, FRAME_KIND_PTRACE, tracer, 0);
	frame_u32(self->writer, FRAME_TAG_TARGET_TGID, event->tgid);
	if (target_ticks)
		frame_u64(self->writer, FRAME_TAG_TARGET_TICKS, target_ticks);
	else
		absent_add(&absent, "TARGET_TICKS", ABSENT_GONE);
	frame_text(self->writer, FRAME_TAG_CALL, "ptrace");
	absent_add(&absent, "REQUEST", ABSENT_TIER);
	add_header_reasons(&absent, tracer);
	absent_send(self->writer, &absent);
	frame_end(self->writer);
}

void nlsource_tell(struct nlsource *self, const struct nlproc_event *event)
{
	struct nlprocess *row;

	if (event->cpu < self->cpus && nlproc_count(&self->counters[event->cpu], event->seq))
		self->lost = true;
	row = nltable_find(&self->table, event->tgid);
	switch (event->kind) {
	case NLPROC_FORK:
		if (event->tid == event->tgid)
			tell_fork(self, event);
		else if (row)
			row->has_threads = true;
		break;
	case NLPROC_EXEC: tell_exec(self, event); break;
	case NLPROC_EXIT: tell_exit(self, event); break;
	case NLPROC_UID:
	case NLPROC_GID: tell_ids(self, event); break;
	case NLPROC_PTRACE: tell_ptrace(self, event); break;
	case NLPROC_SID:
		if (row)
			row->sid = event->tgid;
		break;
	case NLPROC_COMM:
		if (row && event->tid == event->tgid)
			memcpy(row->comm, event->comm, sizeof(row->comm));
		break;
	default: break;
	}
}

static void visit(void *context, uint32_t pid)
{
	struct nlsource *self = context;
	struct nlprocess *row = nltable_find(&self->table, pid);
	struct proc_stat stat;
	int dir;

	if (!proc_read_stat(pid, &stat) || (stat.state == 'Z' && stat.threads <= 1))
		return;
	if (row && row->start_ticks == stat.start_ticks) {
		row->mark = self->mark;
		/* Threads may have come and gone in what was lost; asking is the safe side. */
		row->has_threads = true;
		return;
	}
	dir = proc_dir_open(pid);
	row = dir >= 0 && proc_dir_stat(dir, pid, &stat) ? nltable_put(&self->table, pid) : NULL;
	if (row) {
		take_stat(row, &stat);
		row->mark = self->mark;
		row->parent_tgid = stat.parent;
		row->leader_gone = stat.state == 'Z';
		proc_dir_ids(dir, self->scope, &row->ids);
	}
	if (dir >= 0)
		close(dir);
	if (row && row->ids.in_scope && self->writer)
		proc_send_exec(self->writer, FRAME_KIND_SNAPSHOT, FRAME_TIER_NETLINK, 0, &stat,
			       self->scope);
}

/* The end of a process whose message was lost: no number, and no code. */
static void tell_lost_exit(struct nlsource *self, const struct nlprocess *row)
{
	struct frame_header header = header_of(self, row);
	struct absent absent = {0};

	header.kind = FRAME_KIND_EXIT;
	header.ktime_ns = clock_boot_ns();
	absent_add(&absent, "EXIT_CODE", ABSENT_LOST);
	add_header_reasons(&absent, row);
	frame_begin(self->writer, &header);
	frame_bytes(self->writer, FRAME_TAG_COMM, row->comm, strnlen(row->comm, sizeof(row->comm)));
	absent_send(self->writer, &absent);
	frame_end(self->writer);
}

void nlsource_scan(struct nlsource *self, bool baseline)
{
	struct frame_writer *writer = self->writer;

	self->mark++;
	if (baseline)
		self->writer = NULL;
	proc_for_each(visit, self);
	self->writer = writer;
	for (size_t i = 0; i < self->table.room && !baseline; i++) {
		struct nlprocess row = self->table.rows[i];

		if (!row.tgid || row.mark == self->mark)
			continue;
		if (row.ids.in_scope)
			tell_lost_exit(self, &row);
		nltable_remove(&self->table, row.tgid);
		/* The removal may have moved another row to this place. */
		i--;
	}
}

bool nlsource_owner(void *context, uint32_t pid, struct frame_header *header, char *comm)
{
	struct nlsource *self = context;
	const struct nlprocess *row = nltable_find(&self->table, pid);

	if (!row || !row->ids.in_scope)
		return false;
	*header = header_of(self, row);
	memcpy(comm, row->comm, PM_COMM_BYTES);
	return true;
}
