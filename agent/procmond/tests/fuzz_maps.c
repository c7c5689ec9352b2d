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
#include "fuzz_standalone.h"

#define MAPS_LINE_BYTES 256

static size_t make_input(uint8_t *bytes)
{
	char *out = (char *)bytes;
	static const char *const names[] = {"", "[vdso]", "/memfd:x (deleted)", "/usr/bin/a b", "[heap]"};
	size_t used = (size_t)snprintf(out, MAPS_LINE_BYTES, "%x%s%x r-x%c %08x %02x:%02x %u%s%s", random_u32(),
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
	return fuzz_run("fuzz_maps", argc, argv, 2, make_input);
}
#endif
