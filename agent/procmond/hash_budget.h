/*
 * The CPU budget of the hashing thread: a token bucket of its own CPU time. It guarantees that over
 * any longer while the thread uses no more than its share of one core, whatever the machine's speed.
 * It must never be asked by the main loop.
 */
#ifndef PROCMOND_HASH_BUDGET_H
#define PROCMOND_HASH_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

/* One core in twenty: about 25 MB/s on the machine of the ADR, the executables of a server in seconds. */
#define HASH_BUDGET_SHARE 20
/*
 * Saved while idle, some 600 MB: a new program is hashed at once, which is when its hash is wanted,
 * and so is nearly all that runs when the agent starts. At the lowest priority nobody waits for it.
 */
#define HASH_BUDGET_BURST_NS 1000000000ull

struct hash_budget {
	uint64_t tokens_ns;
	uint64_t refilled_ns; /* CLOCK_BOOTTIME */
	uint64_t charged_ns; /* thread CPU time charged so far */
};

void hash_budget_open(struct hash_budget *budget, uint64_t now_ns, uint64_t cpu_ns);
/* Charges what was used since; returns how long to sleep before going on, 0 = go on. */
uint64_t hash_budget_charge(struct hash_budget *budget, uint64_t now_ns, uint64_t cpu_ns);

#endif
