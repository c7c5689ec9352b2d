/*
 * Looks at one process, see proc_facts.h. It guarantees bounded buffers: argv and paths are cut
 * and flagged. It must never read a process through its number after the directory was opened.
 */
#include "proc_facts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "clock.h"
#include "proc_read.h"

#define DELETED " (deleted)"

int proc_dir_open(uint32_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%u", pid);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

bool proc_dir_stat(int dir, uint32_t pid, struct proc_stat *stat)
{
	char text[1024];
	long bytes = proc_read_at(dir, "stat", text, sizeof(text));

	return bytes > 0 && proc_stat_parse(text, (size_t)bytes, stat) && stat->pid == pid;
}

static const char *line_of(const char *text, const char *key)
{
	const char *at = text;
	size_t length = strlen(key);

	while (at && strncmp(at, key, length)) {
		at = strchr(at, '\n');
		at += at != NULL;
	}
	return at ? at + length : NULL;
}

static uint32_t last_number(const char *line)
{
	const char *end = strchrnul(line, '\n');
	uint32_t last = 0;

	while (line < end) {
		char *next;
		unsigned long value = strtoul(line, &next, 10);

		if (next == line || next > end)
			break;
		last = (uint32_t)value;
		line = next;
	}
	return last;
}

static void read_cgroup(int dir, const struct scope *scope, struct proc_ids *ids)
{
	static char text[SCOPE_PATH_BYTES + 4096];
	long bytes = proc_read_at(dir, "cgroup", text, sizeof(text) - 1);
	const char *line;
	char *path;

	if (bytes <= 0)
		return;
	ids->scope_known = true;
	text[bytes] = 0;
	line = line_of(text, "0::");
	if (!line)
		return;
	path = text + (line - text);
	path[strcspn(path, "\n")] = 0;
	ids->cgroup_id = scope_cgroup_id_of(scope, path);
	ids->in_scope |= scope_contains(scope, path);
}

void proc_dir_ids(int dir, const struct scope *scope, struct proc_ids *ids)
{
	char text[4096];
	const char *line;
	long bytes;

	memset(ids, 0, sizeof(*ids));
	ids->in_scope = ids->scope_known = scope->whole_machine;
	read_cgroup(dir, scope, ids);
	bytes = proc_read_at(dir, "status", text, sizeof(text) - 1);
	if (bytes <= 0)
		return;
	text[bytes] = 0;
	line = line_of(text, "Uid:");
	ids->known = line && sscanf(line, "%u %u", &ids->uid, &ids->euid) == 2;
	line = line_of(text, "Gid:");
	ids->known = ids->known && line && sscanf(line, "%u", &ids->gid) == 1;
	line = line_of(text, "NSpid:");
	if (line)
		ids->ns_pid = last_number(line);
}

void proc_ids_to_header(const struct proc_ids *ids, struct frame_header *header)
{
	header->uid = ids->uid;
	header->gid = ids->gid;
	header->euid = ids->euid;
	header->cgroup_id = ids->cgroup_id;
}

/* A link of /proc as a path; false with errno. */
static bool read_link(int dir, const char *name, char *path, uint16_t *flags)
{
	ssize_t length = readlinkat(dir, name, path, PM_PATH_BYTES - 1);

	if (length <= 0) {
		errno = length ? errno : ENOENT;
		return false;
	}
	path[length] = 0;
	if (length == PM_PATH_BYTES - 1)
		*flags |= FRAME_FLAG_PATH_CUT;
	return true;
}

static void read_exe(int dir, struct proc_program *program)
{
	size_t length, mark = strlen(DELETED);

	program->has_exe = read_link(dir, "exe", program->exe, &program->flags);
	if (!program->has_exe)
		return;
	program->has_file = !fstatat(dir, "exe", &program->file, 0);
	length = strlen(program->exe);
	if (length > mark && !strcmp(program->exe + length - mark, DELETED)) {
		/* A file may be called that, so only the link count proves it. */
		if (program->has_file && program->file.st_nlink == 0)
			program->exe_flags |= FRAME_EXE_DELETED;
		else
			program->flags |= FRAME_FLAG_PATH_UNCERTAIN;
		program->exe[length - mark] = 0;
	}
	/* A memfd has no directory; the kernel tier reports it bare, so does this one. */
	if (!strncmp(program->exe, "/memfd:", 7)) {
		program->exe_flags |= FRAME_EXE_MEMFD;
		memmove(program->exe, program->exe + 1, strlen(program->exe));
	}
}

static void read_argv(int dir, struct proc_program *program)
{
	long bytes = proc_read_at(dir, "cmdline", program->argv, sizeof(program->argv));

	if (bytes > PM_ARGV_BYTES) {
		bytes = PM_ARGV_BYTES;
		program->flags |= FRAME_FLAG_ARGV_CUT;
	}
	program->has_argv = bytes > 0;
	if (bytes > 0)
		program->argv_bytes = (size_t)bytes - (program->argv[bytes - 1] == 0);
}

/* Names are of the policy, so they are the same for every process. */
static struct {
	size_t count;
	char names[POLICY_ENV_NAMES_MAX][POLICY_ENV_NAME_BYTES_MAX + 1];
} wanted_env;

bool proc_env_select(void *context, const struct policy *policy)
{
	(void)context;
	wanted_env.count = policy->env_count;
	memcpy(wanted_env.names, policy->env_names, sizeof(wanted_env.names));
	return true;
}

static bool is_wanted(const char *variable)
{
	for (size_t i = 0; i < wanted_env.count; i++) {
		size_t length = strlen(wanted_env.names[i]);

		if (!strncmp(variable, wanted_env.names[i], length) && variable[length] == '=')
			return true;
	}
	return false;
}

static void read_env(int dir, struct proc_program *program)
{
	/* As much as the kernel lets a program be started with by default. */
	static char text[128 * 1024 + 1];
	long bytes = proc_read_at(dir, "environ", text, sizeof(text) - 1);

	if (bytes < 0)
		absent_add(&program->absent, "ENV", absent_reason_of(errno));
	text[bytes > 0 ? bytes : 0] = 0;
	for (long at = 0; at < bytes; at += (long)strlen(text + at) + 1) {
		size_t length = strlen(text + at), used = program->env_bytes;

		if (!is_wanted(text + at) || used + length + 1 > sizeof(program->env))
			continue;
		if (used)
			program->env[used++] = 0;
		memcpy(program->env + used, text + at, length);
		program->env_bytes = used + length;
	}
}

void proc_dir_program(int dir, bool is_kernel_thread, struct proc_program *program)
{
	const char *reason = ABSENT_GONE;

	/* The buffers need no clearing, and 24 KiB of it would cost more than the reading. */
	program->has_exe = program->has_file = program->has_cwd = program->has_argv = false;
	program->exe_flags = 0;
	program->flags = 0;
	program->argv_bytes = program->env_bytes = 0;
	program->absent = (struct absent){0};
	if (is_kernel_thread) {
		reason = ABSENT_NONE;
	} else if (dir >= 0) {
		read_argv(dir, program);
		read_exe(dir, program);
		if (!program->has_exe)
			reason = absent_reason_of(errno);
		program->has_cwd = read_link(dir, "cwd", program->cwd, &program->flags);
		if (wanted_env.count)
			read_env(dir, program);
	}
	if (!program->has_exe)
		absent_add(&program->absent, "EXE", reason);
	/* Whose executable is shown lives, so an empty argument list is what it has. */
	if (!program->has_argv)
		absent_add(&program->absent, "ARGV", program->has_exe ? ABSENT_NONE
					: is_kernel_thread ? ABSENT_NONE : ABSENT_GONE);
	if (!program->has_cwd)
		absent_add(&program->absent, "CWD", reason);
	if (!program->has_file)
		absent_add(&program->absent, "INO", reason);
	absent_add(&program->absent, "FILENAME", is_kernel_thread ? ABSENT_NONE : ABSENT_TIER);
	absent_add(&program->absent, "INTERP", is_kernel_thread ? ABSENT_NONE : ABSENT_TIER);
}

static uint64_t ns_of(const struct timespec *ts)
{
	return (uint64_t)ts->tv_sec * NS_PER_SECOND + (uint64_t)ts->tv_nsec;
}

void proc_program_send(struct frame_writer *writer, struct proc_program *program)
{
	const struct stat *file = &program->file;

	if (program->has_exe)
		frame_text(writer, FRAME_TAG_EXE, program->exe);
	if (program->has_argv)
		frame_bytes(writer, FRAME_TAG_ARGV, program->argv, program->argv_bytes);
	if (program->has_cwd)
		frame_text(writer, FRAME_TAG_CWD, program->cwd);
	if (program->env_bytes)
		frame_bytes(writer, FRAME_TAG_ENV, program->env, program->env_bytes);
	if (program->exe_flags)
		frame_u32(writer, FRAME_TAG_EXE_FLAGS, program->exe_flags);
	if (program->has_file) {
		frame_u64(writer, FRAME_TAG_DEV, (uint64_t)major(file->st_dev) << 20 | minor(file->st_dev));
		frame_u64(writer, FRAME_TAG_INO, file->st_ino);
		frame_u64(writer, FRAME_TAG_SIZE, (uint64_t)file->st_size);
		frame_u64(writer, FRAME_TAG_MTIME_NS, ns_of(&file->st_mtim));
		frame_u64(writer, FRAME_TAG_CTIME_NS, ns_of(&file->st_ctim));
	}
	absent_send(writer, &program->absent);
}

void proc_tty_send(struct frame_writer *writer, uint32_t tty_nr)
{
	uint32_t device_major = tty_nr >> 8 & 0xfff;
	uint32_t device_minor = (tty_nr & 0xff) | (tty_nr >> 12 & 0xfff00);
	char name[32];

	/* The names the kernel tier reads from the terminal itself. */
	if (device_major >= 136 && device_major <= 143)
		snprintf(name, sizeof(name), "pts%u", (device_major - 136) * 256 + device_minor);
	else if (device_major == 4 && device_minor < 64)
		snprintf(name, sizeof(name), "tty%u", device_minor);
	else if (device_major == 4)
		snprintf(name, sizeof(name), "ttyS%u", device_minor - 64);
	else
		return;
	frame_text(writer, FRAME_TAG_TTY, name);
}
