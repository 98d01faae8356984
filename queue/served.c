#include "queue/served.h"

#include "lib/alloc.h"
#include "lib/text.h"

static char *file_of(const char *name)
{
	return mem_format("served-%s", name);
}

bool served_look(const struct queue *q, const char *name, const struct age *age, uint64_t *when)
{
	char *file = file_of(name);
	struct buf text;
	bool known;

	buf_init(&text, 64);
	known = file_read(&q->state, file, &text, NULL) == OUTCOME_DONE &&
		number_parse(view_buf(&text), UINT64_MAX, when);
	/* An age that has not come yet is from before the age file was lost; a little ahead, another process kept it. */
	if (known && *when > age->now)
		known = *when - age->now <= AGE_STEP;
	if (known && *when > age->now)
		*when = age->now;
	buf_release(&text);
	free(file);
	return known;
}

bool served_note(const struct queue *q, const char *name, uint64_t now)
{
	char *file = file_of(name);
	struct buf text;
	bool noted;

	buf_init(&text, 64);
	buf_number(&text, now);
	noted = file_replace(&q->tmp, &q->state, file, view_buf(&text), NULL) == OUTCOME_DONE;
	buf_release(&text);
	free(file);
	return noted;
}
