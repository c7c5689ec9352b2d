/*
 * Fuzzes the command parser. Built with libFuzzer where the compiler brings it, else with a small
 * driver of its own that mutates valid commands at random. It guarantees to print the seed, so a
 * finding can be repeated. It must never depend on anything but bytes in.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the kernel's tables rely on. */
static void check_policy(const struct policy *policy)
{
	if (policy->watch_count > POLICY_WATCH_PATHS_MAX ||
	    policy->credential_count > POLICY_CREDENTIAL_PATHS_MAX ||
	    policy->env_count > POLICY_ENV_NAMES_MAX)
		abort();
	for (size_t i = 0; i < policy->watch_count; i++)
		if (policy->watch_paths[i][0] != '/' ||
		    strlen(policy->watch_paths[i]) > POLICY_PATH_BYTES_MAX)
			abort();
	for (size_t i = 0; i < policy->env_count; i++)
		if (!policy->env_names[i][0] || strchr(policy->env_names[i], '='))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct command command;

	if (command_decode(data, size, &command))
		return 0;
	if (strlen(command.scope_cgroup) > COMMAND_SCOPE_BYTES_MAX)
		abort();
	if (command.kind == FRAME_KIND_POLICY)
		check_policy(&command.policy);
	return 0;
}

#ifdef FUZZ_STANDALONE
#include "fuzz_standalone.h"

static size_t make_input(uint8_t *out)
{
	struct frame_header header = {.version = FRAME_VERSION, .tgid = 1};
	size_t used = sizeof(header);

	header.kind = (uint16_t)(FRAME_KIND_CONFIGURE + random_u32() % 5);
	memcpy(out, &header, sizeof(header));
	for (uint32_t i = random_u32() % 6; i > 0; i--) {
		uint16_t tag = (uint16_t)(random_u32() % 2 ? FRAME_TAG_SLOT + random_u32() % 8
							   : FRAME_TAG_WATCH_PATHS + random_u32() % 8);
		uint16_t length = random_u32() % 3 ? 4 : (uint16_t)(random_u32() % 40);

		memcpy(out + used, &tag, 2);
		memcpy(out + used + 2, &length, 2);
		for (uint16_t j = 0; j < length; j++)
			out[used + 4 + j] = "ebpfauto./\0\1"[random_u32() % 12];
		used += 4u + length;
	}
	for (uint32_t i = random_u32() % 4; i > 0; i--)
		out[random_u32() % used] = (uint8_t)random_u32();
	return random_u32() % 4 ? used : random_u32() % (used + 1);
}

int main(int argc, char **argv)
{
	return fuzz_run("fuzz_command", argc, argv, 2, make_input);
}
#endif
