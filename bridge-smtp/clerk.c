#include "bridge-smtp/clerk.h"

#include <stdatomic.h>

#include "bridge-smtp/schedule.h"
#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/net_closer.h"
#include "lib/text.h"
#include "queue/header.h"
#include "queue/maildir.h"
#include "spool/notes.h"

/* Names of ready records read at once. */
#define CLERK_NAMES 4096
/* Records claimed under one lock, and so many times in a row: what came back meanwhile wants to be seen to, too. */
#define CLERK_BATCH   32
#define CLERK_BATCHES 16
/* Milliseconds within which a delivery is over where it is called quick. */
#define QUICK_MILLISECONDS 1000
/* A cap on reports is meant for a relay pass; here it counts for a minute. */
#define REPORTS_SECONDS 60
/* Seconds for which the same trouble is not told again. */
#define TROUBLE_SECONDS 60
/* Turns in a row in which nothing could be done, after which the operator is told. */
#define STUCK_TURNS 3
/* What is looked at to see whether the header needs SMTPUTF8. */
#define HEADER_LOOK ((size_t)64 << 10)

/* A hop that is served. */
struct station {
	struct work work;
	bool opened;
	bool looking;	    /* the names in the hop are being looked through */
	bool again;	    /* and are to be looked through once more after that */
	struct names names; /* read, from `at` on not looked at */
	size_t at;
};

struct clerk {
	const struct config *config;
	struct worker *worker;
	clerk_taken *taken;
	void *context;
	atomic_bool kicked;
	atomic_bool holding;
	bool ended; /* the thread is no more */

	/* The thread's own from here on. */
	struct queue queue;
	bool opened;
	struct age age;
	uint64_t reports_left;
	uint64_t refilled;
	struct notes notes;
	struct settle_hooks hooks;
	struct process process;
	struct closer *closer; /* of messages that were delivered: so nobody waits for their blocks to be freed */
	struct station stations[2];
	struct dir places_watched[3];
	struct schedule schedule;
	size_t active;
	bool unfinished;	 /* more could be handed out at once */
	struct error stuck;	 /* what could not be done in this turn and is to be tried again soon */
	unsigned stuck_turns;	 /* in a row */
	unsigned rounds;	 /* turns that saw to the queue of themselves, since somebody asked for it */
	struct error trouble;	 /* the first */
	char told[LIMIT_REASON]; /* the last that was logged */
	uint64_t told_at;
};

/* ---- what others must hear of ---------------------------------------------------------------------------- */

static void hook_ended(void *context, const struct settle_end *end)
{
	static const enum event_kind kinds[] = {
	    [ENTRY_DELIVERED] = EVENT_DELIVERED,
	    [ENTRY_FAILED] = EVENT_FAILED,
	    [ENTRY_FORWARDED] = EVENT_FORWARDED,
	    [ENTRY_RELAYED] = EVENT_DELIVERED,
	    [ENTRY_EXPANDED] = EVENT_DELIVERED,
	    [ENTRY_REMOVED] = EVENT_REMOVED,
	    [ENTRY_REISSUED] = EVENT_FORWARDED,
	};
	struct clerk *c = context;
	struct event_note note = {
	    end->batch_incarnation, end->batch_sequence, end->ordinal, kinds[end->end], {0, 0, 0}};

	if (end->end == ENTRY_FAILED)
		memcpy(note.status, end->status, sizeof note.status);
	notes_add(&c->notes, end->neighbour, &note);
}

static enum outcome hook_flush(void *context, struct error *err)
{
	struct clerk *c = context;

	return notes_flush(&c->notes, &c->queue.state, &c->queue.lock, err);
}

/* What goes on failing is told once a minute. */
static void log_trouble(struct clerk *c, const char *about, const char *text)
{
	if (strcmp(text, c->told) == 0 && clock_steady() - c->told_at < TROUBLE_SECONDS)
		return;
	log_event(&c->queue.log, about, "trouble", "reason", text);
	snprintf(c->told, sizeof c->told, "%s", text);
	c->told_at = clock_steady();
}

static void on_trouble(void *context, const char *about, const struct error *err)
{
	struct clerk *c = context;

	log_trouble(c, about, err->text);
	if (c->trouble.outcome == OUTCOME_DONE) {
		c->trouble = *err;
		if (c->trouble.outcome == OUTCOME_DONE)
			c->trouble.outcome = OUTCOME_LATER;
	}
}

static void contain(struct clerk *c, const char *about, enum outcome outcome, struct error *err)
{
	if (outcome != OUTCOME_DONE)
		on_trouble(c, about, err);
	*err = ERROR_NONE;
}

static struct place *place_of(struct clerk *c, const struct station *s, const char *name)
{
	const struct config_destination *d = config_destination(c->config, name);
	uint64_t connections = d != NULL && d->connections > 0 ? d->connections : c->config->smtp.connections_each;

	return schedule_place(&c->schedule, name, (size_t)(s - c->stations), (size_t)connections);
}

/* ---- making a delivery ----------------------------------------------------------------------------------- */

/* Does the content hold what only BINARYMIME carries: NUL or a lone CR? Long lines alone are sent as they are. */
static enum outcome content_body(struct message *m, enum body_type *body, struct error *err)
{
	uint8_t chunk[8192];
	size_t got = 1;
	bool after_cr = false;
	bool eight = false;
	enum outcome outcome = OUTCOME_DONE;

	message_rewind(m);
	while (outcome == OUTCOME_DONE && got > 0) {
		outcome = source_read(&m->content.source, chunk, sizeof chunk, &got, err);
		for (size_t i = 0; outcome == OUTCOME_DONE && i < got; i++) {
			if (chunk[i] == '\0' || (after_cr && chunk[i] != '\n')) {
				*body = BODY_BINARY;
				return OUTCOME_DONE;
			}
			after_cr = chunk[i] == '\r';
			eight |= chunk[i] > 127;
		}
	}
	*body = after_cr ? BODY_BINARY : eight ? BODY_8BIT : BODY_7BIT;
	return outcome;
}

/* A message that was handed in with SMTPUTF8 needs it further on only when its header says anything that does. */
static bool header_needs_utf8(struct message *m)
{
	struct buf head;
	struct buf extra;
	struct error err = ERROR_NONE;
	bool needs;

	buf_init(&head, HEADER_LOOK);
	buf_init(&extra, COPY_CHUNK);
	message_rewind(m);
	needs =
	    header_read(&m->content.source, &head, &extra, &err) != OUTCOME_DONE || view_has_8bit(view_buf(&head));
	buf_release(&head);
	buf_release(&extra);
	return needs;
}

static enum outcome delivery_make(
    struct delivery **delivery, struct settle_item *item, const char *destination, bool lmtp, struct error *err)
{
	struct delivery *d = mem_alloc(sizeof *d);
	struct envelope *e = &item->message.envelope;
	enum outcome outcome = OUTCOME_DONE;

	d->news = DELIVERY_GIVEN;
	d->destination = mem_string(destination);
	d->lmtp = lmtp;
	d->item = item;
	d->body = e->body;
	d->recipients = mem_array(item->entry.recipient_count, sizeof d->recipients[0]);
	for (size_t i = 0; i < item->entry.recipient_count; i++) {
		const struct entry_recipient *r = &item->entry.recipients[i];
		const struct recipient *asked = envelope_recipient(e, r->index);

		if (r->end == ENTRY_WAITS && asked != NULL)
			d->recipients[d->count++] = (struct delivery_recipient){
			    .recipient = &e->recipients[asked - e->recipients], .address = r->address, .place = i};
	}
	buf_init(&d->trace, LIMIT_HEADER_SECTION);
	trace_received(e, d->count == 1 ? d->recipients[0].recipient->address : NULL, &d->trace);
	if (e->body == BODY_BINARY)
		outcome = content_body(&item->message, &d->body, err);
	d->smtputf8 = e->smtputf8 && header_needs_utf8(&item->message);
	message_rewind(&item->message);
	if (outcome == OUTCOME_DONE)
		*delivery = d;
	else
		delivery_free(d);
	return outcome;
}

/* ---- what came back -------------------------------------------------------------------------------------- */

static void judge(struct clerk *c, struct delivery *d)
{
	for (size_t i = 0; i < d->count; i++) {
		struct delivery_recipient *r = &d->recipients[i];
		const struct smtp_verdict *v = &r->verdict;
		enum entry_end end = v->outcome == OUTCOME_NEVER   ? ENTRY_FAILED
				     : v->outcome == OUTCOME_LATER ? ENTRY_WAITS
				     : d->lmtp			   ? ENTRY_DELIVERED
								   : ENTRY_RELAYED;

		settle_recipient(d->item, r->place, end, v->status, v->text);
	}
	/* A server with the DSN extension reports success itself, as it was asked to. */
	d->item->passed_on = d->dsn;
	process_limits(&c->process, d->item);
}

/* Takes the results of D to the queue; D is gone afterwards. */
static void put_away(struct clerk *c, struct station *s, struct delivery *d)
{
	struct error err = ERROR_NONE;
	char name[ENTRY_NAME];

	memcpy(name, d->item->name, sizeof name);
	if (d->end == DELIVERY_RETURNED) {
		contain(c, name, work_return(&s->work, d->item, &err), &err);
	} else {
		judge(c, d);
		contain(c, name, work_done(&s->work, d->item, &err), &err);
	}
	delivery_free(d);
}

static void take_back(struct clerk *c, struct delivery *d)
{
	struct station *s = &c->stations[d->lmtp];
	struct place *p = place_of(c, s, d->destination);
	bool quick = clock_steady_ms() - d->given < QUICK_MILLISECONDS;

	c->active--;
	schedule_back(&c->schedule, p, !d->proven ? SCHEDULE_UNTRIED : quick ? SCHEDULE_QUICK : SCHEDULE_SLOW);
	if (d->end == DELIVERY_BLOCKED) {
		if (schedule_block(&c->schedule, p, &d->why, clock_steady(), c->config->retry_min) &&
		    d->why.outcome == OUTCOME_LATER)
			log_event(&c->queue.log, d->destination, "unreachable", "reason", d->why.text);
		delivery_judge_rest(d, &d->why);
	}
	put_away(c, s, d);
}

/* ---- looking what there is ------------------------------------------------------------------------------- */

/* Another process may only have been quicker; the operator hears of it when it lasts. */
static void note_stuck(struct clerk *c, struct error *err)
{
	c->stuck = *err;
	if (c->stuck.outcome == OUTCOME_DONE)
		c->stuck.outcome = OUTCOME_LATER;
	*err = ERROR_NONE;
}

/* What needs no server: it was finished by halves before a crash, is damaged, or has another way now. */
static void put_right(struct clerk *c, struct station *s, const char *name)
{
	struct error err = ERROR_NONE;
	struct settle_item *item = NULL;
	enum outcome outcome = work_claim(&s->work, name, &err);

	if (outcome == OUTCOME_DONE)
		outcome = work_item(&s->work, name, &item, &err);
	if (item != NULL)
		work_put_off(
		    &s->work, item); /* nothing is wrong with it, and nobody knows its way: not to be tried at once */
	else if (outcome == OUTCOME_DONE)
		s->again = true; /* it may be ready now */
	else if (err.code != EX_NOINPUT)
		note_stuck(c, &err);
}

static void look_at(struct clerk *c, struct station *s, const char *name)
{
	struct error err = ERROR_NONE;
	char *destination = NULL;
	enum outcome outcome;

	if (schedule_has(&c->schedule, name))
		return;
	outcome = work_look(&s->work, name, &destination, &err);
	if (outcome == OUTCOME_DONE && destination != NULL)
		schedule_add(&c->schedule, place_of(c, s, destination), name);
	else if (outcome == OUTCOME_DONE)
		put_right(c, s, name);
	else if (err.code != EX_NOINPUT)
		note_stuck(c, &err);
	free(destination);
}

static void look_from_start(struct station *s)
{
	s->again |= s->looking;
	s->looking = true;
}

/* One portion; the rest another time, so that what is known can go in between. */
static void look_on(struct clerk *c, struct station *s)
{
	struct error err = ERROR_NONE;

	if (!s->looking)
		return;
	contain(c, s->work.hop, work_ready(&s->work, CLERK_NAMES, &s->names, &err), &err);
	if (s->names.count == 0) {
		s->looking = s->again;
		s->again = false;
	}
	for (size_t i = 0; i < s->names.count; i++)
		look_at(c, s, s->names.items[i]);
	names_release(&s->names);
}

static bool looking(const struct clerk *c)
{
	return c->stations[0].looking || c->stations[1].looking;
}

/* ---- giving out ------------------------------------------------------------------------------------------ */

/* Opens the claimed record NAME and gives it out to P, or puts it off when that is blocked. Is it under way? */
static bool give_out(struct clerk *c, struct station *s, struct place *p, const char *name)
{
	struct error err = ERROR_NONE;
	struct settle_item *item = NULL;
	struct delivery *d = NULL;
	enum outcome outcome = work_item(&s->work, name, &item, &err);

	if (outcome == OUTCOME_DONE && item != NULL) {
		outcome = delivery_make(&d, item, p->name, s == &c->stations[1], &err);
		if (outcome != OUTCOME_DONE)
			work_put_off(&s->work, item);
	}
	contain(c, name, outcome, &err);
	if (d == NULL)
		return false;
	if (schedule_blocked(p, clock_steady())) {
		delivery_judge_rest(d, &p->why);
		put_away(c, s, d);
		return false;
	}
	d->given = clock_steady_ms();
	c->active++;
	worker_done(c->worker, &d->job);
	return true;
}

/* Records of one hop that are claimed together. */
struct batch {
	struct station *station;
	struct ready *items[CLERK_BATCH];
	size_t count;
};

/* Chooses what goes next; false: what is next has no room. Each counts as given. */
static bool choose(struct clerk *c, struct batch *b)
{
	struct ready *r;

	while (b->count < CLERK_BATCH && (r = schedule_next(&c->schedule, clock_steady())) != NULL) {
		struct station *s = &c->stations[r->place->station];

		if ((b->station != NULL && s != b->station) || b->count == work_room(&s->work)) {
			schedule_put_back(&c->schedule, r);
			return b->count > 0;
		}
		b->station = s;
		b->items[b->count++] = r;
		schedule_given(r->place);
	}
	return true;
}

static void give_up(struct clerk *c, struct ready *r)
{
	schedule_back(&c->schedule, r->place, SCHEDULE_UNTRIED);
	free(r);
}

/* Claims what was chosen; what cannot be had now goes back to the schedule, what is gone is forgotten. */
static void claim(struct clerk *c, struct batch *b)
{
	struct error err = ERROR_NONE;
	enum outcome outcome = work_claims_begin(&b->station->work, &err);
	size_t kept = 0;
	size_t at = 0;

	for (; at < b->count && outcome == OUTCOME_DONE; at++) {
		outcome = work_claim(&b->station->work, b->items[at]->name, &err);
		if (outcome == OUTCOME_DONE) {
			b->items[kept++] = b->items[at];
		} else if (err.code == EX_NOINPUT) {
			give_up(c, b->items[at]);
			outcome = OUTCOME_DONE;
		} else {
			break;
		}
	}
	work_claims_end(&b->station->work);
	if (outcome != OUTCOME_DONE)
		note_stuck(c, &err);
	while (b->count > at) {
		struct ready *r = b->items[--b->count];

		schedule_back(&c->schedule, r->place, SCHEDULE_UNTRIED);
		schedule_put_back(&c->schedule, r);
	}
	b->count = kept;
}

/* Hands out what may go; false: there is more than may be in hand. */
static bool hand_out(struct clerk *c)
{
	c->unfinished = false;
	for (unsigned n = 0; !atomic_load(&c->holding) && c->stuck.outcome == OUTCOME_DONE; n++) {
		struct batch b = {.count = 0};

		c->unfinished = n == CLERK_BATCHES;
		if (c->unfinished)
			break;
		if (!choose(c, &b))
			return false;
		if (b.count == 0)
			break;
		claim(c, &b);
		for (size_t i = 0; i < b.count; i++) {
			if (give_out(c, b.station, b.items[i]->place, b.items[i]->name))
				free(b.items[i]);
			else
				give_up(c, b.items[i]);
		}
	}
	return true;
}

/* ---- the thread ------------------------------------------------------------------------------------------ */

static void tell(struct clerk *c, enum delivery_news news)
{
	struct delivery *d = mem_alloc(sizeof *d);

	d->news = news;
	worker_done(c->worker, &d->job);
}

static void look_at_clock(struct clerk *c)
{
	struct error err = ERROR_NONE;

	contain(c, "age", age_tick(&c->queue.tmp, &c->queue.state, &c->queue.log, &c->age, &err), &err);
	if (c->refilled == 0 || clock_steady() - c->refilled >= REPORTS_SECONDS) {
		c->reports_left = c->config->reports;
		c->refilled = clock_steady();
	}
}

static void settle_all(struct clerk *c)
{
	struct error err = ERROR_NONE;

	for (size_t i = 0; i < 2; i++)
		if (work_unsettled(&c->stations[i].work) > 0 &&
		    work_settle(&c->stations[i].work, &err) != OUTCOME_DONE)
			note_stuck(c, &err);
}

static bool unsettled(const struct clerk *c)
{
	return work_unsettled(&c->stations[0].work) + work_unsettled(&c->stations[1].work) > 0;
}

/* Takes the jobs in; was there one that only says that something may have come? */
static bool take_jobs(struct clerk *c, struct job *jobs)
{
	bool kicked = false;

	while (jobs != NULL) {
		struct delivery *d = (struct delivery *)jobs;

		jobs = jobs->next;
		if (d->news == DELIVERY_GIVEN) {
			take_back(c, d);
			continue;
		}
		if (d->news == DELIVERY_TROUBLE)
			log_trouble(c, d->destination, d->why.text);
		kicked |= d->news == DELIVERY_IDLE;
		free(d->destination);
		free(d);
	}
	return kicked;
}

/* The queue's own work: what is new is routed, and what ends on this host comes to its end. */
static void see_to_queue(struct clerk *c)
{
	process_rounds(&c->process, on_trouble, c);
	for (size_t i = 0; i < 2; i++)
		look_from_start(&c->stations[i]);
}

static void look_and_give(struct clerk *c)
{
	if (atomic_load(&c->holding))
		return;
	if (schedule_wants_names(&c->schedule)) {
		schedule_look_again(&c->schedule);
		for (size_t i = 0; i < 2; i++)
			look_from_start(&c->stations[i]);
	}
	for (size_t i = 0; i < 2; i++)
		look_on(c, &c->stations[i]);
	/* The loop has something to do while the disk is waited for; and more when results made room. */
	while (!hand_out(c)) {
		settle_all(c);
		if (c->stuck.outcome != OUTCOME_DONE || work_room(&c->stations[0].work) == 0 ||
		    work_room(&c->stations[1].work) == 0)
			break;
	}
}

/* Another turn is needed, though nobody asks for it. */
static void go_on(struct clerk *c)
{
	struct delivery *d = mem_alloc(sizeof *d);

	d->news = DELIVERY_STUCK;
	worker_give(c->worker, &d->job);
}

/* What is to be said to the loop, and to be done without being asked. */
static void end_turn(struct clerk *c)
{
	bool holding = atomic_load(&c->holding);

	if (c->stuck.outcome != OUTCOME_DONE) {
		if (++c->stuck_turns == STUCK_TURNS)
			on_trouble(c, "queue", &c->stuck);
		tell(c, DELIVERY_STUCK);
		return;
	}
	c->stuck_turns = 0;
	if (!holding && (looking(c) || c->unfinished || (!dir_empty(&c->queue.new) && c->rounds < PROCESS_ROUNDS)))
		go_on(c);
	else if (c->active == 0 && !unsettled(c))
		tell(c, DELIVERY_IDLE);
}

static void turn(void *context, struct worker *w, struct job *jobs)
{
	struct clerk *c = context;
	bool kicked;

	(void)w;
	c->stuck = ERROR_NONE;
	queue_follow_log(&c->queue);
	look_at_clock(c);
	atomic_store(&c->kicked, false);
	kicked = take_jobs(c, jobs);
	look_and_give(c);
	settle_all(c);
	/* Results may have brought reports, and new routes brought records back. */
	if (!atomic_load(&c->holding) && (kicked || (!dir_empty(&c->queue.new) && c->rounds < PROCESS_ROUNDS))) {
		c->rounds = kicked ? 0 : c->rounds + 1;
		see_to_queue(c);
		look_and_give(c);
		settle_all(c);
		schedule_sweep(&c->schedule, clock_steady());
	}
	end_turn(c);
}

static void on_done(void *context, struct job *job)
{
	struct clerk *c = context;
	struct delivery *d = (struct delivery *)job;

	if (!c->ended)
		c->taken(c->context, d);
	else if (d->news != DELIVERY_GIVEN)
		free(d);
	else {
		d->end = DELIVERY_RETURNED; /* nobody is left to deliver it */
		take_back(c, d);
	}
}

/* ---- in the loop ----------------------------------------------------------------------------------------- */

void clerk_wake(struct clerk *c)
{
	struct delivery *kick;

	if (atomic_exchange(&c->kicked, true))
		return;
	kick = mem_alloc(sizeof *kick);
	kick->news = DELIVERY_IDLE;
	worker_give(c->worker, &kick->job);
}

void clerk_trouble(struct clerk *c, const char *about, const char *text)
{
	struct delivery *d = mem_alloc(sizeof *d);

	d->news = DELIVERY_TROUBLE;
	d->destination = mem_string(about);
	snprintf(d->why.text, sizeof d->why.text, "%s", text);
	worker_give(c->worker, &d->job);
}

void clerk_give_back(struct clerk *c, struct delivery *d)
{
	worker_give(c->worker, &d->job);
}

void clerk_hold(struct clerk *c)
{
	atomic_store(&c->holding, true);
}

const struct dir *clerk_places(const struct clerk *c, size_t i)
{
	return i < 3 ? &c->places_watched[i] : NULL;
}

static void let_go(void *context, int fd)
{
	closer_close(context, fd);
}

static enum outcome stations_open(struct clerk *c, struct error *err)
{
	static const char *const hops[] = {"smtp", "lmtp"};
	enum outcome outcome = OUTCOME_DONE;

	for (size_t i = 0; i < 2 && outcome == OUTCOME_DONE; i++) {
		outcome = work_open(&c->stations[i].work, &c->process, hops[i], err);
		c->stations[i].opened = outcome == OUTCOME_DONE;
		if (outcome == OUTCOME_DONE)
			work_let_go(&c->stations[i].work, let_go, c->closer);
		if (outcome == OUTCOME_DONE)
			outcome = hop_open(&c->queue, hops[i], &c->places_watched[i], err);
	}
	if (outcome == OUTCOME_DONE)
		outcome = hop_open(&c->queue, "new", &c->places_watched[2], err);
	return outcome;
}

static void clerk_free(struct clerk *c)
{
	struct error err = ERROR_NONE;

	for (size_t i = 0; i < 2; i++) {
		if (c->stations[i].opened)
			contain(c, c->stations[i].work.hop, work_close(&c->stations[i].work, &err), &err);
		names_release(&c->stations[i].names);
	}
	closer_stop(c->closer);
	for (size_t i = 0; i < 3; i++)
		dir_close(&c->places_watched[i]);
	schedule_release(&c->schedule);
	notes_release(&c->notes);
	if (c->opened)
		queue_close(&c->queue);
	free(c);
}

enum outcome clerk_start(struct clerk **clerk, struct event_base *base, const struct config *config,
    enum clerk_echo echo, clerk_taken *taken, void *context, struct error *err)
{
	static const struct worker_calls calls = {turn, on_done, 0};
	struct clerk *c = mem_alloc(sizeof *c);
	enum outcome outcome;

	*c = (struct clerk){.config = config,
	    .taken = taken,
	    .context = context,
	    .places_watched = {DIR_CLOSED, DIR_CLOSED, DIR_CLOSED}};
	schedule_init(&c->schedule);
	outcome = queue_open(&c->queue, config->spool, config->host, err);
	c->opened = outcome == OUTCOME_DONE;
	if (outcome == OUTCOME_DONE) {
		c->queue.min_free = config->min_free;
		c->queue.log.echo = echo == CLERK_VERBOSE;
		c->hooks = (struct settle_hooks){hook_ended, hook_flush, c};
		c->process = (struct process){&c->queue, config, &c->age, &c->hooks, &c->reports_left};
		outcome = age_look(&c->queue.state, &c->age, err);
	}
	if (outcome == OUTCOME_DONE)
		outcome = closer_start(&c->closer, base, err);
	if (outcome == OUTCOME_DONE)
		outcome = stations_open(c, err);
	if (outcome == OUTCOME_DONE)
		outcome = worker_start(&c->worker, base, &calls, c, err);
	if (outcome == OUTCOME_DONE)
		*clerk = c;
	else
		clerk_free(c);
	return outcome;
}

enum outcome clerk_stop(struct clerk *c, struct error *err)
{
	enum outcome outcome;

	clerk_hold(c);
	c->ended = true;
	worker_stop(c->worker);
	settle_all(c);
	outcome = c->trouble.outcome;
	*err = c->trouble;
	clerk_free(c);
	return outcome;
}
