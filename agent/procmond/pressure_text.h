/*
 * Reads the kernel's texts about pressure and memory. It guarantees FIDELITY_ABSENT for everything
 * that is not such a text. It must never touch a file: the tests give it texts of their own.
 */
#ifndef PROCMOND_PRESSURE_TEXT_H
#define PROCMOND_PRESSURE_TEXT_H

#include <stdint.h>

/* avg10 of the line that begins with `which` ("some", "full"); FIDELITY_ABSENT when not there. */
uint32_t pressure_parse(const char *text, const char *which);
/* Use of a limit, from the texts of memory.current and memory.max; a limit "max" is use 0. */
uint32_t pressure_parse_use(const char *current, const char *max);

#endif
