/*
 * Tests of what is added to frames: hashes and causes for exec frames, memory headers, cgroup paths (how
 * headers are found is tested in memory_test.c).
 * The thread, the files and the processes are real; only the source of events is played. Run under
 * AddressSanitizer and UBSan. It must never need privileges.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"
#include "enrich.h"
#include "frame_read.h"
#include "proc_read.h"

static struct enrich enrich;
static struct frame_writer writer;
static struct scope scope;
static struct source source;
static struct frame_reader reader;
static int ends[2];
static char dir[64];
static uint64_t traced_slots;

/* Of the last frames that arrived, by kind. */
static struct seen {
	struct frame_header header;
	unsigned count;
	bool has_sha256, has_cause, has_path;
	char cause[64], path[4096], sha256[65];
	uint8_t content[4];
} seen[FRAME_KIND_TO_AGENT_LAST + 1];

static uint64_t slots_of(void *self, uint32_t tgid, uint64_t start_ticks)
{
	(void)self;
	(void)tgid;
	(void)start_ticks;
	return traced_slots;
}

static void copy_text(char *out, size_t room, const struct frame_tlv *tlv)
{
	snprintf(out, room, "%.*s", (int)tlv->length, (const char *)tlv->bytes);
}

static void note(const struct frame_view *view)
{
	struct seen *at = &seen[view->header.kind];

	at->header = view->header;
	at->count++;
	at->has_sha256 = frame_has(view, FRAME_TAG_SHA256);
	at->has_cause = frame_has(view, FRAME_TAG_CAUSE);
	at->has_path = frame_has(view, FRAME_TAG_PATH);
	if (at->has_cause)
		copy_text(at->cause, sizeof(at->cause), &view->tlv[FRAME_TAG_CAUSE]);
	if (at->has_path)
		copy_text(at->path, sizeof(at->path), &view->tlv[FRAME_TAG_PATH]);
	if (frame_has(view, FRAME_TAG_CGROUP_PATH))
		copy_text(at->path, sizeof(at->path), &view->tlv[FRAME_TAG_CGROUP_PATH]);
	for (size_t i = 0; at->has_sha256 && i < 32; i++)
		snprintf(at->sha256 + 2 * i, 3, "%02x", view->tlv[FRAME_TAG_SHA256].bytes[i]);
	if (frame_has(view, FRAME_TAG_CONTENT))
		memcpy(at->content, view->tlv[FRAME_TAG_CONTENT].bytes, 4);
}

static void receive(void)
{
	static struct frame_view view;
	const uint8_t *body;
	size_t length;
	ssize_t n;

	frame_flush(&writer);
	do {
		while (frame_next(&reader, &body, &length) == FRAME_NEXT_READY) {
			CHECK(!frame_decode(body, length, &view));
			note(&view);
			frame_drop(&reader);
		}
		n = recv(ends[1], reader.buf + reader.used, sizeof(reader.buf) - reader.used,
			 MSG_DONTWAIT);
		reader.used += n > 0 ? (size_t)n : 0;
	} while (n > 0);
}

/* Runs the loop until a kind arrived so often, ten seconds at most. */
static bool wait_for(uint16_t kind, unsigned count)
{
	for (int i = 0; i < 1000; i++) {
		hash_desk_pump(&enrich.desk, &writer, clock_boot_ns());
		receive();
		if (seen[kind].count >= count)
			return true;
		usleep(10000);
	}
	return false;
}

static void begin_test(void)
{
	memset(&enrich, 0, sizeof(enrich));
	memset(seen, 0, sizeof(seen));
	memset(&scope, 0, sizeof(scope));
	/* Nobody is in this scope, so a walk over the machine finds nothing to hash. */
	strcpy(scope.path, "/procmond-desk-test");
	source = (struct source){.tier = FRAME_TIER_PROC, .slots_of = slots_of};
	enrich_open(&enrich, &writer, &scope, &source);
	enrich.desk.hash_bytes_max = 1 << 28;
}

static void end_test(void)
{
	enrich_close(&enrich);
	writer.hooks = NULL;
}

struct child {
	pid_t pid;
	struct frame_header header;
	char exe[128];
};

/* A copy of sleep that runs. */
static struct child start_child(const char *name)
{
	struct child child;
	char command[256];
	struct proc_stat stat;

	snprintf(child.exe, sizeof(child.exe), "%s/%s", dir, name);
	snprintf(command, sizeof(command), "cp /bin/sleep %s", child.exe);
	CHECK(!system(command));
	child.pid = fork();
	if (!child.pid) {
		execl(child.exe, name, "60", NULL);
		_exit(127);
	}
	for (int i = 0; i < 200; i++) {
		char path[256];
		uint16_t flags = 0;

		if (proc_read_exe((uint32_t)child.pid, path, sizeof(path), &flags) &&
		    !strcmp(path, child.exe))
			break;
		usleep(5000);
	}
	CHECK(proc_read_stat((uint32_t)child.pid, &stat));
	child.header = (struct frame_header){.kind = FRAME_KIND_EXEC, .tier = FRAME_TIER_PROC,
					     .tgid = (uint32_t)child.pid, .cpu_seq = 7,
					     .start_ticks = stat.start_ticks};
	return child;
}

static void end_child(const struct child *child)
{
	kill(child->pid, SIGKILL);
	waitpid(child->pid, NULL, 0);
}

static uint64_t device_of(const struct stat *st)
{
	return (uint64_t)major(st->st_dev) << 20 | minor(st->st_dev);
}

static void send_exec(const struct child *child, bool with_identity)
{
	struct stat st;

	frame_begin(&writer, &child->header);
	frame_text(&writer, FRAME_TAG_EXE, child->exe);
	frame_u32(&writer, FRAME_TAG_PARENT_TGID, (uint32_t)getpid());
	if (with_identity && !stat(child->exe, &st)) {
		frame_u64(&writer, FRAME_TAG_DEV, device_of(&st));
		frame_u64(&writer, FRAME_TAG_INO, st.st_ino);
		frame_u64(&writer, FRAME_TAG_SIZE, (uint64_t)st.st_size);
		frame_u64(&writer, FRAME_TAG_MTIME_NS,
			  (uint64_t)st.st_mtim.tv_sec * NS_PER_SECOND + (uint64_t)st.st_mtim.tv_nsec);
		frame_u64(&writer, FRAME_TAG_CTIME_NS,
			  (uint64_t)st.st_ctim.tv_sec * NS_PER_SECOND + (uint64_t)st.st_ctim.tv_nsec);
	}
	frame_end(&writer);
}

static bool is_sha256_of(const char *path, const char *hex)
{
	char command[256], line[128] = "";
	FILE *pipe;

	snprintf(command, sizeof(command), "sha256sum %s", path);
	pipe = popen(command, "r");
	if (!fgets(line, sizeof(line), pipe))
		line[0] = 0;
	pclose(pipe);
	return !strncmp(line, hex, 64);
}

static void test_a_new_executable_is_told_and_then_rides(void)
{
	struct child child = start_child("new");

	begin_test();
	send_exec(&child, true);
	CHECK(wait_for(FRAME_KIND_FILE_HASH, 1));
	CHECK(!seen[FRAME_KIND_EXEC].has_sha256);
	CHECK(seen[FRAME_KIND_FILE_HASH].has_sha256 && !seen[FRAME_KIND_FILE_HASH].has_cause);
	CHECK(is_sha256_of(child.exe, seen[FRAME_KIND_FILE_HASH].sha256));
	CHECK(!strcmp(seen[FRAME_KIND_FILE_HASH].path, child.exe));
	CHECK(seen[FRAME_KIND_FILE_HASH].header.tgid == child.header.tgid);
	CHECK(seen[FRAME_KIND_FILE_HASH].header.start_ticks == child.header.start_ticks);
	CHECK(!seen[FRAME_KIND_FILE_HASH].header.cpu_seq);
	send_exec(&child, true);
	CHECK(wait_for(FRAME_KIND_EXEC, 2));
	CHECK(seen[FRAME_KIND_EXEC].has_sha256 && seen[FRAME_KIND_FILE_HASH].count == 1);
	CHECK(is_sha256_of(child.exe, seen[FRAME_KIND_EXEC].sha256));
	CHECK(!enrich.desk.used);
	end_test();
	end_child(&child);
}

static void test_an_exec_without_identity_is_asked_for_and_cached(void)
{
	struct child child = start_child("asked");

	begin_test();
	send_exec(&child, false);
	CHECK(wait_for(FRAME_KIND_FILE_HASH, 1));
	CHECK(is_sha256_of(child.exe, seen[FRAME_KIND_FILE_HASH].sha256));
	send_exec(&child, true);
	CHECK(wait_for(FRAME_KIND_EXEC, 2) && seen[FRAME_KIND_EXEC].has_sha256);
	end_test();
	end_child(&child);
}

static void test_a_short_lived_process_is_hashed_by_its_path(void)
{
	struct child child = start_child("short");

	end_child(&child);
	begin_test();
	send_exec(&child, true);
	CHECK(wait_for(FRAME_KIND_FILE_HASH, 1));
	CHECK(is_sha256_of(child.exe, seen[FRAME_KIND_FILE_HASH].sha256));
	/* Without the kernel's identity the path proves nothing. */
	send_exec(&child, false);
	CHECK(wait_for(FRAME_KIND_FILE_HASH, 2));
	CHECK(!strcmp(seen[FRAME_KIND_FILE_HASH].cause, "gone"));
	end_test();
}

static void test_a_deleted_executable_is_hashed_while_it_runs(void)
{
	struct child child = start_child("deleted");

	begin_test();
	CHECK(!unlink(child.exe));
	send_exec(&child, false);
	CHECK(wait_for(FRAME_KIND_FILE_HASH, 1));
	CHECK(is_sha256_of("/bin/sleep", seen[FRAME_KIND_FILE_HASH].sha256));
	end_test();
	end_child(&child);
}

static void test_a_running_file_that_is_unlinked_keeps_its_hash(void)
{
	struct child child = start_child("unlinked");

	begin_test();
	/* Unlinking sets the ctime that the kernel told with the exec. */
	send_exec(&child, true);
	usleep(20000);
	CHECK(!unlink(child.exe));
	CHECK(wait_for(FRAME_KIND_FILE_HASH, 1));
	CHECK(is_sha256_of("/bin/sleep", seen[FRAME_KIND_FILE_HASH].sha256));
	end_test();
	end_child(&child);
}

static void test_another_file_at_the_path_is_not_taken_for_it(void)
{
	struct child child = start_child("replaced");
	char command[512];

	begin_test();
	send_exec(&child, true);
	end_child(&child);
	snprintf(command, sizeof(command), "cp /bin/true %s/new-one && mv %s/new-one %s", dir, dir,
		 child.exe);
	CHECK(!system(command));
	CHECK(wait_for(FRAME_KIND_FILE_HASH, 1));
	CHECK(!strcmp(seen[FRAME_KIND_FILE_HASH].cause, "gone"));
	end_test();
}

static void test_many_execs_of_one_file_read_it_once(void)
{
	struct child child = start_child("many");

	begin_test();
	for (int i = 0; i < 50; i++)
		send_exec(&child, true);
	CHECK(wait_for(FRAME_KIND_FILE_HASH, 50));
	CHECK(seen[FRAME_KIND_FILE_HASH].has_sha256 && !enrich.desk.used);
	CHECK(atomic_load(&enrich.desk.worker.jobs_done) == 1);
	end_test();
	end_child(&child);
}

static void test_each_cause_is_told(void)
{
	struct child child = start_child("causes");
	struct hash_worker *worker = &enrich.desk.worker;

	begin_test();
	enrich.desk.hash_bytes_max = 1000;
	send_exec(&child, true);
	receive();
	CHECK(!strcmp(seen[FRAME_KIND_FILE_HASH].cause, "too_large"));
	send_exec(&child, false);
	CHECK(wait_for(FRAME_KIND_FILE_HASH, 2));
	CHECK(!strcmp(seen[FRAME_KIND_FILE_HASH].cause, "too_large"));
	/* Nothing takes jobs any more, so the table fills. */
	hash_worker_close(worker);
	for (int i = 0; i < HASH_JOBS_MAX; i++)
		send_exec(&child, false);
	receive();
	CHECK(seen[FRAME_KIND_FILE_HASH].count == 2 && !enrich.desk.queue_full);
	send_exec(&child, false);
	receive();
	CHECK(seen[FRAME_KIND_FILE_HASH].count == 3 && enrich.desk.queue_full == 1);
	CHECK(!strcmp(seen[FRAME_KIND_FILE_HASH].cause, "queue_full"));
	/* The policy turns it off: what waits says so. */
	enrich.desk.hash_bytes_max = 0;
	hash_desk_pump(&enrich.desk, &writer, clock_boot_ns());
	receive();
	CHECK(seen[FRAME_KIND_FILE_HASH].count == 3 + HASH_JOBS_MAX && !enrich.desk.used);
	CHECK(!strcmp(seen[FRAME_KIND_FILE_HASH].cause, "disabled"));
	end_test();
	end_child(&child);
}

static void send_exec_of_size(uint64_t ino, uint64_t size)
{
	struct frame_header header = {.kind = FRAME_KIND_EXEC, .tier = FRAME_TIER_PROC, .tgid = 1};

	frame_begin(&writer, &header);
	frame_u64(&writer, FRAME_TAG_DEV, 1);
	frame_u64(&writer, FRAME_TAG_INO, ino);
	frame_u64(&writer, FRAME_TAG_SIZE, size);
	frame_u64(&writer, FRAME_TAG_MTIME_NS, 1);
	frame_u64(&writer, FRAME_TAG_CTIME_NS, 1);
	frame_end(&writer);
}

static void test_large_files_wait_for_small_ones(void)
{
	struct hash_worker *worker = &enrich.desk.worker;

	begin_test();
	hash_worker_close(worker);
	for (uint64_t ino = 1; ino <= 3; ino++)
		send_exec_of_size(ino, HASH_LARGE_BYTES + 1);
	send_exec_of_size(4, HASH_LARGE_BYTES);
	send_exec_of_size(5, 100);
	hash_desk_pump(&enrich.desk, &writer, clock_boot_ns());
	CHECK(worker->jobs[0].identity.ino == 4 && worker->jobs[1].identity.ino == 5);
	/* One large file, so that only one lies before the next small one. */
	CHECK(worker->jobs[2].identity.ino == 1 && atomic_load(&worker->jobs_in) == 3);
	send_exec_of_size(6, 100);
	hash_desk_pump(&enrich.desk, &writer, clock_boot_ns());
	CHECK(worker->jobs[3].identity.ino == 6 && atomic_load(&worker->jobs_in) == 4);
	end_test();
}

static void test_a_new_file_is_hashed_some_time_after_it_was_made(void)
{
	struct frame_header header = frame_own_header(FRAME_KIND_FILE_CREATE, FRAME_TIER_PROC);
	struct proc_stat stat;
	uint64_t began = clock_boot_ns();
	char path[128];
	struct stat st;
	int fd;

	begin_test();
	enrich.desk.new_file_bytes_max = 1000;
	CHECK(proc_read_stat((uint32_t)getpid(), &stat));
	header.start_ticks = stat.start_ticks;
	snprintf(path, sizeof(path), "%s/created", dir);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	CHECK(!fstat(fd, &st));
	for (int i = 0; i < 2; i++) {
		header.flags = i ? FRAME_FLAG_TRACED : 0;
		frame_begin(&writer, &header);
		frame_text(&writer, FRAME_TAG_PATH, path);
		frame_u64(&writer, FRAME_TAG_DEV, device_of(&st));
		frame_u64(&writer, FRAME_TAG_INO, st.st_ino);
		frame_end(&writer);
		CHECK(enrich.desk.used == (size_t)i);
	}
	/* Written after the event of its creation. */
	CHECK(write(fd, "abc", 3) == 3);
	close(fd);
	CHECK(wait_for(FRAME_KIND_FILE_HASH, 1));
	CHECK(clock_boot_ns() - began >= HASH_NEW_FILE_DELAY_NS);
	CHECK(!strcmp(seen[FRAME_KIND_FILE_HASH].sha256,
		      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
	CHECK(seen[FRAME_KIND_FILE_HASH].header.flags == FRAME_FLAG_TRACED);
	end_test();
}

static void test_memory_headers_of_a_lineage_are_read(void)
{
	struct child child = start_child("memory");
	struct policy policy = {.memory_headers = true};

	begin_test();
	traced_slots = 0;
	child.header.flags = FRAME_FLAG_TRACED;
	hash_desk_set_policy(&enrich.desk, &policy);
	send_exec(&child, false);
	CHECK(!enrich.desk.used);
	/* A trace without the bit, then with it. */
	traced_slots = 1 << 3;
	hash_desk_set_trace(&enrich.desk, 3, FRAME_COLLECT_FILE);
	send_exec(&child, false);
	CHECK(!enrich.desk.used);
	hash_desk_set_trace(&enrich.desk, 3, FRAME_COLLECT_MEMORY);
	enrich.desk.walk.memory_pending = 0;
	send_exec(&child, false);
	CHECK(wait_for(FRAME_KIND_MEMORY_HEADER, 1));
	CHECK(!memcmp(seen[FRAME_KIND_MEMORY_HEADER].content, "\177ELF", 4));
	CHECK(!strcmp(seen[FRAME_KIND_MEMORY_HEADER].path, child.exe));
	CHECK(seen[FRAME_KIND_MEMORY_HEADER].has_sha256);
	end_child(&child);
	send_exec(&child, false);
	CHECK(wait_for(FRAME_KIND_MEMORY_HEADER, 2));
	CHECK(!strcmp(seen[FRAME_KIND_MEMORY_HEADER].cause, "gone"));
	hash_desk_set_trace(&enrich.desk, 3, 0);
	send_exec(&child, false);
	CHECK(!enrich.desk.used);
	end_test();
}

static void send_frame_of(uint64_t cgroup_id, uint32_t tgid)
{
	struct frame_header header = {.kind = FRAME_KIND_EXIT, .tgid = tgid, .cgroup_id = cgroup_id};

	frame_begin(&writer, &header);
	frame_end(&writer);
	receive();
}

static void test_a_cgroup_is_named_once_before_its_first_frame(void)
{
	char path[SCOPE_PATH_BYTES];
	struct scope whole;
	uint64_t id;

	begin_test();
	CHECK(scope_open(&whole, ""));
	if (!whole.mount[0] || !proc_read_cgroup((uint32_t)getpid(), path, sizeof(path))) {
		fprintf(stderr, "no cgroup v2 here: naming is not checked\n");
		end_test();
		return;
	}
	cgroup_names_close(&enrich.cgroups);
	cgroup_names_open(&enrich.cgroups, &whole);
	id = scope_cgroup_id_of(&whole, path);
	send_frame_of(id, (uint32_t)getpid());
	CHECK(seen[FRAME_KIND_CGROUP].count == 1 && !strcmp(seen[FRAME_KIND_CGROUP].path, path));
	CHECK(seen[FRAME_KIND_CGROUP].header.cgroup_id == id);
	send_frame_of(id, (uint32_t)getpid());
	/* An id that is nobody's, and this process is not in it: nothing is told. */
	send_frame_of(1ull << 62, (uint32_t)getpid());
	send_frame_of(id, (uint32_t)getpid());
	CHECK(seen[FRAME_KIND_CGROUP].count == 1);
	/* Without the handle the process is asked. */
	cgroup_names_close(&enrich.cgroups);
	cgroup_names_open(&enrich.cgroups, &whole);
	close(enrich.cgroups.mount_fd);
	enrich.cgroups.mount_fd = -1;
	send_frame_of(id, (uint32_t)getpid());
	CHECK(seen[FRAME_KIND_CGROUP].count == 2 && !strcmp(seen[FRAME_KIND_CGROUP].path, path));
	end_test();
}

static void test_the_table_of_cgroups_is_bounded_and_tells_again(void)
{
	char path[SCOPE_PATH_BYTES];
	struct scope whole;
	uint64_t id;

	begin_test();
	CHECK(scope_open(&whole, ""));
	if (!whole.mount[0] || !proc_read_cgroup((uint32_t)getpid(), path, sizeof(path))) {
		end_test();
		return;
	}
	cgroup_names_close(&enrich.cgroups);
	cgroup_names_open(&enrich.cgroups, &whole);
	id = scope_cgroup_id_of(&whole, path);
	send_frame_of(id, (uint32_t)getpid());
	for (uint64_t i = 0; i < 4 * CGROUP_SETS * CGROUP_WAYS; i++) {
		struct frame_header header = {.kind = FRAME_KIND_EXIT, .cgroup_id = (1ull << 62) + i};

		cgroup_names_tell(&enrich.cgroups, &writer, &header);
	}
	/* The id told last is known without the table. */
	enrich.cgroups.last_id = 0;
	send_frame_of(id, (uint32_t)getpid());
	CHECK(seen[FRAME_KIND_CGROUP].count == 2);
	end_test();
}

int main(void)
{
	char template[] = "/tmp/procmond-desk-XXXXXX";
	char command[128];

	snprintf(dir, sizeof(dir), "%s", mkdtemp(template));
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	CHECK(frame_writer_open(&writer, ends[0], -1));
	test_a_new_executable_is_told_and_then_rides();
	test_an_exec_without_identity_is_asked_for_and_cached();
	test_a_short_lived_process_is_hashed_by_its_path();
	test_a_deleted_executable_is_hashed_while_it_runs();
	test_a_running_file_that_is_unlinked_keeps_its_hash();
	test_another_file_at_the_path_is_not_taken_for_it();
	test_many_execs_of_one_file_read_it_once();
	test_each_cause_is_told();
	test_large_files_wait_for_small_ones();
	test_a_new_file_is_hashed_some_time_after_it_was_made();
	test_memory_headers_of_a_lineage_are_read();
	test_a_cgroup_is_named_once_before_its_first_frame();
	test_the_table_of_cgroups_is_bounded_and_tells_again();
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	CHECK(!system(command));
	frame_writer_close(&writer);
	return check_report("desk tests");
}
