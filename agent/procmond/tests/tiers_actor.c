/*
 * tiers_actor: makes what the test of the tiers wants to see observed, and starts programs on a
 * kernel that refuses things. It guarantees that what it prints is what it did: ids, start times
 * and codes as the kernel gave them. It must never touch anything but its own children.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PARALLEL_MAX 64
/* Half a minute of a machine that forks all the time, a moment of any other. */
#define REUSE_TRIES_MAX 10000
#define STALL_MS 5

static void nap(long us)
{
	struct timespec ts = {us / 1000000, us % 1000000 * 1000};

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

static unsigned long long own_ticks(void)
{
	char text[1024] = "", *at;
	unsigned long long ticks = 0;
	int fd = open("/proc/self/stat", O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	at = n > 0 ? strrchr(text, ')') : NULL;
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (at)
		ticks = strtoull(at, NULL, 10);
	return ticks;
}

struct life {
	pid_t pid;
	int index;
	long us;
};

static void finish_one(struct life *lives, int *running)
{
	int status;
	pid_t pid = wait(&status);

	for (int i = 0; i < *running; i++) {
		if (lives[i].pid != pid)
			continue;
		printf("%d %d %d %d %ld\n", pid, getpid(), status, lives[i].index, lives[i].us);
		lives[i] = lives[--*running];
		return;
	}
}

/* Children that execute `tiers_actor nap US INDEX`. Prints: pid parent status index us */
static int act_lives(const char *self, int count, long min_us, long max_us, int parallel)
{
	struct life lives[PARALLEL_MAX];
	int running = 0;

	srand(1);
	for (int i = 0; i < count; i++) {
		long us = min_us + rand() % (max_us - min_us + 1);
		char us_text[32], index_text[32];
		char *arguments[] = {"tiers_actor", "nap", us_text, index_text, NULL};
		pid_t pid;

		if (running == parallel)
			finish_one(lives, &running);
		snprintf(us_text, sizeof(us_text), "%ld", us);
		snprintf(index_text, sizeof(index_text), "%d", i);
		if (posix_spawn(&pid, self, NULL, NULL, arguments, NULL))
			return 1;
		lives[running++] = (struct life){pid, i, us};
	}
	while (running)
		finish_one(lives, &running);
	return 0;
}

static bool set_next_pid(pid_t pid)
{
	char text[32];
	int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY);
	int length = snprintf(text, sizeof(text), "%d", pid - 1);
	bool good = fd >= 0 && write(fd, text, (size_t)length) == length;

	if (fd >= 0)
		close(fd);
	return good;
}

/*
 * Two processes, one after the other, under one pid; `gap_us` between them. Prints the pid and
 * both start ticks. Others fork as well, so it tries until it succeeds.
 */
static int act_reuse(long gap_us)
{
	unsigned long long ticks[2];
	int ends[2];
	pid_t pids[2];

	for (int try = 0; try < REUSE_TRIES_MAX; try++) {
		for (int i = 0; i < 2; i++) {
			if (pipe(ends) || (i && !set_next_pid(pids[0])))
				return 1;
			pids[i] = fork();
			if (pids[i] == 0) {
				ticks[0] = own_ticks();
				_exit(write(ends[1], ticks, sizeof(*ticks)) != sizeof(*ticks));
			}
			if (read(ends[0], &ticks[i], sizeof(*ticks)) != sizeof(*ticks))
				return 1;
			waitpid(pids[i], NULL, 0);
			close(ends[0]);
			close(ends[1]);
			if (!i && gap_us)
				nap(gap_us);
		}
		if (pids[0] == pids[1] && (ticks[0] == ticks[1]) == !gap_us) {
			printf("%d %llu %llu\n", pids[0], ticks[0], ticks[1]);
			return 0;
		}
	}
	return 1;
}

/* A child changes its ids as root may; then its parent attaches to it. */
static int act_ids(void)
{
	int ends[2];
	pid_t child = pipe(ends) ? -1 : fork();
	char byte;

	if (child == 0) {
		nap(50000);
		if (setgid(54321) || setuid(65534) || write(ends[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	if (child < 0 || close(ends[1]) || read(ends[0], &byte, 1) != 1)
		return 1;
	printf("%d %d\n", getpid(), child);
	fflush(stdout);
	if (ptrace(PTRACE_ATTACH, child, 0, 0))
		return 1;
	waitpid(child, NULL, 0);
	ptrace(PTRACE_DETACH, child, 0, 0);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return 0;
}

/*
 * A connection of this process with itself: sends `bytes`, ends it at a line on standard input, and
 * itself at the end of that. Prints its pid, the port of the connecting end and the one that listens.
 */
static int act_connection(size_t bytes)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);
	int client = socket(AF_INET, SOCK_STREAM, 0), server;
	char *data = calloc(1, bytes);
	unsigned listened;
	int byte;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 1) ||
	    bind(udp, (struct sockaddr *)&address, length) ||
	    getsockname(listener, (struct sockaddr *)&address, &length) ||
	    connect(client, (struct sockaddr *)&address, length))
		return 1;
	listened = ntohs(address.sin_port);
	server = accept(listener, NULL, NULL);
	getsockname(client, (struct sockaddr *)&address, &length);
	if (send(client, data, bytes, 0) != (ssize_t)bytes ||
	    recv(server, data, bytes, MSG_WAITALL) != (ssize_t)bytes)
		return 1;
	printf("%d %u %u\n", getpid(), ntohs(address.sin_port), listened);
	fflush(stdout);
	while ((byte = getchar()) != '\n' && byte != EOF)
		;
	close(client);
	close(server);
	while (getchar() != EOF)
		;
	free(data);
	return 0;
}

static void count_stalls(unsigned *count)
{
	struct timespec from, to;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		clock_gettime(CLOCK_MONOTONIC, &from);
		nap(1000);
		clock_gettime(CLOCK_MONOTONIC, &to);
		if ((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000 > STALL_MS)
			__sync_fetch_and_add(count, 1);
	}
}

/*
 * How often, until SIGTERM, a process that only sleeps was woken late on some CPU: what this machine
 * does to everybody, procmond included. Prints the number.
 */
static int act_stalls(void)
{
	unsigned *count = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cpu_set_t all, one;
	sigset_t end;
	int number;

	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigprocmask(SIG_BLOCK, &end, NULL);
	if (count == MAP_FAILED || sched_getaffinity(0, sizeof(all), &all))
		return 1;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all) || fork())
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
		count_stalls(count);
	}
	sigwait(&end, &number);
	printf("%u\n", *count);
	return 0;
}

/* One call is refused with an error; of bpf, by choice only the loading of programs. */
static int refuse(const char *what, char **command)
{
	bool load = !strcmp(what, "bpf-load");
	bool netlink = !strcmp(what, "netlink");
	int call = netlink ? SYS_socket : SYS_bpf;
	unsigned argument = netlink ? AF_NETLINK : BPF_PROG_LOAD;
	unsigned error = netlink ? EAFNOSUPPORT : EPERM;
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, argument, 0, (load || netlink) ? 1 : 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0))
		return 1;
	execvp(command[0], command);
	return 127;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "nap") && argc > 3) {
		nap(atol(argv[2]));
		return atoi(argv[3]) % 100;
	}
	if (!strcmp(what, "lives") && argc > 5)
		return act_lives(argv[0], atoi(argv[2]), atol(argv[3]), atol(argv[4]),
				 atoi(argv[5]) > PARALLEL_MAX ? PARALLEL_MAX : atoi(argv[5]));
	if (!strcmp(what, "reuse") && argc > 2)
		return act_reuse(atol(argv[2]));
	if (!strcmp(what, "connection") && argc > 2)
		return act_connection((size_t)atol(argv[2]));
	if (!strcmp(what, "stalls"))
		return act_stalls();
	if (!strcmp(what, "ids"))
		return act_ids();
	if (!strcmp(what, "refuse") && argc > 3)
		return refuse(argv[2], argv + 3);
	fprintf(stderr, "tiers_actor: lives COUNT MIN_US MAX_US PARALLEL|nap US INDEX|reuse GAP_US|ids|"
			"connection BYTES|stalls|"
			"refuse bpf|bpf-load|netlink COMMAND...\n");
	return 2;
}
