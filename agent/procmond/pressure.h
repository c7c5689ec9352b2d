/*
 * Reads what the kernel says of pressure: /proc/pressure of the whole machine, and memory of the
 * cgroup procmond itself is in. It guarantees that a file that is not there is an absent signal
 * and never a calm one. It must never keep a file open between two samples.
 */
#ifndef PROCMOND_PRESSURE_H
#define PROCMOND_PRESSURE_H

#include <stdbool.h>
#include <stdint.h>

#include "fidelity.h"
#include "scope.h"

/* Longest name below either directory: "memory.pressure". */
#define PRESSURE_PATH_BYTES (2 * SCOPE_PATH_BYTES + 32)

struct pressure {
	char machine[PRESSURE_PATH_BYTES]; /* where cpu, memory and io lie */
	char own[PRESSURE_PATH_BYTES]; /* procmond's cgroup; empty = no cgroup v2 */
};

void pressure_open(struct pressure *pressure, const struct scope *scope);
void pressure_read(const struct pressure *pressure, struct fidelity_signals *signals);

#endif
