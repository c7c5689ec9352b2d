/*
 * Unit tests of process events as frames: what the ring carries goes in, decoded frames come out. Run
 * under AddressSanitizer and UBSan, every event in a heap block of its exact size. It must never need
 * privileges or a live kernel program.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "event_frame.h"
#include "frame_read.h"

static struct frame_reader reader;
static struct frame_view view;

/* Sends one event and decodes the one frame it becomes; false when it becomes none. */
static bool pass(const void *event, size_t bytes)
{
	struct frame_writer writer;
	const uint8_t *body;
	size_t length;
	void *exact = malloc(bytes ? bytes : 1);
	bool good = false;
	int ends[2];
	ssize_t n;

	memcpy(exact, event, bytes);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) || !frame_writer_open(&writer, ends[0], -1))
		exit(2);
	event_frame_send(&writer, exact, bytes);
	frame_flush(&writer);
	shutdown(ends[0], SHUT_WR);
	reader.used = 0;
	while ((n = read(ends[1], reader.buf + reader.used, sizeof(reader.buf) - reader.used)) > 0)
		reader.used += (size_t)n;
	if (frame_next(&reader, &body, &length) == FRAME_NEXT_READY)
		good = !frame_decode(body, length, &view) &&
		       reader.used == length + FRAME_PREFIX_BYTES;
	frame_writer_close(&writer);
	close(ends[0]);
	close(ends[1]);
	free(exact);
	return good;
}

static bool is_text(enum frame_tag tag, const char *text, size_t length)
{
	return frame_has(&view, tag) && view.tlv[tag].length == length &&
	       !memcmp(view.tlv[tag].bytes, text, length);
}
#define IS(tag, text) is_text(FRAME_TAG_##tag, text, sizeof(text) - 1)

struct long_event {
	size_t bytes;
	struct pm_long event;
};

static void append(struct long_event *to, enum pm_segment segment, const char *bytes, size_t length)
{
	memcpy((uint8_t *)&to->event + to->bytes, bytes, length);
	to->event.bytes[segment] = (__u32)length;
	to->bytes += length;
}
#define APPEND(to, segment, text) append(to, PM_SEG_##segment, text, sizeof(text) - 1)

static struct long_event *exec_event(void)
{
	static struct long_event to;

	memset(&to, 0, sizeof(to));
	to.event.head = (struct pm_event){.kind = FRAME_KIND_EXEC, .tgid = 7, .cpu_seq = 1,
					  .comm = "sh"};
	to.event.dev = 266338304;
	to.event.ino = 12;
	to.event.size = 34;
	to.event.mtime_ns = 56;
	to.event.ctime_ns = 78;
	to.event.parent_tgid = 1;
	to.bytes = PM_LONG_HEAD_BYTES;
	APPEND(&to, WALK, "dash\0bin\0");
	APPEND(&to, NAME, "/tmp/x\0");
	APPEND(&to, ARGV, "/bin/sh\0/tmp/x\0");
	APPEND(&to, NAME_TO, "/bin/sh\0");
	APPEND(&to, CWD, "work\0home\0");
	APPEND(&to, ENV, "A=1\0SECRET=s\0AB=2\0SEC=3\0B=\0");
	return &to;
}

static void name_variables(size_t count, const char *const names[])
{
	static struct policy policy;

	policy.env_count = count;
	for (size_t i = 0; i < count; i++)
		snprintf(policy.env_names[i], sizeof(policy.env_names[i]), "%s", names[i]);
	event_process_set_env_names(&policy);
}

static void test_an_exec_has_every_field(void)
{
	static const char *const names[] = {"A", "B", "SECRE"};
	struct long_event *to = exec_event();

	name_variables(3, names);
	CHECK(pass(&to->event, to->bytes));
	CHECK(IS(EXE, "/bin/dash") && IS(FILENAME, "/tmp/x") && IS(ARGV, "/bin/sh\0/tmp/x"));
	CHECK(IS(INTERP, "/bin/sh") && IS(CWD, "/home/work"));
	CHECK(IS(ENV, "A=1\0B="));
	CHECK(frame_get_u64(&view, FRAME_TAG_DEV) == 266338304);
	CHECK(frame_get_u64(&view, FRAME_TAG_INO) == 12 && frame_get_u64(&view, FRAME_TAG_SIZE) == 34);
	CHECK(frame_get_u64(&view, FRAME_TAG_MTIME_NS) == 56);
	CHECK(frame_get_u64(&view, FRAME_TAG_CTIME_NS) == 78);
	CHECK(!frame_has(&view, FRAME_TAG_ABSENT) && !frame_has(&view, FRAME_TAG_EXE_FLAGS));
}

static void test_no_environment_leaves_without_names(void)
{
	struct long_event *to = exec_event();

	name_variables(0, NULL);
	CHECK(pass(&to->event, to->bytes));
	CHECK(!frame_has(&view, FRAME_TAG_ENV));
	CHECK(!memmem(reader.buf, reader.used, "SECRET", 6));
}

static void test_a_variable_cut_by_the_end_is_left_out(void)
{
	static const char *const names[] = {"A", "LONG"};
	char out[8];
	size_t used;

	name_variables(2, names);
	used = event_process_filter_env((const uint8_t *)"A=1\0LONG=half", 13, out, sizeof(out));
	CHECK(used == 3 && !memcmp(out, "A=1", 3));
	/* At the room it fits, one byte above it does not. */
	CHECK(event_process_filter_env((const uint8_t *)"LONG=123\0", 9, out, sizeof(out)) == 8);
	CHECK(event_process_filter_env((const uint8_t *)"LONG=1234\0", 10, out, sizeof(out)) == 0);
	CHECK(event_process_filter_env((const uint8_t *)"A=1\0LONG=\0", 10, out, sizeof(out)) == 3);
	CHECK(event_process_filter_env((const uint8_t *)"=\0A\0\0", 5, out, sizeof(out)) == 0);
	CHECK(event_process_filter_env((const uint8_t *)"", 0, out, sizeof(out)) == 0);
}

static void test_what_could_not_be_read_has_a_reason(void)
{
	struct long_event *to = exec_event();

	to->event.absent = PM_ABSENT_ARGV | PM_ABSENT_CWD_UNCERTAIN | PM_ABSENT_ENV_NO_ROOM |
			   PM_ABSENT_INTERP | PM_ABSENT_FILENAME;
	CHECK(pass(&to->event, to->bytes));
	CHECK(IS(ABSENT, "ARGV:unreadable,CWD:uncertain,ENV:no_room,FILENAME:unreadable,"
			 "INTERP:unreadable"));
	CHECK(!frame_has(&view, FRAME_TAG_ARGV) && !frame_has(&view, FRAME_TAG_CWD));
	to = exec_event();
	to->event.head.kind = FRAME_KIND_SNAPSHOT;
	to->event.ino = 0;
	memset(to->event.bytes, 0, sizeof(to->event.bytes));
	CHECK(pass(&to->event, PM_LONG_HEAD_BYTES));
	CHECK(IS(ABSENT, "EXE:none,ARGV:none,CWD:none,FILENAME:none,INTERP:none"));
	CHECK(!frame_has(&view, FRAME_TAG_INO));
}

static void test_memory_and_deleted_images_are_told_apart(void)
{
	static struct long_event to;

	to.event.head.kind = FRAME_KIND_EXEC;
	to.event.ino = 1;
	to.event.exe_flags = FRAME_EXE_DELETED;
	to.event.walk_end[0] = PM_WALK_DETACHED;
	to.bytes = PM_LONG_HEAD_BYTES;
	APPEND(&to, WALK, "memfd:x\0");
	CHECK(pass(&to.event, to.bytes));
	CHECK(frame_get_u32(&view, FRAME_TAG_EXE_FLAGS) == FRAME_EXE_MEMFD && IS(EXE, "memfd:x"));
	/* A file that is only called so lies in a directory. */
	to.event.walk_end[0] = PM_WALK_ROOTED;
	CHECK(pass(&to.event, to.bytes));
	CHECK(frame_get_u32(&view, FRAME_TAG_EXE_FLAGS) == FRAME_EXE_DELETED);
}

static void test_the_root_is_a_directory_too(void)
{
	struct long_event *to = exec_event();

	to->bytes -= to->event.bytes[PM_SEG_CWD] + to->event.bytes[PM_SEG_ENV];
	to->event.bytes[PM_SEG_CWD] = to->event.bytes[PM_SEG_ENV] = 0;
	CHECK(pass(&to->event, to->bytes));
	CHECK(IS(CWD, "/"));
}

static void test_changed_ids_have_the_old_ones_or_say_why_not(void)
{
	struct pm_set_id event = {.head = {.kind = FRAME_KIND_SET_ID, .uid = 5}, .old_uid = 1,
				  .old_gid = 2, .old_euid = 3, .call = PM_CALL_SETRESUID};

	CHECK(pass(&event, sizeof(event)));
	CHECK(view.header.uid == 5 && frame_get_u32(&view, FRAME_TAG_OLD_UID) == 1);
	CHECK(frame_get_u32(&view, FRAME_TAG_OLD_GID) == 2);
	CHECK(frame_get_u32(&view, FRAME_TAG_OLD_EUID) == 3 && IS(CALL, "setresuid"));
	event.old_unknown = 1;
	CHECK(pass(&event, sizeof(event)));
	CHECK(!frame_has(&view, FRAME_TAG_OLD_UID) && frame_has(&view, FRAME_TAG_ABSENT));
}

static void test_acts_name_call_target_and_cause(void)
{
	struct pm_act event = {.head = {.kind = FRAME_KIND_PTRACE}, .request = 16,
			       .target_ticks = 9, .target_tgid = 8, .call = PM_CALL_PTRACE};

	CHECK(pass(&event, sizeof(event)));
	CHECK(IS(CALL, "ptrace") && frame_get_u64(&view, FRAME_TAG_REQUEST) == 16);
	CHECK(frame_get_u32(&view, FRAME_TAG_TARGET_TGID) == 8);
	CHECK(frame_get_u64(&view, FRAME_TAG_TARGET_TICKS) == 9 && !frame_has(&view, FRAME_TAG_CAUSE));
	/* A kernel that cannot look it up: procmond does, here itself. */
	event.target_tgid = 0;
	event.target_pid = (__u32)getpid();
	CHECK(pass(&event, sizeof(event)));
	CHECK(frame_get_u32(&view, FRAME_TAG_TARGET_TGID) == (uint32_t)getpid());
	CHECK(frame_get_u64(&view, FRAME_TAG_TARGET_TICKS) > 0);
	event.target_pid = 0;
	CHECK(pass(&event, sizeof(event)));
	CHECK(IS(ABSENT, "TARGET_TGID:namespace,TARGET_TICKS:namespace"));
	event.head.kind = FRAME_KIND_TAMPER;
	event.call = PM_CALL_FINIT_MODULE;
	event.result = -38;
	event.count = 3;
	CHECK(pass(&event, sizeof(event)));
	CHECK(IS(CALL, "finit_module") && IS(CAUSE, "kernel_code") &&
	      !frame_has(&view, FRAME_TAG_TARGET_TGID));
	CHECK((int)frame_get_u32(&view, FRAME_TAG_RESULT) == -38);
	CHECK(frame_get_u32(&view, FRAME_TAG_COUNT) == 3 && !frame_has(&view, FRAME_TAG_REQUEST));
	event.call = PM_CALL_NONE;
	event.cause = PM_TAMPER_OWN_PROCESS;
	event.target_tgid = 8;
	CHECK(pass(&event, sizeof(event)));
	CHECK(IS(CALL, "signal") && IS(CAUSE, "own_process"));
	event.cause = 99;
	CHECK(pass(&event, sizeof(event)) && !frame_has(&view, FRAME_TAG_CAUSE));
}

static void test_a_partial_view_has_its_cause(void)
{
	struct pm_partial event = {.head = {.kind = FRAME_KIND_VIEW_PARTIAL},
				   .cause = PM_PARTIAL_IO_URING};

	CHECK(pass(&event, sizeof(event)) && IS(CAUSE, "io_uring"));
	event.cause = PM_PARTIAL_COMPAT32;
	CHECK(pass(&event, sizeof(event)) && IS(CAUSE, "compat32"));
}

static void test_damage_becomes_one_frame_or_none(void)
{
	struct long_event *to = exec_event();

	/* Its number must not become a hole, however short it came. */
	for (size_t i = 0; i < to->bytes; i++)
		CHECK(pass(&to->event, i) == (i >= sizeof(struct pm_event)));
	for (size_t bit = 8 * sizeof(struct pm_event); bit < 8 * to->bytes; bit += 3) {
		((uint8_t *)&to->event)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CHECK(pass(&to->event, to->bytes));
		((uint8_t *)&to->event)[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

int main(void)
{
	test_an_exec_has_every_field();
	test_no_environment_leaves_without_names();
	test_a_variable_cut_by_the_end_is_left_out();
	test_what_could_not_be_read_has_a_reason();
	test_memory_and_deleted_images_are_told_apart();
	test_the_root_is_a_directory_too();
	test_changed_ids_have_the_old_ones_or_say_why_not();
	test_acts_name_call_target_and_cause();
	test_a_partial_view_has_its_cause();
	test_damage_becomes_one_frame_or_none();
	return check_report("process event tests");
}
