/*
 * Tests of hashing: the published BLAKE3 vectors, the budget, the cache, files that are hashed while
 * they change, are too large or are no files. Run under AddressSanitizer and UBSan. It must never need privileges.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "blake3.h"
#include "check.h"
#include "clock.h"
#include "frame_write.h"
#include "hash_budget.h"
#include "hash_cache.h"
#include "hash_file.h"
#include "proc_read.h"

static bool is_hex(const uint8_t *bytes, const char *hex)
{
	char text[2 * HASH_BYTES + 1];

	for (int i = 0; i < HASH_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return !strcmp(text, hex);
}

/* The input of the published vectors: 0 … 250, over and over. */
static uint8_t *vector_input(size_t length)
{
	uint8_t *bytes = malloc(length ? length : 1);

	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)(i % 251);
	return bytes;
}

static void test_blake3_gives_the_published_digests(void)
{
	/* BLAKE3 test_vectors.json, the first 32 bytes of "hash". */
	static const struct {
		size_t length;
		const char *hex;
	} vectors[] = {
		{0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"},
		{1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"},
		{1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11"},
		{1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"},
		{1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"},
		{2048, "e776b6028c7cd22a4d0ba182a8bf62205d2ef576467e838ed6f2529b85fba24a"},
		{2049, "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030"},
		{3072, "b98cb0ff3623be03326b373de6b9095218513e64f1ee2edd2525c7ad1e5cffd2"},
		{3073, "7124b49501012f81cc7f11ca069ec9226cecb8a2c850cfe644e327d22d3e1cd3"},
		{4096, "015094013f57a5277b59d8475c0501042c0b642e531b0a1c8f58d2163229e969"},
		{4097, "9b4052b38f1c5fc8b1f9ff7ac7b27cd242487b3d890d15c96a1c25b8aa0fb995"},
		{5120, "9cadc15fed8b5d854562b26a9536d9707cadeda9b143978f319ab34230535833"},
		{5121, "628bd2cb2004694adaab7bbd778a25df25c47b9d4155a55f8fbd79f2fe154cff"},
		{6144, "3e2e5b74e048f3add6d21faab3f83aa44d3b2278afb83b80b3c35164ebeca205"},
		{6145, "f1323a8631446cc50536a9f705ee5cb619424d46887f3c376c695b70e0f0507f"},
		{7168, "61da957ec2499a95d6b8023e2b0e604ec7f6b50e80a9678b89d2628e99ada77a"},
		{7169, "a003fc7a51754a9b3c7fae0367ab3d782dccf28855a03d435f8cfe74605e7817"},
		{8192, "aae792484c8efe4f19e2ca7d371d8c467ffb10748d8a5a1ae579948f718a2a63"},
		{8193, "bab6c09cb8ce8cf459261398d2e7aef35700bf488116ceb94a36d0f5f1b7bc3b"},
		{16384, "f875d6646de28985646f34ee13be9a576fd515f76b5b0a26bb324735041ddde4"},
		{31744, "62b6960e1a44bcc1eb1a611a8d6235b6b4b78f32e7abc4fb4c6cdcce94895c47"},
		{102400, "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085"},
	};
	static const size_t steps[] = {SIZE_MAX, 1, 63, 64, 1000, 4096, 5000};

	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		size_t length = vectors[i].length;
		uint8_t *bytes = vector_input(length);

		for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++) {
			uint8_t digest[BLAKE3_BYTES];
			struct blake3 hash;

			blake3_open(&hash);
			for (size_t at = 0; at < length;) {
				size_t n = length - at < steps[s] ? length - at : steps[s];

				blake3_add(&hash, bytes + at, n);
				at += n;
			}
			blake3_close(&hash, digest);
			CHECK(is_hex(digest, vectors[i].hex));
		}
		free(bytes);
	}
}

static void test_the_budget_is_a_share_of_time(void)
{
	struct hash_budget budget;
	uint64_t now = NS_PER_SECOND, cpu = 0, slept = 0;

	hash_budget_open(&budget, now, cpu);
	cpu += HASH_BUDGET_BURST_NS;
	CHECK(!hash_budget_charge(&budget, now, cpu));
	/* After the burst, a second of work costs twenty of time. */
	for (int i = 0; i < 100; i++) {
		uint64_t sleep;

		cpu += 10 * NS_PER_MS;
		now += 10 * NS_PER_MS;
		sleep = hash_budget_charge(&budget, now, cpu);
		slept += sleep;
		now += sleep;
	}
	CHECK(slept + NS_PER_SECOND >= (HASH_BUDGET_SHARE - 1) * NS_PER_SECOND);
	CHECK(slept <= HASH_BUDGET_SHARE * NS_PER_SECOND);
	now += 3600 * NS_PER_SECOND;
	cpu += 2 * HASH_BUDGET_BURST_NS;
	CHECK(hash_budget_charge(&budget, now, cpu) == HASH_BUDGET_BURST_NS * HASH_BUDGET_SHARE);
}

static struct file_identity identity_of(uint64_t ino)
{
	return (struct file_identity){8 << 20 | 1, ino, 100, 5, 6};
}

static void test_the_cache_forgets_what_was_unused_longest(void)
{
	static struct hash_cache cache;
	uint8_t sha256[HASH_BYTES] = {0}, blake3[HASH_BYTES] = {0};
	struct file_identity identity, other;

	hash_cache_open(&cache);
	for (uint64_t i = 0; i < HASH_CACHE_ROWS; i++) {
		identity = identity_of(i);
		memcpy(sha256, &i, sizeof(i));
		hash_cache_put(&cache, &identity, sha256, blake3);
	}
	identity = identity_of(0);
	CHECK(hash_cache_find(&cache, &identity));
	for (uint64_t i = HASH_CACHE_ROWS; i < HASH_CACHE_ROWS + 100; i++) {
		identity = identity_of(i);
		hash_cache_put(&cache, &identity, sha256, blake3);
	}
	identity = identity_of(0);
	CHECK(hash_cache_find(&cache, &identity));
	for (uint64_t i = 1; i <= 100; i++) {
		identity = identity_of(i);
		CHECK(!hash_cache_find(&cache, &identity));
	}
	for (uint64_t i = 101; i < HASH_CACHE_ROWS; i++) {
		const struct hash_cache_row *row;

		identity = identity_of(i);
		row = hash_cache_find(&cache, &identity);
		CHECK(row && !memcmp(row->sha256, &i, sizeof(i)));
	}
	other = identity_of(500);
	other.ctime_ns++;
	CHECK(!hash_cache_find(&cache, &other));
	for (uint64_t i = 0; i < 3 * HASH_CACHE_ROWS; i++) {
		identity = identity_of(i % 7000);
		hash_cache_put(&cache, &identity, sha256, blake3);
		CHECK(hash_cache_find(&cache, &identity));
	}
	CHECK(cache.used == HASH_CACHE_ROWS);
}

static char dir[64];

static const char *file_named(const char *name, size_t bytes)
{
	static char path[128];
	uint8_t *content = vector_input(bytes);
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	CHECK(write(fd, content, bytes) == (ssize_t)bytes);
	close(fd);
	free(content);
	return path;
}

static struct frame_header own_header(void)
{
	struct frame_header header = frame_own_header(FRAME_KIND_FILE_CREATE, FRAME_TIER_PROC);
	struct proc_stat stat;

	CHECK(proc_read_stat((uint32_t)getpid(), &stat));
	header.start_ticks = stat.start_ticks;
	return header;
}

static bool go_on(void *context)
{
	(void)context;
	return true;
}

static bool append_once(void *path)
{
	int fd = open(path, O_WRONLY | O_APPEND);

	CHECK(write(fd, "x", 1) == 1);
	close(fd);
	return true;
}

/* As if the file with that identity had been made at the path. */
static struct hash_result run_made(const char *path, const struct stat *made)
{
	struct hash_job job = {.kind = HASH_KIND_NEW_FILE, .bytes_max = 1 << 20, .header = own_header(),
			       .made_known = true,
			       .made_dev = (uint64_t)major(made->st_dev) << 20 | minor(made->st_dev),
			       .made_ino = made->st_ino};
	struct hash_result result;

	snprintf(job.path, sizeof(job.path), "%s", path);
	hash_file_run(&job, &result, go_on, NULL);
	return result;
}

static void test_what_was_renamed_over_a_new_file_is_not_taken_for_it(void)
{
	char path[128];
	struct stat made, other;
	struct hash_result result;

	snprintf(path, sizeof(path), "%s", file_named("made", 100));
	CHECK(!stat(path, &made));
	result = run_made(path, &made);
	CHECK(result.outcome == HASH_OK && !result.path_uncertain);
	CHECK(!rename(file_named("better", 100), path) && !stat(path, &other));
	result = run_made(path, &made);
	CHECK(result.outcome == HASH_CHANGED_WHILE_READ && !strcmp(result.path, path));
	/* The same number on another device. */
	other.st_dev = makedev(major(other.st_dev) + 1, minor(other.st_dev));
	CHECK(run_made(path, &other).outcome == HASH_CHANGED_WHILE_READ);
	CHECK(!unlink(path));
	CHECK(run_made(path, &made).outcome == HASH_GONE);
}

static struct hash_result run_file(const char *path, uint64_t bytes_max, hash_pause *pause)
{
	struct hash_job job = {.kind = HASH_KIND_NEW_FILE, .bytes_max = bytes_max,
			       .header = own_header()};
	struct hash_result result;
	char copy[HASH_PATH_BYTES];

	snprintf(job.path, sizeof(job.path), "%s", path);
	snprintf(copy, sizeof(copy), "%s", path);
	hash_file_run(&job, &result, pause, copy);
	return result;
}

static void test_a_file_is_hashed_only_as_it_was_found(void)
{
	struct hash_result result = run_file(file_named("a", 102400), 102400, go_on);
	char link[128];

	CHECK(result.outcome == HASH_OK && result.identity.size == 102400);
	CHECK(is_hex(result.blake3, "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085"));
	result = run_file(file_named("a", 102400), 102399, go_on);
	CHECK(result.outcome == HASH_TOO_LARGE && result.identity_known);
	result = run_file(file_named("b", 300000), 1 << 20, append_once);
	CHECK(result.outcome == HASH_CHANGED_WHILE_READ);
	result = run_file(file_named("empty", 0), 1 << 20, go_on);
	CHECK(result.outcome == HASH_OK);
	CHECK(is_hex(result.sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
	snprintf(link, sizeof(link), "%s/fifo", dir);
	CHECK(!mkfifo(link, 0600));
	result = run_file(link, 1 << 20, go_on);
	CHECK(result.outcome == HASH_NOT_REGULAR);
	/* A path of an event has no symlink in it: one was put there to lead the reader elsewhere. */
	snprintf(link, sizeof(link), "%s/link", dir);
	CHECK(!symlink("/etc", link));
	snprintf(link, sizeof(link), "%s/link/passwd", dir);
	CHECK(run_file(link, 1 << 20, go_on).outcome == HASH_GONE);
	snprintf(link, sizeof(link), "%s/../../etc/passwd", dir);
	CHECK(run_file(link, 1 << 20, go_on).outcome == HASH_GONE);
	CHECK(run_file("/dev/null", 1 << 20, go_on).outcome == HASH_NOT_REGULAR);
}

static void test_a_large_file_is_hashed_like_a_small_one(void)
{
	/* Above the size from which uncached pieces are dropped again; sparse, so nothing is cached. */
	uint64_t size = (33ull << 20) + 7;
	const char *path = file_named("large", 0);
	uint8_t *zeros = calloc(1, (size_t)size);
	uint8_t expected[HASH_BYTES];
	struct hash_result result;

	CHECK(!truncate(path, (off_t)size));
	result = run_file(path, size, go_on);
	SHA256(zeros, (size_t)size, expected);
	CHECK(result.outcome == HASH_OK && !memcmp(result.sha256, expected, HASH_BYTES));
	free(zeros);
}

static void test_reading_leaves_no_trace_in_the_file(void)
{
	const char *path = file_named("quiet", 5000);
	struct timespec old[2] = {{1000, 0}, {2000, 0}};
	struct stat before, after;

	CHECK(!utimensat(AT_FDCWD, path, old, 0) && !stat(path, &before));
	CHECK(run_file(path, 1 << 20, go_on).outcome == HASH_OK);
	CHECK(!stat(path, &after));
	CHECK(before.st_atim.tv_sec == after.st_atim.tv_sec);
	CHECK(before.st_ctim.tv_nsec == after.st_ctim.tv_nsec);
}

static void test_another_process_with_the_number_is_not_read(void)
{
	struct hash_job job = {.kind = HASH_KIND_IDENTIFY, .header = own_header()};
	struct hash_result result;

	hash_file_run(&job, &result, go_on, NULL);
	CHECK(result.outcome == HASH_OK && result.identity_known && result.path[0] == '/');
	job.header.start_ticks++;
	hash_file_run(&job, &result, go_on, NULL);
	CHECK(result.outcome == HASH_GONE && !result.path[0]);
	/* Another exec since the event shows another path. */
	job.header.start_ticks--;
	strcpy(job.path, "/usr/bin/elsewhere");
	hash_file_run(&job, &result, go_on, NULL);
	CHECK(result.outcome == HASH_GONE);
}

int main(void)
{
	char template[] = "/tmp/procmond-hash-XXXXXX";
	char command[128];

	snprintf(dir, sizeof(dir), "%s", mkdtemp(template));
	test_blake3_gives_the_published_digests();
	test_the_budget_is_a_share_of_time();
	test_the_cache_forgets_what_was_unused_longest();
	test_a_file_is_hashed_only_as_it_was_found();
	test_what_was_renamed_over_a_new_file_is_not_taken_for_it();
	test_a_large_file_is_hashed_like_a_small_one();
	test_reading_leaves_no_trace_in_the_file();
	test_another_process_with_the_number_is_not_read();
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	CHECK(!system(command));
	return check_report("hash tests");
}
