/*
 * The kernel side of procmond: BTF tracepoints only, no kprobe, fentry or LSM program. It
 * guarantees to observe and never to act: no program changes a return value, a signal or a byte
 * of another process. It must never hold state that a restart of procmond would inherit: all maps
 * live and die with the process that loaded them.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>

#include "procmond.h"
#include "identity.bpf.h"
#include "path.bpf.h"
#include "syscall.bpf.h"
#include "ids.bpf.h"
#include "process.bpf.h"
#include "process_call.bpf.h"
#include "task_iter.bpf.h"
#include "network.bpf.h"
#include "socket_call.bpf.h"
#include "dns.bpf.h"
#include "watch.bpf.h"
#include "file.bpf.h"
#include "file_name.bpf.h"

/* The helpers that read kernel memory are offered to GPL-compatible programs only. */
char LICENSE[] SEC("license") = "Dual MIT/GPL";
