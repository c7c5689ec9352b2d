/*
 * Obeys the level, see shedding.h. The mask is set before the counts are read, so that a frame
 * never promises a class back while the kernel side still withholds it. It must never say that
 * nothing was given up while a total still moves: the kernel side gives up events for want of room
 * at any level, so the totals are compared at level 0, too.
 */
#include "shedding.h"

#include <stdio.h>
#include <string.h>

#define CAUSE_BYTES 128

void shedding_open(struct shedding *shedding, const struct scope *scope)
{
	memset(shedding, 0, sizeof(*shedding));
	pressure_open(&shedding->pressure, scope);
}

static void send_fidelity(struct shedding *shedding, const struct source *source,
			  struct frame_writer *writer, const char *cause)
{
	struct frame_header header = frame_own_header(FRAME_KIND_FIDELITY, source->tier);
	uint64_t total[FRAME_SHED_CLASS_COUNT] = {0}, since[FRAME_SHED_CLASS_COUNT];

	if (source->shed_totals)
		source->shed_totals(source->self, total);
	for (int i = 0; i < FRAME_SHED_CLASS_COUNT; i++)
		since[i] = total[i] - shedding->said[i];
	memcpy(shedding->said, total, sizeof(total));
	frame_begin(writer, &header);
	frame_text(writer, FRAME_TAG_CAUSE, cause);
	frame_u32(writer, FRAME_TAG_LEVEL, shedding->fidelity.level);
	frame_bytes(writer, FRAME_TAG_SHED, since, sizeof(since));
	frame_u64(writer, FRAME_TAG_SINCE_NS,
		  shedding->said_at_ns ? shedding->said_at_ns : header.ktime_ns);
	frame_end(writer);
	shedding->said_at_ns = header.ktime_ns;
}

/* At level 0 only the kernel side gives up anything: a ring too full, or a process beyond its share. */
static bool totals_moved(const struct shedding *shedding, const struct source *source)
{
	uint64_t total[FRAME_SHED_CLASS_COUNT] = {0};

	if (source->shed_totals)
		source->shed_totals(source->self, total);
	return memcmp(total, shedding->said, sizeof(total)) != 0;
}

/* Once, because it does not change: which signals this machine does not have. */
static void tell_absent(struct shedding *shedding, const struct source *source,
			const struct fidelity_signals *signals, struct frame_writer *writer)
{
	char names[CAUSE_BYTES], cause[CAUSE_BYTES + 16];

	shedding->told_absent = true;
	fidelity_name_absent(signals, names, sizeof(names));
	if (!names[0])
		return;
	snprintf(cause, sizeof(cause), "absent: %s", names);
	send_fidelity(shedding, source, writer, cause);
}

void shedding_pump(struct shedding *shedding, struct source *source, struct frame_writer *writer,
		   uint64_t now_ns)
{
	struct fidelity_signals signals;
	uint32_t before = shedding->fidelity.level, level;
	char cause[CAUSE_BYTES];

	/* A source that cannot give anything up is not asked to. */
	if (!source->set_shed || now_ns < shedding->sample_at_ns)
		return;
	shedding->sample_at_ns = now_ns + FIDELITY_SAMPLE_NS;
	pressure_read(&shedding->pressure, &signals);
	if (!shedding->told_absent)
		tell_absent(shedding, source, &signals, writer);
	level = fidelity_step(&shedding->fidelity, &signals, now_ns);
	fidelity_name_high(&signals, cause, sizeof(cause));
	if (!cause[0])
		snprintf(cause, sizeof(cause), "eased");
	if (level != before) {
		source->set_shed(source->self, fidelity_mask(level));
		send_fidelity(shedding, source, writer, cause);
	} else if (now_ns - shedding->said_at_ns >= FIDELITY_REPEAT_NS) {
		if (level)
			send_fidelity(shedding, source, writer, cause);
		else if (totals_moved(shedding, source))
			send_fidelity(shedding, source, writer, "ring_busy");
		/* Nothing was given up until now: the next counts begin here. */
		else
			shedding->said_at_ns = now_ns;
	}
}
