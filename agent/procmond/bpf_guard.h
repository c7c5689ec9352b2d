/*
 * Watches over what procmond has put into the kernel. It guarantees that a link, map or program that
 * is no longer what it was, or a handler that was taken out of the table of calls, is told within a
 * second and once. It must never guess who did it: the frame names procmond, whose objects they are.
 */
#ifndef PROCMOND_BPF_GUARD_H
#define PROCMOND_BPF_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "frame_write.h"

struct procmond_bpf;
struct bpf_guard;

/* NULL without memory. Tells the kernel side which objects are ours. */
struct bpf_guard *bpf_guard_open(struct procmond_bpf *skeleton);
void bpf_guard_close(struct bpf_guard *guard);
/* The agent's process, from here on protected as procmond is. */
void bpf_guard_set_agent(struct bpf_guard *guard, uint32_t tgid);
/* Sends a tamper frame for each object that changed since the last check. */
void bpf_guard_check(struct bpf_guard *guard, struct frame_writer *writer);

#endif
