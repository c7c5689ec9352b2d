/*
 * The agent's commands, decoded. It guarantees that a command it accepts is complete and within
 * limits. It must never act: it only says what was asked.
 */
#ifndef PROCMOND_COMMAND_H
#define PROCMOND_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "policy.h"

#define COMMAND_SCOPE_BYTES_MAX 4095
/* Below 10 ms the polling itself is the load; above a minute nothing is observed. */
#define COMMAND_POLL_MS_MIN 10
#define COMMAND_POLL_MS_MAX 60000
#define COMMAND_POLL_MS_DEFAULT 200

enum command_source {
	COMMAND_SOURCE_AUTO,
	COMMAND_SOURCE_EBPF,
	COMMAND_SOURCE_NETLINK,
	COMMAND_SOURCE_PROC,
};

struct command {
	enum frame_kind kind;
	/* configure */
	char scope_cgroup[COMMAND_SCOPE_BYTES_MAX + 1];
	enum command_source source;
	uint32_t poll_ms;
	bool polls_connections;
	/* trace_add, trace_remove */
	uint32_t slot;
	uint32_t depth;
	uint32_t collect;
	uint32_t tgid;
	uint64_t start_ticks;
	/* policy */
	struct policy policy;
};

/* `body` is what follows the length prefix. NULL = good, else the name of what is wrong. */
const char *command_decode(const uint8_t *body, size_t length, struct command *command);

#endif
