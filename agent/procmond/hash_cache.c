/*
 * The cache of hashes, see hash_cache.h: rows in a fixed table, chained by bucket and by last use.
 * Rows are taken from the front, so a machine that runs few programs touches little of it.
 */
#include "hash_cache.h"

#include <string.h>

void hash_cache_open(struct hash_cache *cache)
{
	cache->used = 0;
	cache->newest = HASH_CACHE_NONE;
	cache->oldest = HASH_CACHE_NONE;
	memset(cache->buckets, 0xff, sizeof(cache->buckets));
}

static uint16_t *bucket_of(struct hash_cache *cache, const struct file_identity *identity)
{
	/* Whoever can choose inode numbers can at most make its own look-ups slow, by 4,096 rows. */
	uint64_t sum = identity->ino * 0x9e3779b97f4a7c15ull ^ identity->dev * 0xc2b2ae3d27d4eb4full ^
		       identity->ctime_ns;

	return &cache->buckets[(sum ^ sum >> 29) * 0x9e3779b97f4a7c15ull >> 51];
}

static void unlink_use(struct hash_cache *cache, uint16_t at)
{
	struct hash_cache_row *row = &cache->rows[at];

	if (row->newer == HASH_CACHE_NONE)
		cache->newest = row->older;
	else
		cache->rows[row->newer].older = row->older;
	if (row->older == HASH_CACHE_NONE)
		cache->oldest = row->newer;
	else
		cache->rows[row->older].newer = row->newer;
}

static void link_newest(struct hash_cache *cache, uint16_t at)
{
	struct hash_cache_row *row = &cache->rows[at];

	row->newer = HASH_CACHE_NONE;
	row->older = cache->newest;
	if (cache->newest == HASH_CACHE_NONE)
		cache->oldest = at;
	else
		cache->rows[cache->newest].newer = at;
	cache->newest = at;
}

static uint16_t find(struct hash_cache *cache, const struct file_identity *identity)
{
	uint16_t at = *bucket_of(cache, identity);

	while (at != HASH_CACHE_NONE &&
	       memcmp(&cache->rows[at].identity, identity, sizeof(*identity)))
		at = cache->rows[at].chain;
	return at;
}

const struct hash_cache_row *hash_cache_find(struct hash_cache *cache,
					     const struct file_identity *identity)
{
	uint16_t at = find(cache, identity);

	if (at == HASH_CACHE_NONE)
		return NULL;
	unlink_use(cache, at);
	link_newest(cache, at);
	return &cache->rows[at];
}

/* Takes the row used longest ago out of its bucket. */
static uint16_t evict(struct hash_cache *cache)
{
	uint16_t at = cache->oldest;
	uint16_t *link = bucket_of(cache, &cache->rows[at].identity);

	while (*link != at)
		link = &cache->rows[*link].chain;
	*link = cache->rows[at].chain;
	unlink_use(cache, at);
	return at;
}

void hash_cache_put(struct hash_cache *cache, const struct file_identity *identity,
		    const uint8_t sha256[HASH_BYTES], const uint8_t blake3[HASH_BYTES])
{
	uint16_t at = find(cache, identity);

	if (at == HASH_CACHE_NONE) {
		uint16_t *bucket = bucket_of(cache, identity);

		at = cache->used < HASH_CACHE_ROWS ? cache->used++ : evict(cache);
		cache->rows[at].identity = *identity;
		/* Eviction may have changed the bucket's head: it is read after it. */
		cache->rows[at].chain = *bucket;
		*bucket = at;
	} else {
		unlink_use(cache, at);
	}
	memcpy(cache->rows[at].sha256, sha256, HASH_BYTES);
	memcpy(cache->rows[at].blake3, blake3, HASH_BYTES);
	link_newest(cache, at);
}
