/*
 * The clocks, see clock.h. It guarantees that a pair was read without a long pause in between:
 * the tightest of a few tries wins. It must never fail: both clocks exist on every kernel since
 * 2.6.39.
 */
#include "clock.h"

#include <time.h>
#include <unistd.h>

#include "proc_read.h"

#define PAIR_TRIES 3

static uint64_t read_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SECOND + (uint64_t)ts.tv_nsec;
}

uint64_t clock_boot_ns(void)
{
	return read_ns(CLOCK_BOOTTIME);
}

uint64_t clock_thread_cpu_ns(void)
{
	return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

struct clock_pair clock_read_pair(void)
{
	struct clock_pair best = {0};
	uint64_t best_span = UINT64_MAX;

	for (int i = 0; i < PAIR_TRIES; i++) {
		uint64_t before = read_ns(CLOCK_BOOTTIME);
		uint64_t wall = read_ns(CLOCK_REALTIME);
		uint64_t span = read_ns(CLOCK_BOOTTIME) - before;

		if (span >= best_span)
			continue;
		best_span = span;
		best.boot_ns = before + span / 2;
		best.wall_ns = wall;
	}
	return best;
}

uint64_t clock_own_start_ticks(void)
{
	struct proc_stat stat;

	return proc_read_stat((uint32_t)getpid(), &stat) ? stat.start_ticks : 0;
}
