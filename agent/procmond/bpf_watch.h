/*
 * The watch and credential lists in the kernel's tables. It guarantees that the kernel sees the list
 * before or the list after, never a mixture, and that no event between the two is lost. It must
 * never leave a part of a list in force.
 */
#ifndef PROCMOND_BPF_WATCH_H
#define PROCMOND_BPF_WATCH_H

#include <stdbool.h>

#include "policy.h"

struct procmond_bpf;
struct procmond_bpf__bss;

/*
 * False when the kernel has no memory for it; the lists before are then still in force. What it sets is
 * noted in `set`, see bpf_guard_globals.
 */
bool bpf_watch_set(struct procmond_bpf *skeleton, struct procmond_bpf__bss *set,
		   const struct policy *policy);

#endif
