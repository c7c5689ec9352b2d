/*
 * Reads what /proc says of one process and of all. It guarantees that a process described is one
 * process: its start time is read before and after, so a reused pid is never mixed in. It must
 * never need privileges: what the caller may not read stays empty.
 */
#ifndef PROCMOND_PROC_READ_H
#define PROCMOND_PROC_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame_write.h"
#include "proc_stat.h"
#include "scope.h"

/* At most `bytes`; negative when the file cannot be read. */
long proc_read_file(const char *path, char *buf, size_t bytes);
/* The same of a name below an open directory; errno says why it cannot be read. */
long proc_read_at(int dir, const char *name, char *buf, size_t bytes);
bool proc_read_stat(uint32_t pid, struct proc_stat *stat);
/* The cgroup v2 path; false when gone or not shown. */
bool proc_read_cgroup(uint32_t pid, char *path, size_t bytes);
/* The resolved executable; false when not permitted or a kernel thread. */
bool proc_read_exe(uint32_t pid, char *path, size_t bytes, uint16_t *flags);

/* Whether the programs of other users are shown to us: true for root with its capabilities. */
bool proc_sees_others(void);
/* What keeps whole processes out of our /proc: "hidepid", "pid_namespace", or NULL. */
const char *proc_hidden_by(void);
/* Of pids, users and time: those in which the kernel counts what it tells. */
bool proc_in_init_namespaces(void);

/* Calls `visit` for each process that exists; returns how many, negative if /proc is not there. */
typedef void proc_visit(void *context, uint32_t pid);
long proc_for_each(proc_visit *visit, void *context);

/* Fills uids, gids, cgroup; `ns_pid` is the pid in its own namespace. False: the ids are not known. */
bool proc_fill_header(struct frame_header *header, const struct proc_stat *stat,
		      const struct scope *scope, uint32_t *ns_pid);

/* A process as an exec-shaped frame (snapshot, exec). False when it vanished meanwhile. */
bool proc_send_exec(struct frame_writer *writer, uint16_t kind, uint16_t tier, uint16_t flags,
		    const struct proc_stat *stat, const struct scope *scope);

#endif
