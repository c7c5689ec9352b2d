/*
 * The machine of states, see fidelity.h. One high signal is pressure; calm is when none is above
 * its lower bound. It must never skip a level in either direction: each step is a frame that says
 * from when on what was missing.
 */
#include "fidelity.h"

#include "comma_list.h"

struct bounds {
	const char *name;
	uint32_t high;
	uint32_t calm;
};

#define FIDELITY_ROW(name, wire, high, calm) {#wire, high, calm},
static const struct bounds bounds[] = {FIDELITY_SIGNALS(FIDELITY_ROW)};
_Static_assert(sizeof(bounds) / sizeof(bounds[0]) == FIDELITY_SIGNAL_COUNT, "one row per signal");

static bool is_high(const struct fidelity_signals *signals, int i)
{
	return signals->value[i] != FIDELITY_ABSENT && signals->value[i] >= bounds[i].high;
}

static bool is_calm(const struct fidelity_signals *signals, int i)
{
	return signals->value[i] == FIDELITY_ABSENT || signals->value[i] <= bounds[i].calm;
}

/* Whether a state that holds now has held for `needed_ns`; remembers when it began. */
static bool has_lasted(uint64_t *since_ns, bool holds, uint64_t now_ns, uint64_t needed_ns)
{
	if (!holds) {
		*since_ns = 0;
		return false;
	}
	if (!*since_ns)
		*since_ns = now_ns;
	return now_ns - *since_ns >= needed_ns;
}

uint32_t fidelity_step(struct fidelity *state, const struct fidelity_signals *signals,
		       uint64_t now_ns)
{
	bool high = false, calm = true, rises, falls;

	for (int i = 0; i < FIDELITY_SIGNAL_COUNT; i++) {
		high |= is_high(signals, i);
		calm &= is_calm(signals, i);
	}
	rises = has_lasted(&state->high_since_ns, high, now_ns, FIDELITY_RISE_NS);
	falls = has_lasted(&state->calm_since_ns, calm, now_ns, FIDELITY_FALL_NS);
	if (rises && state->level < FIDELITY_LEVEL_MAX)
		state->level++;
	else if (falls && state->level > 0)
		state->level--;
	else
		return state->level;
	/* The next step needs its own span. */
	if (rises)
		state->high_since_ns = now_ns;
	else
		state->calm_since_ns = now_ns;
	return state->level;
}

uint64_t fidelity_mask(uint32_t level)
{
	return (1ull << level) - 1;
}

void fidelity_name_high(const struct fidelity_signals *signals, char *text, size_t bytes)
{
	text[0] = 0;
	for (int i = 0; i < FIDELITY_SIGNAL_COUNT; i++)
		if (is_high(signals, i))
			comma_list_add(text, bytes, bounds[i].name);
}

void fidelity_name_absent(const struct fidelity_signals *signals, char *text, size_t bytes)
{
	text[0] = 0;
	for (int i = 0; i < FIDELITY_SIGNAL_COUNT; i++)
		if (signals->value[i] == FIDELITY_ABSENT)
			comma_list_add(text, bytes, bounds[i].name);
}
