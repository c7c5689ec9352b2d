/*
 * call-timer COUNT: how long single system calls take in this process, as a process would measure itself to find out whether
 * somebody watches. Per call one line: name, median, 90th and 99th percentile in nanoseconds. Every call is timed alone by the
 * monotonic clock. It must never print in between.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define COUNT_MAX 1000000

static unsigned times[COUNT_MAX];

static unsigned long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static int compare(const void *one, const void *other)
{
	unsigned a = *(const unsigned *)one, b = *(const unsigned *)other;

	return (a > b) - (a < b);
}

static void call_getppid(void)
{
	syscall(SYS_getppid);
}

static void call_openat(void)
{
	close(openat(AT_FDCWD, "/etc/hostname", O_RDONLY));
}

/* Nobody listens on port 1: refused by the local stack at once. */
static void call_connect(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(1)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		exit(3);
	close(fd);
}

static void measure(const char *name, void (*call)(void), int count)
{
	for (int i = 0; i < count; i++) {
		unsigned long long began = now_ns();

		call();
		times[i] = (unsigned)(now_ns() - began);
	}
	qsort(times, count, sizeof(times[0]), compare);
	printf("%s %u %u %u\n", name, times[count / 2], times[count / 10 * 9], times[count / 100 * 99]);
}

int main(int argc, char **argv)
{
	int count = argc == 2 ? atoi(argv[1]) : 0;

	if (count < 100 || count > COUNT_MAX)
		return 2;
	measure("getppid", call_getppid, count);
	measure("openat_close", call_openat, count / 10);
	measure("connect_refused", call_connect, count / 100);
	return 0;
}
