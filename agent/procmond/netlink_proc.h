/*
 * Messages of the process connector, taken apart. It guarantees that only complete messages of
 * kinds it knows become events, that threads are told from processes, and that the kernel's
 * per-CPU numbers become ones that start at 1 and have a hole for each lost message. It must
 * never trust a length inside a message further than the bytes that came.
 */
#ifndef PROCMOND_NETLINK_PROC_H
#define PROCMOND_NETLINK_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum nlproc_kind {
	NLPROC_OTHER, /* numbered, but of no use here */
	NLPROC_ACK, /* the answer to a request of anybody: `ack` and `error` */
	NLPROC_FORK,
	NLPROC_EXEC,
	NLPROC_UID,
	NLPROC_GID,
	NLPROC_SID,
	NLPROC_PTRACE,
	NLPROC_COMM,
	NLPROC_EXIT,
};

struct nlproc_event {
	enum nlproc_kind kind;
	uint32_t cpu;
	uint32_t seq; /* of that CPU, as the kernel counts: from 0, wrapping */
	uint64_t monotonic_ns;
	uint32_t tid; /* fork: the child; ptrace: the tracee */
	uint32_t tgid;
	uint32_t other_tid; /* fork: the parent; ptrace: the tracer, 0 = detached */
	uint32_t other_tgid;
	uint32_t real_id; /* uid, gid */
	uint32_t effective_id;
	uint32_t exit_code;
	uint32_t ack; /* one more than the request's */
	uint32_t error;
	char comm[16];
};

/* One datagram holds one message. False: not a message of the connector, or cut. */
bool nlproc_parse(const uint8_t *bytes, size_t length, struct nlproc_event *event);

/* The kernel numbers messages; frames are numbered anew, because not every message is a frame. */
struct nlproc_counter {
	uint32_t last; /* the kernel's */
	bool started;
	uint64_t head; /* frames and losses so far */
	uint64_t drops; /* losses so far */
};

/* Takes note of a message; returns how many were lost before it. */
uint64_t nlproc_count(struct nlproc_counter *counter, uint32_t seq);

#endif
