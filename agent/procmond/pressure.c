/*
 * The reader of pressure, see pressure.h. The average over ten seconds is the kernel's own, so two
 * samples need not be compared and a late sample is as good as a punctual one. It must never
 * read more of a file than its own lines.
 */
#include "pressure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pressure_text.h"
#include "proc_read.h"

#define PRESSURE_TEXT_BYTES 512

/* An empty text when it cannot be read. */
static void read_text(const char *directory, const char *name, char text[PRESSURE_TEXT_BYTES])
{
	char path[PRESSURE_PATH_BYTES + 32];
	long bytes = -1;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	if (directory[0])
		bytes = proc_read_file(path, text, PRESSURE_TEXT_BYTES - 1);
	text[bytes > 0 ? bytes : 0] = 0;
}

void pressure_open(struct pressure *pressure, const struct scope *scope)
{
	static char path[SCOPE_PATH_BYTES];

	*pressure = (struct pressure){.machine = "/proc/pressure"};
	if (scope->mount[0] && proc_read_cgroup((uint32_t)getpid(), path, sizeof(path)))
		snprintf(pressure->own, sizeof(pressure->own), "%s%s", scope->mount, path);
#ifdef PROCMOND_TEST_BUILD
	/* Tests say what the pressure is; a build that ships cannot be told. */
	const char *fake = getenv("PROCMOND_TEST_PRESSURE");

	if (fake) {
		snprintf(pressure->machine, sizeof(pressure->machine), "%s", fake);
		snprintf(pressure->own, sizeof(pressure->own), "%s/own", fake);
	}
#endif
}

void pressure_read(const struct pressure *pressure, struct fidelity_signals *signals)
{
	char text[PRESSURE_TEXT_BYTES], max[PRESSURE_TEXT_BYTES];

	read_text(pressure->machine, "cpu", text);
	signals->value[FIDELITY_CPU] = pressure_parse(text, "some");
	read_text(pressure->machine, "memory", text);
	signals->value[FIDELITY_MEMORY] = pressure_parse(text, "full");
	read_text(pressure->machine, "io", text);
	signals->value[FIDELITY_IO] = pressure_parse(text, "full");
	read_text(pressure->own, "memory.pressure", text);
	signals->value[FIDELITY_OWN_STALL] = pressure_parse(text, "full");
	read_text(pressure->own, "memory.current", text);
	read_text(pressure->own, "memory.max", max);
	signals->value[FIDELITY_OWN_MEMORY] = pressure_parse_use(text, max);
}
