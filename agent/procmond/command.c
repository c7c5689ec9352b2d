/*
 * Decodes what the agent asks, see command.h. The bytes are foreign: the agent runs without
 * privileges and may be the first thing an attacker owns. It guarantees that every field is
 * bounded before use and that a scope cannot climb out of the cgroup tree. It must never guess a
 * missing field that decides what is observed.
 */
#include "command.h"

#include <stdbool.h>
#include <string.h>

#include "frame_read.h"

static bool text_is(const struct frame_tlv *tlv, const char *text)
{
	return tlv->length == strlen(text) && !memcmp(tlv->bytes, text, tlv->length);
}

static bool has_dot_dot(const char *path)
{
	for (const char *at = path; (at = strstr(at, "..")); at += 2) {
		bool begins = at == path || at[-1] == '/';

		if (begins && (at[2] == '/' || at[2] == 0))
			return true;
	}
	return false;
}

static const char *decode_configure(const struct frame_view *view, struct command *command)
{
	const struct frame_tlv *scope = &view->tlv[FRAME_TAG_SCOPE_CGROUP];
	const struct frame_tlv *source = &view->tlv[FRAME_TAG_SOURCE];

	if (scope->length > COMMAND_SCOPE_BYTES_MAX)
		return "scope_too_long";
	if (scope->length)
		memcpy(command->scope_cgroup, scope->bytes, scope->length);
	if (strlen(command->scope_cgroup) != scope->length)
		return "scope_has_nul";
	if (has_dot_dot(command->scope_cgroup))
		return "scope_climbs";

	if (!source->bytes || text_is(source, "auto"))
		command->source = COMMAND_SOURCE_AUTO;
	else if (text_is(source, "ebpf"))
		command->source = COMMAND_SOURCE_EBPF;
	else if (text_is(source, "netlink"))
		command->source = COMMAND_SOURCE_NETLINK;
	else if (text_is(source, "proc"))
		command->source = COMMAND_SOURCE_PROC;
	else
		return "source_unknown";

	command->poll_ms = COMMAND_POLL_MS_DEFAULT;
	if (frame_has(view, FRAME_TAG_POLL_MS))
		command->poll_ms = frame_get_u32(view, FRAME_TAG_POLL_MS);
	if (command->poll_ms < COMMAND_POLL_MS_MIN || command->poll_ms > COMMAND_POLL_MS_MAX)
		return "poll_ms_range";
	command->polls_connections = !frame_has(view, FRAME_TAG_COLLECT) ||
				     (frame_get_u32(view, FRAME_TAG_COLLECT) & FRAME_COLLECT_NETWORK);
	return NULL;
}

static const char *decode_trace(const struct frame_view *view, struct command *command)
{
	if (!frame_has(view, FRAME_TAG_SLOT))
		return "slot_missing";
	/* The range is checked where slots live: it is answered, not a broken link. */
	command->slot = frame_get_u32(view, FRAME_TAG_SLOT);
	if (command->kind == FRAME_KIND_TRACE_REMOVE)
		return NULL;
	if (!frame_has(view, FRAME_TAG_DEPTH))
		return "depth_missing";
	if (!frame_has(view, FRAME_TAG_COLLECT))
		return "collect_missing";
	command->depth = frame_get_u32(view, FRAME_TAG_DEPTH);
	command->collect = frame_get_u32(view, FRAME_TAG_COLLECT);
	command->tgid = view->header.tgid;
	command->start_ticks = view->header.start_ticks;
	if (!command->tgid || command->tgid > INT32_MAX)
		return "root_tgid_range";
	return NULL;
}

const char *command_decode(const uint8_t *body, size_t length, struct command *command)
{
	struct frame_view view;
	const char *error = frame_decode(body, length, &view);

	memset(command, 0, sizeof(*command));
	if (error)
		return error;
	command->kind = (enum frame_kind)view.header.kind;
	switch (view.header.kind) {
	case FRAME_KIND_CONFIGURE:
		return decode_configure(&view, command);
	case FRAME_KIND_TRACE_ADD:
	case FRAME_KIND_TRACE_REMOVE:
		return decode_trace(&view, command);
	case FRAME_KIND_POLICY:
		return policy_decode(&view, &command->policy);
	default:
		return "kind_unknown";
	}
}
