/*
 * Opens the tracepoints of calls that name files, see name_entry.h. Their numbers stand in tracefs,
 * which is mounted on most machines and asked for without mounting it on the others (fsmount(2)
 * gives a descriptor that no mount table shows). It must never leave one attached behind.
 */
#include "name_entry.h"

#include <bpf/bpf.h>
#include <ctype.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "syscall.h"

#define CALL_OF_FILE_NAME(name) #name
#define CALL_OF_PROCESS(name) NULL
#define CALL_OF_NETWORK(name) NULL
#define CALL_OF_FILE(name) NULL
#define CALL_OF_SEND(name) NULL
#define CALL_OF_RECEIVE(name) NULL
#define CALL_OF_WRITE(name) NULL
#define CALL_OF_READ(name) NULL
#define CALL_NAME(name, handler, x86, arm64) CALL_OF_##handler(name),

static const char *const calls[] = {PM_CALLS(CALL_NAME)};

/* A tracefs that can be opened: the machine's own, or one that is mounted nowhere. */
static int open_tracefs(void)
{
	int fd = open("/sys/kernel/tracing/events/syscalls", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int context, mount, events = -1;

	if (fd >= 0)
		return fd;
	context = fsopen("tracefs", FSOPEN_CLOEXEC);
	if (context < 0)
		return -1;
	if (!fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0)) {
		mount = fsmount(context, FSMOUNT_CLOEXEC, 0);
		if (mount >= 0) {
			events = openat(mount, "events/syscalls", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			close(mount);
		}
	}
	close(context);
	return events;
}

/* The number of the tracepoint of a call, 0 when this kernel does not have that call. */
static uint64_t tracepoint_of(int events, const char *call)
{
	char path[64], text[32] = "";
	int fd, length;

	length = snprintf(path, sizeof(path), "sys_enter_%s/id", call);
	for (int i = 0; i < length; i++)
		path[i] = (char)tolower(path[i]);
	fd = openat(events, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	return strtoull(text, NULL, 10);
}

static int open_event(uint64_t tracepoint)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr),
				       .config = tracepoint};

	/* The CPU is a formality: a program that hangs on the event runs wherever it is met. */
	return (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
}

void name_entry_open(struct name_entry *entry)
{
	int events;

	memset(entry, 0, sizeof(*entry));
#ifdef PROCMOND_TEST_BUILD
	if (getenv("PROCMOND_TEST_NO_TRACEFS"))
		return;
#endif
	events = open_tracefs();
	if (events < 0)
		return;
	for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		uint64_t tracepoint = calls[i] ? tracepoint_of(events, calls[i]) : 0;
		int event;

		if (!tracepoint)
			continue;
		event = entry->count < NAME_ENTRY_MAX ? open_event(tracepoint) : -1;
		if (event < 0) {
			name_entry_close(entry);
			break;
		}
		entry->links[entry->count] = -1;
		entry->events[entry->count++] = event;
	}
	close(events);
}

bool name_entry_attach(struct name_entry *entry, int program)
{
	/* By hand: the library's link wants an ioctl to let go, which procmond has given up by then. */
	for (int i = 0; i < entry->count; i++) {
		entry->links[i] = bpf_link_create(program, entry->events[i], BPF_PERF_EVENT, NULL);
		if (entry->links[i] < 0) {
			name_entry_close(entry);
			return false;
		}
	}
	return entry->count > 0;
}

void name_entry_close(struct name_entry *entry)
{
	for (int i = 0; i < entry->count; i++) {
		if (entry->links[i] >= 0)
			close(entry->links[i]);
		close(entry->events[i]);
	}
	memset(entry, 0, sizeof(*entry));
}
