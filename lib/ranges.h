/*
 * Sets of 64-bit numbers kept as sorted, disjoint, non-adjacent ranges: what was received, what was acknowledged.
 */
#ifndef LIB_RANGES_H
#define LIB_RANGES_H

#include "lib/wire.h"

struct range {
	uint64_t first;
	uint64_t last; /* inclusive */
};

struct ranges {
	struct range *items;
	size_t count;
	size_t capacity;
};

void ranges_release(struct ranges *set);
void ranges_add(struct ranges *set, uint64_t first, uint64_t last);
/* Takes one number out; a range that held it in its midst becomes two. */
void ranges_remove(struct ranges *set, uint64_t number);
void ranges_merge(struct ranges *set, const struct ranges *other);
/* Takes FIRST to LAST out. */
void ranges_cut(struct ranges *set, uint64_t first, uint64_t last);
bool ranges_contain(const struct ranges *set, uint64_t number);
/* The largest member; 0 for the empty set. */
uint64_t ranges_last(const struct ranges *set);
/* The lowest MAXIMUM ranges: count, then gap and length of each as varints. The two largest 64-bit numbers can be
 * members, but not be written and read. */
void ranges_write(const struct ranges *set, size_t maximum, struct buf *out);
/* Reads what ranges_write wrote, at most MAXIMUM ranges; R fails on anything not in order. */
void ranges_read(struct ranges *set, size_t maximum, struct reader *r);

#endif
