/*
 * Tests of the policy command: what it takes, each limit at and above, truncation at every byte
 * and bit flips. Run under AddressSanitizer and UBSan; every input lies in a heap block of its
 * exact size. It must never need privileges.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "command.h"

struct bytes {
	uint8_t data[FRAME_LENGTH_MAX];
	size_t used;
};

static void add_tlv(struct bytes *b, uint16_t tag, const void *value, size_t length)
{
	uint16_t short_length = (uint16_t)length;

	memcpy(b->data + b->used, &tag, 2);
	memcpy(b->data + b->used + 2, &short_length, 2);
	memcpy(b->data + b->used + 4, value, length);
	b->used += 4u + length;
}

static void begin(struct bytes *b)
{
	struct frame_header header = {.version = FRAME_VERSION, .kind = FRAME_KIND_POLICY};

	memcpy(b->data, &header, sizeof(header));
	b->used = sizeof(header);
}

static void good_policy(struct bytes *b)
{
	uint64_t hash_bytes_max = 1 << 28, new_file_bytes_max = 4096;
	uint32_t memory_headers = 1;

	begin(b);
	add_tlv(b, FRAME_TAG_WATCH_PATHS, "/etc/\0/usr/bin/", 15);
	add_tlv(b, FRAME_TAG_CREDENTIAL_PATHS, "/home/*/.ssh/id_rsa", 19);
	add_tlv(b, FRAME_TAG_ENV_NAMES, "LD_PRELOAD\0_x9", 14);
	add_tlv(b, FRAME_TAG_HASH_BYTES_MAX, &hash_bytes_max, 8);
	add_tlv(b, FRAME_TAG_NEW_FILE_BYTES_MAX, &new_file_bytes_max, 8);
	add_tlv(b, FRAME_TAG_MEMORY_HEADERS, &memory_headers, 4);
}

static struct command command;

static const char *decode(const struct bytes *b, size_t length)
{
	uint8_t *exact = malloc(length ? length : 1);
	const char *error;

	memcpy(exact, b->data, length);
	error = command_decode(exact, length, &command);
	free(exact);
	return error;
}

static bool fails_with(uint16_t tag, const void *value, size_t length, const char *name)
{
	static struct bytes b;
	const char *error;

	begin(&b);
	add_tlv(&b, tag, value, length);
	error = decode(&b, b.used);
	return error && !strcmp(error, name);
}

static bool is_good(uint16_t tag, const void *value, size_t length)
{
	static struct bytes b;

	begin(&b);
	add_tlv(&b, tag, value, length);
	return !decode(&b, b.used);
}

static void test_a_whole_policy_decodes(void)
{
	static struct bytes b;
	const struct policy *policy = &command.policy;

	good_policy(&b);
	CHECK(!decode(&b, b.used));
	CHECK(command.kind == FRAME_KIND_POLICY && policy->watch_count == 2);
	CHECK(!strcmp(policy->watch_paths[0], "/etc/") && !strcmp(policy->watch_paths[1], "/usr/bin/"));
	CHECK(policy->credential_count == 1);
	CHECK(!strcmp(policy->credential_paths[0], "/home/*/.ssh/id_rsa"));
	CHECK(policy->env_count == 2 && !strcmp(policy->env_names[1], "_x9"));
	CHECK(policy->hash_bytes_max == 1 << 28 && policy->new_file_bytes_max == 4096);
	CHECK(policy->memory_headers);
}

static void test_what_is_absent_is_none(void)
{
	static struct bytes b;

	begin(&b);
	CHECK(!decode(&b, b.used));
	CHECK(!command.policy.watch_count && !command.policy.hash_bytes_max);
	CHECK(!command.policy.memory_headers);
	CHECK(is_good(FRAME_TAG_WATCH_PATHS, "", 0) && !command.policy.watch_count);
}

static void test_bad_entries_are_named(void)
{
	CHECK(fails_with(FRAME_TAG_WATCH_PATHS, "etc/", 4, "watch_path_bad"));
	CHECK(fails_with(FRAME_TAG_WATCH_PATHS, "/a\0", 3, "watch_path_bad"));
	CHECK(fails_with(FRAME_TAG_WATCH_PATHS, "\0/a", 3, "watch_path_bad"));
	CHECK(fails_with(FRAME_TAG_WATCH_PATHS, "/a\0\0/b", 6, "watch_path_bad"));
	CHECK(fails_with(FRAME_TAG_CREDENTIAL_PATHS, "id_rsa", 6, "credential_path_bad"));
	CHECK(fails_with(FRAME_TAG_ENV_NAMES, "A=B", 3, "env_name_bad"));
	CHECK(fails_with(FRAME_TAG_ENV_NAMES, "9A", 2, "env_name_bad"));
	CHECK(fails_with(FRAME_TAG_ENV_NAMES, "A\0", 2, "env_name_bad"));
}

/* `count` entries of `bytes` bytes each. */
static size_t list_of(char *out, size_t count, size_t bytes, char first)
{
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		if (i)
			out[used++] = 0;
		memset(out + used, first == '/' ? 'x' : 'X', bytes);
		out[used] = first;
		used += bytes;
	}
	return used;
}

static void test_each_limit_holds_at_and_above(void)
{
	static const struct {
		uint16_t tag;
		size_t count_max, bytes_max;
		char first;
		const char *bad, *too_many;
	} rows[] = {
		{FRAME_TAG_WATCH_PATHS, POLICY_WATCH_PATHS_MAX, POLICY_PATH_BYTES_MAX, '/',
		 "watch_path_bad", "watch_paths_too_many"},
		{FRAME_TAG_CREDENTIAL_PATHS, POLICY_CREDENTIAL_PATHS_MAX, POLICY_PATH_BYTES_MAX, '/',
		 "credential_path_bad", "credential_paths_too_many"},
		{FRAME_TAG_ENV_NAMES, POLICY_ENV_NAMES_MAX, POLICY_ENV_NAME_BYTES_MAX, 'X',
		 "env_name_bad", "env_names_too_many"},
	};
	static char list[FRAME_LENGTH_MAX];
	uint64_t bytes_max = POLICY_HASH_BYTES_MAX, new_max = POLICY_NEW_FILE_BYTES_MAX;
	uint32_t two = 2;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = list_of(list, rows[i].count_max, rows[i].bytes_max, rows[i].first);

		CHECK(is_good(rows[i].tag, list, n));
		n = list_of(list, rows[i].count_max + 1, 2, rows[i].first);
		CHECK(fails_with(rows[i].tag, list, n, rows[i].too_many));
		n = list_of(list, 1, rows[i].bytes_max + 1, rows[i].first);
		CHECK(fails_with(rows[i].tag, list, n, rows[i].bad));
	}
	CHECK(is_good(FRAME_TAG_HASH_BYTES_MAX, &bytes_max, 8));
	bytes_max++;
	CHECK(fails_with(FRAME_TAG_HASH_BYTES_MAX, &bytes_max, 8, "hash_bytes_range"));
	CHECK(is_good(FRAME_TAG_NEW_FILE_BYTES_MAX, &new_max, 8));
	new_max++;
	CHECK(fails_with(FRAME_TAG_NEW_FILE_BYTES_MAX, &new_max, 8, "new_file_bytes_range"));
	CHECK(fails_with(FRAME_TAG_MEMORY_HEADERS, &two, 4, "memory_headers_range"));
}

static void test_damage_never_breaks_the_parser(void)
{
	static struct bytes b;

	good_policy(&b);
	for (size_t i = 0; i < b.used; i++)
		decode(&b, i);
	for (size_t bit = 0; bit < 8 * b.used; bit++) {
		b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (!decode(&b, b.used) && command.kind == FRAME_KIND_POLICY)
			CHECK(command.policy.watch_count <= POLICY_WATCH_PATHS_MAX);
		b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

int main(void)
{
	test_a_whole_policy_decodes();
	test_what_is_absent_is_none();
	test_bad_entries_are_named();
	test_each_limit_holds_at_and_above();
	test_damage_never_breaks_the_parser();
	return check_report("policy tests");
}
