/*
 * Unit tests of what reads foreign bytes: the command parser, the frame decoder, /proc lines and
 * replay files, and of the writer that feeds them. Run under AddressSanitizer and UBSan, so a
 * read past the end is a failure by itself: every input lies in a heap block of its exact size.
 * It must never need privileges or a live kernel program.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "comma_list.h"
#include "command.h"
#include "event_frame.h"
#include "frame_read.h"
#include "frame_write.h"
#include "proc_net.h"
#include "proc_stat.h"
#include "replay.h"
#include "scope.h"

static int checks, failures;

#define CHECK(condition) check(condition, #condition, __func__, __LINE__)
static void check(bool good, const char *what, const char *test, int line)
{
	checks++;
	if (good)
		return;
	failures++;
	fprintf(stderr, "FAIL %s:%d %s\n", test, line, what);
}

struct bytes {
	uint8_t data[16384];
	size_t used;
};

static void add_tlv(struct bytes *b, uint16_t tag, const void *value, uint16_t length)
{
	memcpy(b->data + b->used, &tag, 2);
	memcpy(b->data + b->used + 2, &length, 2);
	memcpy(b->data + b->used + 4, value, length);
	b->used += 4u + length;
}

static void add_u32(struct bytes *b, uint16_t tag, uint32_t value)
{
	add_tlv(b, tag, &value, 4);
}

static struct bytes command_bytes(uint16_t kind)
{
	struct frame_header header = {.version = FRAME_VERSION, .kind = kind, .tgid = 42,
				      .start_ticks = 77};
	struct bytes b = {.used = sizeof(header)};

	memcpy(b.data, &header, sizeof(header));
	return b;
}

/* Decodes from a block of exactly the right size, so that one byte too far is caught. */
static const char *decode(const void *data, size_t length, struct command *command)
{
	uint8_t *exact = malloc(length ? length : 1);
	const char *error;

	memcpy(exact, data, length);
	error = command_decode(exact, length, command);
	free(exact);
	return error;
}

static bool fails_with(const struct bytes *b, const char *name)
{
	static struct command command;
	const char *error = decode(b->data, b->used, &command);

	return error && !strcmp(error, name);
}

static struct bytes good_configure(void)
{
	struct bytes b = command_bytes(FRAME_KIND_CONFIGURE);

	add_tlv(&b, FRAME_TAG_SCOPE_CGROUP, "lab/host-1", 10);
	add_tlv(&b, FRAME_TAG_SOURCE, "ebpf", 4);
	add_u32(&b, FRAME_TAG_POLL_MS, 250);
	return b;
}

static struct bytes good_trace_add(void)
{
	struct bytes b = command_bytes(FRAME_KIND_TRACE_ADD);

	add_u32(&b, FRAME_TAG_SLOT, 3);
	add_u32(&b, FRAME_TAG_DEPTH, 5);
	add_u32(&b, FRAME_TAG_COLLECT, 7);
	return b;
}

static void test_good_commands_decode(void)
{
	static struct command command;
	struct bytes b = good_configure();

	CHECK(!decode(b.data, b.used, &command));
	CHECK(command.kind == FRAME_KIND_CONFIGURE && command.poll_ms == 250);
	CHECK(!strcmp(command.scope_cgroup, "lab/host-1"));
	CHECK(command.source == COMMAND_SOURCE_EBPF);
	b = command_bytes(FRAME_KIND_CONFIGURE);
	CHECK(!decode(b.data, b.used, &command));
	CHECK(command.poll_ms == COMMAND_POLL_MS_DEFAULT && !command.scope_cgroup[0]);
	add_tlv(&b, 60000, "later", 5);
	CHECK(!decode(b.data, b.used, &command));
	b = good_trace_add();
	CHECK(!decode(b.data, b.used, &command));
	CHECK(command.slot == 3 && command.depth == 5 && command.collect == 7);
	CHECK(command.tgid == 42 && command.start_ticks == 77);
}

static void test_bad_commands_are_named(void)
{
	struct bytes b = command_bytes(FRAME_KIND_EXEC);
	static char long_scope[COMMAND_SCOPE_BYTES_MAX + 2];
	static struct command command;

	CHECK(fails_with(&b, "kind_unknown"));
	b = command_bytes(FRAME_KIND_CONFIGURE);
	add_tlv(&b, FRAME_TAG_SCOPE_CGROUP, "a/../..", 7);
	CHECK(fails_with(&b, "scope_climbs"));
	b = command_bytes(FRAME_KIND_CONFIGURE);
	add_tlv(&b, FRAME_TAG_SCOPE_CGROUP, "..a/b..", 7);
	CHECK(!decode(b.data, b.used, &command));
	b = command_bytes(FRAME_KIND_CONFIGURE);
	add_tlv(&b, FRAME_TAG_SCOPE_CGROUP, "a\0b", 3);
	CHECK(fails_with(&b, "scope_has_nul"));
	memset(long_scope, 'x', sizeof(long_scope));
	b = command_bytes(FRAME_KIND_CONFIGURE);
	add_tlv(&b, FRAME_TAG_SCOPE_CGROUP, long_scope, COMMAND_SCOPE_BYTES_MAX + 1);
	CHECK(fails_with(&b, "scope_too_long"));
	b = command_bytes(FRAME_KIND_CONFIGURE);
	add_tlv(&b, FRAME_TAG_SCOPE_CGROUP, long_scope, COMMAND_SCOPE_BYTES_MAX);
	CHECK(!decode(b.data, b.used, &command));
	b = command_bytes(FRAME_KIND_CONFIGURE);
	add_tlv(&b, FRAME_TAG_SOURCE, "ebpf2", 5);
	CHECK(fails_with(&b, "source_unknown"));
	for (uint32_t ms = COMMAND_POLL_MS_MIN - 1; ms <= COMMAND_POLL_MS_MAX + 1;
	     ms += COMMAND_POLL_MS_MAX + 2 - COMMAND_POLL_MS_MIN) {
		b = command_bytes(FRAME_KIND_CONFIGURE);
		add_u32(&b, FRAME_TAG_POLL_MS, ms);
		CHECK(fails_with(&b, "poll_ms_range"));
	}
	b = good_trace_add();
	add_u32(&b, FRAME_TAG_SLOT, 4);
	CHECK(fails_with(&b, "tag_twice"));
	b = command_bytes(FRAME_KIND_TRACE_REMOVE);
	CHECK(fails_with(&b, "slot_missing"));
	add_tlv(&b, FRAME_TAG_SLOT, "abc", 3);
	CHECK(fails_with(&b, "tag_width"));
	b = good_trace_add();
	b.data[0] = 2;
	CHECK(fails_with(&b, "frame_version"));
	b = good_trace_add();
	memset(b.data + 12, 0, 4);
	CHECK(fails_with(&b, "root_tgid_range"));
}

static void test_truncation_at_every_byte_never_decodes_as_whole(void)
{
	static struct command command;
	struct bytes b = good_trace_add();

	/* Every TLV of trace_add is needed, so no shorter frame is good. */
	for (size_t i = 0; i < b.used; i++)
		CHECK(decode(b.data, i, &command));
	b = good_configure();
	for (size_t i = 0; i < FRAME_HEADER_BYTES; i++)
		CHECK(decode(b.data, i, &command));
	for (size_t i = FRAME_HEADER_BYTES; i < b.used; i++)
		decode(b.data, i, &command);
}

static void test_bit_flips_never_break_the_parser(void)
{
	static struct command command;
	struct bytes all[2] = {good_configure(), good_trace_add()};

	for (int which = 0; which < 2; which++) {
		struct bytes *b = &all[which];

		for (size_t bit = 0; bit < 8 * b->used; bit++) {
			b->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
			if (!decode(b->data, b->used, &command)) {
				CHECK(strlen(command.scope_cgroup) <= COMMAND_SCOPE_BYTES_MAX);
				CHECK(command.kind >= FRAME_KIND_CONFIGURE);
			}
			b->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

/* Writes some frames through a socket and returns what arrived. */
static size_t round_trip(struct frame_writer *writer, int other, uint8_t *out, size_t room)
{
	size_t used = 0;
	ssize_t n;

	frame_flush(writer);
	shutdown(writer->fd, SHUT_WR);
	while ((n = read(other, out + used, room - used)) > 0)
		used += (size_t)n;
	return used;
}

static void test_the_writer_round_trips(void)
{
	static struct frame_reader reader;
	struct frame_header header = {.kind = FRAME_KIND_EXIT, .tier = 1, .flags = 3, .tgid = 9,
				      .cpu_seq = 1ull << 40};
	struct frame_writer writer;
	struct frame_view view;
	const uint8_t *body;
	size_t length;
	int ends[2];

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	CHECK(frame_writer_open(&writer, ends[0], -1));
	for (uint32_t i = 0; i < 3; i++) {
		frame_begin(&writer, &header);
		frame_u32(&writer, FRAME_TAG_EXIT_CODE, 0x700 + i);
		frame_text(&writer, FRAME_TAG_COMM, "a b");
		frame_text(&writer, FRAME_TAG_CAUSE, "");
		frame_u64(&writer, FRAME_TAG_WALL_NS, ~0ull);
		frame_u16(&writer, FRAME_TAG_LPORT, 65535);
		frame_end(&writer);
	}
	reader.used = round_trip(&writer, ends[1], reader.buf, sizeof(reader.buf));
	for (uint32_t i = 0; i < 3; i++) {
		CHECK(frame_next(&reader, &body, &length) == FRAME_NEXT_READY);
		CHECK(!frame_decode(body, length, &view));
		CHECK(view.header.version == FRAME_VERSION && view.header.cpu_seq == 1ull << 40);
		CHECK(view.header.flags == 3 && view.header.tgid == 9);
		CHECK(frame_get_u32(&view, FRAME_TAG_EXIT_CODE) == 0x700 + i);
		CHECK(frame_get_u64(&view, FRAME_TAG_WALL_NS) == ~0ull);
		CHECK(view.tlv[FRAME_TAG_COMM].length == 3);
		CHECK(frame_has(&view, FRAME_TAG_CAUSE) && !view.tlv[FRAME_TAG_CAUSE].length);
		CHECK(!frame_has(&view, FRAME_TAG_PATH));
		frame_drop(&reader);
	}
	CHECK(frame_next(&reader, &body, &length) == FRAME_NEXT_NONE && !reader.used);
	close(ends[1]);
	frame_begin(&writer, &header);
	frame_end(&writer);
	CHECK(!frame_flush(&writer) && writer.closed);
	frame_writer_close(&writer);
	close(ends[0]);
}

static void test_a_stream_in_single_bytes_reassembles(void)
{
	static struct frame_reader reader;
	struct bytes b = good_trace_add();
	uint32_t length = (uint32_t)b.used;
	const uint8_t *body;
	size_t got;

	reader.used = 0;
	for (size_t i = 0; i < 4 + b.used; i++) {
		CHECK(frame_next(&reader, &body, &got) == FRAME_NEXT_NONE);
		reader.buf[reader.used++] = i < 4 ? ((uint8_t *)&length)[i] : b.data[i - 4];
	}
	CHECK(frame_next(&reader, &body, &got) == FRAME_NEXT_READY && got == b.used);
	length = FRAME_LENGTH_MAX + 1;
	memcpy(reader.buf, &length, 4);
	CHECK(frame_next(&reader, &body, &got) == FRAME_NEXT_BAD);
	length = FRAME_LENGTH_MIN - 1;
	memcpy(reader.buf, &length, 4);
	CHECK(frame_next(&reader, &body, &got) == FRAME_NEXT_BAD);
}

static bool parse_stat(const char *text, struct proc_stat *stat)
{
	size_t length = strlen(text);
	char *exact = malloc(length ? length : 1);
	bool good;

	memcpy(exact, text, length);
	good = proc_stat_parse(exact, length, stat);
	free(exact);
	return good;
}

static void test_hostile_names_do_not_move_stat_fields(void)
{
	static const char *const names[] = {
		"bash", "", ")", "((", ") R 1 2 3 4", "a b\nc", ") Z 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9",
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789",
	};
	char line[512];
	struct proc_stat stat;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(line, sizeof(line), "123 (%s) S 45 123 99 34816 -1 4194560 1 2 3 4 5 6 7 8 "
			 "20 0 1 0 555777 1000 2000 18446744073709551615\n", names[i]);
		CHECK(parse_stat(line, &stat));
		CHECK(stat.pid == 123 && stat.parent == 45 && stat.sid == 99);
		CHECK(stat.tty_nr == 34816 && stat.state == 'S' && stat.start_ticks == 555777);
		CHECK(strlen(stat.comm) < PROC_COMM_BYTES);
		CHECK(!strncmp(stat.comm, names[i], strlen(stat.comm)));
		for (size_t cut = 0; line[cut]; cut++) {
			char part[512];

			snprintf(part, cut + 1, "%s", line);
			parse_stat(part, &stat);
		}
	}
	CHECK(parse_stat("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 25 0", &stat));
	CHECK(stat.kernel_thread && stat.start_ticks == 25);
	CHECK(!parse_stat("", &stat));
	CHECK(!parse_stat("123", &stat));
	CHECK(!parse_stat("123 (a", &stat));
	CHECK(!parse_stat("0 (a) S 1", &stat));
	CHECK(!parse_stat("99999999999 (a) S 1", &stat));
	CHECK(!parse_stat("123 (a) S 45 123 99 34816 -1", &stat));
}

static void test_net_rows_parse_and_damage_is_refused(void)
{
	const char *four = "  0: 0100007F:1F90 0200007F:C000 01 00000000:00000000 00:00000000 00000000"
			   "  1000        0 5555 1 0000000000000000 20 4 30 10 -1";
	const char *six = "  1: 00000000000000000000000001000000:0016 0000000000000000FFFF00000100007F"
			  ":C001 0A 00000000:00000000 00:00000000 00000000 0 0 77 1 0 20 4 30 10 -1";
	struct net_row row;
	int state;

	CHECK(net_row_parse(four, 2, &row, &state));
	CHECK(state == 1 && row.lport == 8080 && row.rport == 49152 && row.inode == 5555);
	CHECK(!memcmp(row.laddr, "\177\0\0\1", 4) && !memcmp(row.raddr, "\177\0\0\2", 4));
	CHECK(net_row_parse(six, 10, &row, &state) && state == 10 && row.inode == 77);
	CHECK(row.laddr[15] == 1 && row.raddr[10] == 0xff && row.raddr[12] == 127);
	CHECK(!net_row_parse(four, 10, &row, &state));
	CHECK(!net_row_parse(six, 2, &row, &state));
	CHECK(!net_row_parse("  sl  local_address rem_address   st", 2, &row, &state));
	CHECK(!net_row_parse("", 2, &row, &state));
}

static void test_the_cgroup_mount_is_found_where_it_is(void)
{
	char mount[64];
	const char *hybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
			     "32 31 0:29 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu\n"
			     "41 31 0:38 / /sys/fs/cgroup/uni\\040fied rw shared:5 - cgroup2 cgroup2 rw\n";
	struct scope scope = {.path = "/a/b"};

	CHECK(scope_find_mount(hybrid, mount, sizeof(mount)));
	CHECK(!strcmp(mount, "/sys/fs/cgroup/uni fied"));
	CHECK(!scope_find_mount("32 31 0:29 / /x rw - cgroup cgroup rw\n", mount, sizeof(mount)));
	CHECK(!scope_find_mount("", mount, sizeof(mount)));
	CHECK(scope_contains(&scope, "/a/b") && scope_contains(&scope, "/a/b/c"));
	CHECK(!scope_contains(&scope, "/a/bc") && !scope_contains(&scope, "/a"));
}

static void test_paths_are_joined_from_leaf_first_components(void)
{
	char path[32];
	size_t n = event_path_join((const uint8_t *)"ls\0bin\0usr", 11, true, path, sizeof(path));

	CHECK(n == 11 && !memcmp(path, "/usr/bin/ls", 11));
	n = event_path_join((const uint8_t *)"memfd:x", 8, false, path, sizeof(path));
	CHECK(n == 7 && !memcmp(path, "memfd:x", 7));
	n = event_path_join(NULL, 0, true, path, sizeof(path));
	CHECK(n == 1 && path[0] == '/');
	n = event_path_join((const uint8_t *)"ls\0bin\0usr", 11, true, path, 5);
	CHECK(n == 4);
}

static int file_of(const uint8_t *bytes, size_t length)
{
	char name[] = "/tmp/procmond-unit-XXXXXX";
	int fd = mkstemp(name);

	unlink(name);
	if (write(fd, bytes, length) != (ssize_t)length)
		abort();
	return fd;
}

static struct replay_check validate(const uint8_t *bytes, size_t length)
{
	int fd = file_of(bytes, length);
	struct replay_check check_result = replay_validate(fd);

	close(fd);
	return check_result;
}

static size_t recording(uint8_t *out)
{
	static const uint16_t kinds[3] = {FRAME_KIND_READY, FRAME_KIND_TRACE_STATE, FRAME_KIND_EXIT};
	size_t used = 0;

	for (int i = 0; i < 3; i++) {
		struct bytes b = command_bytes(kinds[i]);
		uint32_t length;

		add_u32(&b, FRAME_TAG_COUNT, (uint32_t)i);
		length = (uint32_t)b.used;
		memcpy(out + used, &length, 4);
		memcpy(out + used + 4, b.data, b.used);
		used += 4 + b.used;
	}
	return used;
}

static void test_replay_accepts_whole_recordings_only(void)
{
	uint8_t bytes[1024];
	size_t used = recording(bytes), each = used / 3;
	struct replay_check result = validate(bytes, used);

	CHECK(!result.error && result.frames == 3 && result.starts_with_ready);
	CHECK(!validate(bytes, 0).error);
	for (size_t i = 1; i < used; i++)
		CHECK(!validate(bytes, i).error == (i % each == 0));
	bytes[each + 4 + 2] = FRAME_KIND_CONFIGURE;
	result = validate(bytes, used);
	CHECK(result.error && !strcmp(result.error, "kind_unknown") && result.offset == each);
	recording(bytes);
	for (size_t bit = 0; bit < 8 * used; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		validate(bytes, used);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void test_replay_marks_frames_and_leaves_answers_out(void)
{
	static struct frame_reader reader;
	struct frame_writer writer;
	struct frame_view view;
	const uint8_t *body;
	uint8_t bytes[1024];
	size_t used = recording(bytes), length;
	int fd = file_of(bytes, used), ends[2], frames = 0;

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	CHECK(frame_writer_open(&writer, ends[0], -1));
	CHECK(replay_send(fd, &writer));
	reader.used = round_trip(&writer, ends[1], reader.buf, sizeof(reader.buf));
	for (; frame_next(&reader, &body, &length) == FRAME_NEXT_READY; frames++) {
		CHECK(!frame_decode(body, length, &view));
		CHECK(view.header.flags & FRAME_FLAG_REPLAYED);
		CHECK(view.header.kind != FRAME_KIND_TRACE_STATE);
		frame_drop(&reader);
	}
	CHECK(frames == 2);
	frame_writer_close(&writer);
	close(ends[0]);
	close(ends[1]);
	close(fd);
}

static void test_a_list_holds_whole_entries_only(void)
{
	char list[16] = "";

	comma_list_add(list, sizeof(list), "sys_exit");
	CHECK(comma_list_has(list, "sys_exit"));
	/* The end of another name, its beginning, and what is none at all. */
	CHECK(!comma_list_has(list, "exit"));
	CHECK(!comma_list_has(list, "sys"));
	CHECK(!comma_list_has(list, ""));
	comma_list_add(list, sizeof(list), "exit");
	CHECK(!strcmp(list, "sys_exit,exit"));
	CHECK(comma_list_has(list, "exit"));
	CHECK(!comma_list_has("", "exit"));
	/* Full: cut, and nothing written behind it. */
	comma_list_add(list, sizeof(list), "more");
	CHECK(!strcmp(list, "sys_exit,exit,m"));
	CHECK(!comma_list_has(list, "more"));
}

int main(void)
{
	test_good_commands_decode();
	test_bad_commands_are_named();
	test_truncation_at_every_byte_never_decodes_as_whole();
	test_bit_flips_never_break_the_parser();
	test_the_writer_round_trips();
	test_a_stream_in_single_bytes_reassembles();
	test_hostile_names_do_not_move_stat_fields();
	test_net_rows_parse_and_damage_is_refused();
	test_the_cgroup_mount_is_found_where_it_is();
	test_paths_are_joined_from_leaf_first_components();
	test_replay_accepts_whole_recordings_only();
	test_replay_marks_frames_and_leaves_answers_out();
	test_a_list_holds_whole_entries_only();
	printf("unit tests: %d checks, %d failed\n", checks, failures);
	return failures != 0;
}
