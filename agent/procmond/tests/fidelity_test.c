/*
 * Tests of the levels of fidelity and of the texts of pressure. Time is an argument, so nothing
 * here waits. It must never read the machine's own pressure.
 */
#include <string.h>

#include "check.h"
#include "fidelity.h"
#include "pressure_text.h"

#define SECOND 1000000000ull

static struct fidelity_signals calm(void)
{
	return (struct fidelity_signals){{0, 0, 0, 0, 0}};
}

static struct fidelity_signals with(enum fidelity_signal signal, uint32_t value)
{
	struct fidelity_signals signals = calm();

	signals.value[signal] = value;
	return signals;
}

/* Steps once a second for a span and returns the level at its end. */
static uint32_t run(struct fidelity *state, struct fidelity_signals signals, uint64_t *now_ns,
		    uint64_t span_ns)
{
	for (uint64_t end = *now_ns + span_ns; *now_ns < end; *now_ns += SECOND)
		fidelity_step(state, &signals, *now_ns);
	return state->level;
}

static void test_pressure_must_last_before_anything_is_given_up(void)
{
	struct fidelity state = {0};
	struct fidelity_signals high = with(FIDELITY_MEMORY, 1000);
	uint64_t start = 100 * SECOND;

	CHECK(fidelity_step(&state, &high, start) == 0);
	CHECK(fidelity_step(&state, &high, start + FIDELITY_RISE_NS - 1) == 0);
	CHECK(fidelity_step(&state, &high, start + FIDELITY_RISE_NS) == 1);
	CHECK(fidelity_step(&state, &high, start + 2 * FIDELITY_RISE_NS - 1) == 1);
	CHECK(fidelity_step(&state, &high, start + 2 * FIDELITY_RISE_NS) == 2);
}

static void test_a_break_in_the_pressure_begins_the_span_anew(void)
{
	struct fidelity state = {0};
	struct fidelity_signals high = with(FIDELITY_CPU, 9900), none = calm();
	uint64_t start = 100 * SECOND;

	fidelity_step(&state, &high, start);
	fidelity_step(&state, &none, start + FIDELITY_RISE_NS - 1);
	CHECK(fidelity_step(&state, &high, start + FIDELITY_RISE_NS) == 0);
	CHECK(fidelity_step(&state, &high, start + 2 * FIDELITY_RISE_NS - 1) == 0);
	CHECK(fidelity_step(&state, &high, start + 2 * FIDELITY_RISE_NS) == 1);
}

static void test_levels_end_where_lineage_begins_and_return_one_by_one(void)
{
	struct fidelity state = {0};
	uint64_t now = 100 * SECOND;

	CHECK(run(&state, with(FIDELITY_IO, 10000), &now, 600 * SECOND) == FIDELITY_LEVEL_MAX);
	for (uint32_t level = FIDELITY_LEVEL_MAX; level > 0; level--) {
		CHECK(run(&state, calm(), &now, FIDELITY_FALL_NS) == level);
		CHECK(run(&state, calm(), &now, SECOND) == level - 1);
		now -= SECOND;
	}
	CHECK(run(&state, calm(), &now, 600 * SECOND) == 0);
}

static void test_between_the_bounds_nothing_moves(void)
{
	struct fidelity state = {0};
	uint64_t now = 100 * SECOND;

	CHECK(run(&state, with(FIDELITY_CPU, 7999), &now, 600 * SECOND) == 0);
	CHECK(run(&state, with(FIDELITY_CPU, 8000), &now, FIDELITY_RISE_NS + SECOND) == 1);
	CHECK(run(&state, with(FIDELITY_CPU, 5001), &now, 600 * SECOND) == 1);
	CHECK(run(&state, with(FIDELITY_CPU, 5000), &now, FIDELITY_FALL_NS + SECOND) == 0);
}

static void test_an_absent_signal_is_neither_pressure_nor_in_the_way(void)
{
	struct fidelity state = {.level = 1};
	struct fidelity_signals none = calm();
	char names[128];
	uint64_t now = 100 * SECOND;

	for (int i = 0; i < FIDELITY_SIGNAL_COUNT; i++)
		none.value[i] = FIDELITY_ABSENT;
	CHECK(run(&state, none, &now, FIDELITY_FALL_NS + SECOND) == 0);
	CHECK(run(&state, none, &now, 600 * SECOND) == 0);
	fidelity_name_absent(&none, names, sizeof(names));
	CHECK(!strcmp(names, "cpu,memory,io,own_memory,own_stall"));
	fidelity_name_high(&none, names, sizeof(names));
	CHECK(!strcmp(names, ""));
	none.value[FIDELITY_CPU] = 8000;
	none.value[FIDELITY_OWN_MEMORY] = 9000;
	fidelity_name_high(&none, names, sizeof(names));
	CHECK(!strcmp(names, "cpu,own_memory"));
}

static void test_file_detail_goes_first_and_lineage_never(void)
{
	CHECK(fidelity_mask(0) == 0);
	CHECK(fidelity_mask(1) == 1ull << FRAME_SHED_FILE_DETAIL);
	CHECK(fidelity_mask(2) == (1ull << FRAME_SHED_FILE_DETAIL | 1ull << FRAME_SHED_FILE_WATCHED));
	CHECK(fidelity_mask(4) == (fidelity_mask(5) & ~(1ull << FRAME_SHED_PROCESS_DETAIL)));
	CHECK(fidelity_mask(FIDELITY_LEVEL_MAX) == (1ull << FRAME_SHED_CLASS_COUNT) - 1);
}

static void test_the_kernels_text_is_read(void)
{
	static const char text[] = "some avg10=4.12 avg60=8.47 avg300=7.68 total=2002632106\n"
				   "full avg10=100.00 avg60=0.00 avg300=0.00 total=0\n";

	CHECK(pressure_parse(text, "some") == 412);
	CHECK(pressure_parse(text, "full") == 10000);
	CHECK(pressure_parse("some avg10=0.05 avg60=0.00", "some") == 5);
	/* Before 5.13 cpu has no "full". */
	CHECK(pressure_parse("some avg10=1.00 avg60=0.00\n", "full") == FIDELITY_ABSENT);
}

static void test_anything_else_is_absent(void)
{
	static const char *const bad[] = {"", "\n", "some", "some avg10=", "some avg10=x", "some avg10=1",
					  "some avg10=1.", "some avg10=1.2", "some avg10=1.234",
					  "some avg10=-1.00", "some avg10=101.00", "somewhat avg10=1.00",
					  "some  avg10=1.00", "some avg60=1.00", "full avg10=1.00"};
	static const char good[] = "some avg10=12.34";

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(pressure_parse(bad[i], "some") == FIDELITY_ABSENT);
	for (size_t length = 0; length < sizeof(good) - 1; length++) {
		char cut[sizeof(good)] = "";

		memcpy(cut, good, length);
		CHECK(pressure_parse(cut, "some") == FIDELITY_ABSENT);
	}
	CHECK(pressure_parse(good, "some") == 1234);
}

static void test_use_is_a_share_of_the_limit(void)
{
	CHECK(pressure_parse_use("900\n", "1000\n") == 9000);
	CHECK(pressure_parse_use("0\n", "1000\n") == 0);
	CHECK(pressure_parse_use("2000\n", "1000\n") == 10000);
	CHECK(pressure_parse_use("5\n", "0\n") == 10000);
	CHECK(pressure_parse_use("12345\n", "max\n") == 0);
	CHECK(pressure_parse_use("9223372036854775807\n", "18446744073709551615\n") == 5000);
	CHECK(pressure_parse_use("", "1000\n") == FIDELITY_ABSENT);
	CHECK(pressure_parse_use("5\n", "") == FIDELITY_ABSENT);
	CHECK(pressure_parse_use("x", "max") == FIDELITY_ABSENT);
}

int main(void)
{
	test_pressure_must_last_before_anything_is_given_up();
	test_a_break_in_the_pressure_begins_the_span_anew();
	test_levels_end_where_lineage_begins_and_return_one_by_one();
	test_between_the_bounds_nothing_moves();
	test_an_absent_signal_is_neither_pressure_nor_in_the_way();
	test_file_detail_goes_first_and_lineage_never();
	test_the_kernels_text_is_read();
	test_anything_else_is_absent();
	test_use_is_a_share_of_the_limit();
	return check_report("fidelity tests");
}
