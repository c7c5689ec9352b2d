/*
 * Tests of memory headers: lines of maps, whose mappings are read, how many, and that whatever is left
 * out is said. The processes are real. Run under AddressSanitizer and UBSan. It must never need
 * privileges.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"
#include "frame_write.h"
#include "memory_header.h"
#include "proc_read.h"

static char dir[64];

static void test_lines_of_maps_are_taken_apart(void)
{
	static const struct {
		const char *line;
		bool good, foreign;
	} rows[] = {
		{"55d0c0000000-55d0c0002000 r--p 00000000 fe:00 260875                     /usr/bin/sleep",
		 true, false},
		{"55d0c0002000-55d0c0003000 r-xp 00002000 fe:00 260875                     /usr/bin/sleep",
		 true, false},
		{"7f0000000000-7f0000001000 rwxp 00000000 00:00 0 ", true, true},
		{"7f0000000000-7f0000001000 rwxp 00000000 00:00 0", true, true},
		{"7f0000000000-7f0000001000 r-xp 00000000 00:01 12    /memfd:x (deleted)", true, true},
		{"7f0000000000-7f0000001000 r-xp 00000000 fe:00 12    /tmp/a b (deleted)", true, true},
		{"7ffc00000000-7ffc00002000 r-xp 00000000 00:00 0                          [vdso]", true,
		 false},
		{"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]", true,
		 false},
		{"7f0000000000-7f0000001000 rw-p 00000000 00:00 0  [heap]", true, false},
		{"7f0000000000-7f0000001000 rwxp 00000000 00:00 0  [heap]", true, true},
		{"7f0000001000-7f0000000000 rwxp 00000000 00:00 0", false, false},
		{"", false, false}, {"-", false, false}, {"7f00 rwxp", false, false},
		{"7f0000000000-7f0000001000 rwxp 00000000 00:00 x", false, false},
		{"7f0000000000-7f0000001000 rwxp", false, false},
		{"11112222333344445-11112222333344446 rwxp 0 0 0", false, false},
	};
	struct memory_mapping mapping;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t length = strlen(rows[i].line);

		/* Each prefix in a block of its exact size, so that one byte too far is caught. */
		for (size_t cut = 0; cut <= length; cut++) {
			char *exact = malloc(cut ? cut : 1);
			bool good;

			memcpy(exact, rows[i].line, cut);
			good = memory_mapping_parse(exact, cut, &mapping);
			if (cut == length) {
				CHECK(good == rows[i].good);
				CHECK(!good || memory_mapping_is_foreign(&mapping) == rows[i].foreign);
			}
			free(exact);
		}
	}
}

struct collected {
	struct hash_result results[MEMORY_HEADERS_MAX + 4];
	uint8_t first[MEMORY_HEADERS_MAX + 4];
	size_t used;
};

static bool collect(void *context, struct hash_result *result, const uint8_t *content)
{
	struct collected *all = context;

	all->first[all->used] = content ? content[0] : 0;
	all->results[all->used++] = *result;
	return all->used < MEMORY_HEADERS_MAX + 4;
}

static void test_anonymous_code_is_found_and_bounded(void)
{
	static struct collected all;
	struct hash_job job = {.kind = HASH_KIND_MEMORY,
			       .header = frame_own_header(FRAME_KIND_EXEC, FRAME_TIER_PROC)};
	struct proc_stat stat;
	bool found = false;
	uint8_t *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(proc_read_stat((uint32_t)getpid(), &stat));
	job.header.start_ticks = stat.start_ticks;
	code[0] = 0xc3;
	memory_header_run(&job, collect, &all);
	for (size_t i = 0; i < all.used; i++)
		found = found || (all.results[i].address == (uintptr_t)code && all.first[i] == 0xc3 &&
				  !strcmp(all.results[i].perms, "rwxp"));
	CHECK(found && all.results[all.used - 1].last);
	CHECK(all.results[all.used - 1].outcome == HASH_OK);
	/* Mappings that cannot merge, because each second one has other rights. */
	for (int i = 0; i < 2 * MEMORY_HEADERS_MAX; i++)
		CHECK(mmap(NULL, 4096, i % 2 ? PROT_READ : PROT_READ | PROT_EXEC,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
	all.used = 0;
	memory_header_run(&job, collect, &all);
	CHECK(all.used == MEMORY_HEADERS_MAX + 2);
	CHECK(all.results[MEMORY_HEADERS_MAX].outcome == HASH_TOO_MANY);
	all.used = 0;
	job.header.start_ticks++;
	memory_header_run(&job, collect, &all);
	CHECK(all.used == 1 && all.results[0].outcome == HASH_GONE);
}

static struct hash_job job_of(pid_t pid)
{
	struct hash_job job = {.kind = HASH_KIND_MEMORY,
			       .header = frame_own_header(FRAME_KIND_EXEC, FRAME_TIER_PROC)};
	struct proc_stat stat;

	CHECK(proc_read_stat((uint32_t)pid, &stat));
	job.header.tgid = (uint32_t)pid;
	job.header.start_ticks = stat.start_ticks;
	return job;
}

/* A copy of sleep that runs under this name, in the current folder. */
static pid_t run_copy(const char *name)
{
	pid_t pid;

	CHECK(!system("cp /bin/sleep copy") && !rename("copy", name));
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(name, name, "60", NULL);
		_exit(127);
	}
	for (int i = 0; i < 400; i++) {
		struct stat own, its;
		char exe[64];

		snprintf(exe, sizeof(exe), "/proc/%d/exe", pid);
		if (!stat(name, &own) && !stat(exe, &its) && own.st_ino == its.st_ino)
			break;
		usleep(5000);
	}
	return pid;
}

static void end_process(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void check_main_is_read(pid_t pid)
{
	static struct collected all;
	struct hash_job job = job_of(pid);

	all.used = 0;
	memory_header_run(&job, collect, &all);
	CHECK(all.used >= 2 && all.results[0].outcome == HASH_OK && all.first[0] == 0x7f);
	CHECK(all.results[all.used - 1].last && all.results[all.used - 1].outcome == HASH_OK);
}

static void test_the_executable_is_found_whatever_its_name(void)
{
	static const char *const names[] = {"plain", "a\nb c", "back\\slash", "x (deleted)"};
	char component[201];
	pid_t pid;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		pid = run_copy(names[i]);
		check_main_is_read(pid);
		CHECK(!unlink(names[i]));
		check_main_is_read(pid);
		end_process(pid);
	}
	/* Longer than a path that the link is read into. */
	memset(component, 'd', 200);
	component[200] = 0;
	for (int i = 0; i < 4; i++)
		CHECK(!mkdir(component, 0700) && !chdir(component));
	pid = run_copy("deep");
	check_main_is_read(pid);
	end_process(pid);
	CHECK(!chdir(dir));
}

struct range {
	uint64_t start, end;
};

static struct range range_of_executable(void)
{
	struct range range = {0};
	struct stat st;
	char line[8192];
	FILE *maps = fopen("/proc/self/maps", "r");

	if (!maps || stat("/proc/self/exe", &st))
		_exit(1);
	while (fgets(line, sizeof(line), maps)) {
		struct memory_mapping mapping;

		if (!memory_mapping_parse(line, strcspn(line, "\n"), &mapping) ||
		    mapping.inode != st.st_ino)
			continue;
		range.start = range.start ? range.start : mapping.start;
		range.end = mapping.end;
	}
	fclose(maps);
	return range;
}

static void unmap_executable(const struct range *range)
{
	ucontext_t *unmap = malloc(sizeof(*unmap)), *rest = malloc(sizeof(*rest));

	getcontext(rest);
	rest->uc_stack.ss_sp = malloc(65536);
	rest->uc_stack.ss_size = 65536;
	rest->uc_link = NULL;
	*unmap = *rest;
	unmap->uc_stack.ss_sp = malloc(65536);
	unmap->uc_link = rest;
	/* From here only the C library runs: it unmaps us and waits. */
	makecontext(rest, (void (*)(void))pause, 0);
	makecontext(unmap, (void (*)(void))munmap, 2, range->start, range->end - range->start);
	setcontext(unmap);
}

static bool maps_its_executable(pid_t pid)
{
	char command[128];

	snprintf(command, sizeof(command), "grep -q /memory_test /proc/%d/maps", pid);
	return !system(command);
}

static void test_an_executable_that_unmapped_itself_is_said(void)
{
	static struct collected all;
	struct range range = range_of_executable();
	struct hash_job job;
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		unmap_executable(&range);
		_exit(1);
	}
	for (int i = 0; i < 200 && maps_its_executable(pid); i++)
		usleep(5000);
	job = job_of(pid);
	all.used = 0;
	memory_header_run(&job, collect, &all);
	CHECK(all.used && all.results[all.used - 1].last);
	CHECK(all.results[all.used - 1].outcome == HASH_MAIN_NOT_FOUND);
	end_process(pid);
}

/* Below the executable, where a walk comes first. */
static void map_low(uintptr_t at, int count)
{
	for (int i = 0; i < count; i++)
		CHECK(mmap((void *)(at + (uintptr_t)i * 8192), 4096, PROT_READ | PROT_EXEC,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED);
}

static void test_low_mappings_do_not_keep_the_executable_unread(void)
{
	static struct collected all;
	struct hash_job job = job_of(getpid());
	unsigned mains = 0, many = 0;

	map_low(0x10000000, 2 * MEMORY_HEADERS_MAX);
	all.used = 0;
	memory_header_run(&job, collect, &all);
	for (size_t i = 0; i < all.used; i++) {
		mains += all.first[i] == 0x7f && strstr(all.results[i].path, "memory_test") != NULL;
		many += all.results[i].outcome == HASH_TOO_MANY;
	}
	CHECK(mains == 1 && many == 1 && all.used == MEMORY_HEADERS_MAX + 3);
	CHECK(all.results[all.used - 1].last && all.results[all.used - 1].outcome == HASH_OK);
	CHECK(!munmap((void *)0x10000000, 2 * MEMORY_HEADERS_MAX * 8192));
}

/* Last: the mappings stay. */
static void test_a_list_longer_than_is_read_is_said(void)
{
	static struct collected all;
	struct hash_job job = job_of(getpid());
	char *block;

	block = mmap(NULL, 60000 * 4096ul, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(block != MAP_FAILED);
	for (int i = 0; i < 60000; i += 2)
		CHECK(!mprotect(block + i * 4096ul, 4096, PROT_NONE));
	all.used = 0;
	memory_header_run(&job, collect, &all);
	CHECK(all.used && all.results[all.used - 1].last);
	CHECK(all.results[all.used - 1].outcome == HASH_TOO_MANY);
}

int main(void)
{
	char template[] = "/tmp/procmond-memory-XXXXXX";
	char command[128];

	snprintf(dir, sizeof(dir), "%s", mkdtemp(template));
	CHECK(!chdir(dir));
	test_lines_of_maps_are_taken_apart();
	test_the_executable_is_found_whatever_its_name();
	test_an_executable_that_unmapped_itself_is_said();
	test_low_mappings_do_not_keep_the_executable_unread();
	test_anonymous_code_is_found_and_bounded();
	test_a_list_longer_than_is_read_is_said();
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	CHECK(!system(command));
	return check_report("memory tests");
}
