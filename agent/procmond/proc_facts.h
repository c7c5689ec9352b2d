/*
 * What /proc shows of one process, read through one descriptor of its directory. The descriptor
 * is bound to the process, not to its number: whoever takes over the pid is not read through it.
 * It guarantees that facts of two processes are never mixed, and a reason for each fact that is
 * not there. It must never keep the descriptor beyond one look.
 */
#ifndef PROCMOND_PROC_FACTS_H
#define PROCMOND_PROC_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "absent.h"
#include "frame_write.h"
#include "policy.h"
#include "proc_stat.h"
#include "procmond.h"
#include "scope.h"

/* Ids as they are now; the header's times and numbers are left alone. */
struct proc_ids {
	uint32_t uid;
	uint32_t gid;
	uint32_t euid;
	uint32_t ns_pid; /* 0 = not known */
	uint64_t cgroup_id; /* 0 = not known */
	bool known; /* the ids above */
	bool scope_known; /* else `in_scope` says only that the whole machine is */
	bool in_scope;
};

/* What the ENV tag may hold. */
#define PROC_ENV_BYTES 4096

/* The program a process runs. Large: one, reused. */
struct proc_program {
	char exe[PM_PATH_BYTES];
	char cwd[PM_PATH_BYTES];
	char argv[PM_ARGV_BYTES + 1];
	size_t argv_bytes;
	char env[PROC_ENV_BYTES]; /* only what the policy names */
	size_t env_bytes;
	bool has_exe;
	bool has_file; /* of the executable */
	bool has_cwd;
	bool has_argv;
	uint32_t exe_flags;
	struct stat file;
	uint16_t flags; /* for the header */
	struct absent absent;
};

/* The directory of a process, or -1: it is gone or hidden. */
int proc_dir_open(uint32_t pid);
bool proc_dir_stat(int dir, uint32_t pid, struct proc_stat *stat);
void proc_dir_ids(int dir, const struct scope *scope, struct proc_ids *ids);
/* argv first: it is the first thing an ending process loses. `dir` may be -1. */
void proc_dir_program(int dir, bool is_kernel_thread, struct proc_program *program);

/* A source's set_policy: which variables proc_dir_program reads from now on; none before a policy
   names them. It needs nothing of the source and is always true. */
bool proc_env_select(void *context, const struct policy *policy);

void proc_ids_to_header(const struct proc_ids *ids, struct frame_header *header);
/* Everything of a program, and ABSENT; the frame is open. */
void proc_program_send(struct frame_writer *writer, struct proc_program *program);
void proc_tty_send(struct frame_writer *writer, uint32_t tty_nr);

#endif
