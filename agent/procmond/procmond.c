/*
 * procmond: the native collector. It waits for `configure`, opens the best source the machine
 * allows, and then moves events to the agent and the agent's commands to the source, in one loop.
 * It guarantees that it ends when the agent does, and that nothing is attached before it was
 * asked to. It must never open a network connection, start a program, or act on another process.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "command.h"
#include "enrich.h"
#include "frame_read.h"
#include "layout.h"
#include "privilege.h"
#include "proc_read.h"
#include "replay.h"
#include "scope.h"
#include "shedding.h"
#include "source.h"
#include "trace.h"

enum exit_code {
	EXIT_CLEAN = 0, /* the agent closed the link */
	EXIT_FAILED = 1, /* --verify-load refused something, or no memory */
	EXIT_USAGE = 2,
	EXIT_SOURCE = 3, /* what configure asked for cannot be had */
	EXIT_COMMAND = 4, /* the agent sent something malformed */
	EXIT_FILE = 5, /* the replay or record file is not usable */
};

/* What the agent may be behind before procmond waits for it: a busy moment, not a standstill. */
#define LINK_BYTES (2 * 1024 * 1024)

static const char help_text[] =
	"procmond observes processes, connections, the files of traced processes, and watched and\n"
	"credential files of all; it hashes what is executed or new, reads the headers of traced\n"
	"programs in memory where the policy asks for it, and tells its agent.\n"
	"\n"
	"  procmond [--fd N] [--peer-uid UID] [--replay FILE] [--record FILE]\n"
	"  procmond --verify-load | --print-layout | --help\n"
	"\n"
	"  --fd N          the stream socket shared with the agent (default 3)\n"
	"  --peer-uid UID  who must be at the other end of it (default: the user procmond runs as,\n"
	"                  which is who made the pair of sockets)\n"
	"  --replay FILE   send the frames recorded in FILE instead of observing\n"
	"  --record FILE   write every frame that is sent to FILE as well\n"
	"  --verify-load   load and attach each kernel program, print what the verifier said\n"
	"  --print-layout  print the frame layout as JSON\n"
	"\n"
	"It is normally started by the launcher:\n"
	"  launch --procmond ./procmond -- node agent/main.ts\n"
	"\n"
	"Exit codes: 0 the agent closed the link; 1 failed; 2 wrong arguments; 3 the configured\n"
	"source or scope cannot be had; 4 malformed command from the agent; 5 replay or record\n"
	"file unusable.\n";

struct options {
	int fd;
	uint32_t peer_uid;
	const char *replay;
	const char *record;
};

struct session {
	struct options options;
	struct frame_writer writer;
	struct frame_reader reader;
	struct scope scope;
	struct source source;
	struct shedding shedding;
	struct enrich enrich;
	struct policy policy; /* all zero until the agent has sent one */
	uint64_t open_slots;
	uint32_t agent_pid; /* by the kernel's word with each message; 0 = not known */
	int replay_fd;
	bool ended; /* the agent closed its end */
};

static int fail(enum exit_code code, const char *sentence, const char *detail)
{
	fprintf(stderr, "procmond: ");
	fprintf(stderr, sentence, detail);
	fprintf(stderr, "\n");
	return code;
}

static void note_agent(struct session *session, struct msghdr *message)
{
	for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
		struct ucred sender;

		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_CREDENTIALS)
			continue;
		memcpy(&sender, CMSG_DATA(part), sizeof(sender));
		if (sender.pid <= 0 || (uint32_t)sender.pid == session->agent_pid)
			continue;
		session->agent_pid = (uint32_t)sender.pid;
		if (session->source.set_agent)
			session->source.set_agent(session->source.self, session->agent_pid);
	}
}

/* Takes what the agent has sent, without waiting. */
static void receive(struct session *session)
{
	struct frame_reader *reader = &session->reader;
	struct iovec room = {reader->buf + reader->used, sizeof(reader->buf) - reader->used};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct msghdr message = {.msg_iov = &room, .msg_iovlen = 1, .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	/* A descriptor that is sent along would stay open: there is no room for one. */
	ssize_t n = recvmsg(session->options.fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n > 0)
		note_agent(session, &message);
	if (n > 0)
		reader->used += (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		session->ended = true;
}

/* 1 = a command, 0 = none yet, negative = malformed and reported. */
static int next_command(struct session *session, struct command *command)
{
	const uint8_t *body;
	size_t length;
	const char *error;

	switch (frame_next(&session->reader, &body, &length)) {
	case FRAME_NEXT_NONE:
		return 0;
	case FRAME_NEXT_BAD:
		error = "frame_length";
		break;
	default:
		error = command_decode(body, length, command);
		frame_drop(&session->reader);
	}
	if (!error)
		return 1;
	fail(EXIT_COMMAND, "the agent sent a malformed command (%s); procmond and agent must be of "
			   "one version.", error);
	return -1;
}

/* Whether the agent has sent something; `wake_fd` ends the wait as well, -1 = none. */
static bool wait_readable(int fd, int wake_fd, int timeout_ms)
{
	struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = wake_fd, .events = POLLIN}};

	return poll(fds, 2, timeout_ms) > 0 && fds[0].revents;
}

/* The first frame. Returns an exit code, or -1 to go on. */
static int await_configure(struct session *session, struct command *command)
{
	int got;

	while (!(got = next_command(session, command)) && !session->ended)
		if (wait_readable(session->options.fd, -1, -1))
			receive(session);
	if (got < 0)
		return EXIT_COMMAND;
	if (!got)
		return EXIT_CLEAN;
	if (command->kind != FRAME_KIND_CONFIGURE)
		return fail(EXIT_COMMAND, "the agent's first command was not %s; send it first.",
			    "configure");
	return -1;
}

static void send_file_text(struct frame_writer *writer, uint16_t tag, const char *path)
{
	char text[128] = "";
	long bytes = proc_read_file(path, text, sizeof(text) - 1);

	text[bytes > 0 ? bytes : 0] = 0;
	text[strcspn(text, "\n")] = 0;
	frame_text(writer, tag, text);
}

static void send_ready(struct frame_writer *writer, enum frame_tier tier,
		       const struct source_report *report)
{
	struct frame_header header = frame_own_header(FRAME_KIND_READY, tier);
	struct clock_pair pair = clock_read_pair();

	header.ktime_ns = pair.boot_ns;
	frame_begin(writer, &header);
	send_file_text(writer, FRAME_TAG_MACHINE_ID, "/etc/machine-id");
	send_file_text(writer, FRAME_TAG_BOOT_ID, "/proc/sys/kernel/random/boot_id");
	frame_u64(writer, FRAME_TAG_WALL_NS, pair.wall_ns);
	frame_text(writer, FRAME_TAG_PROGRAMS, report->programs);
	frame_text(writer, FRAME_TAG_MISSING, report->missing);
	frame_text(writer, FRAME_TAG_CAUSE, report->cause);
	frame_end(writer);
}

static void append_missing(struct source_report *report, bool is_missing, const char *name)
{
	size_t used = strlen(report->missing);

	if (is_missing)
		snprintf(report->missing + used, sizeof(report->missing) - used, "%s%s",
			 used ? "," : "", name);
}

/* Everything is open: from here on procmond only reads. What the machine refused is told. */
static void give_up_privilege(uint16_t tier, struct source_report *report)
{
	struct privilege_report dropped = privilege_drop(tier);

	append_missing(report, dropped.capabilities_kept || dropped.threads_running,
		       "capability-drop");
	append_missing(report, dropped.filter_missing, "system-call-filter");
}

/* Returns an exit code, or -1 to go on. */
static int open_source(struct session *session, const struct command *configure)
{
	struct source_report report = {0};
	const char *refused;

	if (!scope_open(&session->scope, configure->scope_cgroup))
		return EXIT_SOURCE;
	refused = source_open(&session->source, &session->scope, configure, &report);
	if (refused && !*refused)
		return fail(EXIT_FAILED, "there is no memory for %s; free some.", "the process table");
	if (refused)
		return fail(EXIT_SOURCE, "the tier that is forced cannot be had (%s); configure source "
					 "auto, which takes the best there is.", report.cause);
	shedding_open(&session->shedding, &session->scope);
	give_up_privilege(session->source.tier, &report);
	/* After that: its thread inherits what is left. */
	enrich_open(&session->enrich, &session->writer, &session->scope, &session->source);
	send_ready(&session->writer, session->source.tier, &report);
	if (session->source.set_agent)
		session->source.set_agent(session->source.self, session->agent_pid);
	snapshot_send(&session->writer, &session->scope, &session->source);
	return -1;
}

/*
 * A recording shows what was captured then: a policy changes nothing in it. A list that cannot be
 * put in force stops procmond, or the agent would believe in a watch that is not there.
 */
static int obey_policy(struct session *session, const struct policy *policy)
{
	session->policy = *policy;
	if (session->replay_fd >= 0)
		return -1;
	hash_desk_set_policy(&session->enrich.desk, &session->policy);
	if (session->source.set_policy &&
	    !session->source.set_policy(session->source.self, &session->policy))
		return fail(EXIT_FAILED, "there is no memory for %s; free some.", "the watch list");
	return -1;
}

static struct trace_result add_trace(struct session *session, const struct command *command)
{
	struct trace_result result = trace_add(&session->source, command, &session->open_slots);

	if (!result.cause[0])
		hash_desk_set_trace(&session->enrich.desk, command->slot, command->collect);
	return result;
}

static struct trace_result remove_trace(struct session *session, const struct command *command)
{
	struct trace_result result = trace_remove(&session->source, command, &session->open_slots);

	if (!result.cause[0])
		hash_desk_set_trace(&session->enrich.desk, command->slot, 0);
	return result;
}

/* Returns an exit code, or -1 to go on. */
static int obey(struct session *session, const struct command *command)
{
	struct trace_result result = {0, "replay"};
	uint16_t tier = session->source.tier;

	if (command->kind == FRAME_KIND_CONFIGURE)
		return fail(EXIT_COMMAND, "the agent sent %s twice; start procmond anew instead.",
			    "configure");
	if (command->kind == FRAME_KIND_POLICY)
		return obey_policy(session, &command->policy);
	if (session->replay_fd < 0 && command->kind == FRAME_KIND_TRACE_ADD)
		result = add_trace(session, command);
	else if (session->replay_fd < 0)
		result = remove_trace(session, command);
	else
		tier = FRAME_TIER_PROC;
	trace_send_state(&session->writer, tier, command, &result);
	return -1;
}

static int obey_all(struct session *session)
{
	/* A policy makes it too large for the stack. */
	static struct command command;
	int got, code;

	while ((got = next_command(session, &command)) > 0) {
		code = obey(session, &command);
		if (code >= 0)
			return code;
	}
	return got < 0 ? EXIT_COMMAND : -1;
}

static int link_lost(const struct session *session)
{
	return session->writer.record_failed ? EXIT_FILE : EXIT_CLEAN;
}

static int run_loop(struct session *session)
{
	bool replaying = session->replay_fd >= 0;
	const struct source *source = &session->source;
	int wake_fd = source->wake_fd ? source->wake_fd(source->self) : -1;
	int code, wait_ms = 0;

	while (!session->ended) {
		if (wait_readable(session->options.fd, wake_fd, wait_ms))
			receive(session);
		code = obey_all(session);
		if (code >= 0)
			return code;
		if (!frame_flush(&session->writer))
			return link_lost(session);
		wait_ms = -1;
		if (replaying)
			continue;
		if (!session->source.pump(session->source.self, &session->writer, clock_boot_ns()))
			return link_lost(session);
		shedding_pump(&session->shedding, &session->source, &session->writer,
			      clock_boot_ns());
		hash_desk_pump(&session->enrich.desk, &session->writer, clock_boot_ns());
		wait_ms = session->source.wait_ms(session->source.self, clock_boot_ns());
		wait_ms = hash_desk_wait_ms(&session->enrich.desk, wait_ms);
	}
	return EXIT_CLEAN;
}

/* Returns an exit code, or -1 to go on. */
static int open_replay(struct session *session)
{
	struct replay_check check;

	session->replay_fd = open(session->options.replay, O_RDONLY | O_CLOEXEC);
	if (session->replay_fd < 0)
		return fail(EXIT_FILE, "the replay file %s cannot be opened; check its path and "
				       "mode.", session->options.replay);
	check = replay_validate(session->replay_fd);
	if (!check.error)
		return -1;
	fprintf(stderr, "procmond: the replay file is damaged at byte %llu (%s); record it again.\n",
		(unsigned long long)check.offset, check.error);
	return EXIT_FILE;
}

static int send_replay(struct session *session)
{
	struct source_report report = {.cause = "replay"};

	/* A recording may come from anywhere, and reading it needs no privilege at all. */
	give_up_privilege(0, &report);
	if (!replay_validate(session->replay_fd).starts_with_ready)
		send_ready(&session->writer, FRAME_TIER_PROC, &report);
	if (!replay_send(session->replay_fd, &session->writer))
		return link_lost(session);
	return -1;
}

static int run(struct session *session)
{
	static struct command configure;
	int code = -1;

	session->replay_fd = -1;
	if (session->options.replay)
		code = open_replay(session);
	if (code < 0)
		code = await_configure(session, &configure);
	if (code < 0)
		code = session->replay_fd >= 0 ? send_replay(session)
					       : open_source(session, &configure);
	if (code < 0)
		code = run_loop(session);
	enrich_close(&session->enrich);
	if (session->source.close)
		session->source.close(session->source.self);
	return code;
}

static bool socket_option_is(int fd, int option, int expected)
{
	socklen_t bytes = sizeof(int);
	int value = -1;

	return !getsockopt(fd, SOL_SOCKET, option, &value, &bytes) && value == expected;
}

/*
 * The kernel noted the uid when the pair was made, or when the agent connected. The pid beside it
 * is no evidence: it may have been given to somebody else since.
 */
static bool peer_is_expected(const struct options *options)
{
	struct ucred peer = {.uid = (uid_t)-1};
	socklen_t bytes = sizeof(peer);

	return !getsockopt(options->fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) &&
	       bytes == sizeof(peer) && peer.uid == options->peer_uid;
}

static int open_session(struct session *session)
{
	int record_fd = -1, link_bytes = LINK_BYTES, on = 1;

	if (!socket_option_is(session->options.fd, SO_DOMAIN, AF_UNIX) ||
	    !socket_option_is(session->options.fd, SO_TYPE, SOCK_STREAM))
		return fail(EXIT_USAGE, "the agent's descriptor is not a unix stream socket%s; start "
					"procmond through the launcher.", "");
	if (!peer_is_expected(&session->options))
		return fail(EXIT_USAGE, "the other end of the agent's socket belongs to another user%s; "
					"start procmond through the launcher.", "");
	/* The pair is made by the launcher, so only the messages say who the agent is. */
	if (setsockopt(session->options.fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)))
		return fail(EXIT_FAILED, "the agent's %s cannot be asked who sends; use a unix socket.",
			    "descriptor");
	/* Beyond the system's limit where that is permitted, else up to it. */
	if (setsockopt(session->options.fd, SOL_SOCKET, SO_SNDBUFFORCE, &link_bytes, sizeof(link_bytes)))
		setsockopt(session->options.fd, SOL_SOCKET, SO_SNDBUF, &link_bytes, sizeof(link_bytes));
	/* Frames hold command lines: nobody but the owner may read a recording. */
	if (session->options.record) {
		record_fd = open(session->options.record,
				 O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (record_fd < 0)
			return fail(EXIT_FILE, "the record file %s cannot be written; check its "
					       "directory.", session->options.record);
	}
	if (!frame_writer_open(&session->writer, session->options.fd, record_fd))
		return fail(EXIT_FAILED, "there is no memory for %s; free some.", "frames");
	return -1;
}

/* Digits alone, up to `max`: strtoul would take a sign, and cut what is too large. */
static bool parse_number(const char *text, unsigned long max, unsigned long *number)
{
	char *end;

	errno = 0;
	*number = strtoul(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno && *number <= max;
}

/* Returns an exit code, or -1 to go on. */
static int parse_options(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{"fd", required_argument, NULL, 'f'},	{"replay", required_argument, NULL, 'p'},
		{"record", required_argument, NULL, 'r'}, {"peer-uid", required_argument, NULL, 'u'},
		{"verify-load", no_argument, NULL, 'v'},
		{"print-layout", no_argument, NULL, 'l'}, {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	unsigned long number;
	int got;

	*options = (struct options){.fd = 3, .peer_uid = geteuid()};
	opterr = 0;
	while ((got = getopt_long(argc, argv, "h", known, NULL)) != -1) {
		switch (got) {
		case 'f':
			if (!parse_number(optarg, INT_MAX, &number))
				return fail(EXIT_USAGE, "--fd %s is not a descriptor; give a "
							"number.", optarg);
			options->fd = (int)number;
			break;
		case 'u':
			/* The last one means "nobody" to the kernel. */
			if (!parse_number(optarg, UINT32_MAX - 1, &number))
				return fail(EXIT_USAGE, "--peer-uid %s is not a user id; give a "
							"number.", optarg);
			options->peer_uid = (uint32_t)number;
			break;
		case 'p': options->replay = optarg; break;
		case 'r': options->record = optarg; break;
		case 'v': return bpf_source_verify_load();
		case 'l': layout_print(); return EXIT_CLEAN;
		case 'h': fputs(help_text, stdout); return EXIT_CLEAN;
		default: return fail(EXIT_USAGE, "these arguments are not known%s; see --help.", "");
		}
	}
	if (optind < argc)
		return fail(EXIT_USAGE, "the argument %s is not expected; see --help.",
			    argv[optind]);
	return -1;
}

int main(int argc, char **argv)
{
	static struct session session;
	int code = parse_options(argc, argv, &session.options);

	if (code >= 0)
		return code;
	/* A vanished agent shows as an error of send, never as a signal. */
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	code = open_session(&session);
	if (code < 0)
		code = run(&session);
	frame_writer_close(&session.writer);
	return code;
}
