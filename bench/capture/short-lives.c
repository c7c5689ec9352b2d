/*
 * short-lives COUNT MILLISECONDS: starts COUNT programs one after the other that each live at most MILLISECONDS (a shell's `true`
 * with an argument that names it), and prints "PID NUMBER" of each. What a collector must have caught is exactly this list.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

int main(int argc, char **argv)
{
	static char *const environment[] = { NULL };
	long count = argc == 3 ? atol(argv[1]) : 0;
	long life_ms = argc == 3 ? atol(argv[2]) : 0;

	if (count < 1 || life_ms < 1)
		return 2;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (long i = 0; i < count; i++) {
		char number[32], seconds[32];
		char *const program[] = { "sleep", seconds, number, NULL };
		/* From 1 ms up to the longest, evenly. */
		long ms = 1 + i % life_ms;
		pid_t child;
		int status;

		snprintf(number, sizeof(number), "0.%09ld", i);
		snprintf(seconds, sizeof(seconds), "0.%03ld", ms);
		if (posix_spawn(&child, "/bin/sleep", NULL, NULL, program, environment))
			return 1;
		waitpid(child, &status, 0);
		printf("%d %s\n", child, number);
	}
	return 0;
}
