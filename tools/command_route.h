/*
 * The routes of a configuration in the order in which they are asked, those that nobody wrote (our own domains, the
 * names of neighbours) among them: what `route list` and `check` show.
 */
#ifndef TOOLS_COMMAND_ROUTE_H
#define TOOLS_COMMAND_ROUTE_H

#include "tools/command.h"

struct route_line {
	int rank;	     /* as queue/route.h has it: user, domain, our domain, neighbour, *.domain, * */
	const char *pattern; /* borrowed from the configuration, like the rest but VIA */
	char *via;
	const char *where;
	const struct config_route *route; /* null: nobody wrote it */
};
struct route_lines {
	struct route_line *items;
	size_t count;
	size_t capacity;
};

void route_lines_make(const struct config *c, struct route_lines *lines);
void route_lines_release(struct route_lines *lines);
/* For qsort over lines; and what a written pattern ranks as. */
int route_compare(const void *a, const void *b);
int route_rank(const char *pattern);

#endif
