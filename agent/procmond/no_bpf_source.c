/*
 * Stands in for the kernel programs in a build without BPF (make proc-only). It guarantees that
 * the reason is said, in ready and to --verify-load. It must never pretend a tier.
 */
#include <stdio.h>
#include <string.h>

#include "source.h"

bool bpf_source_open(struct source *source, const struct scope *scope,
		     struct source_report *report)
{
	(void)source, (void)scope;
	memset(report, 0, sizeof(*report));
	snprintf(report->cause, sizeof(report->cause), "built_without_bpf");
	return false;
}

int bpf_source_verify_load(void)
{
	fprintf(stderr, "procmond: this build has no BPF programs; install clang and bpftool and "
			"build again with make.\n");
	return 1;
}
