/*
 * Tells which traced processes set up io_uring or ran 32-bit code before their trace began. It
 * guarantees one frame per process and cause, together with what the kernel side tells itself. It
 * must never mark a process that reused the pid.
 */
#ifndef PROCMOND_BPF_PARTIAL_H
#define PROCMOND_BPF_PARTIAL_H

#include "frame_write.h"
#include "scope.h"

void bpf_partial_send(int partial_fd, int traced_fd, const struct scope *scope,
		      struct frame_writer *writer);

#endif
