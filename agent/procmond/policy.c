/*
 * Decodes the capture policy, see policy.h. The bytes are foreign: the agent runs without
 * privileges and may be the first thing an attacker owns. It guarantees bounded entries and one
 * error name per kind of damage. It must never take a list in part: a cut list would watch less
 * than what was signed.
 */
#include "policy.h"

#include <string.h>

struct list_rule {
	size_t count_max;
	size_t bytes_max;
	bool (*is_good)(const char *entry);
	const char *bad; /* the error when an entry is not what the list holds */
	const char *too_many;
};

static bool is_absolute(const char *entry)
{
	return entry[0] == '/';
}

static bool is_env_name(const char *entry)
{
	static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
	static const char rest[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";

	return strspn(entry, first) > 0 && entry[strspn(entry, rest)] == 0;
}

/* Copies NUL-separated entries into rows of `bytes_max + 1`; an empty entry is never good. */
static const char *decode_list(const struct frame_tlv *tlv, const struct list_rule *rule, char *rows,
			       size_t *count)
{
	const uint8_t *at = tlv->bytes, *end;

	*count = 0;
	/* An absent tag has no bytes to point behind. */
	if (!tlv->length)
		return NULL;
	end = at + tlv->length;
	for (;;) {
		const uint8_t *stop = memchr(at, 0, (size_t)(end - at));
		size_t length = (size_t)((stop ? stop : end) - at);
		char *row = rows + *count * (rule->bytes_max + 1);

		if (*count == rule->count_max)
			return rule->too_many;
		if (length > rule->bytes_max)
			return rule->bad;
		memcpy(row, at, length);
		row[length] = 0;
		if (!rule->is_good(row))
			return rule->bad;
		++*count;
		if (!stop)
			return NULL;
		/* A NUL separates: what follows the last one is an entry too, even when empty. */
		at = stop + 1;
		if (at == end)
			return rule->bad;
	}
}

const char *policy_decode(const struct frame_view *view, struct policy *policy)
{
	static const struct list_rule watch = {POLICY_WATCH_PATHS_MAX, POLICY_PATH_BYTES_MAX, is_absolute,
					       "watch_path_bad", "watch_paths_too_many"};
	static const struct list_rule credential = {POLICY_CREDENTIAL_PATHS_MAX, POLICY_PATH_BYTES_MAX,
						    is_absolute, "credential_path_bad",
						    "credential_paths_too_many"};
	static const struct list_rule env = {POLICY_ENV_NAMES_MAX, POLICY_ENV_NAME_BYTES_MAX,
					     is_env_name, "env_name_bad", "env_names_too_many"};
	uint32_t memory_headers = frame_get_u32(view, FRAME_TAG_MEMORY_HEADERS);
	const char *error;

	memset(policy, 0, sizeof(*policy));
	error = decode_list(&view->tlv[FRAME_TAG_WATCH_PATHS], &watch, policy->watch_paths[0],
			    &policy->watch_count);
	if (!error)
		error = decode_list(&view->tlv[FRAME_TAG_CREDENTIAL_PATHS], &credential,
				    policy->credential_paths[0], &policy->credential_count);
	if (!error)
		error = decode_list(&view->tlv[FRAME_TAG_ENV_NAMES], &env, policy->env_names[0],
				    &policy->env_count);
	if (error)
		return error;
	policy->hash_bytes_max = frame_get_u64(view, FRAME_TAG_HASH_BYTES_MAX);
	policy->new_file_bytes_max = frame_get_u64(view, FRAME_TAG_NEW_FILE_BYTES_MAX);
	if (policy->hash_bytes_max > POLICY_HASH_BYTES_MAX)
		return "hash_bytes_range";
	if (policy->new_file_bytes_max > POLICY_NEW_FILE_BYTES_MAX)
		return "new_file_bytes_range";
	if (memory_headers > 1)
		return "memory_headers_range";
	policy->memory_headers = memory_headers == 1;
	return NULL;
}
