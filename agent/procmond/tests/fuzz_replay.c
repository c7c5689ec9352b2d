/*
 * Fuzzes the reader of recordings: a recording may come from anywhere. Built with libFuzzer where the
 * compiler brings it, else with a driver that mutates good frames at random and prints its seed. It
 * must never depend on anything but bytes in.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct replay_check check;

	if (fd < 0)
		fd = memfd_create("recording", 0);
	if (ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	check = replay_validate(fd);
	/* A good recording was read to its end; of a damaged one the place is in it. */
	if (check.offset > size || (!check.error && check.offset != size) ||
	    (check.frames && check.offset < check.frames * sizeof(struct frame_header)))
		abort();
	return 0;
}

#ifdef FUZZ_STANDALONE
#include "fuzz_standalone.h"

static size_t add_frame(uint8_t *out)
{
	struct frame_header header = {.version = FRAME_VERSION, .tgid = 1,
				      .kind = (uint16_t)(1 + random_u32() % 33)};
	uint16_t tag = (uint16_t)(1 + random_u32() % 8), bytes = (uint16_t)(random_u32() % 40);
	uint32_t length = (uint32_t)sizeof(header) + 4u + bytes;

	memcpy(out, &length, sizeof(length));
	memcpy(out + 4, &header, sizeof(header));
	memcpy(out + 4 + sizeof(header), &tag, 2);
	memcpy(out + 6 + sizeof(header), &bytes, 2);
	memset(out + 8 + sizeof(header), 'a', bytes);
	return 4 + length;
}

static size_t make_input(uint8_t *out)
{
	size_t used = 0;

	for (uint32_t i = 1 + random_u32() % 8; i > 0; i--)
		used += add_frame(out + used);
	for (uint32_t i = random_u32() % 4; i > 0; i--)
		out[random_u32() % used] = (uint8_t)random_u32();
	return random_u32() % 4 ? used : random_u32() % (used + 1);
}

int main(int argc, char **argv)
{
	return fuzz_run("fuzz_replay", argc, argv, 2, make_input);
}
#endif
