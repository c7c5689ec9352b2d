/*
 * Prints the frame layout as JSON, from the same lists the code is built of. It guarantees that
 * what is printed is what runs. It must never hold a number of its own.
 */
#include "layout.h"

#include <stdio.h>

#include "frame.h"

#define PRINT_FIELD(field, type, offset) \
	printf("%s\n    {\"name\": \"%s\", \"type\": \"%s\", \"offset\": %d}", comma, #field, #type, \
	       offset), comma = ",";
#define PRINT_PAIR(text, number) \
	printf("%s\n    \"%s\": %d", comma, text, number), comma = ",";
#define PRINT_NAMED(name, wire, number) PRINT_PAIR(#wire, number)
#define PRINT_TAG(name, number, bytes) PRINT_PAIR(#name, number)

void layout_print(void)
{
	const char *comma = "";

	printf("{\n  \"version\": %d,\n  \"header_bytes\": %d,\n", FRAME_VERSION, FRAME_HEADER_BYTES);
	printf("  \"length_min\": %d,\n  \"length_max\": %d,\n", FRAME_LENGTH_MIN, FRAME_LENGTH_MAX);
	printf("  \"header\": [");
	FRAME_FIELDS(PRINT_FIELD)
	printf("\n  ],\n  \"kinds\": {");
	comma = "";
	FRAME_KINDS(PRINT_NAMED)
	printf("\n  },\n  \"tags\": {");
	comma = "";
	FRAME_TAGS(PRINT_TAG)
	printf("\n  },\n  \"tiers\": {");
	comma = "";
	FRAME_TIERS(PRINT_NAMED)
	printf("\n  },\n  \"flag_bits\": {");
	comma = "";
	FRAME_FLAGS(PRINT_NAMED)
	printf("\n  },\n  \"collect_bits\": {");
	comma = "";
	FRAME_COLLECTS(PRINT_NAMED)
	printf("\n  },\n  \"exe_flag_bits\": {");
	comma = "";
	FRAME_EXE_FLAGS(PRINT_NAMED)
	printf("\n  },\n  \"shed_classes\": {");
	comma = "";
	FRAME_SHED_CLASSES(PRINT_NAMED)
	printf("\n  }\n}\n");
}
