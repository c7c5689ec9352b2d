/* Joins the rooms that add to frames with the writer, see enrich.h. */
#include "enrich.h"

#include <stdio.h>

static void before(void *self, struct frame_writer *writer, const struct frame_header *header)
{
	struct enrich *enrich = self;

	cgroup_names_tell(&enrich->cgroups, writer, header);
}

static void closing(void *self, struct frame_writer *writer, const uint8_t *body, size_t length)
{
	struct enrich *enrich = self;

	hash_desk_closing(&enrich->desk, writer, body, length);
}

static void closed(void *self, struct frame_writer *writer)
{
	struct enrich *enrich = self;

	hash_desk_closed(&enrich->desk, writer);
}

void enrich_open(struct enrich *enrich, struct frame_writer *writer, const struct scope *scope,
		 const struct source *source)
{
	cgroup_names_open(&enrich->cgroups, scope);
	if (!hash_desk_open(&enrich->desk, scope, source))
		fprintf(stderr, "procmond: no thread can be started, so no file is hashed; raise the limit "
				"of tasks.\n");
	enrich->hooks = (struct frame_hooks){enrich, before, closing, closed};
	writer->hooks = &enrich->hooks;
}

void enrich_close(struct enrich *enrich)
{
	/* A replay opens none of it. */
	if (!enrich->hooks.self)
		return;
	hash_desk_close(&enrich->desk);
	cgroup_names_close(&enrich->cgroups);
}
