/*
 * One line of /proc/PID/stat, taken apart. It guarantees right fields whatever the process calls
 * itself: the name may hold spaces, parentheses, newlines and digits. It must never accept a line
 * that ends before the start time, because {pid, start time} is the identity of a process.
 */
#ifndef PROCMOND_PROC_STAT_H
#define PROCMOND_PROC_STAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROC_COMM_BYTES 64 /* kernel threads of workqueues show more than 16 */

struct proc_stat {
	uint32_t pid;
	uint32_t parent;
	uint32_t sid;
	uint32_t tty_nr;
	bool kernel_thread;
	uint32_t threads; /* those that were not reaped, a dead leader included */
	uint64_t start_ticks;
	uint64_t arg_start; /* 0 when not permitted */
	uint32_t exit_code; /* 0 when not permitted */
	char state;
	char comm[PROC_COMM_BYTES];
};

bool proc_stat_parse(const char *text, size_t length, struct proc_stat *stat);

#endif
