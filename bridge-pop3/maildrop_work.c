#include "bridge-pop3/maildrop_work.h"

#include "lib/alloc.h"

/* Threads: so many large or slow Maildirs at once do not keep the small ones waiting. */
#define HANDS 4

struct maildrop_hand {
	struct maildrop_workers *all;
	struct worker *worker;
	size_t jobs; /* that it has in hand; of the loop */
};

struct maildrop_workers {
	const struct dir *mail;
	struct maildrop_hand hands[HANDS];
};

/* ---- in the thread --------------------------------------------------------------------------------------- */

static void do_job(const struct maildrop_workers *w, struct maildrop_job *j)
{
	if (j->user != NULL)
		j->outcome = maildrop_open(&j->drop, w->mail, j->user, &j->in_use, &j->err);
	else
		j->outcome = maildrop_remove(j->drop, j->numbers, j->count, &j->removed, &j->err);
}

static void work(void *context, struct worker *w, struct job *jobs)
{
	const struct maildrop_hand *hand = context;

	while (jobs != NULL) {
		struct maildrop_job *j = (struct maildrop_job *)jobs;

		jobs = jobs->next;
		do_job(hand->all, j);
		worker_done(w, &j->job);
	}
}

/* ---- in the loop ----------------------------------------------------------------------------------------- */

static void on_done(void *context, struct job *job)
{
	struct maildrop_hand *hand = context;
	struct maildrop_job *j = (struct maildrop_job *)job;

	hand->jobs--;
	if (j->owner != NULL)
		j->done(j->owner, j);
	maildrop_close(j->drop);
	free(j->user);
	free(j->numbers);
	free(j);
}

enum outcome maildrop_workers_start(
    struct maildrop_workers **w, struct event_base *base, const struct dir *mail, struct error *err)
{
	static const struct worker_calls calls = {work, on_done, 0};
	struct maildrop_workers *new = mem_alloc(sizeof *new);
	enum outcome outcome = OUTCOME_DONE;

	*w = NULL;
	new->mail = mail;
	for (size_t i = 0; i < HANDS && outcome == OUTCOME_DONE; i++) {
		new->hands[i].all = new;
		outcome = worker_start(&new->hands[i].worker, base, &calls, &new->hands[i], err);
	}
	if (outcome == OUTCOME_DONE)
		*w = new;
	else
		maildrop_workers_stop(new);
	return outcome;
}

void maildrop_workers_stop(struct maildrop_workers *w)
{
	if (w == NULL)
		return;
	for (size_t i = 0; i < HANDS; i++)
		worker_stop(w->hands[i].worker);
	free(w);
}

/* To whom has the least to do. */
static struct maildrop_job *give(struct maildrop_workers *w, struct maildrop_job *j)
{
	struct maildrop_hand *least = &w->hands[0];

	for (size_t i = 1; i < HANDS; i++)
		if (w->hands[i].jobs < least->jobs)
			least = &w->hands[i];
	least->jobs++;
	worker_give(least->worker, &j->job);
	return j;
}

struct maildrop_job *maildrop_begin_open(
    struct maildrop_workers *w, const char *user, maildrop_done *done, void *owner)
{
	struct maildrop_job *j = mem_alloc(sizeof *j);

	j->user = mem_string(user);
	j->done = done;
	j->owner = owner;
	return give(w, j);
}

struct maildrop_job *maildrop_begin_remove(struct maildrop_workers *w, struct maildrop *drop, uint32_t *numbers,
    size_t count, maildrop_done *done, void *owner)
{
	struct maildrop_job *j = mem_alloc(sizeof *j);

	j->drop = drop;
	j->numbers = numbers;
	j->count = count;
	j->done = done;
	j->owner = owner;
	return give(w, j);
}

void maildrop_forget(struct maildrop_job *job)
{
	if (job != NULL)
		job->owner = NULL;
}
