#include "bridge-smtp/commit.h"

#include <stdatomic.h>

#include "lib/alloc.h"
#include "lib/clock.h"

/* Message numbers reserved with one wait for the disk. */
#define COMMIT_NUMBERS 256
/* When so many octets are free, they are for so many milliseconds more, whoever writes: the disk need not be asked meanwhile. */
#define COMMIT_AMPLE	  ((uint64_t)1 << 30)
#define COMMIT_AMPLE_TIME 100
/* Milliseconds for which a count of what waits in arrival logs holds while that is less than half of what may: far less comes. */
#define COUNT_TIME 100
/* Messages that share one wait; more would make the first of them wait long. */
#define COMMIT_GROUP 256

/* One thread with its own view of the spool. */
struct lane {
	struct committer *committer;
	struct queue queue;
	bool opened;
	struct worker *worker;
};

struct committer {
	struct lane loop; /* without a thread */
	struct lane small;
	struct lane large;
	struct lane drain;
	struct arrivals arrivals;
	atomic_bool kicked; /* a job that wakes the drain is on its way */
	bool arrivals_opened;
	uint64_t ample_until; /* monotonic milliseconds, of the loop */
	uint64_t sealed_at; /* when the first log was sealed that the drain has not been told of; 0: there is none */
	uint64_t waiting;   /* octets in arrival logs, as of `counted_at` */
	uint64_t counted_at;
	uint64_t last_small; /* monotonic milliseconds of the last message that came alone */
	unsigned in_a_row;   /* of those, shortly after one another */
	commit_done *done;
	void *context;
};

/* ---- a message ------------------------------------------------------------------------------------------- */

/* Is there room for one more? */
static enum outcome room(struct committer *c, struct error *err)
{
	uint64_t now = clock_steady_ms();

	if (now < c->ample_until)
		return OUTCOME_DONE;
	if (queue_space(&c->loop.queue, COMMIT_AMPLE, NULL) != OUTCOME_DONE)
		return queue_space(&c->loop.queue, COPY_CHUNK, err);
	c->ample_until = now + COMMIT_AMPLE_TIME;
	return OUTCOME_DONE;
}

enum outcome commit_begin(struct committer *c, struct commit **commit, void *owner, struct error *err)
{
	enum outcome outcome = room(c, err);
	struct commit *new;

	if (outcome != OUTCOME_DONE)
		return outcome;
	new = mem_alloc(sizeof *new);
	envelope_init(&new->envelope);
	new->owner = owner;
	handover_begin_small(&c->loop.queue, &new->handover, COMMIT_SMALL);
	*commit = new;
	return OUTCOME_DONE;
}

struct sink *commit_sink(struct commit *commit)
{
	return handover_sink(&commit->handover);
}

void commit_drop(struct commit *commit)
{
	if (commit == NULL)
		return;
	handover_abort(&commit->handover);
	envelope_release(&commit->envelope);
	free(commit->user);
	free(commit);
}

static bool is_small(const struct commit *commit)
{
	return commit->handover.writer.fd < 0;
}

void commit_submit(struct committer *c, struct commit *commit)
{
	worker_give(is_small(commit) ? c->small.worker : c->large.worker, &commit->job);
}

/* ---- the threads ----------------------------------------------------------------------------------------- */

static void settle(struct commit *commit, enum outcome outcome, const struct error *err)
{
	commit->outcome = outcome;
	if (outcome != OUTCOME_DONE)
		commit->err = *err;
}

/* Numbers and finishes a message, by the lane's view of the spool: the loop's is not to be touched from here. */
static enum outcome finish(struct lane *lane, struct commit *commit, struct error *err)
{
	enum outcome outcome = queue_next_id(&lane->queue, COMMIT_NUMBERS, &commit->envelope.id, err);

	commit->handover.queue = &lane->queue;
	commit->handover.user = commit->user;
	return outcome == OUTCOME_DONE ? handover_finish(&commit->handover, &commit->envelope, err) : outcome;
}

/* A file of its own. */
static void commit_alone(struct lane *lane, struct commit *commit)
{
	struct error err = ERROR_NONE;
	enum outcome outcome = finish(lane, commit, &err);

	if (outcome == OUTCOME_DONE)
		outcome = handover_commit(&commit->handover, &commit->envelope, &err);
	settle(commit, outcome, &err);
}

static void work_large(void *context, struct worker *w, struct job *jobs)
{
	struct lane *lane = context;

	queue_follow_log(&lane->queue);
	while (jobs != NULL) {
		struct job *next = jobs->next;

		commit_alone(lane, (struct commit *)jobs);
		worker_done(w, jobs);
		jobs = next;
	}
}

static void work_drain(void *context, struct worker *w, struct job *jobs)
{
	struct lane *lane = context;
	struct error err = ERROR_NONE;

	/* The jobs say only that it is time. What is sealed from here on needs another one. */
	atomic_store(&lane->committer->kicked, false);
	while (jobs != NULL) {
		struct job *next = jobs->next;

		worker_done(w, jobs);
		jobs = next;
	}
	queue_follow_log(&lane->queue);
	if (arrivals_drain(&lane->queue, NULL, &err) != OUTCOME_DONE)
		log_event(&lane->queue.log, "arrivals", "trouble", "reason", err.text);
	/* Another process may have been at it, and have looked before the last log was sealed. */
	worker_pause(w, arrivals_waiting(&lane->queue) > 0 ? COMMIT_DRAIN : 0);
}

static void drain_soon(struct committer *c)
{
	c->sealed_at = 0;
	if (!atomic_exchange(&c->kicked, true))
		worker_give(c->drain.worker, mem_alloc(sizeof(struct job)));
}

/* What waits in arrival logs, counted now and then: meanwhile others can add only little. */
static uint64_t waiting(struct committer *c)
{
	uint64_t now = clock_steady_ms();

	if (c->counted_at == 0 || now - c->counted_at >= COUNT_TIME || c->waiting > ARRIVALS_MAX / 2) {
		c->waiting = arrivals_waiting(&c->small.queue);
		c->counted_at = now;
	}
	return c->waiting;
}

/*
 * A log has been sealed in the midst of a burst. Draining waits for the same disk as those who want to be answered: it
 * begins when they pause, or when much has gathered, or some time is over.
 */
static void drain_in_time(struct committer *c)
{
	uint64_t now = clock_steady_ms();

	if (c->sealed_at == 0)
		c->sealed_at = now;
	if (now - c->sealed_at >= COMMIT_DRAIN || waiting(c) > ARRIVALS_MAX / 4)
		drain_soon(c);
}

/* A full log slows the answers down: it never grows without end. */
static enum outcome await_room(struct committer *c, struct error *err)
{
	struct timespec pause = {.tv_nsec = 10000000};

	for (unsigned waited = 0; waiting(c) > ARRIVALS_MAX; waited += 10) {
		if (waited >= COMMIT_PATIENCE)
			return error_set(err, EX_TEMPFAIL, "the arrival log is full and is drained too slowly");
		arrivals_seal(&c->arrivals);
		drain_soon(c);
		nanosleep(&pause, NULL);
	}
	return OUTCOME_DONE;
}

/* Numbers and finishes the messages of GROUP; those that fail are settled and left out. Their images are in VIEWS. */
static size_t finish_group(struct lane *lane, struct commit **group, size_t count, struct view *views)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		struct commit *commit = group[i];
		struct error err = ERROR_NONE;
		enum outcome outcome = finish(lane, commit, &err);

		settle(commit, outcome, &err);
		if (outcome != OUTCOME_DONE)
			continue;
		views[kept] = handover_image(&commit->handover);
		group[kept++] = commit;
	}
	return kept;
}

static void commit_group(struct committer *c, struct commit **group, size_t count)
{
	struct view views[COMMIT_GROUP];
	struct error err = ERROR_NONE;
	enum outcome outcome = await_room(c, &err);

	count = finish_group(&c->small, group, count, views);
	if (outcome == OUTCOME_DONE && count > 0)
		outcome = arrivals_append(&c->arrivals, views, count, &err);
	log_gather(&c->small.queue.log);
	for (size_t i = 0; i < count; i++) {
		settle(group[i], outcome, &err);
		if (outcome == OUTCOME_DONE)
			queue_log_accepted(&c->small.queue, &group[i]->envelope, group[i]->handover.user);
	}
	log_write_out(&c->small.queue.log);
	if (c->arrivals.fd < 0)
		drain_in_time(c);
}

/* Have so many messages come one shortly after the other that a log pays? */
static bool in_a_burst(struct committer *c)
{
	uint64_t before = c->last_small;

	c->last_small = clock_steady_ms();
	c->in_a_row = c->last_small - before < COMMIT_PAUSE ? c->in_a_row + 1 : 0;
	return c->in_a_row >= COMMIT_BURST;
}

static void work_small(void *context, struct worker *w, struct job *jobs)
{
	struct lane *lane = context;
	struct committer *c = lane->committer;

	if (jobs == NULL) {
		arrivals_seal(&c->arrivals);
		drain_soon(c);
	}
	if (jobs != NULL)
		queue_follow_log(&lane->queue);
	while (jobs != NULL) {
		struct commit *group[COMMIT_GROUP];
		struct job *given[COMMIT_GROUP];
		size_t count = 0;

		for (; jobs != NULL && count < COMMIT_GROUP; jobs = jobs->next) {
			given[count] = jobs;
			group[count++] = (struct commit *)jobs;
		}
		if (count == 1 && c->arrivals.fd < 0 && !in_a_burst(c))
			commit_alone(lane, group[0]);
		else
			commit_group(c, group, count);
		for (size_t i = 0; i < count; i++)
			worker_done(w, given[i]);
	}
	/* Only a log in hand, or one to be drained, is a reason to wake up by oneself. */
	worker_pause(w, c->arrivals.fd >= 0 || c->sealed_at != 0 ? COMMIT_PAUSE : 0);
}

/* ---- in the loop ----------------------------------------------------------------------------------------- */

static void on_done(void *context, struct job *job)
{
	struct lane *lane = context;

	lane->committer->done(lane->committer->context, (struct commit *)job);
}

static void on_kicked(void *context, struct job *job)
{
	(void)context;
	free(job);
}

static enum outcome lane_open(struct lane *lane, struct committer *c, const struct config *config, struct error *err)
{
	enum outcome outcome = queue_open(&lane->queue, config->spool, config->host, err);

	lane->committer = c;
	lane->opened = outcome == OUTCOME_DONE;
	lane->queue.min_free = config->min_free;
	return outcome;
}

static void lane_close(struct lane *lane)
{
	worker_stop(lane->worker);
	lane->worker = NULL;
	if (lane->opened)
		queue_close(&lane->queue);
	lane->opened = false;
}

enum outcome committer_start(struct committer **committer, struct event_base *base, const struct config *config,
    commit_done *done, void *context, struct error *err)
{
	static const struct worker_calls small = {work_small, on_done, 0};
	static const struct worker_calls large = {work_large, on_done, 0};
	static const struct worker_calls drain = {work_drain, on_kicked, 19};
	struct committer *c = mem_alloc(sizeof *c);
	struct lane *const lanes[] = {&c->loop, &c->small, &c->large, &c->drain};
	enum outcome outcome = OUTCOME_DONE;

	*c = (struct committer){.done = done, .context = context};
	for (size_t i = 0; i < sizeof lanes / sizeof lanes[0] && outcome == OUTCOME_DONE; i++)
		outcome = lane_open(lanes[i], c, config, err);
	if (outcome == OUTCOME_DONE)
		outcome = arrivals_open(&c->arrivals, &c->small.queue, err);
	c->arrivals_opened = outcome == OUTCOME_DONE;
	if (outcome == OUTCOME_DONE)
		outcome = worker_start(&c->drain.worker, base, &drain, &c->drain, err);
	if (outcome == OUTCOME_DONE)
		outcome = worker_start(&c->large.worker, base, &large, &c->large, err);
	if (outcome == OUTCOME_DONE)
		outcome = worker_start(&c->small.worker, base, &small, &c->small, err);
	if (outcome == OUTCOME_DONE) {
		drain_soon(c); /* what a daemon before this one left */
		*committer = c;
	} else {
		committer_stop(c);
	}
	return outcome;
}

void committer_stop(struct committer *c)
{
	if (c == NULL)
		return;
	worker_stop(c->small.worker);
	c->small.worker = NULL;
	if (c->arrivals_opened) {
		bool used = c->arrivals.fd >= 0;

		arrivals_close(&c->arrivals);
		if (used && c->drain.worker != NULL)
			drain_soon(c);
	}
	lane_close(&c->large);
	lane_close(&c->drain);
	lane_close(&c->small);
	lane_close(&c->loop);
	free(c);
}

void committer_echo(struct committer *c)
{
	struct lane *const lanes[] = {&c->loop, &c->small, &c->large, &c->drain};

	/* Set before anything was given to the threads. */
	for (size_t i = 0; i < sizeof lanes / sizeof lanes[0]; i++)
		lanes[i]->queue.log.echo = true;
}

struct queue *committer_queue(struct committer *c)
{
	return &c->loop.queue;
}
