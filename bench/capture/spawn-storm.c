/*
 * spawn-storm SPAWNERS MILLISECONDS: reads a NAME from standard input, starts /bin/true as NAME and waits for it, over and over, in
 * SPAWNERS processes pinned to a CPU each (the last CPU first, so that one spawner leaves the first one free), and prints how many
 * programs ran. NAME is argv[0], by which the programs of one storm are counted afterwards; on the command line, the spawner itself
 * would bear it too. It must never outlive the bench: it dies with its parent.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static unsigned long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ull + now.tv_nsec / 1000000;
}

static long storm(int cpu, unsigned long long until_ms, char *name)
{
	char *const program[] = { name, NULL };
	static char *const environment[] = { NULL };
	cpu_set_t set;
	long count = 0;
	pid_t child;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	while (now_ms() < until_ms) {
		if (posix_spawn(&child, "/bin/true", NULL, NULL, program, environment))
			return -1;
		waitpid(child, NULL, 0);
		count++;
	}
	return count;
}

int main(int argc, char **argv)
{
	long spawners = argc == 3 ? atol(argv[1]) : 0;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned long long until_ms;
	long sum = 0, *counts;
	char name[64];

	if (spawners < 1 || spawners > cpus || atol(argv[2]) < 1)
		return 2;
	if (scanf("%63s", name) != 1)
		return 1;
	counts = mmap(NULL, sizeof(*counts) * spawners, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (counts == MAP_FAILED)
		return 1;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	until_ms = now_ms() + strtoull(argv[2], NULL, 10);
	for (long i = 0; i < spawners; i++) {
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			counts[i] = storm(cpus - 1 - i, until_ms, name);
			_exit(counts[i] < 0);
		}
	}
	for (long i = 0; i < spawners; i++) {
		int status;

		if (wait(&status) < 0 || status)
			return 1;
	}
	for (long i = 0; i < spawners; i++)
		sum += counts[i];
	printf("%ld\n", sum);
	return 0;
}
