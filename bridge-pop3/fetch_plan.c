#include "bridge-pop3/fetch_plan.h"

#include <sodium.h>

#include "lib/alloc.h"

static int compare_messages(const void *a, const void *b)
{
	const struct fetch_message *x = *(struct fetch_message *const *)a;
	const struct fetch_message *y = *(struct fetch_message *const *)b;

	return strcmp(x->uid, y->uid);
}

/* UIDs that cannot be believed are taken away. */
static void names_judge(struct fetch_plan *plan)
{
	struct fetch_message **named = mem_array(plan->count + 1, sizeof named[0]);
	size_t count = 0;

	for (size_t i = 0; i < plan->count; i++) {
		struct fetch_message *m = &plan->messages[i];

		if (m->uid != NULL && !fetched_uid_valid(view_text(m->uid)))
			m->uid = NULL;
		if (m->uid != NULL)
			named[count++] = m;
	}
	if (count > 0)
		qsort(named, count, sizeof named[0], compare_messages);
	for (size_t i = 0; i < count;) {
		size_t same = i + 1;

		while (same < count && strcmp(named[i]->uid, named[same]->uid) == 0)
			same++;
		if (same - i > 1)
			plan->doubled += same - i;
		for (size_t k = i; same - i > 1 && k < same; k++)
			named[k]->uid = NULL;
		i = same;
	}
	free(named);
	for (size_t i = 0; i < plan->count; i++)
		plan->unnamed += plan->messages[i].uid == NULL;
}

bool fetch_plan_due(const struct fetch_plan *plan, const struct fetched *state, const struct fetched_item *item)
{
	return state->age - item->age >= plan->leave;
}

static enum fetch_action action_of(
    const struct fetch_plan *plan, const struct fetched *state, const struct fetch_message *m)
{
	const struct fetched_item *item = m->item == FETCH_UNKNOWN ? NULL : &state->items[m->item];

	if (item != NULL && item->kind == FETCHED_MAIL) {
		/* What has another size under the same name, or was deleted, may be another message: its text will tell. */
		if (item->octets != m->octets || item->deleted)
			return FETCH_RETRIEVE;
		return fetch_plan_due(plan, state, item) ? FETCH_DELETE : FETCH_NOTHING;
	}
	/* The listing may have said less than there was. */
	if (item != NULL && (m->too_large || item->octets > plan->max_size))
		return FETCH_NOTHING;
	/* Where every owner has a way of his own, only the header says whether it has become wide enough. */
	if (item != NULL && plan->multidrop)
		return plan->top ? FETCH_LOOK : FETCH_NOTHING;
	if (m->too_large)
		return plan->top ? FETCH_LOOK : FETCH_TELL;
	if (plan->top &&
	    ((plan->multidrop && m->octets > FETCH_LOOK_ABOVE) || (m->uid == NULL && plan->told_unnamed)))
		return FETCH_LOOK;
	return FETCH_RETRIEVE;
}

/*
 * A server that deletes nothing lists the same again. Only if all that has no name and was deleted stands at the beginning, in its order
 * and with its sizes, texts are taken for those; a second message with the text of a deleted one is new.
 */
static bool looks_kept(const struct fetch_plan *plan, const struct fetched *state)
{
	size_t at = 0;

	for (size_t i = 0; i < state->count; i++) {
		const struct fetched_item *item = &state->items[i];

		if (!item->deleted || item->uid != NULL || item->gone)
			continue;
		if (at >= plan->count || plan->messages[at].octets != item->octets)
			return false;
		at++;
	}
	return at > 0;
}

void fetch_plan_make(struct fetch_plan *plan, struct fetched *state)
{
	plan->doubled = plan->unnamed = 0;
	plan->told_unnamed = false;
	names_judge(plan);
	fetched_index(state);
	for (size_t i = 0; i < state->count; i++) {
		state->items[i].present = false;
		plan->told_unnamed |= state->items[i].uid == NULL && state->items[i].kind == FETCHED_NOTICE;
	}
	for (size_t i = 0; i < plan->count; i++) {
		struct fetch_message *m = &plan->messages[i];
		struct fetched_item *item = m->uid == NULL ? NULL : fetched_find(state, m->uid);

		m->item = item == NULL ? FETCH_UNKNOWN : (size_t)(item - state->items);
		m->too_large = m->octets > plan->max_size;
		m->action = action_of(plan, state, m);
		if (item != NULL)
			item->present = true;
	}
	plan->kept = looks_kept(plan, state);
	plan->whole = plan->named && !plan->partial && plan->unnamed == 0;
	for (size_t i = 0; plan->whole && i < state->count; i++)
		if (state->items[i].uid != NULL && fetch_plan_absent(plan, &state->items[i]))
			state->items[i].gone = true;
}

bool fetch_plan_absent(const struct fetch_plan *plan, const struct fetched_item *item)
{
	return !item->present && (plan->count > 0 || item->deleted);
}

static bool is_zero(const uint8_t digest[static FETCHED_DIGEST])
{
	return sodium_is_zero(digest, FETCHED_DIGEST) == 1;
}

size_t fetch_plan_match(const struct fetch_plan *plan, const struct fetched *state, const struct fetch_message *m,
    enum fetched_kind kind, const uint8_t digest[static FETCHED_DIGEST])
{
	if (m->item != FETCH_UNKNOWN) {
		const struct fetched_item *item = &state->items[m->item];

		return item->kind == kind && memcmp(item->digest, digest, FETCHED_DIGEST) == 0 ? m->item
											       : FETCH_UNKNOWN;
	}
	for (size_t i = 0; i < state->count; i++) {
		const struct fetched_item *item = &state->items[i];

		/* A name that is gone and one that is new may be the same message's: some servers give all new ones at times. */
		if (item->kind == kind && !item->present && (!item->deleted || plan->kept) &&
		    (item->uid == NULL || m->uid == NULL || item->gone) &&
		    memcmp(item->digest, digest, FETCHED_DIGEST) == 0 &&
		    (kind == FETCHED_MAIL || item->octets == m->octets || !is_zero(digest)))
			return i;
	}
	return FETCH_UNKNOWN;
}

void fetch_plan_met(struct fetched *state, const struct fetch_message *m)
{
	struct fetched_item *item = &state->items[m->item];

	item->present = true;
	if (!item->gone)
		return;
	item->gone = false;
	free(item->uid);
	item->uid = mem_string(m->uid);
	state->changed = true;
}
