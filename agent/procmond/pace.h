/*
 * When to poll next. It guarantees that polling takes at most a tenth of one CPU: where there are
 * many processes the interval becomes longer by itself, and shorter again. What others do to the
 * machine is not held against it: the work is measured, not the time it took. It must never poll
 * more often than was configured.
 */
#ifndef PROCMOND_PACE_H
#define PROCMOND_PACE_H

#include <stdint.h>

#include "clock.h"

#define PACE_REST_PER_WORK 9

struct pace {
	uint64_t began_ns;
	uint64_t worked_ns;
};

static inline struct pace pace_begin(uint64_t now_ns)
{
	return (struct pace){now_ns, clock_thread_cpu_ns()};
}

/* The poll is over: when the next is due. */
static inline uint64_t pace_next(const struct pace *pace, uint32_t poll_ms)
{
	uint64_t work = clock_thread_cpu_ns() - pace->worked_ns;
	uint64_t by_work = (PACE_REST_PER_WORK + 1) * work;
	uint64_t by_interval = poll_ms * NS_PER_MS;

	return pace->began_ns + (by_interval > by_work ? by_interval : by_work);
}

/* Rounded up, or the last fraction of a millisecond would spin. */
static inline int pace_wait_ms(uint64_t now_ns, uint64_t at_ns)
{
	return at_ns <= now_ns ? 0 : (int)((at_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS);
}

#endif
