/*
 * Loads and attaches the kernel programs, see bpf_load.h. A load is all or nothing, so when it
 * fails each program is tried alone and the refused ones are left out of the second load. It must
 * never start a tier that cannot see fork, exec and exit: lineage would be wrong, not merely
 * thin.
 */
#include "bpf_load.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "comma_list.h"
#include "procmond.h"
#include "procmond.skel.h"

const struct bpf_row bpf_rows[] = {
	{.name = "on_fork", .public_name = "fork", .required = true},
	{.name = "on_exec", .public_name = "exec", .required = true},
	{.name = "on_exit", .public_name = "exit", .required = true},
	{.name = "on_exit_live", .public_name = "exit", .required = true, .spare = true},
	{.name = "on_sock_state", .public_name = "sock_state"},
	{.name = "on_sys_exit", .public_name = "sys_exit"},
	{.name = "on_process_call", .public_name = "process_calls", .handler = PM_HANDLER_PROCESS},
	{.name = "on_signal", .public_name = "signals"},
	{.name = "on_task", .public_name = "task_iter"},
	{.name = "on_network_call", .public_name = "network_calls", .handler = PM_HANDLER_NETWORK},
	{.name = "on_send_call", .public_name = "send_calls", .handler = PM_HANDLER_SEND},
	{.name = "on_receive_call", .public_name = "receive_calls", .handler = PM_HANDLER_RECEIVE},
	{.name = "on_write_call", .public_name = "write_calls", .handler = PM_HANDLER_WRITE},
	{.name = "on_read_call", .public_name = "read_calls", .handler = PM_HANDLER_READ},
	{.name = "on_file_call", .public_name = "file_calls", .handler = PM_HANDLER_FILE},
	{.name = "on_file_name_call", .public_name = "file_name_calls", .handler = PM_HANDLER_FILE_NAME},
	{.name = "on_name_entry", .public_name = "sys_enter", .on_name_entry = true},
	{.name = "on_sys_enter", .public_name = "sys_enter", .spare = true},
};
const int bpf_rows_count = sizeof(bpf_rows) / sizeof(bpf_rows[0]);

/* Room for a whole verifier log; touched only as far as it is written. */
#define VERIFIER_LOG_BYTES (16 * 1024 * 1024)

static int no_print(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level, (void)format, (void)args;
	return 0;
}

#if defined(__x86_64__)
#define CALL_NUMBER(x86, arm64) (x86)
#else
#define CALL_NUMBER(x86, arm64) (arm64)
#endif
#define FILL_CALL_ROW(call_name, handler_name, x86, arm64) \
	if (CALL_NUMBER(x86, arm64) >= 0) { \
		rows[CALL_NUMBER(x86, arm64)].call = PM_CALL_##call_name; \
		rows[CALL_NUMBER(x86, arm64)].handler = PM_HANDLER_##handler_name; \
	}

/* Leads to the one program that looks at 32-bit calls, whatever the number means otherwise. */
#define FILL_COMPAT_ROW(call_name, number) \
	rows[number].compat_call = PM_CALL_##call_name; \
	rows[number].handler = PM_HANDLER_PROCESS;

static void fill_call_rows(struct procmond_bpf *skeleton)
{
	struct pm_call_row *rows = (struct pm_call_row *)skeleton->rodata->call_rows;

#if defined(__x86_64__)
	PM_COMPAT_CALLS(FILL_COMPAT_ROW)
#endif
	PM_CALLS(FILL_CALL_ROW)
}

static struct procmond_bpf *open_rows(uint64_t scope_cgroup_id, unsigned wanted)
{
	struct procmond_bpf *skeleton;

	libbpf_set_print(no_print);
	skeleton = procmond_bpf__open();
	if (!skeleton)
		return NULL;
	skeleton->rodata->scope_cgroup_id = scope_cgroup_id;
#ifdef PROCMOND_TEST_BUILD
	if (getenv("PROCMOND_TEST_TRACED"))
		bpf_map__set_max_entries(skeleton->maps.traced,
					 (uint32_t)atoi(getenv("PROCMOND_TEST_TRACED")));
#endif
	fill_call_rows(skeleton);
	/* Before anything is attached, so that attaching is not told as somebody's act. */
	skeleton->bss->own_tgids[0] = (uint32_t)getpid();
	for (int i = 0; i < bpf_rows_count; i++) {
		struct bpf_program *program =
			bpf_object__find_program_by_name(skeleton->obj, bpf_rows[i].name);

		bpf_program__set_autoload(program, wanted & 1u << i);
	}
	return skeleton;
}

static bool row_loads(uint64_t scope_cgroup_id, int row)
{
	struct procmond_bpf *skeleton = open_rows(scope_cgroup_id, 1u << row);
	bool loads = skeleton && !procmond_bpf__load(skeleton);

	procmond_bpf__destroy(skeleton);
	return loads;
}

/* Whether this kernel has what the program hangs on. */
static bool has_place(int row, const struct name_entry *entry)
{
	return !bpf_rows[row].on_name_entry || entry->count;
}

static unsigned usable_rows(uint64_t scope_cgroup_id, const struct name_entry *entry)
{
	unsigned usable = 0;

	for (int i = 0; i < bpf_rows_count; i++) {
		/* A spare stands in for the row before it. */
		if (bpf_rows[i].spare && usable & 1u << (i - 1))
			continue;
		if (!has_place(i, entry))
			continue;
		if (row_loads(scope_cgroup_id, i))
			usable |= 1u << i;
	}
	return usable;
}

/* The skeleton owns the link from here on and detaches it when it is destroyed. */
static void keep_link(struct procmond_bpf *skeleton, const char *name, struct bpf_link *link)
{
	struct bpf_object_skeleton *inner = skeleton->skeleton;

	for (int i = 0; i < inner->prog_cnt; i++)
		if (!strcmp(inner->progs[i].name, name))
			*inner->progs[i].link = link;
}

/* Puts a program where the program on system calls finds it, or attaches it to its tracepoint. */
static bool put_to_work(struct procmond_bpf *skeleton, const struct bpf_row *row,
			struct name_entry *entry)
{
	struct bpf_program *program = bpf_object__find_program_by_name(skeleton->obj, row->name);
	uint32_t index = row->handler;
	int fd = bpf_program__fd(program);
	struct bpf_link *link;

	if (row->handler != PM_HANDLER_NONE)
		return !bpf_map_update_elem(bpf_map__fd(skeleton->maps.handlers), &index, &fd, BPF_ANY);
	if (row->on_name_entry)
		return name_entry_attach(entry, fd);
	link = bpf_program__attach(program);
	if (link)
		keep_link(skeleton, row->name, link);
	return link != NULL;
}

/* Attaches what is loaded; false when a required program is not among it. */
static bool attach_rows(struct procmond_bpf *skeleton, unsigned loaded,
			struct source_report *report, struct name_entry *entry)
{
	bool complete = true;

	for (int i = 0; i < bpf_rows_count; i++) {
		const struct bpf_row *row = &bpf_rows[i];

		if (loaded & 1u << i && put_to_work(skeleton, row, entry))
			comma_list_add(report->programs, SOURCE_TEXT_BYTES, row->public_name);
	}
	for (int i = 0; i < bpf_rows_count; i++) {
		const struct bpf_row *row = &bpf_rows[i];

		if (row->spare || comma_list_has(report->programs, row->public_name))
			continue;
		comma_list_add(report->missing, SOURCE_TEXT_BYTES, row->public_name);
		complete &= !row->required;
	}
	return complete;
}

static unsigned default_rows(const struct name_entry *entry)
{
	unsigned wanted = 0;

	for (int i = 0; i < bpf_rows_count; i++)
		if (bpf_rows[i].spare ? !has_place(i - 1, entry) : has_place(i, entry))
			wanted |= 1u << i;
	return wanted;
}

static struct procmond_bpf *load_and_attach(uint64_t scope_cgroup_id, struct source_report *report,
					    struct name_entry *entry)
{
	unsigned wanted = default_rows(entry);
	struct procmond_bpf *skeleton = open_rows(scope_cgroup_id, wanted);
	int error = skeleton ? procmond_bpf__load(skeleton) : -errno;

	/* The verifier refuses with EACCES or EINVAL; EPERM is the lack of privilege. */
	if (error == -EPERM) {
		procmond_bpf__destroy(skeleton);
		snprintf(report->cause, sizeof(report->cause), "no_bpf_permission");
		return NULL;
	}
	if (error) {
		procmond_bpf__destroy(skeleton);
		wanted = usable_rows(scope_cgroup_id, entry);
		skeleton = wanted ? open_rows(scope_cgroup_id, wanted) : NULL;
		if (!skeleton || procmond_bpf__load(skeleton)) {
			procmond_bpf__destroy(skeleton);
			snprintf(report->cause, sizeof(report->cause), "bpf_load_failed: %s",
				 strerror(-error));
			return NULL;
		}
	}
	if (attach_rows(skeleton, wanted, report, entry))
		return skeleton;
	procmond_bpf__destroy(skeleton);
	snprintf(report->cause, sizeof(report->cause), "bpf_programs_missing: %.200s", report->missing);
	report->programs[0] = report->missing[0] = 0;
	return NULL;
}

struct procmond_bpf *bpf_load(uint64_t scope_cgroup_id, struct source_report *report,
			      struct name_entry *entry)
{
	struct procmond_bpf *skeleton;
	bool had_entry;

	memset(report, 0, sizeof(*report));
	memset(entry, 0, sizeof(*entry));
	if (access("/sys/kernel/btf/vmlinux", R_OK)) {
		snprintf(report->cause, sizeof(report->cause), "no_btf");
		return NULL;
	}
	name_entry_open(entry);
	had_entry = entry->count > 0;
	skeleton = load_and_attach(scope_cgroup_id, report, entry);
	if (skeleton && had_entry && !entry->count) {
		/* The tracepoints were there and took no program: once more, with the one for all calls. */
		procmond_bpf__destroy(skeleton);
		memset(report, 0, sizeof(*report));
		skeleton = load_and_attach(scope_cgroup_id, report, entry);
	}
	if (!skeleton)
		name_entry_close(entry);
	return skeleton;
}

static bool verify_row(const struct bpf_row *row, char *log)
{
	struct procmond_bpf *skeleton = open_rows(0, 1u << (row - bpf_rows));
	struct bpf_prog_info info = {0};
	struct bpf_program *program;
	__u32 info_bytes = sizeof(info);
	struct name_entry entry = {0};
	int error;

	if (!skeleton) {
		printf("%-14s refused: the object cannot be opened\n", row->name);
		return false;
	}
	log[0] = 0;
	program = bpf_object__find_program_by_name(skeleton->obj, row->name);
	bpf_program__set_log_buf(program, log, VERIFIER_LOG_BYTES);
	error = procmond_bpf__load(skeleton);
	if (row->on_name_entry)
		name_entry_open(&entry);
	if (!error)
		error = put_to_work(skeleton, row, &entry) ? 0 : -errno;
	if (error) {
		printf("%-14s refused: %s\n%s\n", row->name, strerror(-error), log);
	} else {
		bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &info_bytes);
		printf("%-14s ok: %u instructions processed by the verifier, %u bytes of code\n",
		       row->name, info.verified_insns, info.jited_prog_len);
	}
	name_entry_close(&entry);
	procmond_bpf__destroy(skeleton);
	return !error;
}

int bpf_source_verify_load(void)
{
	char *log = malloc(VERIFIER_LOG_BYTES);
	bool all = log != NULL, last = true;

	for (int i = 0; log && i < bpf_rows_count; i++) {
		bool good = verify_row(&bpf_rows[i], log);

		/* A row and its spare are one: either will do. */
		if (bpf_rows[i].spare)
			good |= last;
		else if (i + 1 < bpf_rows_count && bpf_rows[i + 1].spare)
			last = good;
		if (!(i + 1 < bpf_rows_count && bpf_rows[i + 1].spare))
			all &= good;
	}
	free(log);
	return all ? 0 : 1;
}
