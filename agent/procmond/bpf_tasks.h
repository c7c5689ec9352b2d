/*
 * Reads the records of the task iterator. It guarantees whole records, also where a read ends within
 * one. It must never be asked for two readings at once: the kernel side has one scratch row for it.
 */
#ifndef PROCMOND_BPF_TASKS_H
#define PROCMOND_BPF_TASKS_H

#include <stddef.h>

#include "procmond.h"

/* `event` is whole: as long as its segments say. */
typedef void bpf_task_visit(void *context, const struct pm_long *event, size_t bytes);

/* Returns how many; negative when the iterator cannot be read to its end. */
long bpf_tasks_read(int link_fd, bpf_task_visit *visit, void *context);

#endif
