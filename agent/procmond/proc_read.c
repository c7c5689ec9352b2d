/*
 * The reader of /proc, see proc_read.h. Every file may vanish or be refused between two reads:
 * that is the normal case, not an error. It guarantees bounded buffers: argv and paths are cut
 * and flagged. It must never hold a file of another process open across rounds.
 */
#include "proc_read.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "procmond.h"

#define DELETED " (deleted)"

long proc_read_file(const char *path, char *buf, size_t bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t n = 0;

	if (fd < 0)
		return -1;
	while (used < bytes && (n = read(fd, buf + used, bytes - used)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		used += (size_t)n;
	}
	close(fd);
	return n < 0 ? -1 : (long)used;
}

bool proc_read_stat(uint32_t pid, struct proc_stat *stat)
{
	char path[64], text[1024];
	long bytes;

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	bytes = proc_read_file(path, text, sizeof(text));
	return bytes > 0 && proc_stat_parse(text, (size_t)bytes, stat) && stat->pid == pid;
}

bool proc_read_cgroup(uint32_t pid, char *path, size_t bytes)
{
	char name[64], text[SCOPE_PATH_BYTES + 4096];
	long length;

	snprintf(name, sizeof(name), "/proc/%u/cgroup", pid);
	length = proc_read_file(name, text, sizeof(text) - 1);
	if (length <= 0)
		return false;
	text[length] = 0;
	for (char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, "0::", 3))
			continue;
		snprintf(path, bytes, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
		return true;
	}
	return false;
}

bool proc_read_exe(uint32_t pid, char *path, size_t bytes, uint16_t *flags)
{
	char name[64];
	ssize_t length;

	snprintf(name, sizeof(name), "/proc/%u/exe", pid);
	length = readlink(name, path, bytes - 1);
	if (length <= 0)
		return false;
	path[length] = 0;
	if ((size_t)length == bytes - 1)
		*flags |= FRAME_FLAG_PATH_CUT;
	if ((size_t)length > strlen(DELETED) &&
	    !strcmp(path + length - strlen(DELETED), DELETED)) {
		path[(size_t)length - strlen(DELETED)] = 0;
		*flags |= FRAME_FLAG_PATH_UNCERTAIN;
	}
	/* A memfd has no directory; the kernel tier reports it bare, so does this one. */
	if (!strncmp(path, "/memfd:", 7))
		memmove(path, path + 1, strlen(path));
	return true;
}

long proc_for_each(proc_visit *visit, void *context)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	long count = 0;

	if (!dir)
		return -1;
	while ((entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		visit(context, (uint32_t)strtoul(entry->d_name, NULL, 10));
		count++;
	}
	closedir(dir);
	return count;
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

void proc_fill_header(struct frame_header *header, const struct proc_stat *stat,
		      const struct scope *scope, uint32_t *ns_pid)
{
	char path[64], text[4096], cgroup[SCOPE_PATH_BYTES];
	const char *line;
	long bytes;

	header->tgid = stat->pid;
	header->tid = stat->pid;
	header->start_ticks = stat->start_ticks;
	header->ktime_ns = 0;
	*ns_pid = 0;
	if (proc_read_cgroup(stat->pid, cgroup, sizeof(cgroup)))
		header->cgroup_id = scope_cgroup_id_of(scope, cgroup);
	snprintf(path, sizeof(path), "/proc/%u/status", stat->pid);
	bytes = proc_read_file(path, text, sizeof(text) - 1);
	if (bytes <= 0)
		return;
	text[bytes] = 0;
	line = line_of(text, "Uid:");
	if (line)
		sscanf(line, "%u %u", &header->uid, &header->euid);
	line = line_of(text, "Gid:");
	if (line)
		sscanf(line, "%u", &header->gid);
	line = line_of(text, "NSpid:");
	for (const char *end = line ? strchrnul(line, '\n') : NULL; line && line < end;) {
		char *next;
		unsigned long value = strtoul(line, &next, 10);

		if (next == line || next > end)
			break;
		*ns_pid = (uint32_t)value;
		line = next;
	}
}

static void send_tty(struct frame_writer *writer, uint32_t tty_nr)
{
	uint32_t major = tty_nr >> 8 & 0xfff;
	uint32_t minor = (tty_nr & 0xff) | (tty_nr >> 12 & 0xfff00);
	char name[32];

	/* The names the kernel tier reads from the terminal itself. */
	if (major >= 136 && major <= 143)
		snprintf(name, sizeof(name), "pts%u", (major - 136) * 256 + minor);
	else if (major == 4 && minor < 64)
		snprintf(name, sizeof(name), "tty%u", minor);
	else if (major == 4)
		snprintf(name, sizeof(name), "ttyS%u", minor - 64);
	else
		return;
	frame_text(writer, FRAME_TAG_TTY, name);
}

static void send_comm(struct frame_writer *writer, const char *comm)
{
	size_t length = strlen(comm);

	frame_bytes(writer, FRAME_TAG_COMM, comm, length > PM_COMM_BYTES ? PM_COMM_BYTES : length);
}

bool proc_send_exec(struct frame_writer *writer, uint16_t kind, uint16_t tier, uint16_t flags,
		    const struct proc_stat *stat, const struct scope *scope)
{
	static char exe[PM_PATH_BYTES], argv[PM_ARGV_BYTES + 1];
	struct frame_header header = {.kind = kind, .tier = tier, .flags = flags};
	struct proc_stat again, parent;
	char path[64];
	uint32_t ns_pid;
	long argv_bytes;
	bool has_exe;

	snprintf(path, sizeof(path), "/proc/%u/cmdline", stat->pid);
	argv_bytes = proc_read_file(path, argv, sizeof(argv));
	has_exe = proc_read_exe(stat->pid, exe, sizeof(exe), &header.flags);
	proc_fill_header(&header, stat, scope, &ns_pid);
	if (!proc_read_stat(stat->pid, &again) || again.start_ticks != stat->start_ticks)
		return false;
	header.ktime_ns = frame_own_header(kind, tier).ktime_ns;
	if (argv_bytes > PM_ARGV_BYTES) {
		argv_bytes = PM_ARGV_BYTES;
		header.flags |= FRAME_FLAG_ARGV_CUT;
	}
	frame_begin(writer, &header);
	if (has_exe)
		frame_text(writer, FRAME_TAG_EXE, exe);
	if (argv_bytes > 0)
		frame_bytes(writer, FRAME_TAG_ARGV, argv,
			    (size_t)argv_bytes - (argv[argv_bytes - 1] == 0));
	send_comm(writer, stat->comm);
	frame_u32(writer, FRAME_TAG_PARENT_TGID, stat->parent);
	if (stat->parent && proc_read_stat(stat->parent, &parent))
		frame_u64(writer, FRAME_TAG_PARENT_TICKS, parent.start_ticks);
	frame_u32(writer, FRAME_TAG_SID, stat->sid);
	send_tty(writer, stat->tty_nr);
	if (ns_pid)
		frame_u32(writer, FRAME_TAG_NS_PID, ns_pid);
	frame_end(writer);
	return true;
}
