/*
 * Why fields are not there: the text of the ABSENT tag, `TAG:reason` with commas between. It
 * guarantees one list of reasons, so that the console can explain each, and whole entries only. It
 * must never name a field that is in the frame.
 */
#ifndef PROCMOND_ABSENT_H
#define PROCMOND_ABSENT_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "frame_write.h"

/* The process ended, or became another program, before it could be looked at. */
#define ABSENT_GONE "gone"
#define ABSENT_NO_PERMISSION "no_permission"
/* This tier has no way to know it. */
#define ABSENT_TIER "not_seen_by_tier"
/* The process has none: a kernel thread's executable, an empty argument list. */
#define ABSENT_NONE "none"
/* Told from the time of the event, within one tick; the process was gone before its own was read. */
#define ABSENT_ESTIMATED "estimated"
/* A process before it had the same pid and start tick: the two share a key. */
#define ABSENT_AMBIGUOUS "ambiguous"
/* The message that held it was lost. */
#define ABSENT_LOST "lost"
/* The memory that held it was not there to read when the call was made. */
#define ABSENT_UNREADABLE "unreadable"
/* The room of an event was full before it. */
#define ABSENT_NO_ROOM "no_room"
/* What was looked for may lie beyond the part that is read. */
#define ABSENT_CUT "cut"
/* A path would name something else: it was deleted, or is not below the root of the process. */
#define ABSENT_UNCERTAIN "uncertain"
/* The kernel forgets it once the program runs. */
#define ABSENT_NOT_KEPT "not_kept"
/* The call began before anybody looked at it. */
#define ABSENT_NOT_SEEN "not_seen"
/* A process that has no number in the first pid namespace, or whose number was not asked for. */
#define ABSENT_NAMESPACE "namespace"

/* Every tag of an exec with its longest reason. */
#define ABSENT_BYTES 512

struct absent {
	size_t used;
	char text[ABSENT_BYTES];
};

static inline void absent_add(struct absent *absent, const char *tag, const char *reason)
{
	size_t room = sizeof(absent->text) - absent->used;
	int wrote = snprintf(absent->text + absent->used, room, "%s%s:%s", absent->used ? "," : "",
			     tag, reason);

	if (wrote > 0 && (size_t)wrote < room)
		absent->used += (size_t)wrote;
	absent->text[absent->used] = 0;
}

static inline void absent_send(struct frame_writer *writer, const struct absent *absent)
{
	if (absent->used)
		frame_bytes(writer, FRAME_TAG_ABSENT, absent->text, absent->used);
}

/* The header has no hole for ids that are not known: without this their 0 would mean root. */
static inline void absent_add_ids(struct absent *absent, bool ids_known, uint64_t cgroup_id)
{
	if (!ids_known) {
		absent_add(absent, "UID", ABSENT_GONE);
		absent_add(absent, "GID", ABSENT_GONE);
		absent_add(absent, "EUID", ABSENT_GONE);
	}
	/* A process that could be looked at and shows no group of the v2 tree is in none. */
	if (!cgroup_id)
		absent_add(absent, "CGROUP_ID", ids_known ? ABSENT_NONE : ABSENT_GONE);
}

/* What a failed look at /proc/PID means. */
static inline const char *absent_reason_of(int error)
{
	return error == EACCES || error == EPERM ? ABSENT_NO_PERMISSION : ABSENT_GONE;
}

#endif
