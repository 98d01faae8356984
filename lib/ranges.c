#include "lib/ranges.h"

#include "lib/alloc.h"

void ranges_release(struct ranges *set)
{
	free(set->items);
	*set = (struct ranges){0};
}

/* Index of the first range that ends at NUMBER or later. */
static size_t ranges_find(const struct ranges *set, uint64_t number)
{
	size_t low = 0;
	size_t high = set->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (set->items[middle].last < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void ranges_add(struct ranges *set, uint64_t first, uint64_t last)
{
	/* All ranges that overlap or touch [first, last] become one. */
	size_t from = ranges_find(set, first > 0 ? first - 1 : 0);
	size_t to = from;

	while (to < set->count && (last == UINT64_MAX || set->items[to].first <= last + 1)) {
		if (set->items[to].first < first)
			first = set->items[to].first;
		if (set->items[to].last > last)
			last = set->items[to].last;
		to++;
	}
	if (from == to) {
		set->items = mem_grow(set->items, set->count, &set->capacity, sizeof set->items[0]);
		memmove(set->items + from + 1, set->items + from, (set->count - from) * sizeof set->items[0]);
		set->count++;
	} else {
		memmove(set->items + from + 1, set->items + to, (set->count - to) * sizeof set->items[0]);
		set->count -= to - from - 1;
	}
	set->items[from] = (struct range){first, last};
}

void ranges_merge(struct ranges *set, const struct ranges *other)
{
	for (size_t i = 0; i < other->count; i++)
		ranges_add(set, other->items[i].first, other->items[i].last);
}

void ranges_cut(struct ranges *set, uint64_t first, uint64_t last)
{
	size_t from = ranges_find(set, first);
	size_t to;

	if (set->count == 0)
		return;
	if (from < set->count && set->items[from].first < first && set->items[from].last > last) {
		struct range upper = {last + 1, set->items[from].last};

		set->items[from].last = first - 1;
		ranges_add(set, upper.first, upper.last);
		return;
	}
	if (from < set->count && set->items[from].first < first)
		set->items[from++].last = first - 1;
	for (to = from; to < set->count && set->items[to].last <= last; to++)
		;
	if (to < set->count && set->items[to].first <= last)
		set->items[to].first = last + 1;
	memmove(set->items + from, set->items + to, (set->count - to) * sizeof set->items[0]);
	set->count -= to - from;
}

void ranges_remove(struct ranges *set, uint64_t number)
{
	ranges_cut(set, number, number);
}

bool ranges_contain(const struct ranges *set, uint64_t number)
{
	size_t place = ranges_find(set, number);

	return place < set->count && set->items[place].first <= number;
}

uint64_t ranges_last(const struct ranges *set)
{
	return set->count == 0 ? 0 : set->items[set->count - 1].last;
}

void ranges_write(const struct ranges *set, size_t maximum, struct buf *out)
{
	size_t count = set->count < maximum ? set->count : maximum;
	uint64_t next = 0;

	wire_varint(out, count);
	for (size_t i = 0; i < count; i++) {
		wire_varint(out, set->items[i].first - next);
		wire_varint(out, set->items[i].last - set->items[i].first);
		next = set->items[i].last + 2;
	}
}

void ranges_read(struct ranges *set, size_t maximum, struct reader *r)
{
	uint64_t count = read_varint_max(r, maximum);
	uint64_t next = 0;

	for (uint64_t i = 0; i < count && !r->failed; i++) {
		uint64_t first = 0;
		uint64_t last = 0;

		if (__builtin_add_overflow(next, read_varint(r), &first) ||
		    __builtin_add_overflow(first, read_varint(r), &last) || last > UINT64_MAX - 2)
			r->failed = true;
		if (r->failed)
			break;
		ranges_add(set, first, last);
		next = last + 2;
	}
}
