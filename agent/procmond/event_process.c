/*
 * Events of processes as frames, see event_frame.h. It must never pass on more of an environment than
 * the variables the policy names: what else came with the event ends here.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "absent.h"
#include "event_frame.h"
#include "proc_read.h"

/* As docs/procmond-frames.md has it. */
#define ENV_BYTES_MAX 4096
#define MEMFD_PREFIX "memfd:"

static size_t env_names_count;
static char env_names[POLICY_ENV_NAMES_MAX][POLICY_ENV_NAME_BYTES_MAX + 1];

void event_process_set_env_names(const struct policy *policy)
{
	env_names_count = policy->env_count;
	memcpy(env_names, policy->env_names, sizeof(env_names));
}

static bool is_named(const uint8_t *entry, size_t length)
{
	const uint8_t *equals = memchr(entry, '=', length);
	size_t name_bytes = equals ? (size_t)(equals - entry) : 0;

	for (size_t i = 0; name_bytes && i < env_names_count; i++)
		if (strlen(env_names[i]) == name_bytes && !memcmp(env_names[i], entry, name_bytes))
			return true;
	return false;
}

size_t event_process_filter_env(const uint8_t *env, size_t bytes, char *out, size_t out_bytes)
{
	size_t used = 0;

	for (size_t at = 0; at < bytes;) {
		const uint8_t *stop = memchr(env + at, 0, bytes - at);
		size_t length = stop ? (size_t)(stop - env) - at : bytes - at;

		/* One that was cut by the end of the read is left out: half a value is a wrong one. */
		if (stop && is_named(env + at, length) && used + (used > 0) + length <= out_bytes) {
			if (used)
				out[used++] = 0;
			memcpy(out + used, env + at, length);
			used += length;
		}
		at += length + 1;
	}
	return used;
}

static void add_if(struct absent *absent, bool is_absent, const char *tag, const char *reason)
{
	if (is_absent)
		absent_add(absent, tag, reason);
}

static void send_env(struct frame_writer *writer, const struct pm_long *event, const uint8_t *env,
		     struct absent *absent)
{
	static char named[ENV_BYTES_MAX];
	size_t bytes = event_process_filter_env(env, event->bytes[PM_SEG_ENV], named, sizeof(named));

	if (bytes)
		frame_bytes(writer, FRAME_TAG_ENV, named, bytes);
	add_if(absent, event->absent & PM_ABSENT_ENV, "ENV", ABSENT_UNREADABLE);
	add_if(absent, event->absent & PM_ABSENT_ENV_NO_ROOM, "ENV", ABSENT_NO_ROOM);
	/* What was looked for may lie beyond. */
	add_if(absent, !bytes && event->absent & PM_ABSENT_ENV_CUT, "ENV", ABSENT_CUT);
}

static void send_file_id(struct frame_writer *writer, const struct pm_long *file)
{
	frame_u64(writer, FRAME_TAG_DEV, file->dev);
	frame_u64(writer, FRAME_TAG_INO, file->ino);
	frame_u64(writer, FRAME_TAG_SIZE, file->size);
	frame_u64(writer, FRAME_TAG_MTIME_NS, file->mtime_ns);
	frame_u64(writer, FRAME_TAG_CTIME_NS, file->ctime_ns);
}

/* A memfd never had a directory, so it is not one that was deleted. */
static uint32_t exe_flags_of(const struct pm_long *event, const uint8_t *walk)
{
	size_t prefix = strlen(MEMFD_PREFIX);

	if (event->walk_end[0] == PM_WALK_DETACHED && event->bytes[PM_SEG_WALK] > prefix &&
	    !memcmp(walk, MEMFD_PREFIX, prefix))
		return FRAME_EXE_MEMFD;
	return event->exe_flags;
}

static void send_exe(struct frame_writer *writer, const struct pm_long *event,
		     const uint8_t *const data[PM_SEGMENTS], struct absent *absent)
{
	uint32_t flags = exe_flags_of(event, data[PM_SEG_WALK]);

	add_if(absent, event->absent & PM_ABSENT_EXE, "EXE", ABSENT_NONE);
	if (!event->bytes[PM_SEG_WALK])
		return;
	event_path_send(writer, FRAME_TAG_EXE, event, data, PM_SEG_WALK);
	if (flags)
		frame_u32(writer, FRAME_TAG_EXE_FLAGS, flags);
	send_file_id(writer, event);
}

static void send_cwd(struct frame_writer *writer, const struct pm_long *event, const uint8_t *walk,
		     struct absent *absent)
{
	static char path[PM_PATH_BYTES + PM_NAME_BYTES];

	add_if(absent, event->absent & PM_ABSENT_CWD, "CWD", ABSENT_NONE);
	/* Deleted, or not below the root of the process: a path would name something else. */
	add_if(absent, event->absent & PM_ABSENT_CWD_UNCERTAIN, "CWD", ABSENT_UNCERTAIN);
	if (event->absent & (PM_ABSENT_CWD | PM_ABSENT_CWD_UNCERTAIN))
		return;
	frame_bytes(writer, FRAME_TAG_CWD, path,
		    event_path_join(walk, event->bytes[PM_SEG_CWD], true, path, sizeof(path)));
}

static void send_argv(struct frame_writer *writer, const struct pm_long *event, const uint8_t *argv,
		      struct absent *absent)
{
	uint32_t bytes = event->bytes[PM_SEG_ARGV];

	add_if(absent, event->absent & PM_ABSENT_ARGV, "ARGV", ABSENT_UNREADABLE);
	if (event->absent & PM_ABSENT_ARGV)
		return;
	/* NUL between arguments, none after the last. */
	if (bytes && !argv[bytes - 1])
		bytes--;
	frame_bytes(writer, FRAME_TAG_ARGV, argv, bytes);
}

static void send_exec(struct frame_writer *writer, const struct pm_long *event,
		      const uint8_t *const data[PM_SEGMENTS])
{
	struct absent absent = {0};
	bool is_snapshot = event->head.kind == FRAME_KIND_SNAPSHOT;
	bool is_kernel_thread = !event->ino && !event->bytes[PM_SEG_WALK] && is_snapshot;

	if (is_kernel_thread) {
		absent_add(&absent, "EXE", ABSENT_NONE);
		absent_add(&absent, "ARGV", ABSENT_NONE);
		absent_add(&absent, "CWD", ABSENT_NONE);
	} else {
		send_exe(writer, event, data, &absent);
		send_argv(writer, event, data[PM_SEG_ARGV], &absent);
		send_cwd(writer, event, data[PM_SEG_CWD], &absent);
		send_env(writer, event, data[PM_SEG_ENV], &absent);
	}
	if (event->bytes[PM_SEG_NAME])
		frame_bytes(writer, FRAME_TAG_FILENAME, data[PM_SEG_NAME],
			    event->bytes[PM_SEG_NAME] - 1);
	if (event->bytes[PM_SEG_NAME_TO])
		frame_bytes(writer, FRAME_TAG_INTERP, data[PM_SEG_NAME_TO],
			    event->bytes[PM_SEG_NAME_TO] - 1);
	add_if(&absent, event->absent & PM_ABSENT_FILENAME, "FILENAME", ABSENT_UNREADABLE);
	add_if(&absent, event->absent & PM_ABSENT_INTERP, "INTERP", ABSENT_UNREADABLE);
	add_if(&absent, is_snapshot, "FILENAME", is_kernel_thread ? ABSENT_NONE : ABSENT_NOT_KEPT);
	add_if(&absent, is_snapshot, "INTERP", is_kernel_thread ? ABSENT_NONE : ABSENT_NOT_KEPT);
	frame_u32(writer, FRAME_TAG_PARENT_TGID, event->parent_tgid);
	/* The first processes have no parent. */
	if (event->parent_tgid)
		frame_u64(writer, FRAME_TAG_PARENT_TICKS, event->parent_ticks);
	frame_u32(writer, FRAME_TAG_SID, event->sid);
	if (event->tty[0])
		frame_bytes(writer, FRAME_TAG_TTY, event->tty,
			    strnlen((const char *)event->tty, sizeof(event->tty)));
	frame_u32(writer, FRAME_TAG_NS_PID, event->head.ns_pid);
	absent_send(writer, &absent);
}

static void send_call(struct frame_writer *writer, enum pm_call call)
{
	static const char *const names[] = {
#define CALL_NAME(name, handler, x86, arm64) [PM_CALL_##name] = #name,
		PM_CALLS(CALL_NAME)
	};
	char text[32] = "signal";

	if (call != PM_CALL_NONE && call < sizeof(names) / sizeof(names[0])) {
		snprintf(text, sizeof(text), "%s", names[call]);
		for (char *at = text; *at; at++)
			*at = (char)tolower((unsigned char)*at);
	}
	frame_text(writer, FRAME_TAG_CALL, text);
}

static void send_set_id(struct frame_writer *writer, const struct pm_set_id *event)
{
	struct absent absent = {0};

	if (event->old_unknown) {
		absent_add(&absent, "OLD_UID", ABSENT_NOT_SEEN);
		absent_add(&absent, "OLD_GID", ABSENT_NOT_SEEN);
		absent_add(&absent, "OLD_EUID", ABSENT_NOT_SEEN);
		absent_send(writer, &absent);
	} else {
		frame_u32(writer, FRAME_TAG_OLD_UID, event->old_uid);
		frame_u32(writer, FRAME_TAG_OLD_GID, event->old_gid);
		frame_u32(writer, FRAME_TAG_OLD_EUID, event->old_euid);
	}
	send_call(writer, event->call);
}

/* Kernels before 6.2 cannot look a process up by its number; the number may be that of a thread. */
static bool find_target(uint32_t pid, uint32_t *tgid, uint64_t *ticks)
{
	char path[64], text[1024];
	struct proc_stat stat;
	const char *line;
	long bytes;

	snprintf(path, sizeof(path), "/proc/%u/status", pid);
	bytes = pid ? proc_read_file(path, text, sizeof(text) - 1) : -1;
	if (bytes <= 0)
		return false;
	text[bytes] = 0;
	line = strstr(text, "\nTgid:");
	*tgid = line ? (uint32_t)strtoul(line + strlen("\nTgid:"), NULL, 10) : 0;
	if (!*tgid || !proc_read_stat(*tgid, &stat))
		return false;
	*ticks = stat.start_ticks;
	return true;
}

static void send_act(struct frame_writer *writer, const struct pm_act *event)
{
	static const char *const causes[] = {
		[PM_TAMPER_CODE] = "kernel_code",
		[PM_TAMPER_OWN_OBJECT] = "own_object",
		[PM_TAMPER_OWN_PROCESS] = "own_process",
		[PM_TAMPER_KERNEL_SIGNAL] = "killed_by_kernel",
	};
	bool is_tamper = event->head.kind == FRAME_KIND_TAMPER;
	uint32_t tgid = event->target_tgid;
	uint64_t ticks = event->target_ticks;
	const char *reason = event->target_pid ? ABSENT_GONE : ABSENT_NAMESPACE;
	struct absent absent = {0};
	bool has_target = !is_tamper || event->cause != PM_TAMPER_CODE;

	send_call(writer, event->call);
	if (event->call == PM_CALL_NONE || event->call == PM_CALL_BPF || event->call == PM_CALL_PTRACE)
		frame_u64(writer, FRAME_TAG_REQUEST, event->request);
	if (has_target && (tgid || find_target(event->target_pid, &tgid, &ticks))) {
		frame_u32(writer, FRAME_TAG_TARGET_TGID, tgid);
		frame_u64(writer, FRAME_TAG_TARGET_TICKS, ticks);
	} else if (has_target) {
		absent_add(&absent, "TARGET_TGID", reason);
		absent_add(&absent, "TARGET_TICKS", reason);
		absent_send(writer, &absent);
	}
	if (!is_tamper)
		return;
	if (event->cause < sizeof(causes) / sizeof(causes[0]))
		frame_text(writer, FRAME_TAG_CAUSE, causes[event->cause]);
	frame_u32(writer, FRAME_TAG_RESULT, (uint32_t)event->result);
	frame_u32(writer, FRAME_TAG_COUNT, event->count);
}

const char *event_process_partial_cause(uint32_t cause)
{
	return cause == PM_PARTIAL_IO_URING ? "io_uring" : "compat32";
}

/* What every kind but exec and snapshot has at least. */
static size_t bytes_of_kind(uint16_t kind)
{
	switch (kind) {
	case FRAME_KIND_FORK: return sizeof(struct pm_fork);
	case FRAME_KIND_EXIT: return sizeof(struct pm_exit);
	case FRAME_KIND_SET_ID: return sizeof(struct pm_set_id);
	case FRAME_KIND_PTRACE:
	case FRAME_KIND_TAMPER: return sizeof(struct pm_act);
	case FRAME_KIND_VIEW_PARTIAL: return sizeof(struct pm_partial);
	default: return PM_LONG_HEAD_BYTES;
	}
}

static void send_fork(struct frame_writer *writer, const struct pm_fork *fork)
{
	frame_u32(writer, FRAME_TAG_PARENT_TGID, fork->parent_tgid);
	frame_u64(writer, FRAME_TAG_PARENT_TICKS, fork->parent_ticks);
	frame_u32(writer, FRAME_TAG_NS_PID, fork->head.ns_pid);
}

bool event_process_send(struct frame_writer *writer, const void *event, size_t bytes)
{
	uint16_t kind = ((const struct pm_event *)event)->kind;
	const uint8_t *data[PM_SEGMENTS];

	if (bytes < bytes_of_kind(kind))
		return false;
	switch (kind) {
	case FRAME_KIND_FORK:
		send_fork(writer, event);
		return true;
	case FRAME_KIND_EXIT:
		frame_u32(writer, FRAME_TAG_EXIT_CODE, ((const struct pm_exit *)event)->exit_code);
		return true;
	case FRAME_KIND_SET_ID:
		send_set_id(writer, event);
		return true;
	case FRAME_KIND_PTRACE:
	case FRAME_KIND_TAMPER:
		send_act(writer, event);
		return true;
	case FRAME_KIND_VIEW_PARTIAL:
		frame_text(writer, FRAME_TAG_CAUSE,
			   event_process_partial_cause(((const struct pm_partial *)event)->cause));
		return true;
	default:
		if (!event_long_open(event, bytes, data))
			return false;
		send_exec(writer, event, data);
		return true;
	}
}
