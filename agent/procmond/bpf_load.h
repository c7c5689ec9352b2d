/*
 * Loading the kernel programs. It guarantees that a program the kernel refuses costs only itself:
 * the rest is loaded without it. It must never leave anything pinned or attached behind.
 */
#ifndef PROCMOND_BPF_LOAD_H
#define PROCMOND_BPF_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "name_entry.h"
#include "source.h"

struct procmond_bpf;

struct bpf_row {
	const char *name; /* of the kernel program */
	const char *public_name; /* in PROGRAMS and MISSING */
	bool required; /* without it the ebpf tier does not start */
	bool spare; /* loaded only when the program before it is refused, or cannot be attached */
	bool on_name_entry; /* hangs on the tracepoints of name_entry.h */
	unsigned handler; /* enum pm_handler: reached from sys_exit, attached nowhere itself */
};

extern const struct bpf_row bpf_rows[];
extern const int bpf_rows_count;

/*
 * Loaded and attached, or NULL with report->cause. Fills PROGRAMS and MISSING. The caller closes
 * `entry` before it destroys the rest.
 */
struct procmond_bpf *bpf_load(uint64_t scope_cgroup_id, struct source_report *report,
			      struct name_entry *entry);

#endif
