/*
 * Putting a lineage in scope of a trace slot. It guarantees that the root is the process that was
 * named, not one that took over its pid, and that descendants born during the walk are in scope
 * too. It must never report a slot as traced when its root is gone.
 */
#ifndef PROCMOND_TRACE_H
#define PROCMOND_TRACE_H

#include "command.h"
#include "source.h"

struct trace_result {
	uint32_t count;
	const char *cause; /* "" = ok */
};

/* `open_slots` has a bit per slot in use; owned by the caller. */
struct trace_result trace_add(struct source *source, const struct command *command,
			      uint64_t *open_slots);
struct trace_result trace_remove(struct source *source, const struct command *command,
				 uint64_t *open_slots);
void trace_send_state(struct frame_writer *writer, uint16_t tier, const struct command *command,
		      const struct trace_result *result);

#endif
