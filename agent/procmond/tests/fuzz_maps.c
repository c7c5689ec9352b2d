/*
 * Fuzzes the parser of /proc/PID/maps lines: a process chooses the names in it. Built with libFuzzer
 * where the compiler brings it, else with a driver that mutates good lines at random and prints its
 * seed. It must never depend on anything but bytes in.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "memory_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory_mapping mapping;

	if (!memory_mapping_parse((const char *)data, size, &mapping))
		return 0;
	memory_mapping_is_foreign(&mapping);
	if (mapping.end <= mapping.start || mapping.perms[4] ||
	    mapping.path + mapping.path_bytes != (const char *)data + size)
		abort();
	return 0;
}

#ifdef FUZZ_STANDALONE
static uint64_t state;

/* xorshift64*: repeatable from its seed on every machine. */
static uint32_t random_u32(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)(state * 0x2545f4914f6cdd1dull >> 32);
}

static size_t make_input(char *out, size_t room)
{
	static const char *const names[] = {"", "[vdso]", "/memfd:x (deleted)", "/usr/bin/a b", "[heap]"};
	size_t used = (size_t)snprintf(out, room, "%x%s%x r-x%c %08x %02x:%02x %u%s%s", random_u32(),
				       random_u32() % 8 ? "-" : "", random_u32(),
				       random_u32() % 4 ? 'p' : ' ', random_u32(), random_u32() % 256,
				       random_u32() % 256, random_u32() % 4, random_u32() % 2 ? "   " : "",
				       names[random_u32() % 5]);

	for (uint32_t i = random_u32() % 4; i > 0; i--)
		out[random_u32() % used] = " -:/0afx\0\n"[random_u32() % 10];
	return random_u32() % 4 ? used : random_u32() % (used + 1);
}

int main(int argc, char **argv)
{
	const char *flag = "-max_total_time=";
	long seconds = argc > 1 && !strncmp(argv[1], flag, strlen(flag))
			       ? atol(argv[1] + strlen(flag)) : 10;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
	time_t end = time(NULL) + seconds;
	unsigned long runs = 0;

	state = seed * 2 + 1;
	printf("fuzz_maps: seed %llu\n", (unsigned long long)seed);
	for (; time(NULL) < end; runs++) {
		char input[256];
		size_t length = make_input(input, sizeof(input));
		uint8_t *exact = malloc(length ? length : 1);

		memcpy(exact, input, length);
		LLVMFuzzerTestOneInput(exact, length);
		free(exact);
	}
	printf("fuzz_maps: %lu inputs, nothing found\n", runs);
	return 0;
}
#endif
