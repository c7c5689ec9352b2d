/*
 * Puts the lists of a policy in force, see bpf_watch.h. Each list has two maps: the one that is not
 * in force is filled, then the pointer to it is turned, which returns when no program reads the old
 * one any more.
 */
#include "bpf_watch.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "procmond.h"
#include "procmond.skel.h"

_Static_assert(POLICY_WATCH_PATHS_MAX <= PM_WATCH_PATHS_MAX, "a good policy fits the table");
_Static_assert(POLICY_CREDENTIAL_PATHS_MAX <= PM_CREDENTIALS_MAX, "a good policy fits the mask");
_Static_assert(POLICY_PATH_BYTES_MAX <= PM_WATCH_BYTES, "a good path fits the key");

/* What the programs read beside the maps. */
struct watch_globals {
	uint64_t on;
	uint64_t leaves[PM_LEAF_WORDS];
};

/* The one of the two that the pointer does not lead to; -1 when the kernel does not say. */
static int spare_of(int pointer_fd, int a_fd, int b_fd)
{
	struct bpf_map_info info = {0};
	uint32_t zero = 0, bytes = sizeof(info), id;

	if (bpf_map_lookup_elem(pointer_fd, &zero, &id) ||
	    bpf_obj_get_info_by_fd(a_fd, &info, &bytes))
		return -1;
	return info.id == id ? b_fd : a_fd;
}

/* Both tables have keys of one size. */
static void empty(int fd)
{
	struct pm_credential_key key;

	while (!bpf_map_get_next_key(fd, NULL, &key))
		if (bpf_map_delete_elem(fd, &key))
			return;
}

static bool fill_paths(int fd, const struct policy *policy, struct watch_globals *globals)
{
	uint32_t one = 1;

	empty(fd);
	for (size_t i = 0; i < policy->watch_count; i++) {
		struct pm_watch_key key = {0};
		size_t bytes = strlen(policy->watch_paths[i]);

		key.prefix_bits = (uint32_t)(8 * bytes);
		memcpy(key.path, policy->watch_paths[i], bytes);
		if (bpf_map_update_elem(fd, &key, &one, BPF_ANY))
			return false;
		globals->on |= PM_WATCH_PATHS;
	}
	return true;
}

static bool add_mask(int fd, uint32_t level, const char *name, size_t bytes, uint64_t mask)
{
	struct pm_credential_key key = {.level = level};
	uint64_t old = 0;

	memcpy(key.name, name, bytes);
	bpf_map_lookup_elem(fd, &key, &old);
	mask |= old;
	return !bpf_map_update_elem(fd, &key, &mask, BPF_ANY);
}

static void add_leaf(struct watch_globals *globals, const char *name, size_t bytes)
{
	uint64_t first = 0;
	uint32_t bit;

	memcpy(&first, name, bytes < sizeof(first) ? bytes : sizeof(first));
	bit = pm_leaf_bit(first, (uint32_t)bytes);
	globals->leaves[bit / 64] |= 1ull << bit % 64;
}

/* Components leaf-first, as the kernel compares them; a path of none is never listed. */
static bool add_credential(int fd, const char *path, uint64_t bit, struct watch_globals *globals)
{
	size_t end = strlen(path);
	uint32_t level = 0;

	while (end > 0) {
		size_t start = end, bytes;

		while (start > 0 && path[start - 1] != '/')
			start--;
		bytes = end - start;
		end = start ? start - 1 : 0;
		if (!bytes)
			continue;
		if (!level && bytes == 1 && path[start] == '*')
			globals->on |= PM_WATCH_ANY_LEAF;
		if (!level)
			add_leaf(globals, path + start, bytes);
		if (!add_mask(fd, level++, path + start, bytes, bit))
			return false;
	}
	if (level)
		globals->on |= PM_WATCH_CREDENTIALS;
	return !level || add_mask(fd, level, "", 0, bit);
}

static bool fill_credentials(int fd, const struct policy *policy, struct watch_globals *globals)
{
	empty(fd);
	for (size_t i = 0; i < policy->credential_count; i++)
		if (!add_credential(fd, policy->credential_paths[i], 1ull << i, globals))
			return false;
	return true;
}

static bool turn(int pointer_fd, int fd)
{
	uint32_t zero = 0;

	return !bpf_map_update_elem(pointer_fd, &zero, &fd, BPF_ANY);
}

bool bpf_watch_set(struct procmond_bpf *skeleton, struct procmond_bpf__bss *set,
		   const struct policy *policy)
{
	int paths_pointer = bpf_map__fd(skeleton->maps.watch_paths);
	int credentials_pointer = bpf_map__fd(skeleton->maps.credentials);
	int paths = spare_of(paths_pointer, bpf_map__fd(skeleton->maps.watch_paths_a),
			     bpf_map__fd(skeleton->maps.watch_paths_b));
	int rows = spare_of(credentials_pointer, bpf_map__fd(skeleton->maps.credentials_a),
			    bpf_map__fd(skeleton->maps.credentials_b));
	struct watch_globals globals = {0};

	if (paths < 0 || rows < 0 || !fill_paths(paths, policy, &globals) ||
	    !fill_credentials(rows, policy, &globals))
		return false;
	/* Wider than either list first: what is only skipped by these must not skip during the turn. */
	for (int i = 0; i < PM_LEAF_WORDS; i++)
		skeleton->bss->credential_leaves[i] = set->credential_leaves[i] |= globals.leaves[i];
	skeleton->bss->watch_on = set->watch_on |= globals.on;
	if (!turn(paths_pointer, paths) || !turn(credentials_pointer, rows))
		return false;
	skeleton->bss->watch_on = set->watch_on = globals.on;
	for (int i = 0; i < PM_LEAF_WORDS; i++)
		skeleton->bss->credential_leaves[i] = set->credential_leaves[i] = globals.leaves[i];
	return true;
}
