/*
 * Reads one file and hashes it, on the hashing thread. It guarantees that the digests are those of
 * the file with the identity it returns: size and times are compared before and after reading. It
 * must never open what could block or act on opening: regular files on local filesystems only.
 */
#ifndef PROCMOND_HASH_FILE_H
#define PROCMOND_HASH_FILE_H

#include "hash_job.h"

/* Called between pieces of a file; false = stop, the outcome is then DISABLED. */
typedef bool hash_pause(void *context);

/* Fills the result but for slot and last. Runs one job of a kind other than memory. */
void hash_file_run(const struct hash_job *job, struct hash_result *result, hash_pause *pause,
		   void *context);

#endif
