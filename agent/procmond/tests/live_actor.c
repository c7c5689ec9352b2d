/*
 * live_actor: does one thing the live test wants to see observed, and prints what it did. It
 * guarantees that what it prints is what it did: pids and ports come from the kernel. It must
 * never touch anything outside the directory it is given.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void fill(struct sockaddr_storage *address, int family, int mapped, unsigned port)
{
	memset(address, 0, sizeof(*address));
	if (family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)address;

		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)port);
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	} else {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)address;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		inet_pton(AF_INET6, mapped ? "::ffff:127.0.0.1" : "::1", &in6->sin6_addr);
	}
}

static unsigned port_of(int fd)
{
	struct sockaddr_storage address;
	socklen_t bytes = sizeof(address);

	getsockname(fd, (struct sockaddr *)&address, &bytes);
	/* sin_port and sin6_port lie at the same place. */
	return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

/* One process listens and accepts, its child connects. Prints: client lport server rport */
static int act_net(int family, int mapped, int refused)
{
	struct sockaddr_storage address;
	int listener = socket(family, SOCK_STREAM, 0);
	unsigned port;
	pid_t child;
	int fd;

	fill(&address, family, mapped, 0);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 4))
		return 1;
	port = port_of(listener);
	if (refused)
		close(listener);
	child = fork();
	if (child == 0) {
		fd = socket(family, SOCK_STREAM, 0);
		fill(&address, family, mapped, port);
		if (connect(fd, (struct sockaddr *)&address, sizeof(address)) && !refused)
			_exit(1);
		printf("%d %u ", getpid(), refused ? 0 : port_of(fd));
		fflush(stdout);
		_exit(0);
	}
	if (!refused && (fd = accept(listener, NULL, NULL)) < 0)
		return 1;
	waitpid(child, NULL, 0);
	printf("%d %u\n", getpid(), port);
	return 0;
}

static void run_true(char *argument)
{
	pid_t child = vfork();

	if (child == 0) {
		execl("/bin/true", "true", argument, (char *)NULL);
		_exit(1);
	}
	waitpid(child, NULL, 0);
}

static int act_storm(int count, size_t argument_bytes)
{
	char *argument = malloc(argument_bytes + 1);

	memset(argument, 'x', argument_bytes);
	argument[argument_bytes] = 0;
	for (int i = 0; i < count; i++)
		run_true(argument);
	free(argument);
	return 0;
}

static void touch_files(const char *mark)
{
	char first[64], second[64];
	int fd;

	snprintf(first, sizeof(first), "new-%s", mark);
	snprintf(second, sizeof(second), "moved-%s", mark);
	fd = open(first, O_CREAT | O_WRONLY | O_TRUNC, 0600);
	close(fd);
	fd = open(first, O_RDONLY);
	close(fd);
	rename(first, second);
	unlink(second);
}

/*
 * A lineage of three generations, all alive before a trace starts. Each line read from standard
 * input by the root makes every generation touch files; "quit" ends it. Prints the root's pid, and
 * the number of the line when all three have done so.
 */
static int act_lineage(const char *directory)
{
	static const char *const marks[3] = {"root", "child", "grandchild"};
	int pipes[3][2], me = 0;
	char byte;

	if (chdir(directory))
		return 1;
	for (int i = 0; i < 3; i++)
		if (pipe(pipes[i]))
			return 1;
	printf("%d\n", getpid());
	fflush(stdout);
	for (me = 0; me < 2; me++)
		if (fork())
			break;
	if (me == 0) {
		char line[64];
		int count = 0;

		while (fgets(line, sizeof(line), stdin) && strncmp(line, "quit", 4)) {
			touch_files(marks[0]);
			if (write(pipes[1][1], "x", 1) < 0 || write(pipes[2][1], "x", 1) < 0 ||
			    read(pipes[0][0], &byte, 1) != 1 || read(pipes[0][0], &byte, 1) != 1)
				return 1;
			printf("%d\n", ++count);
			fflush(stdout);
		}
		if (write(pipes[1][1], "q", 1) < 0 || write(pipes[2][1], "q", 1) < 0)
			return 1;
		wait(NULL);
		return 0;
	}
	while (read(pipes[me][0], &byte, 1) == 1 && byte == 'x') {
		touch_files(marks[me]);
		if (write(pipes[0][1], "x", 1) < 0)
			return 1;
	}
	if (me == 1)
		wait(NULL);
	return 0;
}

static void *exec_from_thread(void *argument)
{
	(void)argument;
	execl("/bin/echo", "echo", "from-thread", (char *)NULL);
	return NULL;
}

static int act_thread_exec(void)
{
	pthread_t thread;

	printf("%d\n", getpid());
	fflush(stdout);
	pthread_create(&thread, NULL, exec_from_thread, NULL);
	pthread_join(thread, NULL);
	return 1;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "net4"))
		return act_net(AF_INET, 0, 0);
	if (!strcmp(what, "net6"))
		return act_net(AF_INET6, 0, 0);
	if (!strcmp(what, "mapped"))
		return act_net(AF_INET6, 1, 0);
	if (!strcmp(what, "refused"))
		return act_net(AF_INET, 0, 1);
	if (!strcmp(what, "storm") && argc > 3)
		return act_storm(atoi(argv[2]), (size_t)atol(argv[3]));
	if (!strcmp(what, "lineage") && argc > 2)
		return act_lineage(argv[2]);
	if (!strcmp(what, "thread-exec"))
		return act_thread_exec();
	fprintf(stderr, "live_actor: net4|net6|mapped|refused|storm N BYTES|lineage DIR|"
			"thread-exec\n");
	return 2;
}
