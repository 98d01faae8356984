#include "tools/trouble.h"

#include "lib/alloc.h"
#include "lib/text.h"
#include "queue/hop.h"
#include "tools/logread.h"
#include "tools/select.h"

/* How much of the end of the log is read: what a pass says of some thousands of messages. */
#define TROUBLE_LOG_END ((size_t)1 << 20)

void troubles_release(struct troubles *t)
{
	for (size_t i = 0; i < t->count; i++) {
		free(t->items[i].name);
		free(t->items[i].at);
		free(t->items[i].reason);
	}
	free(t->items);
	*t = (struct troubles){.spool = t->spool};
}

static bool note(void *context, struct view line)
{
	struct troubles *t = context;
	const uint8_t *space = line.length > 0 ? memchr(line.bytes, ' ', line.length) : NULL;
	static const char event[] = " trouble ";
	size_t left = space == NULL ? 0 : line.length - (size_t)(space - line.bytes);
	struct log_fields f = {0};
	const char *reason;

	if (left < strlen(event) || memcmp(space, event, strlen(event)) != 0 || !log_fields_parse(&f, line))
		return true;
	reason = log_field(&f, "reason");
	if (reason != NULL && strchr(f.id, '.') != NULL) {
		t->items = mem_grow(t->items, t->count, &t->capacity, sizeof t->items[0]);
		t->items[t->count] =
		    (struct trouble){mem_string(f.id), mem_string(log_field(&f, "at")), mem_string(reason), t->count};
		t->count++;
	}
	log_fields_release(&f);
	return true;
}

/* By name, the last line of one name first. */
static int compare(const void *a, const void *b)
{
	const struct trouble *x = a;
	const struct trouble *y = b;
	int names = strcmp(x->name, y->name);

	return names != 0 ? names : x->order < y->order ? 1 : x->order > y->order ? -1 : 0;
}

static int compare_name(const void *name, const void *item)
{
	return strcmp(name, ((const struct trouble *)item)->name);
}

/* What is said last of NAME, null: nothing. */
static const struct trouble *last_of(struct troubles *t, const char *name)
{
	const struct trouble *found = NULL;

	if (!t->read) {
		t->read = true;
		/* A log that cannot be read says nothing: the mail is shown all the same. */
		(void)log_read_end(t->spool, TROUBLE_LOG_END, note, t, NULL);
		if (t->count > 1)
			qsort(t->items, t->count, sizeof t->items[0], compare);
	}
	if (t->count > 0)
		found = bsearch(name, t->items, t->count, sizeof t->items[0], compare_name);
	while (found != NULL && found > t->items && strcmp(found[-1].name, name) == 0)
		found--;
	return found;
}

/* What only a relay pass moves, and moves as a whole: of the rest the records tell. */
static bool passes_move(const struct queue_place *place)
{
	return hop_is_claim(place->hop, place->name) ||
	       (place->within[0] == '\0' && (strcmp(place->hop, "local") == 0 || strcmp(place->hop, "expand") == 0 ||
						strcmp(place->hop, "failed") == 0));
}

void trouble_reason(struct troubles *t, const struct queue_place *place, const struct entry *e, struct buf *out)
{
	const struct trouble *last;
	char *name;

	entry_reason(place, e, out);
	if (!passes_move(place))
		return;
	name = mem_copy(place->name, strcspn(place->name, "~"));
	last = last_of(t, name);
	free(name);
	if (last != NULL)
		buf_format(out, "; the last failure, at %s: %s", last->at != NULL ? last->at : "?", last->reason);
}
