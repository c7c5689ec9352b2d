/*
 * Compares the kernel's own description of our objects with what was attached, see bpf_guard.h. It
 * must never act on another process; it puts back its own handlers and globals.
 */
#include "bpf_guard.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf_load.h"
#include "procmond.h"
#include "procmond.skel.h"

struct guarded {
	const char *name;
	int fd;
	enum pm_object_kind kind;
	uint32_t id;
	uint32_t program_id; /* of a link */
	bool told;
};

struct bpf_guard {
	struct procmond_bpf *skeleton;
	struct procmond_bpf__bss globals;
	uint32_t handlers[PM_HANDLERS]; /* program ids; 0 = none was put there */
	int handler_fds[PM_HANDLERS];
	int count;
	struct guarded objects[PM_OWN_OBJECTS_MAX];
};

/* What the kernel says of a descriptor now; false when it says nothing. */
static bool describe(int fd, enum pm_object_kind kind, uint32_t *id, uint32_t *program_id)
{
	union {
		struct bpf_prog_info program;
		struct bpf_map_info map;
		struct bpf_link_info link;
	} info = {0};
	__u32 bytes = kind == PM_OBJECT_PROGRAM ? sizeof(info.program)
		      : kind == PM_OBJECT_MAP	? sizeof(info.map)
						: sizeof(info.link);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &bytes))
		return false;
	*program_id = kind == PM_OBJECT_LINK ? info.link.prog_id : 0;
	*id = kind == PM_OBJECT_PROGRAM ? info.program.id
	      : kind == PM_OBJECT_MAP	? info.map.id
					: info.link.id;
	return true;
}

static void add(struct bpf_guard *guard, const char *name, int fd, enum pm_object_kind kind)
{
	struct guarded object = {.name = name, .fd = fd, .kind = kind};
	uint32_t one = 1;
	uint64_t key;

	if (guard->count == PM_OWN_OBJECTS_MAX ||
	    !describe(fd, kind, &object.id, &object.program_id))
		return;
	guard->objects[guard->count++] = object;
	key = (uint64_t)kind << 32 | object.id;
	bpf_map_update_elem(bpf_map__fd(guard->skeleton->maps.own_objects), &key, &one, BPF_ANY);
}

static void add_handlers(struct bpf_guard *guard)
{
	for (int i = 0; i < bpf_rows_count; i++) {
		const struct bpf_row *row = &bpf_rows[i];
		struct bpf_program *program;
		uint32_t program_id;
		int fd;

		if (row->handler == PM_HANDLER_NONE)
			continue;
		program = bpf_object__find_program_by_name(guard->skeleton->obj, row->name);
		fd = program ? bpf_program__fd(program) : -1;
		if (fd < 0)
			continue;
		guard->handler_fds[row->handler] = fd;
		describe(fd, PM_OBJECT_PROGRAM, &guard->handlers[row->handler], &program_id);
	}
}

struct bpf_guard *bpf_guard_open(struct procmond_bpf *skeleton, const struct name_entry *entry)
{
	struct bpf_guard *guard = calloc(1, sizeof(*guard));
	struct bpf_object_skeleton *inner = skeleton->skeleton;
	struct bpf_map *map;

	if (!guard)
		return NULL;
	guard->skeleton = skeleton;
	for (int i = 0; i < inner->prog_cnt; i++) {
		struct bpf_link *link = *inner->progs[i].link;

		add(guard, inner->progs[i].name, bpf_program__fd(*inner->progs[i].prog),
		    PM_OBJECT_PROGRAM);
		if (link)
			add(guard, inner->progs[i].name, bpf_link__fd(link), PM_OBJECT_LINK);
	}
	for (int i = 0; i < entry->count; i++)
		add(guard, "on_name_entry", entry->links[i], PM_OBJECT_LINK);
	bpf_object__for_each_map(map, skeleton->obj)
		add(guard, bpf_map__name(map), bpf_map__fd(map), PM_OBJECT_MAP);
	add_handlers(guard);
	guard->globals = *skeleton->bss;
	return guard;
}

void bpf_guard_close(struct bpf_guard *guard)
{
	free(guard);
}

void bpf_guard_set_agent(struct bpf_guard *guard, uint32_t tgid)
{
	guard->globals.own_tgids[1] = tgid;
	guard->skeleton->bss->own_tgids[1] = tgid;
}

struct procmond_bpf__bss *bpf_guard_globals(struct bpf_guard *guard)
{
	return &guard->globals;
}

static void send_detach(struct bpf_guard *guard, struct frame_writer *writer, const char *what,
			const char *name)
{
	struct frame_header header = frame_own_header(FRAME_KIND_TAMPER, FRAME_TIER_EBPF);
	char cause[64];

	header.tgid = guard->globals.own_tgids[0];
	snprintf(cause, sizeof(cause), "%s:%s", what, name);
	frame_begin(writer, &header);
	frame_text(writer, FRAME_TAG_CALL, "detach");
	frame_text(writer, FRAME_TAG_CAUSE, cause);
	frame_u32(writer, FRAME_TAG_TARGET_TGID, guard->globals.own_tgids[0]);
	frame_end(writer);
}

static void check_handlers(struct bpf_guard *guard, struct frame_writer *writer)
{
	int table = bpf_map__fd(guard->skeleton->maps.handlers);

	for (uint32_t i = 0; i < PM_HANDLERS; i++) {
		uint32_t id = 0;

		if (!guard->handlers[i])
			continue;
		if (!bpf_map_lookup_elem(table, &i, &id) && id == guard->handlers[i])
			continue;
		send_detach(guard, writer, "handler",
			    i == PM_HANDLER_PROCESS ? "process"
			    : i == PM_HANDLER_NETWORK ? "network" : "file");
		/* Told each time, because each time somebody took it out again. */
		bpf_map_update_elem(table, &i, &guard->handler_fds[i], BPF_ANY);
	}
}

/* What the programs write themselves lies in a section of its own (PM_OWN_NOTES). */
static bool put_back_globals(struct bpf_guard *guard)
{
	if (!memcmp(guard->skeleton->bss, &guard->globals, sizeof(guard->globals)))
		return true;
	memcpy(guard->skeleton->bss, &guard->globals, sizeof(guard->globals));
	return false;
}

void bpf_guard_check(struct bpf_guard *guard, struct frame_writer *writer)
{
	static const char *const kinds[] = {"", "program", "map", "link"};

	for (int i = 0; i < guard->count; i++) {
		struct guarded *object = &guard->objects[i];
		uint32_t id, program_id;
		bool same = describe(object->fd, object->kind, &id, &program_id) &&
			    id == object->id && program_id == object->program_id;

		if (!same && !object->told)
			send_detach(guard, writer, kinds[object->kind], object->name);
		object->told = !same;
	}
	/* As with handlers, told each time. */
	if (!put_back_globals(guard))
		send_detach(guard, writer, "map", "bss");
	check_handlers(guard, writer);
}
