/*
 * Tests of file events as frames: which tags each kind carries, paths from their parts, and events
 * cut at every byte. Run under AddressSanitizer and UBSan; every event lies in a heap block of its
 * exact size. It must never need privileges.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "event_frame.h"
#include "frame_read.h"

static struct pm_long event;
static size_t event_bytes;
static struct frame_view view;
static uint8_t frame[2 * FRAME_LENGTH_MAX];

static void begin(uint16_t kind)
{
	memset(&event, 0, PM_LONG_HEAD_BYTES);
	event.head.kind = kind;
	event.head.cpu_seq = 7;
	event_bytes = PM_LONG_HEAD_BYTES;
}

static void add(int segment, const void *bytes, size_t length)
{
	memcpy((uint8_t *)&event + event_bytes, bytes, length);
	event.bytes[segment] = (uint32_t)length;
	event_bytes += length;
}

/* Sends the first `length` bytes of the event and decodes the frame it became. */
static bool sends(size_t length)
{
	uint8_t *exact = malloc(length ? length : 1);
	struct frame_writer writer;
	size_t used = 0;
	ssize_t n;
	int ends[2];

	memcpy(exact, &event, length);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) || !frame_writer_open(&writer, ends[0], -1))
		abort();
	event_frame_send(&writer, exact, length);
	frame_flush(&writer);
	shutdown(ends[0], SHUT_WR);
	while ((n = read(ends[1], frame + used, sizeof(frame) - used)) > 0)
		used += (size_t)n;
	frame_writer_close(&writer);
	close(ends[0]);
	close(ends[1]);
	free(exact);
	return used > FRAME_PREFIX_BYTES &&
	       !frame_decode(frame + FRAME_PREFIX_BYTES, used - FRAME_PREFIX_BYTES, &view);
}

static bool tag_is(enum frame_tag tag, const char *text)
{
	const struct frame_tlv *tlv = &view.tlv[tag];

	return tlv->bytes && tlv->length == strlen(text) && !memcmp(tlv->bytes, text, tlv->length);
}

static void test_an_opened_file_has_what_the_kernel_filled(void)
{
	begin(FRAME_KIND_FILE_OPEN);
	add(PM_SEG_WALK, "b\0a", 4);
	event.file_has = PM_FILE_HAS_FLAGS | PM_FILE_HAS_INODE;
	event.open_flags = 2;
	event.dev = 8 << 20 | 1;
	event.ino = 1ull << 40;
	event.size = 5;
	event.mode = 0100644;
	CHECK(sends(event_bytes));
	CHECK(tag_is(FRAME_TAG_PATH, "/a/b") && !frame_has(&view, FRAME_TAG_PATH_TO));
	CHECK(frame_get_u32(&view, FRAME_TAG_OPEN_FLAGS) == 2);
	CHECK(frame_get_u64(&view, FRAME_TAG_DEV) == (8 << 20 | 1));
	CHECK(frame_get_u64(&view, FRAME_TAG_INO) == 1ull << 40);
	CHECK(frame_get_u64(&view, FRAME_TAG_SIZE) == 5);
	CHECK(frame_get_u32(&view, FRAME_TAG_MODE) == 0100644);
	CHECK(!frame_has(&view, FRAME_TAG_RESULT));
}

static void test_a_failed_open_says_why_and_nothing_of_an_inode(void)
{
	begin(FRAME_KIND_FILE_OPEN);
	add(PM_SEG_WALK, "d", 2);
	add(PM_SEG_NAME, "x", 2);
	event.file_has = PM_FILE_HAS_FLAGS | PM_FILE_HAS_RESULT;
	event.result = -13;
	CHECK(sends(event_bytes));
	CHECK(tag_is(FRAME_TAG_PATH, "/d/x"));
	CHECK((int32_t)frame_get_u32(&view, FRAME_TAG_RESULT) == -13);
	CHECK(!frame_has(&view, FRAME_TAG_INO) && !frame_has(&view, FRAME_TAG_MODE));
}

static void test_both_names_of_rename_and_link(void)
{
	static const uint16_t kinds[2] = {FRAME_KIND_FILE_RENAME, FRAME_KIND_FILE_LINK};

	for (int i = 0; i < 2; i++) {
		begin(kinds[i]);
		add(PM_SEG_WALK, "w", 2);
		add(PM_SEG_NAME, "a/../b", 7);
		add(PM_SEG_ARGV, "v\0u", 4);
		add(PM_SEG_NAME_TO, "c", 2);
		CHECK(sends(event_bytes));
		CHECK(view.header.kind == kinds[i]);
		CHECK(tag_is(FRAME_TAG_PATH, "/w/a/../b") && tag_is(FRAME_TAG_PATH_TO, "/u/v/c"));
		CHECK(!frame_has(&view, FRAME_TAG_OPEN_FLAGS));
	}
	begin(FRAME_KIND_FILE_LINK);
	add(PM_SEG_WALK, "#12\0tmp", 8);
	add(PM_SEG_NAME, "", 1);
	add(PM_SEG_NAME_TO, "/abs", 5);
	CHECK(sends(event_bytes));
	CHECK(tag_is(FRAME_TAG_PATH, "/tmp/#12") && tag_is(FRAME_TAG_PATH_TO, "/abs"));
}

static void test_the_text_of_a_symbolic_link_stays_text(void)
{
	begin(FRAME_KIND_FILE_SYMLINK);
	add(PM_SEG_WALK, "w", 2);
	add(PM_SEG_NAME, "l", 2);
	add(PM_SEG_NAME_TO, "../t", 5);
	CHECK(sends(event_bytes));
	CHECK(tag_is(FRAME_TAG_PATH, "/w/l") && tag_is(FRAME_TAG_PATH_TO, "../t"));
	begin(FRAME_KIND_FILE_SYMLINK);
	add(PM_SEG_WALK, "w", 2);
	CHECK(sends(event_bytes) && tag_is(FRAME_TAG_PATH_TO, ""));
}

static void test_a_mode_that_was_asked_for_stands_alone(void)
{
	begin(FRAME_KIND_FILE_CHMOD);
	add(PM_SEG_NAME, "/x", 3);
	event.file_has = PM_FILE_HAS_MODE;
	event.mode = 04755;
	CHECK(sends(event_bytes));
	CHECK(tag_is(FRAME_TAG_PATH, "/x") && frame_get_u32(&view, FRAME_TAG_MODE) == 04755);
	CHECK(!frame_has(&view, FRAME_TAG_INO));
}

static void test_a_cut_event_keeps_its_number(void)
{
	begin(FRAME_KIND_FILE_RENAME);
	add(PM_SEG_WALK, "w", 2);
	add(PM_SEG_NAME, "a", 2);
	add(PM_SEG_ARGV, "v", 2);
	add(PM_SEG_NAME_TO, "c", 2);
	for (size_t i = sizeof(struct pm_event); i < event_bytes; i++)
		CHECK(sends(i) && view.header.cpu_seq == 7 && !frame_has(&view, FRAME_TAG_PATH));
	for (int i = 0; i < PM_SEGMENTS; i++) {
		uint32_t was = event.bytes[i];

		event.bytes[i] = ~0u;
		CHECK(sends(event_bytes) && !frame_has(&view, FRAME_TAG_PATH));
		event.bytes[i] = was;
	}
}

static void test_the_bits_of_leaf_names_differ_by_length_and_by_beginning(void)
{
	uint64_t shadow = 0, gshadow = 0;

	memcpy(&shadow, "shadow", 6);
	memcpy(&gshadow, "gshadow", 7);
	CHECK(pm_leaf_bit(shadow, 6) < 64 * PM_LEAF_WORDS);
	CHECK(pm_leaf_bit(~0ull, ~0u) < 64 * PM_LEAF_WORDS);
	CHECK(pm_leaf_bit(shadow, 6) != pm_leaf_bit(gshadow, 7));
	/* What lies behind a short name does not count. */
	CHECK(pm_leaf_bit(shadow | 0xffull << 56, 6) == pm_leaf_bit(shadow, 6));
}

int main(void)
{
	test_an_opened_file_has_what_the_kernel_filled();
	test_a_failed_open_says_why_and_nothing_of_an_inode();
	test_both_names_of_rename_and_link();
	test_the_text_of_a_symbolic_link_stays_text();
	test_a_mode_that_was_asked_for_stands_alone();
	test_a_cut_event_keeps_its_number();
	test_the_bits_of_leaf_names_differ_by_length_and_by_beginning();
	return check_report("file tests");
}
