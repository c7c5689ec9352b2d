/*
 * Chooses the tier, see source_open in source.h. It guarantees that `auto` ends with a source that
 * runs, whatever the kernel refuses, and that each refusal is kept with its cause. It must never
 * replace a tier that was forced by another one.
 */
#include <stdio.h>
#include <string.h>

#include "source.h"

/* Cut at the end of the room, so that three causes never cost the first. */
static void append(struct source_report *report, const char *text)
{
	size_t used = strlen(report->cause), length = strlen(text);

	if (length > sizeof(report->cause) - 1 - used)
		length = sizeof(report->cause) - 1 - used;
	memcpy(report->cause + used, text, length);
	report->cause[used + length] = 0;
}

static void pass_over(struct source_report *report, const char *tier, const char *cause)
{
	append(report, report->cause[0] ? "; " : "");
	append(report, tier);
	append(report, ": ");
	append(report, cause);
}

/* What the chosen source reports, behind what was passed over before it. */
static void conclude(struct source_report *report, const struct source_report *chosen)
{
	memcpy(report->programs, chosen->programs, sizeof(report->programs));
	memcpy(report->missing, chosen->missing, sizeof(report->missing));
	if (chosen->cause[0]) {
		append(report, report->cause[0] ? "; " : "");
		append(report, chosen->cause);
	}
}

const char *source_open(struct source *source, const struct scope *scope,
			const struct command *configure, struct source_report *report)
{
	struct source_sampling sampling = {configure->poll_ms, configure->polls_connections};
	enum command_source asked = configure->source;
	struct source_report tried = {0};

	memset(report, 0, sizeof(*report));
	if (asked == COMMAND_SOURCE_AUTO || asked == COMMAND_SOURCE_EBPF) {
		if (bpf_source_open(source, scope, &tried)) {
			conclude(report, &tried);
			return NULL;
		}
		pass_over(report, "ebpf", tried.cause);
		if (asked == COMMAND_SOURCE_EBPF)
			return "ebpf";
	}
	if (asked == COMMAND_SOURCE_AUTO || asked == COMMAND_SOURCE_NETLINK) {
		memset(&tried, 0, sizeof(tried));
		if (netlink_source_open(source, scope, &sampling, &tried)) {
			if (asked == COMMAND_SOURCE_NETLINK)
				append(report, "configured");
			conclude(report, &tried);
			return NULL;
		}
		pass_over(report, "netlink", tried.cause);
		if (asked == COMMAND_SOURCE_NETLINK)
			return "netlink";
	}
	memset(&tried, 0, sizeof(tried));
	if (asked == COMMAND_SOURCE_PROC)
		append(report, "configured");
	if (!proc_source_open(source, scope, &sampling, &tried))
		return "";
	conclude(report, &tried);
	return NULL;
}
