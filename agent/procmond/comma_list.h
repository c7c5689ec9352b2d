/*
 * Names with commas between them, as texts of frames list them. It guarantees that a name is found
 * only as a whole entry. It must never write beyond the room it is given: what does not fit is cut.
 */
#ifndef PROCMOND_COMMA_LIST_H
#define PROCMOND_COMMA_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* `bytes` is the whole room of `list`, of which the text so far takes a part. */
void comma_list_add(char *list, size_t bytes, const char *name);
bool comma_list_has(const char *list, const char *name);

#endif
