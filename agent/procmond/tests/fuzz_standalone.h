/*
 * What drives a fuzz target where the compiler brings no libFuzzer: inputs that the target makes from
 * good ones, until the time is over. It guarantees that a run repeats from its printed seed, and that
 * each input lies in memory of exactly its size, so that a read past its end is caught.
 */
#ifndef PROCMOND_FUZZ_STANDALONE_H
#define PROCMOND_FUZZ_STANDALONE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FUZZ_INPUT_BYTES_MAX 2048

static uint64_t fuzz_state;

/* xorshift64*: repeatable from its seed on every machine. */
static uint32_t random_u32(void)
{
	fuzz_state ^= fuzz_state >> 12;
	fuzz_state ^= fuzz_state << 25;
	fuzz_state ^= fuzz_state >> 27;
	return (uint32_t)(fuzz_state * 0x2545f4914f6cdd1dull >> 32);
}

/* As libFuzzer's own: `-max_total_time=SECONDS` first, then what the target names, then a seed. */
static int fuzz_run(const char *name, int argc, char **argv, int seed_at,
		    size_t (*make_input)(uint8_t out[FUZZ_INPUT_BYTES_MAX]))
{
	const char *flag = "-max_total_time=";
	long seconds = argc > 1 && !strncmp(argv[1], flag, strlen(flag))
			       ? atol(argv[1] + strlen(flag)) : 10;
	uint64_t seed = argc > seed_at ? strtoull(argv[seed_at], NULL, 0) : (uint64_t)time(NULL);
	time_t end = time(NULL) + seconds;
	unsigned long runs = 0;

	fuzz_state = seed * 2 + 1;
	printf("%s: seed %llu\n", name, (unsigned long long)seed);
	for (; time(NULL) < end; runs++) {
		uint8_t input[FUZZ_INPUT_BYTES_MAX];
		size_t length = make_input(input);
		uint8_t *exact = malloc(length ? length : 1);

		memcpy(exact, input, length);
		LLVMFuzzerTestOneInput(exact, length);
		free(exact);
	}
	printf("%s: %lu inputs, nothing found\n", name, runs);
	return 0;
}

#endif
