/*
 * exec-pacer RATE SECONDS: starts /bin/true RATE times a second for SECONDS, each on its own tick, and
 * prints how many it started. It does not wait for them: a tick that is missed is caught up, so the mean rate
 * holds on a busy machine too. It must never outlive the bench: it dies with its parent.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <time.h>

#define NS_PER_S 1000000000L

int main(int argc, char **argv)
{
	static char *const program[] = { "true", NULL };
	static char *const environment[] = { NULL };
	struct timespec tick;
	long rate, total, started = 0;
	pid_t child;

	if (argc != 3)
		return 2;
	rate = atol(argv[1]);
	total = rate * atol(argv[2]);
	if (rate < 1 || rate > 100000 || total < 1)
		return 2;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Ignored, so the kernel reaps the programs by itself. */
	signal(SIGCHLD, SIG_IGN);
	clock_gettime(CLOCK_MONOTONIC, &tick);
	for (long i = 0; i < total; i++) {
		tick.tv_nsec += NS_PER_S / rate;
		if (tick.tv_nsec >= NS_PER_S) {
			tick.tv_nsec -= NS_PER_S;
			tick.tv_sec++;
		}
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &tick, NULL);
		if (posix_spawn(&child, "/bin/true", NULL, NULL, program, environment) == 0)
			started++;
	}
	printf("%ld\n", started);
	return 0;
}
