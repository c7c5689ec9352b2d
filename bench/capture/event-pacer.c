/*
 * event-pacer KIND RATE MILLISECONDS WORKERS: does one thing RATE times a second, spread over WORKERS processes that are pinned to
 * a CPU each in turn, and prints how many times it was done and how many milliseconds that took. KIND is `open` (an existing file,
 * for reading), `fork` (a child that ends at once: two events) or `connect` (to a port nobody listens on). Ticks that are missed
 * are caught up, in steps of a millisecond, so the rate holds until the machine cannot do more. It waits for a line on standard
 * input before it begins, so that it can be put under a trace first. It must never outlive the bench: it dies with its parent.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000ull
#define STEP_NS 1000000ull

static unsigned long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void do_open(void)
{
	close(open("/etc/hostname", O_RDONLY | O_CLOEXEC));
}

static void do_fork(void)
{
	pid_t child = vfork();

	if (child == 0)
		_exit(0);
	if (child < 0 || waitpid(child, NULL, 0) < 0)
		_exit(4);
}

static void do_connect(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(1)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		_exit(3);
	close(fd);
}

static long work(void (*act)(void), double per_second, unsigned long long duration_ns)
{
	unsigned long long began = now_ns(), now;
	long done = 0;

	while ((now = now_ns()) - began < duration_ns) {
		long due = (long)((double)(now - began) / NS_PER_S * per_second) + 1;
		struct timespec pause = {.tv_nsec = STEP_NS};

		/* Looks at the clock now and then: at a rate that cannot be kept it must end in time all the same. */
		for (int i = 0; done < due && i < 64; i++, done++)
			act();
		if (done >= due)
			nanosleep(&pause, NULL);
	}
	return done;
}

static void pin(long cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

int main(int argc, char **argv)
{
	void (*act)(void) = NULL;
	long workers, sum = 0, *counts, cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned long long began, duration_ns;
	double rate;

	if (argc == 5 && !strcmp(argv[1], "open")) act = do_open;
	if (argc == 5 && !strcmp(argv[1], "fork")) act = do_fork;
	if (argc == 5 && !strcmp(argv[1], "connect")) act = do_connect;
	if (!act)
		return 2;
	rate = atof(argv[2]);
	duration_ns = strtoull(argv[3], NULL, 10) * STEP_NS;
	workers = atol(argv[4]);
	if (rate <= 0 || !duration_ns || workers < 1 || workers > cpus)
		return 2;
	counts = mmap(NULL, sizeof(*counts) * workers, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (counts == MAP_FAILED)
		return 1;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getchar() == EOF)
		return 1;
	began = now_ns();
	for (long i = 0; i < workers; i++) {
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			pin(cpus - 1 - i);
			counts[i] = work(act, rate / (double)workers, duration_ns);
			_exit(0);
		}
	}
	for (long i = 0; i < workers; i++) {
		int status;

		if (wait(&status) < 0 || status)
			return 1;
	}
	for (long i = 0; i < workers; i++)
		sum += counts[i];
	printf("%ld %llu\n", sum, (now_ns() - began) / STEP_NS);
	return 0;
}
