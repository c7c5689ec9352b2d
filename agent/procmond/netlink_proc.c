/*
 * Parses what the process connector sends, see netlink_proc.h. Pure: bytes in, an event out. It
 * guarantees to copy before it reads, because nothing in a datagram is aligned by right. It must
 * never require more of a message than its kind has: older kernels send shorter ones.
 */
#include "netlink_proc.h"

#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <string.h>

#define EVENT_HEAD_BYTES offsetof(struct proc_event, event_data)
#define BYTES_TO(member) (offsetof(struct proc_event, event_data) + \
	sizeof(((struct proc_event *)0)->event_data.member))
/* Exits had no parent before 4.18. */
#define EXIT_BYTES (offsetof(struct proc_event, event_data.exit.exit_signal) + sizeof(uint32_t))

/* Numbers further apart than this are a counter that went back, not a loss. */
#define LOSS_MAX 0x7fffffffu

static bool take_pair(const struct proc_event *in, struct nlproc_event *event)
{
	/* Every kind but fork begins with the pair {pid, tgid} of the process it tells of. */
	event->tid = (uint32_t)in->event_data.exec.process_pid;
	event->tgid = (uint32_t)in->event_data.exec.process_tgid;
	return event->tgid && event->tgid <= INT32_MAX && event->tid && event->tid <= INT32_MAX;
}

static bool take_fork(const struct proc_event *in, struct nlproc_event *event)
{
	event->other_tid = (uint32_t)in->event_data.fork.parent_pid;
	event->other_tgid = (uint32_t)in->event_data.fork.parent_tgid;
	event->tid = (uint32_t)in->event_data.fork.child_pid;
	event->tgid = (uint32_t)in->event_data.fork.child_tgid;
	return event->tgid && event->tgid <= INT32_MAX && event->tid && event->tid <= INT32_MAX;
}

static bool take_body(const struct proc_event *in, size_t length, struct nlproc_event *event)
{
	switch ((uint32_t)in->what) {
	case PROC_EVENT_NONE:
		event->kind = NLPROC_ACK;
		event->error = in->event_data.ack.err;
		return length >= BYTES_TO(ack);
	case PROC_EVENT_FORK:
		event->kind = NLPROC_FORK;
		return length >= BYTES_TO(fork) && take_fork(in, event);
	case PROC_EVENT_EXEC:
		event->kind = NLPROC_EXEC;
		return length >= BYTES_TO(exec) && take_pair(in, event);
	case PROC_EVENT_UID:
	case PROC_EVENT_GID:
		event->kind = in->what == PROC_EVENT_UID ? NLPROC_UID : NLPROC_GID;
		event->real_id = in->event_data.id.r.ruid;
		event->effective_id = in->event_data.id.e.euid;
		return length >= BYTES_TO(id) && take_pair(in, event);
	case PROC_EVENT_SID:
		event->kind = NLPROC_SID;
		return length >= BYTES_TO(sid) && take_pair(in, event);
	case PROC_EVENT_PTRACE:
		event->kind = NLPROC_PTRACE;
		event->other_tid = (uint32_t)in->event_data.ptrace.tracer_pid;
		event->other_tgid = (uint32_t)in->event_data.ptrace.tracer_tgid;
		return length >= BYTES_TO(ptrace) && take_pair(in, event);
	case PROC_EVENT_COMM:
		event->kind = NLPROC_COMM;
		memcpy(event->comm, in->event_data.comm.comm, sizeof(event->comm));
		return length >= BYTES_TO(comm) && take_pair(in, event);
	case PROC_EVENT_EXIT:
		event->kind = NLPROC_EXIT;
		event->exit_code = in->event_data.exit.exit_code;
		return length >= EXIT_BYTES && take_pair(in, event);
	default:
		event->kind = NLPROC_OTHER;
		return true;
	}
}

bool nlproc_parse(const uint8_t *bytes, size_t length, struct nlproc_event *event)
{
	const size_t heads = NLMSG_HDRLEN + sizeof(struct cn_msg);
	struct proc_event in = {0};
	struct nlmsghdr netlink;
	struct cn_msg connector;
	size_t body;

	memset(event, 0, sizeof(*event));
	if (length < heads + EVENT_HEAD_BYTES)
		return false;
	memcpy(&netlink, bytes, sizeof(netlink));
	memcpy(&connector, bytes + NLMSG_HDRLEN, sizeof(connector));
	if (netlink.nlmsg_type != NLMSG_DONE || netlink.nlmsg_len > length ||
	    netlink.nlmsg_len < heads + EVENT_HEAD_BYTES)
		return false;
	if (connector.id.idx != CN_IDX_PROC || connector.id.val != CN_VAL_PROC ||
	    connector.len > netlink.nlmsg_len - heads || connector.len < EVENT_HEAD_BYTES)
		return false;
	body = connector.len < sizeof(in) ? connector.len : sizeof(in);
	memcpy(&in, bytes + heads, body);
	event->cpu = in.cpu;
	event->seq = connector.seq;
	event->ack = connector.ack;
	event->monotonic_ns = in.timestamp_ns;
	return take_body(&in, body, event);
}

uint64_t nlproc_count(struct nlproc_counter *counter, uint32_t seq)
{
	uint32_t lost = seq - counter->last - 1;

	if (!counter->started || lost > LOSS_MAX)
		lost = 0;
	counter->started = true;
	counter->last = seq;
	counter->head += lost;
	counter->drops += lost;
	return lost;
}
