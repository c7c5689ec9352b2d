/*
 * The texts of pressure as numbers, see pressure_text.h. It must never make a number of a text it
 * could not read whole: a guess would shed events or keep them by accident.
 */
#include "pressure_text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "fidelity.h"

#define PERCENT_100 10000u

/* Hundredths of "12.34"; the kernel always writes two decimals. */
static uint32_t parse_share(const char *text)
{
	char *point, *end;
	unsigned long whole, hundredths;

	if (!isdigit((unsigned char)*text))
		return FIDELITY_ABSENT;
	whole = strtoul(text, &point, 10);
	if (*point != '.' || whole > 100 || !isdigit((unsigned char)point[1]))
		return FIDELITY_ABSENT;
	hundredths = strtoul(point + 1, &end, 10);
	if (end != point + 3)
		return FIDELITY_ABSENT;
	return (uint32_t)(whole * 100 + hundredths);
}

uint32_t pressure_parse(const char *text, const char *which)
{
	size_t length = strlen(which);
	const char *line = text, *value;

	while (line && strncmp(line, which, length)) {
		line = strchr(line, '\n');
		line += line != NULL;
	}
	if (!line || strncmp(line + length, " avg10=", 7))
		return FIDELITY_ABSENT;
	value = line + length + 7;
	return parse_share(value);
}

uint32_t pressure_parse_use(const char *current, const char *max)
{
	char *end;
	unsigned long long used, limit;

	if (!isdigit((unsigned char)*current))
		return FIDELITY_ABSENT;
	if (!strncmp(max, "max", 3))
		return 0;
	if (!isdigit((unsigned char)*max))
		return FIDELITY_ABSENT;
	used = strtoull(current, &end, 10);
	limit = strtoull(max, &end, 10);
	if (!limit || used >= limit)
		return PERCENT_100;
	/* Both below 2^64; dividing first keeps the product there too. */
	return limit > UINT64_MAX / PERCENT_100 ? (uint32_t)(used / (limit / PERCENT_100))
						: (uint32_t)(used * PERCENT_100 / limit);
}
