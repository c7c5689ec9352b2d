/*
 * The hashes of files that were read, by identity. It guarantees a bounded size: the file not
 * asked for the longest is forgotten. It must never answer for a file that changed: the identity
 * holds size and both times, and ctime cannot be set back by the file's owner.
 */
#ifndef PROCMOND_HASH_CACHE_H
#define PROCMOND_HASH_CACHE_H

#include "hash_job.h"

/* A full desktop runs some 1,500 distinct executables over weeks; 4,096 rows are 512 KiB. */
#define HASH_CACHE_ROWS 4096
#define HASH_CACHE_BUCKETS 8192
#define HASH_CACHE_NONE UINT16_MAX

struct hash_cache_row {
	struct file_identity identity;
	uint8_t sha256[HASH_BYTES];
	uint8_t blake3[HASH_BYTES];
	uint16_t chain; /* next in the bucket */
	uint16_t newer, older; /* by last use */
};

struct hash_cache {
	uint16_t used;
	uint16_t newest, oldest;
	uint16_t buckets[HASH_CACHE_BUCKETS];
	struct hash_cache_row rows[HASH_CACHE_ROWS];
};

_Static_assert(sizeof(struct hash_cache_row) <= 112, "the memory stated above");

void hash_cache_open(struct hash_cache *cache);
/* NULL = not known. Valid until the next put. */
const struct hash_cache_row *hash_cache_find(struct hash_cache *cache,
					     const struct file_identity *identity);
void hash_cache_put(struct hash_cache *cache, const struct file_identity *identity,
		    const uint8_t sha256[HASH_BYTES], const uint8_t blake3[HASH_BYTES]);

#endif
