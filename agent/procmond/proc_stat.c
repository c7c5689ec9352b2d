/*
 * The parser of /proc/PID/stat, see proc_stat.h. Pure. The name ends at the LAST closing
 * parenthesis: all later fields are numbers and one state letter. It must never read past
 * `length`.
 */
#include "proc_stat.h"

#include <string.h>

#define FIELD_PARENT 4
#define FIELD_SID 6
#define FIELD_TTY 7
#define FIELD_FLAGS 9
#define FIELD_THREADS 20
#define FIELD_START 22
#define FIELD_ARG_START 48
#define FIELD_EXIT_CODE 52
#define PF_KTHREAD 0x00200000

/* Reads one number, negative ones as two's complement (tty_nr and exit_code are signed). */
static bool parse_number(const char **at, const char *end, uint64_t *value)
{
	bool negative = *at < end && **at == '-';
	const char *p = *at + negative;
	uint64_t sum = 0;

	if (p >= end || *p < '0' || *p > '9')
		return false;
	for (; p < end && *p >= '0' && *p <= '9'; p++)
		sum = sum * 10 + (uint64_t)(*p - '0');
	*value = negative ? 0 - sum : sum;
	*at = p;
	return true;
}

static void store_field(struct proc_stat *stat, int field, uint64_t value)
{
	switch (field) {
	case FIELD_PARENT: stat->parent = (uint32_t)value; break;
	case FIELD_SID: stat->sid = (uint32_t)value; break;
	case FIELD_TTY: stat->tty_nr = (uint32_t)value; break;
	case FIELD_FLAGS: stat->kernel_thread = (value & PF_KTHREAD) != 0; break;
	case FIELD_THREADS: stat->threads = (uint32_t)value; break;
	case FIELD_START: stat->start_ticks = value; break;
	case FIELD_ARG_START: stat->arg_start = value; break;
	case FIELD_EXIT_CODE: stat->exit_code = (uint32_t)value; break;
	default: break;
	}
}

bool proc_stat_parse(const char *text, size_t length, struct proc_stat *stat)
{
	const char *at = text, *end = text + length;
	const char *open, *close;
	uint64_t value;
	size_t comm_bytes;
	int field = 4;

	memset(stat, 0, sizeof(*stat));
	if (!parse_number(&at, end, &value) || !value || value > INT32_MAX)
		return false;
	stat->pid = (uint32_t)value;
	open = at + 1;
	if (end - at < 2 || at[0] != ' ' || *open != '(')
		return false;
	close = memrchr(open, ')', (size_t)(end - open));
	if (!close || end - close < 4 || close[1] != ' ' || close[3] != ' ')
		return false;
	comm_bytes = (size_t)(close - open - 1);
	if (comm_bytes >= PROC_COMM_BYTES)
		comm_bytes = PROC_COMM_BYTES - 1;
	memcpy(stat->comm, open + 1, comm_bytes);
	stat->state = close[2];

	for (at = close + 4; at < end && parse_number(&at, end, &value); field++) {
		store_field(stat, field, value);
		if (at < end && *at == ' ')
			at++;
	}
	return field > FIELD_START;
}
