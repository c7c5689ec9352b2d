/*
 * The clocks procmond reports. It guarantees CLOCK_BOOTTIME for events (the clock of start times,
 * it counts suspend) and a wall clock pair taken together. It must never be used to order events:
 * that is what the per-CPU numbers are for.
 */
#ifndef PROCMOND_CLOCK_H
#define PROCMOND_CLOCK_H

#include <stdint.h>

#define NS_PER_SECOND 1000000000ull
#define NS_PER_MS 1000000ull

struct clock_pair {
	uint64_t boot_ns;
	uint64_t wall_ns;
};

uint64_t clock_boot_ns(void);
/* What the calling thread has worked, whatever others did to the machine. */
uint64_t clock_thread_cpu_ns(void);
struct clock_pair clock_read_pair(void);
uint64_t clock_own_start_ticks(void);

#endif
