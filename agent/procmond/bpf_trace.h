/*
 * The table of traced processes in the kernel, written from user space. It guarantees that a
 * concurrent fork or exit in the kernel never undoes an entry, nor an entry here a slot that the
 * kernel inherited. It must never leave a bit of a closed slot behind: slots are reused.
 */
#ifndef PROCMOND_BPF_TRACE_H
#define PROCMOND_BPF_TRACE_H

#include <stdbool.h>
#include <stdint.h>

bool bpf_trace_put(int map_fd, uint32_t tgid, uint64_t start_ticks, uint32_t slot, uint32_t depth);
void bpf_trace_clear(int map_fd, uint32_t slot);

#endif
