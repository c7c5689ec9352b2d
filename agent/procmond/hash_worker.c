/*
 * The hashing thread, see hash_worker.h. The rings have one writer and one reader each, so the
 * order of two stores is all they need. There is deliberately no mutex: a thread of the lowest
 * priority that holds one could keep the event path waiting for as long as the machine is busy.
 */
#include "hash_worker.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "hash_file.h"
#include "memory_header.h"

/* The largest frame of the thread is a line of /proc/PID/cgroup with its buffers. */
#define STACK_BYTES (256 * 1024)
/* Sleeping off less than this would only be wake-ups. */
#define CHARGE_MIN_NS (2 * NS_PER_MS)
/* How long to wait for the main loop to take results. */
#define FULL_WAIT_NS (5 * NS_PER_MS)
/* A disk may keep the thread; procmond ends without it. */
#define CLOSE_WAIT_S 1
#define SLEEP_SLICE_NS (50 * NS_PER_MS)
/* linux/ioprio.h: the idle class gets the disk when nobody else wants it. */
#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_CLASS_IDLE_VALUE (3 << 13)

/* False when the thread is to end. */
static bool sleep_ns(struct hash_worker *worker, uint64_t left)
{
	while (left && !atomic_load(&worker->stop)) {
		uint64_t slice = left < SLEEP_SLICE_NS ? left : SLEEP_SLICE_NS;
		struct timespec ts = {0, (long)slice};

		nanosleep(&ts, NULL);
		left -= slice;
	}
	return !atomic_load(&worker->stop);
}

static bool pause_between_pieces(void *context)
{
	struct hash_worker *worker = context;
	uint64_t cpu_ns = clock_thread_cpu_ns();

	if (cpu_ns - worker->budget.charged_ns < CHARGE_MIN_NS)
		return !atomic_load(&worker->stop);
	return sleep_ns(worker, hash_budget_charge(&worker->budget, clock_boot_ns(), cpu_ns));
}

/* Waits for room; false when the thread is to end. */
static bool put(struct hash_worker *worker, const struct hash_result *result)
{
	uint32_t in = atomic_load_explicit(&worker->results_in, memory_order_relaxed);

	while (in - atomic_load_explicit(&worker->results_out, memory_order_acquire) ==
	       HASH_WORKER_RESULTS)
		if (!sleep_ns(worker, FULL_WAIT_NS))
			return false;
	worker->results[in % HASH_WORKER_RESULTS] = *result;
	worker->results[in % HASH_WORKER_RESULTS].slot = worker->slot;
	atomic_store_explicit(&worker->results_in, in + 1, memory_order_release);
	return true;
}

static int32_t find_content(struct hash_worker *worker)
{
	for (int32_t i = 0; i < HASH_WORKER_CONTENTS; i++)
		if (!atomic_load_explicit(&worker->content_used[i], memory_order_acquire))
			return i;
	return -1;
}

static bool give_memory(void *context, struct hash_result *result, const uint8_t *content)
{
	struct hash_worker *worker = context;

	while (content && (result->content = find_content(worker)) < 0)
		if (!sleep_ns(worker, FULL_WAIT_NS))
			return false;
	if (content) {
		memcpy(worker->contents[result->content], content, result->content_bytes);
		atomic_store(&worker->content_used[result->content], true);
	}
	return put(worker, result) && pause_between_pieces(worker);
}

static void run_job(struct hash_worker *worker, const struct hash_job *job)
{
	static struct hash_result result;

	worker->slot = job->slot;
	if (job->kind == HASH_KIND_MEMORY) {
		memory_header_run(job, give_memory, worker);
		return;
	}
	hash_file_run(job, &result, pause_between_pieces, worker);
	result.last = true;
	if (put(worker, &result))
		pause_between_pieces(worker);
}

static void lower_priority(void)
{
	/*
	 * Not SCHED_IDLE: whoever keeps all cores busy, as a miner does, would then keep the hash of
	 * its own program from ever being made. Refused in some containers; the budget holds without.
	 */
	setpriority(PRIO_PROCESS, 0, 19);
	syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_CLASS_IDLE_VALUE);
}

static void *run_thread(void *context)
{
	struct hash_worker *worker = context;
	static struct hash_job job;

	lower_priority();
	hash_budget_open(&worker->budget, clock_boot_ns(), clock_thread_cpu_ns());
	while (!atomic_load(&worker->stop)) {
		uint32_t out = atomic_load_explicit(&worker->jobs_out, memory_order_relaxed);

		if (out == atomic_load_explicit(&worker->jobs_in, memory_order_acquire)) {
			sem_wait(&worker->wake);
			continue;
		}
		job = worker->jobs[out % HASH_WORKER_JOBS];
		atomic_store_explicit(&worker->jobs_out, out + 1, memory_order_release);
		run_job(worker, &job);
		atomic_fetch_add(&worker->jobs_done, 1);
	}
	return NULL;
}

bool hash_worker_open(struct hash_worker *worker)
{
	pthread_attr_t attributes;
	sigset_t all, before;

	if (sem_init(&worker->wake, 0, 0) || pthread_attr_init(&attributes))
		return false;
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	/* Signals are the main loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	worker->running = !pthread_create(&worker->thread, &attributes, run_thread, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return worker->running;
}

void hash_worker_close(struct hash_worker *worker)
{
	struct timespec until;

	if (!worker->running)
		return;
	atomic_store(&worker->stop, true);
	sem_post(&worker->wake);
	worker->running = false;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += CLOSE_WAIT_S;
	if (!pthread_timedjoin_np(worker->thread, NULL, &until))
		sem_destroy(&worker->wake);
}

bool hash_worker_offer(struct hash_worker *worker, const struct hash_job *job)
{
	uint32_t in = atomic_load_explicit(&worker->jobs_in, memory_order_relaxed);

	if (in - atomic_load_explicit(&worker->jobs_out, memory_order_acquire) == HASH_WORKER_JOBS)
		return false;
	worker->jobs[in % HASH_WORKER_JOBS] = *job;
	atomic_store_explicit(&worker->jobs_in, in + 1, memory_order_release);
	sem_post(&worker->wake);
	return true;
}

bool hash_worker_is_idle(const struct hash_worker *worker)
{
	return atomic_load(&worker->jobs_in) == atomic_load(&worker->jobs_done);
}

bool hash_worker_take(struct hash_worker *worker, struct hash_result *result)
{
	uint32_t out = atomic_load_explicit(&worker->results_out, memory_order_relaxed);

	if (out == atomic_load_explicit(&worker->results_in, memory_order_acquire))
		return false;
	*result = worker->results[out % HASH_WORKER_RESULTS];
	atomic_store_explicit(&worker->results_out, out + 1, memory_order_release);
	return true;
}

void hash_worker_release(struct hash_worker *worker, const struct hash_result *result)
{
	if (result->content >= 0)
		atomic_store_explicit(&worker->content_used[result->content], false,
				      memory_order_release);
}
