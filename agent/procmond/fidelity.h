/*
 * How much procmond may ask of a machine under pressure: a level from 0, everything, to 5, where
 * only fork, exec and exit are left. A pure machine of states: it guarantees that the same signals
 * at the same times give the same levels, that a level is only given up after pressure has lasted,
 * and only taken back after calm has lasted longer. It must never read a file or a clock.
 */
#ifndef PROCMOND_FIDELITY_H
#define PROCMOND_FIDELITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"

/* One class more is given up with each level, in the order of FRAME_SHED_CLASSES. */
#define FIDELITY_LEVEL_MAX FRAME_SHED_CLASS_COUNT

/* Builds for tests pass through all levels in seconds. */
#ifdef PROCMOND_TEST_BUILD
#define FIDELITY_RISE_NS 300000000ull
#define FIDELITY_FALL_NS 500000000ull
#define FIDELITY_SAMPLE_NS 50000000ull
#define FIDELITY_REPEAT_NS 200000000ull
#else
/* avg10 has smoothed half of it already; five such spans lose everything but lineage in 25 s. */
#define FIDELITY_RISE_NS 5000000000ull
/* Three times as long, so that a machine at the edge does not swing: 75 s back to everything. */
#define FIDELITY_FALL_NS 15000000000ull
/* Six small reads a second cost nothing one could measure. */
#define FIDELITY_SAMPLE_NS 1000000000ull
/* How old the counts of what is given up may be. */
#define FIDELITY_REPEAT_NS 5000000000ull
#endif

/*
 * X(NAME, wire name, high, calm): in hundredths of a percent. At `high` and above it is pressure,
 * at `calm` and below it is calm, in between a level neither rises nor falls.
 *  cpu: share of time in which some task waited for a CPU. A busy build host has 50 %, which is its
 *    purpose; at 80 % nearly every moment somebody waits, and what we take is taken from them.
 *  memory, io: share of time in which nobody at all got on. A tenth of it lost to memory is
 *    thrashing; for io twice the calm third, because one fsync of the agent already shows there.
 *  own_memory: procmond's own cgroup against its limit; above it the kernel kills.
 *  own_stall: the memory pressure of that cgroup alone, which shows before the limit is met.
 */
#define FIDELITY_SIGNALS(X) \
	X(CPU, cpu, 8000, 5000) X(MEMORY, memory, 1000, 200) X(IO, io, 4000, 2000) \
	X(OWN_MEMORY, own_memory, 9000, 7500) X(OWN_STALL, own_stall, 1000, 200)
#define FIDELITY_SIGNAL_COUNT 5

#define FIDELITY_ENUM(name, wire, high, calm) FIDELITY_##name,
enum fidelity_signal { FIDELITY_SIGNALS(FIDELITY_ENUM) };

/* A signal the machine does not have: neither pressure nor in the way of calm. */
#define FIDELITY_ABSENT UINT32_MAX

struct fidelity_signals {
	uint32_t value[FIDELITY_SIGNAL_COUNT]; /* hundredths of a percent, or FIDELITY_ABSENT */
};

struct fidelity {
	uint32_t level;
	/* Since when it is without a break; 0 = it is not. A change of level begins it anew. */
	uint64_t high_since_ns;
	uint64_t calm_since_ns;
};

/* Returns the level from `now_ns` on, which is also kept in the state. */
uint32_t fidelity_step(struct fidelity *state, const struct fidelity_signals *signals,
		       uint64_t now_ns);

/* The bits of the classes a level gives up. */
uint64_t fidelity_mask(uint32_t level);

/* Writes "cpu,io": the signals that are high, or those that are absent. */
void fidelity_name_high(const struct fidelity_signals *signals, char *text, size_t bytes);
void fidelity_name_absent(const struct fidelity_signals *signals, char *text, size_t bytes);

#endif
