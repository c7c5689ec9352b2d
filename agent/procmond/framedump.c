/*
 * framedump: plays the agent for tests and debugging. It starts procmond over a socketpair, sends
 * configure, and prints each frame as one line of JSON; lines on its standard input become
 * commands. It guarantees to print what arrived, checked by the same decoder the product uses. It
 * must never be needed in production.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "frame_read.h"

#define PROCMOND_ARGS_MAX 16

static const char help_text[] =
	"framedump starts procmond and prints its frames as JSON lines.\n"
	"\n"
	"  framedump --procmond PATH [--arg X]... [--scope CGROUP] [--source auto|ebpf|netlink|proc]\n"
	"            [--poll-ms N] [--seconds N]\n"
	"\n"
	"Example:  framedump --procmond build/procmond --seconds 5 | grep '\"kind\":\"exec\"'\n"
	"\n"
	"Commands on standard input, one per line:\n"
	"  add SLOT TGID START_TICKS DEPTH COLLECT | remove SLOT | pause SECONDS | bad | quit\n"
	"  env [NAME]... names the environment variables that an exec may carry\n"
	"  limits HASH_BYTES_MAX NEW_FILE_BYTES_MAX MEMORY_HEADERS   a policy of these alone\n"
	"  policy [watch PATH]... [credential PATH]...\n"
	"Exit codes: that of procmond; 2 wrong arguments; 6 a frame did not decode.\n";

struct options {
	char *argv[PROCMOND_ARGS_MAX + 2];
	const char *scope;
	const char *source;
	unsigned poll_ms;
	double seconds;
};

#define NAME_OF_KIND(name, wire, number) case number: return #wire;
static const char *kind_name(uint16_t kind)
{
	switch (kind) {
		FRAME_KINDS(NAME_OF_KIND)
	default: return "unknown";
	}
}

#define NAME_OF_TAG(name, number, bytes) [number] = #name,
static const char *const tag_names[FRAME_TAG_LAST + 1] = {FRAME_TAGS(NAME_OF_TAG)};

#define WIDTH_OF_TAG(name, number, bytes) [number] = bytes,
static const uint8_t tag_widths[FRAME_TAG_LAST + 1] = {FRAME_TAGS(WIDTH_OF_TAG)};

static void print_text(const uint8_t *bytes, size_t length)
{
	putchar('"');
	for (size_t i = 0; i < length; i++) {
		if (bytes[i] == '"' || bytes[i] == '\\')
			printf("\\%c", bytes[i]);
		else if (bytes[i] < 0x20 || bytes[i] > 0x7e)
			printf("\\u%04x", bytes[i]);
		else
			putchar(bytes[i]);
	}
	putchar('"');
}

static void print_heads(const struct frame_tlv *tlv)
{
	putchar('[');
	for (size_t i = 0; i + 8 <= tlv->length; i += 8) {
		uint64_t value;

		memcpy(&value, tlv->bytes + i, sizeof(value));
		printf("%s%llu", i ? "," : "", (unsigned long long)value);
	}
	putchar(']');
}

static void print_tlv(const struct frame_view *view, int tag)
{
	const struct frame_tlv *tlv = &view->tlv[tag];
	uint16_t half = 0;

	switch (tag) {
	case FRAME_TAG_RESULT:
		printf("%d", (int)frame_get_u32(view, (enum frame_tag)tag));
		return;
	case FRAME_TAG_LADDR: case FRAME_TAG_RADDR: case FRAME_TAG_SHA256: case FRAME_TAG_BLAKE3:
	case FRAME_TAG_CONTENT:
		putchar('"');
		for (size_t i = 0; i < tlv->length; i++)
			printf("%02x", tlv->bytes[i]);
		putchar('"');
		return;
	case FRAME_TAG_CPU_HEADS: case FRAME_TAG_CPU_DROPS: case FRAME_TAG_SHED:
		print_heads(tlv);
		return;
	default:
		break;
	}
	switch (tag_widths[tag]) {
	case 2:
		memcpy(&half, tlv->bytes, sizeof(half));
		printf("%u", half);
		break;
	case 4: printf("%u", frame_get_u32(view, (enum frame_tag)tag)); break;
	case 8: printf("%llu", (unsigned long long)frame_get_u64(view, (enum frame_tag)tag)); break;
	default: print_text(tlv->bytes, tlv->length);
	}
}

static void print_frame(const struct frame_view *view)
{
	const struct frame_header *h = &view->header;

	printf("{\"kind\":\"%s\",\"tier\":%u,\"flags\":%u,\"cpu\":%u,\"tgid\":%u,\"seq\":%llu,"
	       "\"ktime\":%llu,\"ticks\":%llu,\"tid\":%u,\"uid\":%u,\"gid\":%u,\"euid\":%u,"
	       "\"cgroup\":%llu", kind_name(h->kind), h->tier, h->flags, h->cpu, h->tgid,
	       (unsigned long long)h->cpu_seq, (unsigned long long)h->ktime_ns,
	       (unsigned long long)h->start_ticks, h->tid, h->uid, h->gid, h->euid,
	       (unsigned long long)h->cgroup_id);
	for (int tag = 1; tag <= FRAME_TAG_LAST; tag++) {
		if (!view->tlv[tag].bytes)
			continue;
		printf(",\"%s\":", tag_names[tag]);
		print_tlv(view, tag);
	}
	printf("}\n");
}

/* A policy of 256 paths of 128 bytes fits a line and a frame. */
#define LINE_BYTES_MAX (48 * 1024)

struct command_frame {
	size_t used;
	uint8_t bytes[LINE_BYTES_MAX];
};

static void add_tlv(struct command_frame *frame, uint16_t tag, const void *bytes, uint16_t length)
{
	memcpy(frame->bytes + frame->used, &tag, 2);
	memcpy(frame->bytes + frame->used + 2, &length, 2);
	memcpy(frame->bytes + frame->used + 4, bytes, length);
	frame->used += 4u + length;
}

static void begin_command(struct command_frame *frame, uint16_t kind, uint32_t tgid,
			  uint64_t start_ticks)
{
	struct frame_header header = {.version = FRAME_VERSION, .kind = kind, .tgid = tgid,
				      .start_ticks = start_ticks};

	memcpy(frame->bytes + FRAME_PREFIX_BYTES, &header, sizeof(header));
	frame->used = FRAME_PREFIX_BYTES + sizeof(header);
}

static void send_command(struct command_frame *frame, int link)
{
	uint32_t length = (uint32_t)(frame->used - FRAME_PREFIX_BYTES);

	memcpy(frame->bytes, &length, sizeof(length));
	if (send(link, frame->bytes, frame->used, MSG_NOSIGNAL) != (ssize_t)frame->used)
		fprintf(stderr, "framedump: a command could not be sent; procmond has ended.\n");
}

static void send_configure(const struct options *options, int link)
{
	static struct command_frame frame;
	uint32_t poll_ms = options->poll_ms;

	begin_command(&frame, FRAME_KIND_CONFIGURE, 0, 0);
	add_tlv(&frame, FRAME_TAG_SCOPE_CGROUP, options->scope,
		(uint16_t)strnlen(options->scope, 4096));
	add_tlv(&frame, FRAME_TAG_SOURCE, options->source, (uint16_t)strnlen(options->source, 64));
	if (poll_ms)
		add_tlv(&frame, FRAME_TAG_POLL_MS, &poll_ms, sizeof(poll_ms));
	send_command(&frame, link);
}

/* A policy that names environment variables, with spaces between, and nothing else. */
static void send_env_policy(char *names, int link)
{
	static struct command_frame frame;
	size_t length = strlen(names);

	for (size_t i = 0; i < length; i++)
		if (names[i] == ' ')
			names[i] = 0;
	begin_command(&frame, FRAME_KIND_POLICY, 0, 0);
	if (length)
		add_tlv(&frame, FRAME_TAG_ENV_NAMES, names, (uint16_t)length);
	send_command(&frame, link);
}

static void send_limits(const char *line, int link)
{
	static struct command_frame frame;
	unsigned long long hash_bytes_max = 0, new_file_bytes_max = 0;
	uint32_t memory_headers = 0;

	sscanf(line, "limits %llu %llu %u", &hash_bytes_max, &new_file_bytes_max, &memory_headers);
	begin_command(&frame, FRAME_KIND_POLICY, 0, 0);
	add_tlv(&frame, FRAME_TAG_HASH_BYTES_MAX, &hash_bytes_max, 8);
	add_tlv(&frame, FRAME_TAG_NEW_FILE_BYTES_MAX, &new_file_bytes_max, 8);
	add_tlv(&frame, FRAME_TAG_MEMORY_HEADERS, &memory_headers, 4);
	send_command(&frame, link);
}

/* The paths that follow `word` on the line, NUL between them. */
static void add_paths(struct command_frame *frame, uint16_t tag, const char *word, const char *line)
{
	static char copy[LINE_BYTES_MAX], list[LINE_BYTES_MAX];
	char *rest = copy, *token;
	size_t used = 0;
	bool wanted = false;

	snprintf(copy, sizeof(copy), "%s", line);
	while ((token = strsep(&rest, " "))) {
		if (wanted)
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s", token) + 1;
		wanted = !wanted && !strcmp(token, word);
	}
	if (used)
		add_tlv(frame, tag, list, (uint16_t)(used - 1));
}

static void send_policy(struct command_frame *frame, const char *line, int link)
{
	begin_command(frame, FRAME_KIND_POLICY, 0, 0);
	add_paths(frame, FRAME_TAG_WATCH_PATHS, "watch", line);
	add_paths(frame, FRAME_TAG_CREDENTIAL_PATHS, "credential", line);
	send_command(frame, link);
}

/* Obeys one line; false = quit. */
static bool obey_line(char *line, int link)
{
	static struct command_frame frame;
	uint32_t slot, tgid, depth, collect;
	unsigned long long ticks;
	double seconds;

	if (sscanf(line, "add %u %u %llu %u %u", &slot, &tgid, &ticks, &depth, &collect) == 5) {
		begin_command(&frame, FRAME_KIND_TRACE_ADD, tgid, ticks);
		add_tlv(&frame, FRAME_TAG_SLOT, &slot, sizeof(slot));
		add_tlv(&frame, FRAME_TAG_DEPTH, &depth, sizeof(depth));
		add_tlv(&frame, FRAME_TAG_COLLECT, &collect, sizeof(collect));
		send_command(&frame, link);
	} else if (!strncmp(line, "env", 3)) {
		send_env_policy(line + 3 + (line[3] == ' '), link);
	} else if (!strncmp(line, "limits ", 7)) {
		send_limits(line, link);
	} else if (sscanf(line, "remove %u", &slot) == 1) {
		begin_command(&frame, FRAME_KIND_TRACE_REMOVE, 0, 0);
		add_tlv(&frame, FRAME_TAG_SLOT, &slot, sizeof(slot));
		send_command(&frame, link);
	} else if (!strncmp(line, "policy", 6)) {
		send_policy(&frame, line, link);
	} else if (!strncmp(line, "bad", 3)) {
		/* A length no frame has. */
		if (send(link, "\0\0\0\0", 4, MSG_NOSIGNAL) != 4)
			return false;
	} else if (sscanf(line, "pause %lf", &seconds) == 1) {
		usleep((useconds_t)(seconds * 1e6));
	} else {
		return strncmp(line, "quit", 4) != 0;
	}
	return true;
}

/* Prints what is complete; false when a frame does not decode. */
static bool drain(struct frame_reader *reader)
{
	static struct frame_view view;
	const uint8_t *body;
	size_t length;
	enum frame_next next;

	while ((next = frame_next(reader, &body, &length)) == FRAME_NEXT_READY) {
		const char *error = frame_decode(body, length, &view);

		if (error) {
			fprintf(stderr, "framedump: a frame does not decode: %s.\n", error);
			return false;
		}
		print_frame(&view);
		frame_drop(reader);
	}
	fflush(stdout);
	return next == FRAME_NEXT_NONE;
}

static double now_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static bool obey_input(int link, struct pollfd *pollfd)
{
	static char text[LINE_BYTES_MAX];
	static size_t used;
	ssize_t n = read(STDIN_FILENO, text + used, sizeof(text) - used - 1);
	char *end;

	if (n <= 0) {
		pollfd->fd = -1;
		return true;
	}
	used += (size_t)n;
	text[used] = 0;
	while ((end = strchr(text, '\n'))) {
		*end++ = 0;
		if (!obey_line(text, link))
			return false;
		used -= (size_t)(end - text);
		memmove(text, end, used + 1);
	}
	return true;
}

static bool run(const struct options *options, int link)
{
	static struct frame_reader reader;
	struct pollfd fds[2] = {{.fd = link, .events = POLLIN},
				{.fd = STDIN_FILENO, .events = POLLIN}};
	double end = now_seconds() + options->seconds;

	while (options->seconds <= 0 || now_seconds() < end) {
		poll(fds, 2, 50);
		if (fds[1].revents && !obey_input(link, &fds[1]))
			return true;
		if (fds[0].revents) {
			ssize_t n = recv(link, reader.buf + reader.used,
					 sizeof(reader.buf) - reader.used, MSG_DONTWAIT);

			if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
				return true;
			if (n > 0)
				reader.used += (size_t)n;
		}
		if (!drain(&reader))
			return false;
	}
	return true;
}

static bool is_source(const char *text)
{
	return !strcmp(text, "auto") || !strcmp(text, "ebpf") || !strcmp(text, "netlink") ||
	       !strcmp(text, "proc");
}

static bool parse_number(const char *text, double *number)
{
	char *end;

	*number = strtod(text, &end);
	return end != text && !*end && *number >= 0 && *number <= UINT32_MAX;
}

/* One option with its value; false = not known or not good. */
static bool take_option(struct options *options, const char *option, char *value, int *args)
{
	double number = 0;

	if (!strcmp(option, "--procmond")) {
		options->argv[0] = value;
	} else if (!strcmp(option, "--scope")) {
		options->scope = value;
	} else if (!strcmp(option, "--source") && is_source(value)) {
		options->source = value;
	} else if (!strcmp(option, "--poll-ms") && parse_number(value, &number)) {
		options->poll_ms = (unsigned)number;
	} else if (!strcmp(option, "--seconds") && parse_number(value, &number)) {
		options->seconds = number;
	} else if (!strcmp(option, "--arg") && *args <= PROCMOND_ARGS_MAX) {
		options->argv[(*args)++] = value;
	} else {
		fprintf(stderr, "framedump: %s %s is not understood; see --help.\n", option, value);
		return false;
	}
	return true;
}

static bool parse_options(int argc, char **argv, struct options *options)
{
	int args = 1;

	*options = (struct options){.scope = "", .source = "auto"};
	for (int i = 1; i + 1 < argc; i += 2)
		if (!take_option(options, argv[i], argv[i + 1], &args))
			return false;
	if (argc % 2 == 1 && options->argv[0])
		return true;
	fprintf(stderr, "framedump: give --procmond PATH, and a value to each option; see --help.\n");
	return false;
}

int main(int argc, char **argv)
{
	struct options options;
	int ends[2], status = 0;
	bool good;
	pid_t child;

	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		fputs(help_text, stdout);
		return 0;
	}
	if (!parse_options(argc, argv, &options))
		return 2;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return 2;
	child = fork();
	if (child == 0) {
		if (ends[1] == 3)
			fcntl(3, F_SETFD, 0);
		else
			dup2(ends[1], 3);
		execv(options.argv[0], options.argv);
		fprintf(stderr, "framedump: %s cannot be started; build it first.\n", options.argv[0]);
		_exit(127);
	}
	close(ends[1]);
	send_configure(&options, ends[0]);
	good = run(&options, ends[0]);
	close(ends[0]);
	waitpid(child, &status, 0);
	if (!good)
		return 6;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
