#include "bridge-pop3/fetch.h"

#include "lib/clock.h"
#include "lib/text.h"

static void ask_delete(struct fetch_box *b, size_t number)
{
	pop3_client_delete(&b->client, number);
	b->under_way++;
}

void fetch_ask_retrieve(struct fetch_box *b, size_t number)
{
	const struct fetch_message *m = &b->plan.messages[number];

	pop3_client_retrieve(&b->client, number);
	b->under_way++;
	b->round++;
	b->round_octets += m->octets;
	/* What has no name is safe from being sent again only when QUIT was answered; what is left there never is. */
	if (b->plan.unnamed > 0 && b->plan.leave == 0 &&
	    (b->round >= FETCH_ROUND || b->round_octets >= FETCH_ROUND_OCTETS))
		b->round_full = true;
}

/* The server has said before that this message, which it lists again, is deleted. */
static void note_kept(struct fetch_box *b)
{
	error_set(&b->refused, EX_TEMPFAIL,
	    "%s goes on listing messages (%zu so far) of which it said that they were deleted: they are received in "
	    "each run, and "
	    "compared; nothing comes twice",
	    b->server.host, ++b->kept);
}

void fetch_known_again(struct fetch_box *b, size_t number)
{
	const struct fetched_item *item = &b->state.items[b->plan.messages[number].item];

	/* A session takes as many others. */
	b->round--;
	b->round_octets -= b->plan.messages[number].octets;
	b->round_full = false;
	if (item->deleted)
		note_kept(b);
	if (fetch_plan_due(&b->plan, &b->state, item))
		ask_delete(b, number);
}

static void ask_top(struct fetch_box *b, size_t number)
{
	pop3_client_top(&b->client, number, 0);
	b->under_way++;
}

enum outcome fetch_commit(struct fetch_box *b, struct error *err)
{
	size_t waiting = fetched_waiting(&b->state);
	enum outcome outcome = fetched_commit(&b->state, err);

	if (outcome == OUTCOME_DONE)
		b->progress += waiting;
	return outcome;
}

/* Makes durable what was laid, and the server may delete it, as far as it is due. */
static enum outcome settle(struct fetch_box *b, struct error *err)
{
	enum outcome outcome = fetch_commit(b, err);

	for (size_t i = 0; i < b->laid_count && outcome == OUTCOME_DONE; i++) {
		const struct fetched_item *item = &b->state.items[b->plan.messages[b->laid[i]].item];

		if (item->kind == FETCHED_MAIL && fetch_plan_due(&b->plan, &b->state, item))
			ask_delete(b, b->laid[i]);
	}
	b->laid_count = 0;
	b->laid_octets = 0;
	return outcome;
}

enum outcome fetch_laid(struct fetch_box *b, size_t number, uint64_t octets, struct error *err)
{
	b->laid[b->laid_count++] = number;
	b->laid_octets += octets;
	if (b->laid_count == 1)
		b->laid_since = clock_steady();
	if (b->laid_count == FETCH_GROUP || b->laid_octets >= FETCH_GROUP_OCTETS)
		return settle(b, err);
	return OUTCOME_DONE;
}

size_t fetch_notice_of(const struct fetch_box *b, size_t number, struct view head)
{
	const struct fetch_message *m = &b->plan.messages[number];
	uint8_t digest[FETCHED_DIGEST] = {0};

	if (m->item != FETCH_UNKNOWN)
		return b->state.items[m->item].kind == FETCHED_NOTICE ? m->item : FETCH_UNKNOWN;
	if (head.length > 0)
		fetch_digest(head, digest);
	else if (m->uid != NULL)
		return FETCH_UNKNOWN;
	return fetch_plan_match(&b->plan, &b->state, m, FETCHED_NOTICE, digest);
}

void fetch_notice_met(struct fetch_box *b, size_t number, size_t known)
{
	b->plan.messages[number].item = known;
	fetch_plan_met(&b->state, &b->plan.messages[number]);
}

/* Was somebody told of it? Nobody is told twice, though it should turn out to be larger than was known. */
static bool told_before(struct fetch_box *b, size_t number, struct view head, uint64_t octets)
{
	size_t known = fetch_notice_of(b, number, head);
	struct fetched_item *item;

	if (known == FETCH_UNKNOWN)
		return false;
	fetch_notice_met(b, number, known);
	item = &b->state.items[known];
	if (octets > item->octets) {
		item->octets = octets;
		b->state.changed = true;
		b->progress += b->plan.messages[number].uid != NULL; /* the next session passes it by */
	}
	return true;
}

enum outcome fetch_tell_too_large(
    struct fetch_box *b, size_t number, struct view head, uint64_t octets, uint64_t limit, struct error *err)
{
	char has[24];
	char takes[24];
	char why[100];
	enum outcome outcome;

	if (told_before(b, number, head, octets))
		return OUTCOME_DONE;
	size_print_both(octets, has, limit, takes);
	snprintf(why, sizeof why, "it has %s, and at most %s are fetched", has, takes);
	outcome = fetch_notice_lay(b, number, NULL, head, octets, why, "Too large to be fetched", err);
	return outcome == OUTCOME_DONE ? fetch_laid(b, number, 0, err) : outcome;
}

enum outcome fetch_tell_looping(struct fetch_box *b, size_t number, const struct error *why, struct error *err)
{
	const struct config *c = &b->fetch->config;
	struct buf head = b->mail.text.head;
	enum outcome outcome;

	buf_init(&b->mail.text.head, 1);
	if (told_before(b, number, view_buf(&head), FETCHED_ANY_SIZE)) {
		buf_release(&head);
		return OUTCOME_DONE;
	}
	outcome = fetch_notice_lay(b, number, c->postmaster != NULL ? c->postmaster : "postmaster", view_buf(&head),
	    FETCHED_ANY_SIZE, why->text, "Not fetched", err);
	buf_release(&head);
	return outcome == OUTCOME_DONE ? fetch_laid(b, number, 0, err) : outcome;
}

static enum outcome ask_one(struct fetch_box *b, size_t number, struct error *err)
{
	const struct fetch_message *m = &b->plan.messages[number];

	switch (m->action) {
	case FETCH_DELETE:
		ask_delete(b, number);
		return OUTCOME_DONE;
	case FETCH_RETRIEVE:
		fetch_ask_retrieve(b, number);
		return OUTCOME_DONE;
	case FETCH_LOOK:
		ask_top(b, number);
		return OUTCOME_DONE;
	case FETCH_TELL:
		return fetch_tell_too_large(b, number, view_of(NULL, 0), m->octets, b->plan.max_size, err);
	default:
		return OUTCOME_DONE;
	}
}

/*
 * How many requests may be under way. One, before a text has come that is as long as it was listed: until then the server may be one
 * of those whose texts end before they should, and every one is proved (on_retrieved).
 */
static size_t ahead(const struct fetch_box *b)
{
	return b->exact && !b->careful ? FETCH_AHEAD : 1;
}

/* The message at which the connection was lost before has a session of its own, so that it keeps no other back. */
static bool next_message(struct fetch_box *b, size_t *number)
{
	if (b->next == b->postponed)
		b->next++;
	if (b->next >= b->plan.count)
		return false;
	*number = b->next++;
	return true;
}

/* Asks for as much as is good at once. *ASKED: there is something new for the machine. */
enum outcome fetch_ask(struct fetch_box *b, bool *asked, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;
	size_t before = b->under_way;
	size_t number;

	while (outcome == OUTCOME_DONE && !b->round_full && b->under_way < ahead(b) && next_message(b, &number))
		outcome = ask_one(b, number, err);
	if (outcome == OUTCOME_DONE && b->under_way == 0)
		outcome = settle(b, err);
	if (outcome == OUTCOME_DONE && b->under_way == 0) {
		b->leaving = true;
		pop3_client_quit(&b->client);
		*asked = true;
		return OUTCOME_DONE;
	}
	*asked = b->under_way > before;
	return outcome;
}
