/*
 * BLAKE3, see blake3.h, after the specification at github.com/BLAKE3-team/BLAKE3-specs. Debian 12
 * has no C library of it. Four chunks are hashed side by side in vector lanes, which the compiler
 * turns into whatever the CPU has; single blocks use lane 0 of the same code, so there is one
 * compression function to be right. It must never branch on the data.
 */
#include "blake3.h"

#include <string.h>

#define BLOCK_BYTES 64
#define ROUNDS 7

/* The specification's domain flags. */
#define CHUNK_START 1u
#define CHUNK_END 2u
#define PARENT 4u
#define ROOT 8u

typedef uint32_t lanes __attribute__((vector_size(4 * BLAKE3_LANES)));

/* A block that may turn out to be the root, kept until that is known. */
struct node {
	uint32_t cv[8];
	uint32_t words[16];
	uint64_t counter;
	uint32_t length;
	uint32_t flags;
};

static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
				    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static const uint8_t schedule[ROUNDS][16] = {
	{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
	{2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8},
	{3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1},
	{10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6},
	{12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4},
	{9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7},
	{11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13},
};

static inline lanes spread(uint32_t value)
{
	return (lanes){value, value, value, value};
}

static inline lanes rotate(lanes value, int bits)
{
	return value >> bits | value << (32 - bits);
}

static inline void mix(lanes *a, lanes *b, lanes *c, lanes *d, const lanes *x, const lanes *y)
{
	*a += *b + *x;
	*d = rotate(*d ^ *a, 16);
	*c += *d;
	*b = rotate(*b ^ *c, 12);
	*a += *b + *y;
	*d = rotate(*d ^ *a, 8);
	*c += *d;
	*b = rotate(*b ^ *c, 7);
}

static void compress(lanes cv[8], const lanes m[16], const lanes counter[2], uint32_t length,
		     uint32_t flags)
{
	lanes v[16];

	for (int i = 0; i < 8; i++)
		v[i] = cv[i];
	for (int i = 0; i < 4; i++)
		v[8 + i] = spread(initial[i]);
	v[12] = counter[0];
	v[13] = counter[1];
	v[14] = spread(length);
	v[15] = spread(flags);
	for (int r = 0; r < ROUNDS; r++) {
		const uint8_t *s = schedule[r];

		mix(&v[0], &v[4], &v[8], &v[12], &m[s[0]], &m[s[1]]);
		mix(&v[1], &v[5], &v[9], &v[13], &m[s[2]], &m[s[3]]);
		mix(&v[2], &v[6], &v[10], &v[14], &m[s[4]], &m[s[5]]);
		mix(&v[3], &v[7], &v[11], &v[15], &m[s[6]], &m[s[7]]);
		mix(&v[0], &v[5], &v[10], &v[15], &m[s[8]], &m[s[9]]);
		mix(&v[1], &v[6], &v[11], &v[12], &m[s[10]], &m[s[11]]);
		mix(&v[2], &v[7], &v[8], &v[13], &m[s[12]], &m[s[13]]);
		mix(&v[3], &v[4], &v[9], &v[14], &m[s[14]], &m[s[15]]);
	}
	for (int i = 0; i < 8; i++)
		cv[i] = v[i] ^ v[8 + i];
}

/* One block in lane 0; `cv` becomes its chaining value. */
static void compress_node(const struct node *node, uint32_t flags, uint32_t out[8])
{
	lanes cv[8], m[16];
	lanes counter[2] = {spread((uint32_t)node->counter), spread((uint32_t)(node->counter >> 32))};

	for (int i = 0; i < 8; i++)
		cv[i] = spread(node->cv[i]);
	for (int i = 0; i < 16; i++)
		m[i] = spread(node->words[i]);
	compress(cv, m, counter, node->length, node->flags | flags);
	for (int i = 0; i < 8; i++)
		out[i] = cv[i][0];
}

static struct node parent_of(const uint32_t left[8], const uint32_t right[8])
{
	struct node node = {.length = BLOCK_BYTES, .flags = PARENT};

	memcpy(node.cv, initial, sizeof(initial));
	memcpy(node.words, left, 32);
	memcpy(node.words + 8, right, 32);
	return node;
}

/* The last block of a chunk of 0 … 1,024 bytes, everything before it compressed. */
static struct node last_block(const uint8_t *chunk, size_t length, uint64_t counter)
{
	struct node node = {.counter = counter, .flags = CHUNK_START};

	memcpy(node.cv, initial, sizeof(initial));
	while (length > BLOCK_BYTES) {
		memcpy(node.words, chunk, BLOCK_BYTES);
		node.length = BLOCK_BYTES;
		compress_node(&node, 0, node.cv);
		node.flags = 0;
		chunk += BLOCK_BYTES;
		length -= BLOCK_BYTES;
	}
	memset(node.words, 0, sizeof(node.words));
	memcpy(node.words, chunk, length);
	node.length = (uint32_t)length;
	node.flags |= CHUNK_END;
	return node;
}

/* Enters a chunk that is known not to be the last: full subtrees merge at once. */
static void push(struct blake3 *hash, uint32_t cv[8])
{
	hash->chunks++;
	for (uint64_t count = hash->chunks; !(count & 1); count >>= 1) {
		struct node node = parent_of(hash->stack[--hash->depth], cv);

		compress_node(&node, 0, cv);
	}
	memcpy(hash->stack[hash->depth++], cv, 32);
}

static void add_four_chunks(struct blake3 *hash, const uint8_t *bytes)
{
	lanes cv[8], m[16], counter[2];

	for (int i = 0; i < 8; i++)
		cv[i] = spread(initial[i]);
	for (int lane = 0; lane < BLAKE3_LANES; lane++) {
		counter[0][lane] = (uint32_t)(hash->chunks + (uint64_t)lane);
		counter[1][lane] = (uint32_t)((hash->chunks + (uint64_t)lane) >> 32);
	}
	for (size_t at = 0; at < BLAKE3_CHUNK_BYTES; at += BLOCK_BYTES) {
		uint32_t flags = (at ? 0 : CHUNK_START) |
				 (at + BLOCK_BYTES < BLAKE3_CHUNK_BYTES ? 0 : CHUNK_END);

		for (size_t word = 0; word < 16; word++) {
			uint32_t row[BLAKE3_LANES];

			for (size_t lane = 0; lane < BLAKE3_LANES; lane++)
				memcpy(&row[lane], bytes + lane * BLAKE3_CHUNK_BYTES + at + 4 * word, 4);
			m[word] = (lanes){row[0], row[1], row[2], row[3]};
		}
		compress(cv, m, counter, BLOCK_BYTES, flags);
	}
	for (int lane = 0; lane < BLAKE3_LANES; lane++) {
		uint32_t one[8];

		for (int i = 0; i < 8; i++)
			one[i] = cv[i][lane];
		push(hash, one);
	}
}

void blake3_open(struct blake3 *hash)
{
	hash->chunks = 0;
	hash->used = 0;
	hash->depth = 0;
}

void blake3_add(struct blake3 *hash, const uint8_t *bytes, size_t length)
{
	while (length) {
		size_t room = sizeof(hash->buf) - hash->used;
		size_t taken = length < room ? length : room;

		/* A full buffer is hashed only when something follows it. */
		if (!room) {
			add_four_chunks(hash, hash->buf);
			hash->used = 0;
			continue;
		}
		if (!hash->used && length > sizeof(hash->buf)) {
			add_four_chunks(hash, bytes);
			bytes += sizeof(hash->buf);
			length -= sizeof(hash->buf);
			continue;
		}
		memcpy(hash->buf + hash->used, bytes, taken);
		hash->used += taken;
		bytes += taken;
		length -= taken;
	}
}

void blake3_close(struct blake3 *hash, uint8_t digest[BLAKE3_BYTES])
{
	const uint8_t *at = hash->buf;
	size_t left = hash->used;
	uint32_t cv[8];
	struct node node;

	for (; left > BLAKE3_CHUNK_BYTES; left -= BLAKE3_CHUNK_BYTES, at += BLAKE3_CHUNK_BYTES) {
		node = last_block(at, BLAKE3_CHUNK_BYTES, hash->chunks);
		compress_node(&node, 0, cv);
		push(hash, cv);
	}
	node = last_block(at, left, hash->chunks);
	while (hash->depth) {
		compress_node(&node, 0, cv);
		node = parent_of(hash->stack[--hash->depth], cv);
	}
	compress_node(&node, ROOT, cv);
	memcpy(digest, cv, BLAKE3_BYTES);
}
