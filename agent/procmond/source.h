/*
 * A source of events: the kernel programs or the polling of /proc. The main loop knows only this.
 * It guarantees that both sources answer the same calls, so what the agent sees differs by tier,
 * not by shape. It must never hold anything another source needs.
 */
#ifndef PROCMOND_SOURCE_H
#define PROCMOND_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "command.h"
#include "frame_write.h"
#include "policy.h"
#include "scope.h"

/* Every program by name, and the causes of every tier that was refused. */
#define SOURCE_TEXT_BYTES 512

/*
 * What only kernel programs see, in the words of docs/tiers.md: what a row of its tables denies both
 * other tiers stands here by that row's name.
 */
#define SOURCE_KERNEL_ONLY \
	"files,watched and credential files,hashes of new files,tamper,view_partial,socket,datagram," \
	"unix sockets,dns,connections between polls,failed connects,other network namespaces," \
	"filename,interp"

/* What `ready` says. */
struct source_report {
	char programs[SOURCE_TEXT_BYTES];
	char missing[SOURCE_TEXT_BYTES];
	char cause[SOURCE_TEXT_BYTES];
};

typedef void source_visit(void *context, uint32_t tgid, uint32_t parent, uint64_t start_ticks);

struct source {
	enum frame_tier tier;
	void *self;
	/* Sends what has happened since; returns false when the agent is gone. */
	bool (*pump)(void *self, struct frame_writer *writer, uint64_t now_ns);
	/* How long to wait for the agent before the next pump. */
	int (*wait_ms)(void *self, uint64_t now_ns);
	/* Puts one process in scope of a slot. False: the table is full or the process is gone. */
	bool (*trace_put)(void *self, uint32_t tgid, uint64_t start_ticks, uint32_t slot,
			  uint32_t depth);
	void (*trace_open)(void *self, uint32_t slot, uint32_t collect);
	void (*trace_close)(void *self, uint32_t slot);
	void (*close)(void *self);
	/* The processes that run already, without snapshot_end; negative = not by this source, or cut
	   short. NULL = never. */
	long (*snapshot)(void *self, struct frame_writer *writer);
	/* What runs, as `visit` wants it; false = not by this source. NULL = never. */
	bool (*visit_tasks)(void *self, source_visit *visit, void *context);
	/* Which process the agent is, so that acts on it are told. NULL where nothing depends on it. */
	void (*set_agent)(void *self, uint32_t tgid);
	/*
	 * Obeys a policy in place of the one before; it is not kept. NULL where nothing depends on it.
	 * False: there is no memory for its lists, and the ones before are still in force.
	 */
	bool (*set_policy)(void *self, const struct policy *policy);
	/* The traces a process is in, a bit per slot. NULL where the source cannot tell. */
	uint64_t (*slots_of)(void *self, uint32_t tgid, uint64_t start_ticks);
	/* Gives up the classes whose bits (1 << FRAME_SHED_*) are set, takes back the others. NULL:
	   this source cannot. */
	void (*set_shed)(void *self, uint64_t classes);
	/* What each class has lost since the source was opened. */
	void (*shed_totals)(void *self, uint64_t totals[FRAME_SHED_CLASS_COUNT]);
	/* A descriptor that becomes readable when there is something to pump; NULL = only time. */
	int (*wake_fd)(void *self);
};

/* What the polling tiers are asked to do, from configure. */
struct source_sampling {
	uint32_t poll_ms;
	bool connections;
};

/* False with a cause in the report when the kernel does not allow it. */
bool bpf_source_open(struct source *source, const struct scope *scope,
		     struct source_report *report);
/* Loads and attaches each program alone and prints what the verifier said. */
int bpf_source_verify_load(void);

bool netlink_source_open(struct source *source, const struct scope *scope,
			 const struct source_sampling *sampling, struct source_report *report);
/* False only without memory: it runs on any kernel, also without root. */
bool proc_source_open(struct source *source, const struct scope *scope,
		      const struct source_sampling *sampling, struct source_report *report);
/*
 * Opens what configure asked for; of `auto` the best that opens. report->cause names each tier
 * that was passed over and why. Returns the tier that was forced and refused, "" when there is no
 * memory, NULL when a source is open.
 */
const char *source_open(struct source *source, const struct scope *scope,
			const struct command *configure, struct source_report *report);
/* What runs already, and snapshot_end. */
void snapshot_send(struct frame_writer *writer, const struct scope *scope,
		   const struct source *source);

#endif
