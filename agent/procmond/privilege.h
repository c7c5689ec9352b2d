/*
 * What a running procmond may still do. It guarantees that after privilege_drop the process holds
 * only the capabilities its tier reads with, can never gain another, and may make only the system
 * calls of one table. It must be called before any thread is started, because capabilities belong
 * to threads, and after everything is open: nothing can be opened for writing afterwards, no
 * socket made, no program started or loaded.
 */
#ifndef PROCMOND_PRIVILEGE_H
#define PROCMOND_PRIVILEGE_H

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"

/* What could not be done, as names for MISSING of `ready`. */
struct privilege_report {
	bool capabilities_kept; /* capset was refused: procmond runs with what it was started with */
	bool filter_missing; /* the kernel has no seccomp filters */
	bool threads_running; /* called too late: other threads keep their capabilities */
};

/* Bits of the capabilities a tier keeps when it has them; 0 for a tier that is no source. */
uint64_t privilege_capabilities_of(uint16_t tier);

struct privilege_report privilege_drop(uint16_t tier);

#endif
