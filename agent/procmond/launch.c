/*
 * launch: joins procmond and the agent by a socketpair and leaves. procmond becomes a grandchild
 * of init with one end as descriptor 3; then the launcher turns into the agent with the other end
 * as descriptor 3, so the agent itself never starts a program. It guarantees that each side holds
 * only its own end: when the agent ends, procmond reads end-of-file and ends too, and leaves no
 * zombie. It must never stay between the two.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINK_FD 3
#define PROCMOND_ARGS_MAX 32

enum exit_code { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_PROCMOND = 126, EXIT_AGENT = 127 };

static const char help_text[] =
	"launch starts procmond and the agent joined by a socket on descriptor 3 of both.\n"
	"\n"
	"  launch --procmond PATH [--procmond-arg X]... -- AGENT ARGV...\n"
	"\n"
	"Example:\n"
	"  launch --procmond ./procmond --procmond-arg --record --procmond-arg frames.bin -- \\\n"
	"    node agent/main.ts\n"
	"\n"
	"Exit codes: those of the agent; 1 failed; 2 wrong arguments; 126 procmond cannot be started;\n"
	"127 the agent cannot be started.\n";

struct plan {
	char *procmond_argv[PROCMOND_ARGS_MAX + 2];
	char **agent_argv;
};

static int fail(enum exit_code code, const char *what, const char *name, const char *advice)
{
	fprintf(stderr, "launch: %s %s (%s); %s.\n", what, name, strerror(errno), advice);
	return code;
}

/* Moves `fd` to LINK_FD, open across exec. */
static bool place_link(int fd)
{
	if (fd == LINK_FD)
		return fcntl(fd, F_SETFD, 0) == 0;
	return dup2(fd, LINK_FD) == LINK_FD;
}

/* Runs in the grandchild: becomes procmond, or says why not through the pipe. */
static void become_procmond(const struct plan *plan, int link, int report)
{
	int null = open("/dev/null", O_RDONLY);
	int kept = fcntl(report, F_DUPFD_CLOEXEC, LINK_FD + 1);
	int error;

	/* Its own session: an interrupt typed at the agent's terminal is the agent's business. */
	setsid();
	if (null >= 0 && null != STDIN_FILENO)
		dup2(null, STDIN_FILENO);
	if (place_link(link)) {
		/* Everything but stdio, the link and the pipe, whatever the launcher inherited. */
		syscall(SYS_close_range, (unsigned)kept + 1, ~0u, 0);
		for (int fd = LINK_FD + 1; fd < kept; fd++)
			close(fd);
		execv(plan->procmond_argv[0], plan->procmond_argv);
	}
	error = errno;
	if (write(kept, &error, sizeof(error)) < 0)
		_exit(EXIT_FAILED);
	_exit(EXIT_PROCMOND);
}

/* 0 = procmond runs, else its errno. */
static int start_procmond(const struct plan *plan, int link, int other)
{
	int report[2], error = 0;
	pid_t child;

	if (pipe2(report, O_CLOEXEC))
		return errno;
	child = fork();
	if (child < 0)
		return errno;
	if (child == 0) {
		/* A second fork: procmond's parent is then init, which reaps it. */
		child = fork();
		if (child == 0) {
			close(other);
			become_procmond(plan, link, report[1]);
		}
		error = child < 0 ? errno : 0;
		if (error && write(report[1], &error, sizeof(error)) < 0)
			_exit(EXIT_FAILED);
		_exit(0);
	}
	close(report[1]);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	/* Closed without a word by a successful exec. */
	if (read(report[0], &error, sizeof(error)) != sizeof(error))
		error = 0;
	close(report[0]);
	return error;
}

/* Returns an exit code, or -1 to go on. */
static int parse_plan(int argc, char **argv, struct plan *plan)
{
	int args = 1, i;

	for (i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		if (!strcmp(argv[i], "--help")) {
			fputs(help_text, stdout);
			return 0;
		}
		if (!strcmp(argv[i], "--procmond") && i + 1 < argc)
			plan->procmond_argv[0] = argv[++i];
		else if (!strcmp(argv[i], "--procmond-arg") && i + 1 < argc &&
			 args <= PROCMOND_ARGS_MAX)
			plan->procmond_argv[args++] = argv[++i];
		else
			break;
	}
	if (i + 1 >= argc || strcmp(argv[i], "--") || !plan->procmond_argv[0]) {
		fprintf(stderr, "launch: give --procmond PATH, then --, then the agent; see --help.\n");
		return EXIT_USAGE;
	}
	plan->agent_argv = argv + i + 1;
	return -1;
}

int main(int argc, char **argv)
{
	static struct plan plan;
	int code = parse_plan(argc, argv, &plan);
	int ends[2];

	if (code >= 0)
		return code;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return fail(EXIT_FAILED, "there is no", "socketpair", "raise the descriptor limit");
	errno = start_procmond(&plan, ends[1], ends[0]);
	if (errno)
		return fail(EXIT_PROCMOND, "procmond cannot be started:", plan.procmond_argv[0],
			    "check the path and build it with make");
	close(ends[1]);
	if (!place_link(ends[0]))
		return fail(EXIT_FAILED, "the link cannot be placed on", "descriptor 3",
			    "raise the descriptor limit");
	execvp(plan.agent_argv[0], plan.agent_argv);
	return fail(EXIT_AGENT, "the agent cannot be started:", plan.agent_argv[0],
		    "check the path");
}
