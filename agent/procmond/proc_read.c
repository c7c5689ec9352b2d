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
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proc_facts.h"
#include "procmond.h"

#define DELETED " (deleted)"

long proc_read_at(int dir, const char *name, char *buf, size_t bytes)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t n = 0;
	int error;

	if (fd < 0)
		return -1;
	while (used < bytes && (n = read(fd, buf + used, bytes - used)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		used += (size_t)n;
	}
	error = errno;
	close(fd);
	errno = error;
	return n < 0 ? -1 : (long)used;
}

long proc_read_file(const char *path, char *buf, size_t bytes)
{
	return proc_read_at(AT_FDCWD, path, buf, bytes);
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

static bool namespace_is(const char *path, const char *expected)
{
	char text[64];
	ssize_t length = readlink(path, text, sizeof(text) - 1);

	/* A kernel without that kind of namespace has only the first. */
	if (length <= 0)
		return true;
	text[length] = 0;
	return !strcmp(text, expected);
}

bool proc_sees_others(void)
{
	unsigned long long effective = 0;
	char text[4096], *line;
	long bytes = proc_read_file("/proc/self/status", text, sizeof(text) - 1);

	text[bytes > 0 ? bytes : 0] = 0;
	line = strstr(text, "\nCapEff:");
	if (line)
		sscanf(line, "\nCapEff: %llx", &effective);
	/* Over its own user namespace only, the capability opens nobody else's /proc. */
	return effective >> CAP_SYS_PTRACE & 1 &&
	       namespace_is("/proc/self/ns/user", "user:[4026531837]");
}

bool proc_in_init_namespaces(void)
{
	/* The kernel gives its first namespaces fixed inodes (PROC_*_INIT_INO). */
	return namespace_is("/proc/self/ns/pid", "pid:[4026531836]") &&
	       namespace_is("/proc/self/ns/user", "user:[4026531837]") &&
	       namespace_is("/proc/self/ns/time", "time:[4026531834]");
}

const char *proc_hidden_by(void)
{
	if (!namespace_is("/proc/self/ns/pid", "pid:[4026531836]"))
		return "pid_namespace";
	/* Process 1 exists; where it does not show, neither do those of other users. */
	return access("/proc/1", F_OK) ? "hidepid" : NULL;
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

static void send_comm(struct frame_writer *writer, const char *comm)
{
	size_t length = strlen(comm);

	frame_bytes(writer, FRAME_TAG_COMM, comm, length > PM_COMM_BYTES ? PM_COMM_BYTES : length);
}

bool proc_fill_header(struct frame_header *header, const struct proc_stat *stat,
		      const struct scope *scope, uint32_t *ns_pid)
{
	int dir = proc_dir_open(stat->pid);
	struct proc_ids ids = {0};
	struct proc_stat again;

	header->tgid = stat->pid;
	header->tid = stat->pid;
	header->start_ticks = stat->start_ticks;
	header->ktime_ns = 0;
	*ns_pid = 0;
	if (dir < 0)
		return false;
	proc_dir_ids(dir, scope, &ids);
	if (!proc_dir_stat(dir, stat->pid, &again) || again.start_ticks != stat->start_ticks)
		memset(&ids, 0, sizeof(ids));
	close(dir);
	proc_ids_to_header(&ids, header);
	*ns_pid = ids.ns_pid;
	return ids.known;
}

/* False when another process has the pid by now, or none. */
static bool look(const struct proc_stat *stat, const struct scope *scope, struct proc_ids *ids,
		 struct proc_program *program)
{
	int dir = proc_dir_open(stat->pid);
	struct proc_stat now;
	bool same;

	if (dir < 0)
		return false;
	proc_dir_program(dir, stat->kernel_thread, program);
	proc_dir_ids(dir, scope, ids);
	/* Read last through the same descriptor: what was read before is of this very process. */
	same = proc_dir_stat(dir, stat->pid, &now) && now.start_ticks == stat->start_ticks;
	close(dir);
	return same;
}

bool proc_send_exec(struct frame_writer *writer, uint16_t kind, uint16_t tier, uint16_t flags,
		    const struct proc_stat *stat, const struct scope *scope)
{
	static struct proc_program program;
	struct frame_header header = {.kind = kind, .tier = tier};
	struct proc_stat parent;
	struct proc_ids ids;

	if (!look(stat, scope, &ids, &program))
		return false;
	header.flags = flags | program.flags;
	header.tgid = header.tid = stat->pid;
	header.start_ticks = stat->start_ticks;
	header.ktime_ns = frame_own_header(kind, tier).ktime_ns;
	proc_ids_to_header(&ids, &header);
	frame_begin(writer, &header);
	send_comm(writer, stat->comm);
	frame_u32(writer, FRAME_TAG_PARENT_TGID, stat->parent);
	if (stat->parent && proc_read_stat(stat->parent, &parent))
		frame_u64(writer, FRAME_TAG_PARENT_TICKS, parent.start_ticks);
	frame_u32(writer, FRAME_TAG_SID, stat->sid);
	proc_tty_send(writer, stat->tty_nr);
	if (ids.ns_pid)
		frame_u32(writer, FRAME_TAG_NS_PID, ids.ns_pid);
	absent_add_ids(&program.absent, ids.known, ids.cgroup_id);
	proc_program_send(writer, &program);
	frame_end(writer);
	return true;
}
