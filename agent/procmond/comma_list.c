/* Lists of names, see comma_list.h. */
#include "comma_list.h"

#include <stdio.h>
#include <string.h>

void comma_list_add(char *list, size_t bytes, const char *name)
{
	size_t used = strlen(list);

	snprintf(list + used, bytes - used, "%s%s", used ? "," : "", name);
}

bool comma_list_has(const char *list, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = list; *at;) {
		size_t entry = strcspn(at, ",");

		if (entry == length && !memcmp(at, name, length))
			return true;
		at += entry + (at[entry] == ',');
	}
	return false;
}
