#include "spool/notes.h"

#include "lib/alloc.h"

void notes_add(struct notes *n, const char *neighbour, const struct event_note *event)
{
	struct note *note;

	if (neighbour == NULL)
		return;
	n->items = mem_grow(n->items, n->count, &n->capacity, sizeof *note);
	note = &n->items[n->count++];
	note->event = *event;
	snprintf(note->neighbour, sizeof note->neighbour, "%s", neighbour);
}

static int compare_notes(const void *a, const void *b)
{
	return strcmp(((const struct note *)a)->neighbour, ((const struct note *)b)->neighbour);
}

enum outcome notes_flush(struct notes *n, const struct dir *state, const struct dir *lock, struct error *err)
{
	struct event_note *events = mem_array(n->count, sizeof *events);
	enum outcome outcome = OUTCOME_DONE;

	if (n->count > 1)
		qsort(n->items, n->count, sizeof n->items[0], compare_notes);
	for (size_t i = 0; i < n->count && outcome == OUTCOME_DONE;) {
		size_t count = 0;
		const char *name = n->items[i].neighbour;

		while (i + count < n->count && strcmp(n->items[i + count].neighbour, name) == 0) {
			events[count] = n->items[i + count].event;
			count++;
		}
		outcome = events_note(state, lock, name, events, count, err);
		i += count;
	}
	n->count = 0;
	free(events);
	return outcome;
}

void notes_release(struct notes *n)
{
	free(n->items);
	*n = (struct notes){.count = 0};
}
