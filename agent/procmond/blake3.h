/*
 * BLAKE3, plain hashing with 32 bytes of output. It guarantees the digest of the published
 * specification for any split of the input. It must never allocate: one context is all it needs.
 */
#ifndef PROCMOND_BLAKE3_H
#define PROCMOND_BLAKE3_H

#include <stddef.h>
#include <stdint.h>

#define BLAKE3_BYTES 32
#define BLAKE3_CHUNK_BYTES 1024
/* Chunks hashed side by side, one per vector lane. */
#define BLAKE3_LANES 4
/* The tree over 2^64 bytes has 54 levels above its chunks. */
#define BLAKE3_LEVELS_MAX 54

struct blake3 {
	uint64_t chunks; /* whole chunks that are in the tree */
	size_t used; /* bytes that wait in `buf`: the last of the input must not enter the tree early */
	size_t depth;
	uint32_t stack[BLAKE3_LEVELS_MAX + 1][8];
	uint8_t buf[BLAKE3_LANES * BLAKE3_CHUNK_BYTES];
};

void blake3_open(struct blake3 *hash);
void blake3_add(struct blake3 *hash, const uint8_t *bytes, size_t length);
void blake3_close(struct blake3 *hash, uint8_t digest[BLAKE3_BYTES]);

#endif
