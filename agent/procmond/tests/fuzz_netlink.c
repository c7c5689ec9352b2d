/*
 * Fuzzes the parsers of netlink messages: the process connector and sock_diag. Built with libFuzzer
 * where the compiler brings it, else with a small driver of its own that damages the messages of
 * the corpus. It guarantees to print the seed, so a finding can be repeated. It must never depend
 * on anything but bytes in.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "netlink_diag.h"
#include "netlink_proc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *at = data;
	struct nlproc_event event;
	struct net_bytes bytes;
	struct net_row row;
	size_t left = size;
	int state;

	if (nlproc_parse(data, size, &event) && event.kind > NLPROC_ACK &&
	    (!event.tgid || event.tgid > INT32_MAX || !event.tid))
		abort();
	for (;;) {
		size_t before = left;
		enum nldiag_next next = nldiag_next(&at, &left, &row, &state, &bytes);

		if (next == NLDIAG_DONE || next == NLDIAG_BAD)
			return 0;
		/* Each step moves on, and never past the end. */
		if (left >= before || at + left != data + size)
			abort();
		if (next == NLDIAG_ROW && row.family != 2 && row.family != 10)
			abort();
	}
}

#ifdef FUZZ_STANDALONE
#define SEEDS_MAX 64
#define SEED_BYTES_MAX 1024

static uint64_t state;

/* xorshift64*: repeatable from its seed on every machine. */
static uint32_t random_u32(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)(state * 0x2545f4914f6cdd1dull >> 32);
}

static struct {
	size_t length;
	uint8_t bytes[SEED_BYTES_MAX];
} seeds[SEEDS_MAX];
static size_t seeds_used;

static void read_corpus(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char name[512];

	while (dir && seeds_used < SEEDS_MAX && (entry = readdir(dir))) {
		FILE *file;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		file = fopen(name, "r");
		if (!file)
			continue;
		seeds[seeds_used].length = fread(seeds[seeds_used].bytes, 1, SEED_BYTES_MAX, file);
		seeds_used++;
		fclose(file);
	}
	if (dir)
		closedir(dir);
}

int main(int argc, char **argv)
{
	const char *flag = "-max_total_time=";
	long seconds = argc > 1 && !strncmp(argv[1], flag, strlen(flag))
			       ? atol(argv[1] + strlen(flag)) : 10;
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : (uint64_t)time(NULL);
	time_t end = time(NULL) + seconds;
	unsigned long runs = 0;

	read_corpus(argc > 2 ? argv[2] : "tests/corpus_netlink");
	if (!seeds_used) {
		fprintf(stderr, "fuzz_netlink: the corpus is not there; name its folder.\n");
		return 2;
	}
	state = seed * 2 + 1;
	printf("fuzz_netlink: seed %llu, %zu messages in the corpus\n", (unsigned long long)seed,
	       seeds_used);
	for (; time(NULL) < end; runs++) {
		size_t pick = random_u32() % seeds_used, length = seeds[pick].length;
		uint8_t *exact = malloc(length ? length : 1);

		memcpy(exact, seeds[pick].bytes, length);
		for (uint32_t i = random_u32() % 8; i > 0 && length; i--)
			exact[random_u32() % length] = (uint8_t)random_u32();
		if (random_u32() % 3 == 0)
			length = random_u32() % (length + 1);
		/* Shrunk, so that a read past the end is caught. */
		exact = realloc(exact, length ? length : 1);
		LLVMFuzzerTestOneInput(exact, length);
		free(exact);
	}
	printf("fuzz_netlink: %lu inputs, nothing found\n", runs);
	return 0;
}
#endif
