/*
 * The entry of calls that name files. It guarantees that a call of any other kind passes by in some
 * nanoseconds: each such call has a classic tracepoint of its own, and the program hangs on those,
 * not on the entry of every call. It must never mount anything where somebody could see it.
 */
#ifndef PROCMOND_NAME_ENTRY_H
#define PROCMOND_NAME_ENTRY_H

#include <stdbool.h>

/* As many as syscall.h names, and some. */
#define NAME_ENTRY_MAX 32

struct name_entry {
	int count; /* 0 = this kernel, or our privilege, gives none */
	int events[NAME_ENTRY_MAX]; /* of perf_event_open(2) */
	int links[NAME_ENTRY_MAX]; /* -1 until attached */
};

/* All that the kernel has, or none: a name that is read at entry for some calls only helps nobody. */
void name_entry_open(struct name_entry *entry);

/* Hangs the program on each; false, and on none, when one is refused. */
bool name_entry_attach(struct name_entry *entry, int program);

/*
 * Lets go of everything; an entry that is all zero is allowed. Takes the kernel about 80 ms each, as
 * the end of the process does otherwise.
 */
void name_entry_close(struct name_entry *entry);

#endif
