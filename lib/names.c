#include "lib/names.h"

#include <stdlib.h>

#include "lib/alloc.h"

void names_add(struct names *names, const char *name)
{
	names->items = mem_grow(names->items, names->count, &names->capacity, sizeof names->items[0]);
	names->items[names->count++] = mem_string(name);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void names_sort(struct names *names)
{
	if (names->count > 1)
		qsort(names->items, names->count, sizeof names->items[0], compare_names);
}

bool names_contain(const struct names *sorted, const char *name)
{
	return sorted->count > 0 &&
	       bsearch(&name, sorted->items, sorted->count, sizeof sorted->items[0], compare_names) != NULL;
}

void names_release(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->items[i]);
	free(names->items);
	*names = (struct names){0};
}

void names_cut(struct names *names, size_t limit)
{
	names_sort(names);
	while (names->count > limit)
		free(names->items[--names->count]);
}
