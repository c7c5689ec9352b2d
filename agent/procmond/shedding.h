/*
 * Gives up event classes under pressure and takes them back, and tells the agent each time. It
 * guarantees that what was not sent is counted: a `fidelity` frame at each change, every few
 * seconds in between, and at full fidelity whenever the kernel side had to give up events. It must
 * never touch fork, exec and exit.
 */
#ifndef PROCMOND_SHEDDING_H
#define PROCMOND_SHEDDING_H

#include "fidelity.h"
#include "pressure.h"
#include "source.h"

struct shedding {
	struct pressure pressure;
	struct fidelity fidelity;
	bool told_absent;
	uint64_t sample_at_ns;
	uint64_t said_at_ns; /* of the last frame; the next one's counts begin there */
	uint64_t said[FRAME_SHED_CLASS_COUNT]; /* totals of the source at that frame */
};

void shedding_open(struct shedding *shedding, const struct scope *scope);
/* To be called in every round of the loop. */
void shedding_pump(struct shedding *shedding, struct source *source, struct frame_writer *writer,
		   uint64_t now_ns);

#endif
