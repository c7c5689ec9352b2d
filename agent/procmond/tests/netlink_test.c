/*
 * Tests of what the lower tiers read and remember: messages of the process connector and of
 * sock_diag, whole, cut at every byte and damaged; the numbers per CPU; the table of processes and
 * the table of sockets. Run under AddressSanitizer and UBSan; every input lies in a heap block of
 * its exact size. It must never need privileges.
 */
#include <stdlib.h>

#include "absent.h"
#include "check.h"
#include "netlink_bytes.h"
#include "netlink_diag.h"
#include "netlink_proc.h"
#include "netlink_table.h"
#include "pace.h"
#include "proc_table.h"

static bool parse(const uint8_t *bytes, size_t length, struct nlproc_event *event)
{
	uint8_t *exact = malloc(length ? length : 1);
	bool good;

	memcpy(exact, bytes, length);
	good = nlproc_parse(exact, length, event);
	free(exact);
	return good;
}

static struct proc_event fork_event(void)
{
	struct proc_event event = {.what = PROC_EVENT_FORK, .cpu = 3, .timestamp_ns = 12345};

	event.event_data.fork.parent_pid = 10;
	event.event_data.fork.parent_tgid = 11;
	event.event_data.fork.child_pid = 20;
	event.event_data.fork.child_tgid = 21;
	return event;
}

static void test_each_kind_has_its_fields(void)
{
	struct proc_event in = fork_event();
	uint8_t bytes[CONNECTOR_BYTES];
	struct nlproc_event out;

	CHECK(parse(bytes, put_connector(bytes, 9, &in), &out));
	CHECK(out.kind == NLPROC_FORK && out.tid == 20 && out.tgid == 21 && out.other_tid == 10);
	CHECK(out.other_tgid == 11 && out.cpu == 3 && out.seq == 9 && out.monotonic_ns == 12345);

	in = (struct proc_event){.what = PROC_EVENT_EXIT};
	in.event_data.exit.process_pid = in.event_data.exit.process_tgid = 5;
	in.event_data.exit.exit_code = 0x700;
	CHECK(parse(bytes, put_connector(bytes, 1, &in), &out));
	CHECK(out.kind == NLPROC_EXIT && out.tgid == 5 && out.exit_code == 0x700);

	in = (struct proc_event){.what = PROC_EVENT_UID};
	in.event_data.id.process_pid = in.event_data.id.process_tgid = 6;
	in.event_data.id.r.ruid = 100;
	in.event_data.id.e.euid = 200;
	CHECK(parse(bytes, put_connector(bytes, 1, &in), &out));
	CHECK(out.kind == NLPROC_UID && out.real_id == 100 && out.effective_id == 200);

	in = (struct proc_event){.what = PROC_EVENT_COMM};
	in.event_data.comm.process_pid = in.event_data.comm.process_tgid = 7;
	memset(in.event_data.comm.comm, 'x', 16);
	CHECK(parse(bytes, put_connector(bytes, 1, &in), &out));
	CHECK(out.kind == NLPROC_COMM && out.comm[15] == 'x');

	in = (struct proc_event){.what = PROC_EVENT_NONE};
	in.event_data.ack.err = 1;
	CHECK(parse(bytes, put_connector(bytes, 1, &in), &out) && out.kind == NLPROC_ACK && out.error == 1);
	in.what = PROC_EVENT_COREDUMP;
	CHECK(parse(bytes, put_connector(bytes, 1, &in), &out) && out.kind == NLPROC_OTHER);
}

static void test_hostile_messages_are_refused(void)
{
	struct proc_event in = fork_event();
	uint8_t bytes[CONNECTOR_BYTES];
	struct nlproc_event out;
	struct cn_msg connector;
	size_t length = put_connector(bytes, 1, &in);

	/* A fork needs its four ids; what is behind them may be missing. */
	for (size_t cut = 0; cut < length; cut++)
		CHECK(!parse(bytes, cut, &out));
	memcpy(&connector, bytes + NLMSG_HDRLEN, sizeof(connector));
	connector.len = 65535;
	memcpy(bytes + NLMSG_HDRLEN, &connector, sizeof(connector));
	CHECK(!parse(bytes, length, &out));
	connector.len = sizeof(in);
	connector.id.val = 2;
	memcpy(bytes + NLMSG_HDRLEN, &connector, sizeof(connector));
	CHECK(!parse(bytes, length, &out));
	in.event_data.fork.child_tgid = -1;
	CHECK(!parse(bytes, put_connector(bytes, 1, &in), &out));
	in.event_data.fork.child_tgid = 0;
	CHECK(!parse(bytes, put_connector(bytes, 1, &in), &out));
	in = fork_event();
	put_connector(bytes, 1, &in);
	for (size_t bit = 0; bit < 8 * length; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (parse(bytes, length, &out) && out.kind == NLPROC_FORK)
			CHECK(out.tgid && out.tgid <= INT32_MAX);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void test_a_shorter_exit_of_an_older_kernel_is_read(void)
{
	struct proc_event in = {.what = PROC_EVENT_EXIT};
	size_t length = NLMSG_HDRLEN + sizeof(struct cn_msg) +
			offsetof(struct proc_event, event_data.exit.exit_signal) + 4;
	uint8_t bytes[CONNECTOR_BYTES];
	struct nlproc_event out;
	uint32_t whole = (uint32_t)length;
	uint16_t body = (uint16_t)(length - NLMSG_HDRLEN - sizeof(struct cn_msg));

	in.event_data.exit.process_pid = in.event_data.exit.process_tgid = 5;
	in.event_data.exit.exit_code = 9;
	put_connector(bytes, 1, &in);
	memcpy(bytes, &whole, sizeof(whole));
	memcpy(bytes + NLMSG_HDRLEN + offsetof(struct cn_msg, len), &body, sizeof(body));
	CHECK(parse(bytes, length, &out) && out.exit_code == 9);
	CHECK(!parse(bytes, length - 1, &out));
}

static void test_each_lost_message_is_a_hole(void)
{
	struct nlproc_counter counter = {0};

	/* The first number is where counting begins, whatever it is. */
	CHECK(nlproc_count(&counter, 500) == 0 && counter.head == 0);
	counter.head++;
	CHECK(nlproc_count(&counter, 501) == 0);
	counter.head++;
	CHECK(nlproc_count(&counter, 505) == 3);
	CHECK(counter.head == 5 && counter.drops == 3);
	counter = (struct nlproc_counter){.last = UINT32_MAX, .started = true};
	CHECK(nlproc_count(&counter, 0) == 0);
	CHECK(nlproc_count(&counter, 2) == 1);
	/* A counter that went back is no loss of four billion. */
	CHECK(nlproc_count(&counter, 1) == 0);
}

static void test_the_table_finds_what_it_holds(void)
{
	static struct nltable table;
	uint32_t held = 0;

	for (uint32_t pid = 1; pid <= 5000; pid++)
		nltable_put(&table, pid)->start_ticks = pid;
	for (uint32_t pid = 1; pid <= 5000; pid += 3)
		nltable_remove(&table, pid);
	for (uint32_t pid = 1; pid <= 5000; pid++) {
		const struct nlprocess *row = nltable_find(&table, pid);

		CHECK((row == NULL) == (pid % 3 == 1));
		CHECK(!row || row->start_ticks == pid);
		held += row != NULL;
	}
	CHECK(table.used == held);
	CHECK(nltable_was_used(&table, 4999, 4999) && !nltable_was_used(&table, 4999, 4998));
	CHECK(!nltable_find(&table, 0));
	for (uint32_t pid = 10000; table.used < NLTABLE_ROWS_MAX; pid++)
		CHECK(nltable_put(&table, pid) != NULL);
	CHECK(nltable_put(&table, 999999) == NULL);
	CHECK(nltable_put(&table, 10000) != NULL);
	nltable_free(&table);
}

static enum nldiag_next next(const uint8_t *bytes, size_t length, struct net_row *row,
			     struct net_bytes *counted)
{
	uint8_t *exact = malloc(length ? length : 1);
	const uint8_t *at = exact;
	enum nldiag_next got;
	int state;

	memcpy(exact, bytes, length);
	got = nldiag_next(&at, &length, row, &state, counted);
	free(exact);
	return got;
}

static void test_a_socket_has_its_ends_and_its_bytes(void)
{
	uint8_t bytes[DIAG_INFO_BYTES];
	struct net_bytes counted;
	struct net_row row;
	size_t length = put_diag(bytes, 42);

	CHECK(next(bytes, length, &row, &counted) == NLDIAG_ROW);
	CHECK(row.lport == 1000 && row.rport == 2000 && row.inode == 42 && row.key == (1ull << 32 | 7));
	CHECK(row.laddr[0] == 127 && row.raddr[3] == 2 && row.family == 2);
	CHECK(counted.known && counted.sent == 1000 && counted.received == 77);
	for (size_t cut = 0; cut < length; cut++)
		CHECK(next(bytes, cut, &row, &counted) != NLDIAG_ROW);
	for (size_t bit = 0; bit < 8 * length; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (next(bytes, length, &row, &counted) == NLDIAG_ROW)
			CHECK(row.family == 2 || row.family == 10);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void add(struct net_table *table, uint64_t key, bool is_listening, uint16_t lport)
{
	struct net_row row = {.key = key, .inode = key, .family = 2, .protocol = NET_TCP,
			      .is_listening = is_listening, .lport = lport};

	net_table_add(table, &row);
}

static void test_a_socket_is_fresh_once_and_gone_once(void)
{
	struct net_table table = {0}, polled = {0};

	add(&polled, 2, false, 80);
	add(&polled, 1, true, 80);
	CHECK(net_table_replace(&table, &polled, 1) == 2);
	CHECK(net_table_find(&table, 2)->accepted && !net_table_find(&table, 1)->accepted);
	net_table_find(&table, 2)->owner = 99;
	net_table_find(&table, 2)->told = true;
	polled = (struct net_table){0};
	add(&polled, 2, false, 80);
	CHECK(net_table_replace(&table, &polled, 1) == 0);
	CHECK(net_table_find(&table, 2)->owner == 99 && net_table_find(&table, 2)->told);
	/* The listening one is missing: waited for once, then gone. */
	CHECK(table.gone_used == 0 && net_table_find(&table, 1));
	polled = (struct net_table){0};
	CHECK(net_table_replace(&table, &polled, 1) == 0);
	CHECK(table.gone_used == 1 && table.gone[0].key == 1);
	polled = (struct net_table){0};
	net_table_replace(&table, &polled, 1);
	CHECK(table.gone_used == 1 && table.gone[0].key == 2 && table.gone[0].owner == 99);
	polled = (struct net_table){0};
	net_table_replace(&table, &polled, 1);
	CHECK(table.gone_used == 0 && table.used == 0);
	net_table_free(&table);
}

static void test_an_owner_is_searched_for_a_few_times(void)
{
	struct net_table table = {0};
	size_t searches = 0;

	for (int i = 0; i < 10; i++) {
		struct net_table polled = {0};

		add(&polled, 5, false, 80);
		searches += net_table_replace(&table, &polled, 0);
	}
	CHECK(searches == 3);
	net_table_free(&table);
}

static void test_reasons_are_whole_or_left_out(void)
{
	struct absent absent = {0};

	absent_add(&absent, "ARGV", ABSENT_GONE);
	absent_add(&absent, "EXE", ABSENT_NO_PERMISSION);
	CHECK(!strcmp(absent.text, "ARGV:gone,EXE:no_permission"));
	for (int i = 0; i < 100; i++)
		absent_add(&absent, "FILENAME", ABSENT_TIER);
	CHECK(absent.used < ABSENT_BYTES && strlen(absent.text) == absent.used);
	CHECK(!strcmp(absent.text + absent.used - 17, ":not_seen_by_tier"));
}

static void test_depth_counts_down_to_the_children(void)
{
	struct pm_traced root = {0}, child = {0}, grandchild = {0}, forever = {0};

	traced_put(&root, 5, 1);
	traced_put(&root, 6, PM_DEPTH_UNLIMITED);
	traced_inherit(&root, 1ull << 5 | 1ull << 6, &child);
	CHECK(child.slots == (1ull << 5 | 1ull << 6));
	traced_inherit(&child, 1ull << 5 | 1ull << 6, &grandchild);
	CHECK(grandchild.slots == 1ull << 6);
	traced_inherit(&grandchild, 1ull << 6, &forever);
	CHECK(forever.slots == 1ull << 6);
}

static void test_polling_rests_as_long_as_is_asked(void)
{
	struct pace pace = pace_begin(1000 * NS_PER_MS);

	CHECK(pace_next(&pace, 200) >= 1200 * NS_PER_MS);
	/* Ten milliseconds of work ask for a hundred in all. */
	pace.worked_ns -= 10 * NS_PER_MS;
	CHECK(pace_next(&pace, 20) >= 1100 * NS_PER_MS && pace_next(&pace, 20) < 1200 * NS_PER_MS);
	CHECK(pace_wait_ms(5, 5) == 0 && pace_wait_ms(0, 1) == 1 && pace_wait_ms(9, 3) == 0);
}

int main(void)
{
	test_each_kind_has_its_fields();
	test_hostile_messages_are_refused();
	test_a_shorter_exit_of_an_older_kernel_is_read();
	test_each_lost_message_is_a_hole();
	test_the_table_finds_what_it_holds();
	test_a_socket_has_its_ends_and_its_bytes();
	test_a_socket_is_fresh_once_and_gone_once();
	test_an_owner_is_searched_for_a_few_times();
	test_reasons_are_whole_or_left_out();
	test_depth_counts_down_to_the_children();
	test_polling_rests_as_long_as_is_asked();
	return check_report("netlink tests");
}
