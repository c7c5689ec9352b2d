/*
 * The netlink tier: the kernel's process connector, for machines that refuse BPF. Every fork, exec
 * and exit arrives as a message with a number per CPU; what a message does not say is read from
 * /proc (netlink_events.c), and connections are polled by sock_diag. It guarantees that a lost
 * message shows as a hole and a drop count, also when it was the last of its CPU. It must never
 * leave the kernel making messages for nobody: the group is left when the source closes.
 */
#include "netlink_source.h"

#include <errno.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "pace.h"
#include "proc_facts.h"
#include "proc_read.h"
#include "proc_table.h"

/* A message costs under a kilobyte; the kernel doubles this, so some 16,000 wait here. */
#define RCVBUF_BYTES (8 * 1024 * 1024)
/* Today's messages are 76 bytes; later kernels may append. */
#define MESSAGE_BYTES 256
#define MESSAGES_PER_CALL 32
/* What a message does not say must be read before its process ends: being late is being blind. */
#define NICE (-20)
/* A short turn is given soon: the kernel (6.12 and later) prefers who asks for less. */
#define SLICE_NS 100000
/* Leave the socket now and then, so that a storm cannot keep the agent's commands waiting. */
#define EVENTS_PER_ROUND 2048
#define ANSWER_MS 500
#define CPUS_MAX 2048
/* A missing socket may be one whose end is still on its way to us. */
#define NET_PATIENCE 1
/* An operation that does not exist: answered with a number, changes nothing. */
#define OP_PROBE 0

static bool send_op(int fd, uint32_t op)
{
	struct {
		struct nlmsghdr head;
		struct cn_msg connector;
		uint32_t op;
	} __attribute__((packed)) request = {0};

	request.head.nlmsg_len = sizeof(request);
	request.head.nlmsg_type = NLMSG_DONE;
	request.connector.id.idx = CN_IDX_PROC;
	request.connector.id.val = CN_VAL_PROC;
	/* Comes back one higher, so that our answer is told from those to others. */
	request.connector.ack = (uint32_t)getpid();
	request.connector.len = sizeof(request.op);
	request.op = op;
	return send(fd, &request, sizeof(request), 0) == sizeof(request);
}

void nlsource_receive(struct nlsource *self)
{
	static uint8_t bytes[MESSAGES_PER_CALL][MESSAGE_BYTES];
	struct sockaddr_nl from[MESSAGES_PER_CALL];
	struct mmsghdr messages[MESSAGES_PER_CALL];
	struct iovec parts[MESSAGES_PER_CALL];
	size_t room;
	int got;

	if (self->queue_from == self->queue_used)
		self->queue_from = self->queue_used = 0;
	room = NLQUEUE_EVENTS - self->queue_used;
	if (room > MESSAGES_PER_CALL)
		room = MESSAGES_PER_CALL;
	if (!room)
		return;
	memset(messages, 0, sizeof(messages));
	for (size_t i = 0; i < room; i++) {
		parts[i] = (struct iovec){bytes[i], MESSAGE_BYTES};
		messages[i].msg_hdr = (struct msghdr){.msg_name = &from[i], .msg_iov = &parts[i],
						      .msg_namelen = sizeof(from[i]), .msg_iovlen = 1};
	}
	got = recvmmsg(self->fd, messages, (unsigned)room, MSG_DONTWAIT, NULL);
	self->drained = got < 0 && errno == EAGAIN;
	self->overrun |= got < 0 && errno == ENOBUFS;
	for (int i = 0; i < got; i++)
		/* Only the kernel sends as port 0. */
		if (from[i].nl_pid == 0 &&
		    nlproc_parse(bytes[i], messages[i].msg_len, &self->queue[self->queue_used]))
			self->queue_used++;
}

/* Makes each CPU give a number now, so that a loss at the end of one is not silent. */
static void probe_cpus(struct nlsource *self)
{
	cpu_set_t before, one;

	if (sched_getaffinity(0, sizeof(before), &before))
		return;
	for (uint32_t cpu = 0; cpu < self->cpus && cpu < CPU_SETSIZE; cpu++) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		/* A CPU that is off, or not ours to use, is left out. */
		if (!sched_setaffinity(0, sizeof(one), &one))
			send_op(self->probe_fd, OP_PROBE);
	}
	sched_setaffinity(0, sizeof(before), &before);
}

static void tell_waiting(struct nlsource *self)
{
	for (unsigned told = 0; told < EVENTS_PER_ROUND;) {
		if (self->queue_from == self->queue_used)
			nlsource_receive(self);
		if (self->queue_from == self->queue_used && self->drained)
			return;
		while (self->queue_from < self->queue_used) {
			/* A copy: telling reads more messages into the queue. */
			struct nlproc_event event = self->queue[self->queue_from++];

			nlsource_tell(self, &event);
			told++;
		}
		if (self->writer->closed || self->writer->record_failed)
			return;
	}
}

static void on_end(void *context, uint64_t key, const struct net_bytes *bytes)
{
	struct nlsource *self = context;
	struct net_report report = {self->writer, nlsource_owner, self, self->netns, false};
	struct net_row *row = net_table_find(&self->net, key);

	if (!row)
		return;
	net_report_close(&report, row, bytes);
	row->told = false;
}

/*
 * Looks for the owners of fresh sockets. Going through the descriptors of a busy machine takes
 * longer than a short life, so messages are told in between; the table moves then, hence the list.
 */
static void claim_all(struct nlsource *self)
{
	uint32_t *pids = malloc((self->table.used + 1) * sizeof(*pids));
	size_t used = 0;

	for (size_t i = 0; pids && i < self->table.room; i++)
		if (self->table.rows[i].tgid && self->table.rows[i].ids.in_scope)
			pids[used++] = self->table.rows[i].tgid;
	for (size_t i = 0; i < used; i++) {
		net_table_claim(&self->net, pids[i]);
		if (self->writer)
			tell_waiting(self);
	}
	free(pids);
}

static void poll_network(struct nlsource *self, bool baseline)
{
	struct net_report report = {self->writer, nlsource_owner, self, self->netns, baseline};
	struct net_table next = {0};

	nldiag_ends(&self->diag, on_end, self);
	/* Where sock_diag is not built in, the text of /proc/net says the same, without ends. */
	if (!nldiag_dump(&self->diag, &next, &self->net))
		net_table_read_proc(&next);
	if (net_table_replace(&self->net, &next, NET_PATIENCE))
		claim_all(self);
	net_report_send(&report, &self->net);
}

static void send_column(struct nlsource *self, uint16_t tag, bool drops)
{
	for (uint32_t i = 0; i < self->cpus; i++)
		self->column[i] = drops ? self->counters[i].drops : self->counters[i].head;
	frame_bytes(self->writer, tag, self->column, self->cpus * sizeof(uint64_t));
}

static void send_stats(struct nlsource *self)
{
	struct frame_header header = frame_own_header(FRAME_KIND_STATS, FRAME_TIER_NETLINK);
	struct clock_pair pair = clock_read_pair();

	header.ktime_ns = pair.boot_ns;
	frame_begin(self->writer, &header);
	send_column(self, FRAME_TAG_CPU_HEADS, false);
	send_column(self, FRAME_TAG_CPU_DROPS, true);
	frame_u64(self->writer, FRAME_TAG_WALL_NS, pair.wall_ns);
	frame_u64(self->writer, FRAME_TAG_MISSES, 0);
	/* Programs that were gone before their arguments could be read. */
	frame_u32(self->writer, FRAME_TAG_COUNT, self->argv_gone);
	frame_end(self->writer);
}

/* Suspend moves the one clock and not the other, so the distance is taken anew each round. */
static void read_clock_distance(struct nlsource *self)
{
	struct timespec monotonic;

	clock_gettime(CLOCK_MONOTONIC, &monotonic);
	self->boot_minus_monotonic_ns = clock_boot_ns() - (uint64_t)monotonic.tv_sec * NS_PER_SECOND -
					(uint64_t)monotonic.tv_nsec;
}

static bool netlink_pump(void *context, struct frame_writer *writer, uint64_t now_ns)
{
	struct nlsource *self = context;

	self->writer = writer;
	read_clock_distance(self);
	tell_waiting(self);
	if (self->drained && self->overrun) {
		self->overrun = false;
		probe_cpus(self);
		tell_waiting(self);
	}
	if (self->drained && self->lost && now_ns >= self->scan_at_ns) {
		self->lost = false;
		self->scan_at_ns = now_ns + NS_PER_SECOND;
		nlsource_scan(self, false);
	}
	if (self->sampling.connections && now_ns >= self->poll_at_ns) {
		struct pace pace = pace_begin(now_ns);

		if (self->sheds_network)
			self->network_polls_shed++;
		else
			poll_network(self, false);
		self->poll_at_ns = pace_next(&pace, self->sampling.poll_ms);
	}
	if (now_ns >= self->stats_at_ns) {
		send_stats(self);
		self->stats_at_ns = now_ns + NS_PER_SECOND;
	}
	return frame_flush(writer);
}

static int netlink_wait_ms(void *context, uint64_t now_ns)
{
	struct nlsource *self = context;
	uint64_t at = self->stats_at_ns;

	if (!self->drained || self->queue_from < self->queue_used)
		return 0;
	if (self->sampling.connections && self->poll_at_ns < at)
		at = self->poll_at_ns;
	return pace_wait_ms(now_ns, at);
}

static int netlink_wake_fd(void *context)
{
	return ((struct nlsource *)context)->fd;
}

static bool put(void *context, uint32_t tgid, uint64_t start_ticks, uint32_t slot, uint32_t depth)
{
	struct nlsource *self = context;
	struct nlprocess *row = nltable_find(&self->table, tgid);

	/* Its fork is still in the socket: it inherits when that is told. */
	if (row && row->start_ticks == start_ticks)
		traced_put(&row->traced, slot, depth);
	return true;
}

static uint64_t slots_of(void *context, uint32_t tgid, uint64_t start_ticks)
{
	struct nlsource *self = context;
	const struct nlprocess *row = nltable_find(&self->table, tgid);

	return row && row->start_ticks == start_ticks ? row->traced.slots & self->active_slots : 0;
}

static void slot_open(void *context, uint32_t slot, uint32_t collect)
{
	(void)collect;
	((struct nlsource *)context)->active_slots |= 1ull << slot;
}

static void slot_close(void *context, uint32_t slot)
{
	struct nlsource *self = context;

	self->active_slots &= ~(1ull << slot);
	for (size_t i = 0; i < self->table.room; i++)
		self->table.rows[i].traced.slots &= ~(1ull << slot);
}

/* Looks at the tables of connections are what costs; what they would have shown is not known. */
static void set_shed(void *context, uint64_t classes)
{
	struct nlsource *self = context;

	self->sheds_network = classes & 1ull << FRAME_SHED_NETWORK;
}

static void shed_totals(void *context, uint64_t totals[FRAME_SHED_CLASS_COUNT])
{
	const struct nlsource *self = context;

	totals[FRAME_SHED_NETWORK] = self->network_polls_shed;
}

static void netlink_close(void *context)
{
	struct nlsource *self = context;

	if (self->fd >= 0) {
		/* Kernels before 6.6 count listeners by these requests, not by sockets. */
		send_op(self->fd, PROC_CN_MCAST_IGNORE);
		close(self->fd);
	}
	if (self->probe_fd >= 0)
		close(self->probe_fd);
	nldiag_close(&self->diag);
	net_table_free(&self->net);
	nltable_free(&self->table);
	free(self->counters);
	free(self->column);
	free(self);
}

/* NULL when the kernel has agreed to send. */
static const char *listen_to_kernel(struct nlsource *self)
{
	struct sockaddr_nl group = {.nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC};
	int bytes = RCVBUF_BYTES;
	uint64_t until = clock_boot_ns() + ANSWER_MS * NS_PER_MS;

	self->fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR);
	self->probe_fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR);
	if (self->fd < 0 || self->probe_fd < 0)
		return errno == EPROTONOSUPPORT ? "no_connector" : strerror(errno);
	if (setsockopt(self->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(self->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (bind(self->fd, (struct sockaddr *)&group, sizeof(group)))
		return errno == EPERM ? "not_permitted" : strerror(errno);
	if (!send_op(self->fd, PROC_CN_MCAST_LISTEN))
		return errno == ECONNREFUSED ? "other_network_namespace"
		       : errno == EPERM ? "not_permitted" : strerror(errno);
	while (clock_boot_ns() < until) {
		struct pollfd pollfd = {.fd = self->fd, .events = POLLIN};

		poll(&pollfd, 1, ANSWER_MS / 10);
		self->queue_from = self->queue_used = 0;
		nlsource_receive(self);
		for (size_t i = 0; i < self->queue_used; i++) {
			const struct nlproc_event *event = &self->queue[i];

			if (event->kind == NLPROC_ACK && event->ack == (uint32_t)getpid() + 1)
				return event->error ? "not_permitted" : NULL;
		}
	}
	return "no_answer";
}

/* Without the right to it, only more is gone. */
static void hurry(void)
{
	/* struct sched_attr; the C library's headers have it only since lately. */
	struct {
		uint32_t size;
		uint32_t policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime;
		uint64_t deadline;
		uint64_t period;
	} attr = {.size = sizeof(attr), .policy = SCHED_OTHER, .nice = NICE, .runtime = SLICE_NS};

	syscall(SYS_sched_setattr, 0, &attr, 0);
}

static bool reserve(struct nlsource *self)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);

	self->cpus = cpus < 1 ? 1 : cpus > CPUS_MAX ? CPUS_MAX : (uint32_t)cpus;
	self->counters = calloc(self->cpus, sizeof(*self->counters));
	self->column = calloc(self->cpus, sizeof(*self->column));
	return self->counters && self->column;
}

static void report_sight(const struct nlsource *self, struct source_report *report)
{
	snprintf(report->programs, sizeof(report->programs), "cn_proc,sock_diag,proc");
	snprintf(report->missing, sizeof(report->missing),
		 SOURCE_KERNEL_ONLY ",argv of lives under 10 ms,setid and ptrace calls by name%s%s",
		 self->sampling.connections ? "" : ",connections",
		 proc_sees_others() ? "" : ",programs and sockets of other users");
}

bool netlink_source_open(struct source *source, const struct scope *scope,
			 const struct source_sampling *sampling, struct source_report *report)
{
	struct nlsource *self;
	const char *cause;

	/* The kernel answers nobody outside of the first namespaces, and says nothing either. */
	if (!proc_in_init_namespaces()) {
		snprintf(report->cause, sizeof(report->cause), "not_in_init_namespace");
		return false;
	}
	self = calloc(1, sizeof(*self));
	if (!self) {
		snprintf(report->cause, sizeof(report->cause), "no_memory");
		return false;
	}
	*self = (struct nlsource){.scope = scope, .fd = -1, .probe_fd = -1, .sampling = *sampling};
	nldiag_open(&self->diag);
	cause = reserve(self) ? listen_to_kernel(self) : "no_memory";
	if (cause) {
		snprintf(report->cause, sizeof(report->cause), "%s", cause);
		netlink_close(self);
		return false;
	}
	self->queue_from = self->queue_used = 0;
	hurry();
	probe_cpus(self);
	read_clock_distance(self);
	self->netns = net_own_netns();
	nlsource_scan(self, true);
	if (sampling->connections)
		poll_network(self, true);
	report_sight(self, report);
	*source = (struct source){
		.tier = FRAME_TIER_NETLINK, .self = self, .pump = netlink_pump, .wait_ms = netlink_wait_ms,
		.trace_put = put, .trace_open = slot_open, .trace_close = slot_close,
		.close = netlink_close, .set_policy = proc_env_select, .slots_of = slots_of,
		.wake_fd = netlink_wake_fd, .set_shed = set_shed, .shed_totals = shed_totals,
	};
	return true;
}
