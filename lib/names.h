/*
 * Lists of names, as directories have them.
 */
#ifndef LIB_NAMES_H
#define LIB_NAMES_H

#include <stdbool.h>
#include <stddef.h>

struct names {
	char **items;
	size_t count;
	size_t capacity;
};

void names_add(struct names *names, const char *name);
/* Bytewise. */
void names_sort(struct names *names);
bool names_contain(const struct names *sorted, const char *name);
/* Sorts them and keeps the first LIMIT. */
void names_cut(struct names *names, size_t limit);
void names_release(struct names *names);

#endif
