/*
 * The hashing thread: it takes jobs from one ring and puts results into another. It guarantees that
 * the main loop never waits for it: neither ring has a lock, a full ring is an answer, and the
 * thread runs only when nothing else wants the CPU or the disk. It must never write to the agent.
 */
#ifndef PROCMOND_HASH_WORKER_H
#define PROCMOND_HASH_WORKER_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "hash_budget.h"
#include "hash_job.h"

/* Powers of two. Enough that a round of the main loop (10 ms) keeps the thread busy. */
#define HASH_WORKER_JOBS 32
#define HASH_WORKER_RESULTS 64
/* One process's worth of memory headers on their way. */
#define HASH_WORKER_CONTENTS 16

struct hash_worker {
	pthread_t thread;
	sem_t wake;
	bool running;
	atomic_bool stop;
	struct hash_budget budget;
	uint32_t slot; /* of the job that runs */
	/* Each index is written by one side only and never wraps within a run. */
	_Atomic uint32_t jobs_in, jobs_out, jobs_done, results_in, results_out;
	struct hash_job jobs[HASH_WORKER_JOBS];
	struct hash_result results[HASH_WORKER_RESULTS];
	_Atomic bool content_used[HASH_WORKER_CONTENTS];
	uint8_t contents[HASH_WORKER_CONTENTS][HASH_CONTENT_BYTES];
};

/* Starts the thread; false when the system does not allow one more. `worker` is zeroed memory. */
bool hash_worker_open(struct hash_worker *worker);
/* Waits for the piece at hand, a second at most: `worker` must then stay where it is until exit. */
void hash_worker_close(struct hash_worker *worker);

/* For the main loop. False: no room, or nothing there. */
bool hash_worker_offer(struct hash_worker *worker, const struct hash_job *job);
/* Nothing waits in the ring and nothing runs. */
bool hash_worker_is_idle(const struct hash_worker *worker);
bool hash_worker_take(struct hash_worker *worker, struct hash_result *result);
/* Gives back the content buffer of a result. */
void hash_worker_release(struct hash_worker *worker, const struct hash_result *result);

#endif
