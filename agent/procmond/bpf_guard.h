/*
 * Watches over what procmond has put into the kernel. It guarantees that a link, map or program that
 * is no longer what it was, a handler that was taken out of the table of calls, or a global of the
 * programs that is not what was set, is told within a second and once; the last two are put back. It
 * must never guess who did it: the frame names procmond, whose objects they are.
 */
#ifndef PROCMOND_BPF_GUARD_H
#define PROCMOND_BPF_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "frame_write.h"
#include "name_entry.h"

struct procmond_bpf;
struct procmond_bpf__bss;
struct bpf_guard;

/* NULL without memory. Tells the kernel side which objects are ours. */
struct bpf_guard *bpf_guard_open(struct procmond_bpf *skeleton, const struct name_entry *entry);
void bpf_guard_close(struct bpf_guard *guard);
/*
 * The globals of the programs as they were last set. Whoever sets one sets it here as well, and first:
 * what differs is somebody else's.
 */
struct procmond_bpf__bss *bpf_guard_globals(struct bpf_guard *guard);
/* The agent's process, from here on protected as procmond is. */
void bpf_guard_set_agent(struct bpf_guard *guard, uint32_t tgid);
/* Sends a tamper frame for each object that changed since the last check. */
void bpf_guard_check(struct bpf_guard *guard, struct frame_writer *writer);

#endif
