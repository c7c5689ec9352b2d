/* The token bucket, see hash_budget.h. Pure: both clocks are arguments. */
#include "hash_budget.h"

void hash_budget_open(struct hash_budget *budget, uint64_t now_ns, uint64_t cpu_ns)
{
	*budget = (struct hash_budget){HASH_BUDGET_BURST_NS, now_ns, cpu_ns};
}

uint64_t hash_budget_charge(struct hash_budget *budget, uint64_t now_ns, uint64_t cpu_ns)
{
	uint64_t earned = (now_ns - budget->refilled_ns) / HASH_BUDGET_SHARE;
	uint64_t used = cpu_ns - budget->charged_ns;

	budget->refilled_ns = now_ns;
	budget->charged_ns = cpu_ns;
	budget->tokens_ns += earned;
	if (budget->tokens_ns > HASH_BUDGET_BURST_NS)
		budget->tokens_ns = HASH_BUDGET_BURST_NS;
	if (budget->tokens_ns >= used) {
		budget->tokens_ns -= used;
		return 0;
	}
	used -= budget->tokens_ns;
	budget->tokens_ns = 0;
	/* The debt is slept off, so nothing of it is owed afterwards. */
	budget->refilled_ns = now_ns + used * HASH_BUDGET_SHARE;
	return used * HASH_BUDGET_SHARE;
}
