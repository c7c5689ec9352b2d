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
#include "fuzz_standalone.h"

#define SEEDS_MAX 64
#define SEED_BYTES_MAX 1024

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

static size_t make_input(uint8_t *out)
{
	size_t pick = random_u32() % seeds_used, length = seeds[pick].length;

	memcpy(out, seeds[pick].bytes, length);
	for (uint32_t i = random_u32() % 8; i > 0 && length; i--)
		out[random_u32() % length] = (uint8_t)random_u32();
	return random_u32() % 3 ? length : random_u32() % (length + 1);
}

int main(int argc, char **argv)
{
	read_corpus(argc > 2 ? argv[2] : "tests/corpus_netlink");
	if (!seeds_used) {
		fprintf(stderr, "fuzz_netlink: the corpus is not there; name its folder.\n");
		return 2;
	}
	printf("fuzz_netlink: %zu messages in the corpus\n", seeds_used);
	return fuzz_run("fuzz_netlink", argc, argv, 3, make_input);
}
#endif
