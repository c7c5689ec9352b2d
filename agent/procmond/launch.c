/*
 * launch: joins procmond and the agent by one socket on descriptor 3 of both, and leaves. Started
 * for both, procmond becomes a grandchild of init and the launcher itself turns into the agent, so
 * the agent never starts a program; started once per unit, each side asks the kernel who the other
 * is. It guarantees that the agent begins without any capability and, where asked, as its own
 * user; and that each side holds only its own end, so that when the agent ends, procmond reads
 * end-of-file and ends too. It must never stay between the two.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch_unix.h"
#include "launch_user.h"

#define LINK_FD 3
#define PROCMOND_ARGS_MAX 32
#define CLOSE_RANGE_ON_EXEC 4 /* CLOSE_RANGE_CLOEXEC, newer than some C libraries */

enum exit_code { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_REACH = 3, EXIT_PROCMOND = 126, EXIT_AGENT = 127 };

static const char help_text[] =
	"launch starts procmond and the agent joined by a socket on descriptor 3 of both. The agent\n"
	"begins without capabilities and without a way to new ones.\n"
	"\n"
	"  launch --procmond PATH [--procmond-arg X]... [--agent-user USER] -- AGENT ARGV...\n"
	"  launch --listen SOCKET --peer-user USER -- PROCMOND ARGV...\n"
	"  launch --connect SOCKET --peer-user USER -- AGENT ARGV...\n"
	"  launch --can-read [--agent-user USER] -- PATH...\n"
	"\n"
	"  --agent-user USER  whom the agent runs as: a name, or a number that needs no account;\n"
	"                     wants root. Without it the agent stays who you are\n"
	"  --listen SOCKET    wait there for the agent of --peer-user, refuse others, then become\n"
	"                     PROCMOND; --peer-uid UID is added to its arguments\n"
	"  --connect SOCKET   connect to the procmond of --peer-user, wait for it up to 10 s, then\n"
	"                     become AGENT\n"
	"  --can-read         say whether the agent could read each file and enter each directory\n"
	"\n"
	"Examples:\n"
	"  launch --procmond ./procmond --agent-user daemoneye -- node agent.mjs --config agent.yaml\n"
	"  launch --listen /run/daemoneye/link --peer-user daemoneye -- /usr/lib/daemoneye/procmond\n"
	"  launch --connect /run/daemoneye/link --peer-user root -- node agent.mjs --config agent.yaml\n"
	"\n"
	"Exit codes: those of the agent or procmond; 1 failed; 2 wrong arguments; 3 --can-read found\n"
	"something out of reach and printed it; 126 procmond cannot be started; 127 the agent cannot be\n"
	"started.\n";

struct plan {
	const char *mode; /* --procmond, --listen, --connect or --can-read */
	const char *socket;
	bool is_refused; /* and it was said why */
	struct launch_user agent_user;
	struct launch_user peer_user;
	char *procmond_argv[PROCMOND_ARGS_MAX + 2];
	char **rest; /* after -- */
	int rest_count;
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

/* The agent's part: nothing but stdio and the link, no capability, then the program itself. */
static int become_agent(const struct plan *plan, int link)
{
	const char *what;

	if (!place_link(link))
		return fail(EXIT_FAILED, "the link cannot be placed on", "descriptor 3",
			    "raise the descriptor limit");
	syscall(SYS_close_range, LINK_FD + 1, ~0u, CLOSE_RANGE_ON_EXEC);
	if (!launch_user_become(&plan->agent_user, &what))
		return fail(EXIT_FAILED, "the agent cannot be made unprivileged:", what,
			    "start launch as root, or without --agent-user");
	execvp(plan->rest[0], plan->rest);
	return fail(EXIT_AGENT, "the agent cannot be started:", plan->rest[0],
		    "check the path and that the agent's user may enter every directory of it");
}

static int run_pair(const struct plan *plan)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return fail(EXIT_FAILED, "there is no", "socketpair", "raise the descriptor limit");
	errno = start_procmond(plan, ends[1], ends[0]);
	if (errno)
		return fail(EXIT_PROCMOND, "procmond cannot be started:", plan->procmond_argv[0],
			    "check the path and build it with make");
	close(ends[1]);
	return become_agent(plan, ends[0]);
}

static int run_listen(const struct plan *plan)
{
	char **argv = calloc((size_t)plan->rest_count + 3, sizeof(*argv));
	char uid[16];
	int link = launch_listen(plan->socket, &plan->peer_user);

	if (link < 0 || !argv)
		return EXIT_FAILED;
	if (!place_link(link))
		return fail(EXIT_FAILED, "the link cannot be placed on", "descriptor 3",
			    "raise the descriptor limit");
	snprintf(uid, sizeof(uid), "%u", plan->peer_user.uid);
	memcpy(argv, plan->rest, (size_t)plan->rest_count * sizeof(*argv));
	argv[plan->rest_count] = "--peer-uid";
	argv[plan->rest_count + 1] = uid;
	syscall(SYS_close_range, LINK_FD + 1, ~0u, CLOSE_RANGE_ON_EXEC);
	execvp(argv[0], argv);
	return fail(EXIT_PROCMOND, "procmond cannot be started:", argv[0], "check the path");
}

static int run_connect(const struct plan *plan)
{
	int link = launch_connect(plan->socket, &plan->peer_user);

	return link < 0 ? EXIT_FAILED : become_agent(plan, link);
}

/* Asks the kernel as the agent would, so that lists and mounts count like modes do. */
static int run_can_read(const struct plan *plan)
{
	struct stat st;
	const char *what;

	if (!launch_user_become(&plan->agent_user, &what))
		return fail(EXIT_FAILED, "this user cannot be tried:", what, "start launch as root");
	for (int i = 0; i < plan->rest_count; i++) {
		bool known = !stat(plan->rest[i], &st);
		int how = known && S_ISDIR(st.st_mode) ? X_OK : R_OK;

		/* A program has to be run as well; a directory only passed through. */
		if (!access(plan->rest[i], known && (st.st_mode & 0111) ? how | X_OK : how))
			continue;
		printf("%s: %s\n", plan->rest[i], strerror(errno));
		return EXIT_REACH;
	}
	return 0;
}

static bool set_mode(struct plan *plan, const char *mode)
{
	bool is_first = !plan->mode;

	plan->mode = mode;
	return is_first;
}

static bool set_user(struct plan *plan, struct launch_user *user, const char *text)
{
	if (launch_user_find(text, user))
		return true;
	fprintf(stderr, "launch: there is no user %s; create it, or give a number.\n", text);
	plan->is_refused = true;
	return false;
}

/* One option with its value; false = not known or not good. */
static bool take_option(struct plan *plan, const char *option, char *value, int *args)
{
	if (!strcmp(option, "--procmond")) {
		plan->procmond_argv[0] = value;
		return set_mode(plan, option);
	}
	if (!strcmp(option, "--listen") || !strcmp(option, "--connect")) {
		plan->socket = value;
		return set_mode(plan, option);
	}
	if (!strcmp(option, "--agent-user"))
		return set_user(plan, &plan->agent_user, value);
	if (!strcmp(option, "--peer-user"))
		return set_user(plan, &plan->peer_user, value);
	if (strcmp(option, "--procmond-arg") || *args > PROCMOND_ARGS_MAX)
		return false;
	plan->procmond_argv[(*args)++] = value;
	return true;
}

static bool is_complete(const struct plan *plan)
{
	bool is_pair = plan->mode && !strcmp(plan->mode, "--procmond");

	return plan->mode && plan->rest_count > 0 &&
	       plan->peer_user.named == (plan->socket != NULL) &&
	       (is_pair || !plan->procmond_argv[1]) &&
	       (strcmp(plan->mode, "--listen") || !plan->agent_user.named);
}

/* Returns an exit code, or -1 to go on. */
static int parse_plan(int argc, char **argv, struct plan *plan)
{
	bool good = true;
	int args = 1, i;

	for (i = 1; i < argc && strcmp(argv[i], "--") && good; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			fputs(help_text, stdout);
			return 0;
		}
		if (!strcmp(argv[i], "--can-read")) {
			good = set_mode(plan, argv[i]);
			continue;
		}
		good = i + 1 < argc && take_option(plan, argv[i], argv[i + 1], &args);
		i++;
	}
	if (good && i < argc) {
		plan->rest = argv + i + 1;
		plan->rest_count = argc - i - 1;
	}
	if (good && is_complete(plan))
		return -1;
	if (plan->is_refused)
		return EXIT_USAGE;
	fprintf(stderr, "launch: give --procmond PATH, or --listen or --connect SOCKET with "
			"--peer-user USER; then --, then what to start; see --help.\n");
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	static struct plan plan;
	int code = parse_plan(argc, argv, &plan);

	if (code >= 0)
		return code;
	if (!strcmp(plan.mode, "--listen"))
		return run_listen(&plan);
	if (!strcmp(plan.mode, "--connect"))
		return run_connect(&plan);
	if (!strcmp(plan.mode, "--can-read"))
		return run_can_read(&plan);
	return run_pair(&plan);
}
