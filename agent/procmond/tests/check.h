/*
 * Counts checks of one test program. It guarantees that a failed check is printed with its place
 * and fails the program. It must never stop at the first failure: the others say more.
 */
#ifndef PROCMOND_TESTS_CHECK_H
#define PROCMOND_TESTS_CHECK_H

#include <stdbool.h>
#include <stdio.h>

static int checks, failures;

#define CHECK(condition) check(condition, #condition, __func__, __LINE__)
static inline void check(bool good, const char *what, const char *test, int line)
{
	checks++;
	if (good)
		return;
	failures++;
	fprintf(stderr, "FAIL %s:%d %s\n", test, line, what);
}

static inline int check_report(const char *name)
{
	printf("%s: %d checks, %d failed\n", name, checks, failures);
	return failures != 0;
}

#endif
