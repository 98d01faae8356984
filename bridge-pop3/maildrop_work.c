#include "bridge-pop3/maildrop_work.h"

#include <fcntl.h>

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

static void on_removed(void *context, const struct maildrop *d, size_t number)
{
	struct maildrop_job *j = context;
	char text[LIMIT_ID] = "-";
	struct log_line line;
	uint32_t index = 0;
	struct id id;
	bool own = maildrop_origin(d, number, &id, &index);

	j->removed++;
	if (own)
		id_print(&id, text);
	log_begin(&line, &j->log, text, "deleted");
	if (own)
		log_number(&line, "index", index);
	else
		log_text(&line, "file", maildrop_name(d, number));
	log_text(&line, "client", j->client);
	log_text(&line, "user", j->user);
	log_end(&line);
}

static void do_job(const struct maildrop_workers *w, struct maildrop_job *j)
{
	if (!j->removes)
		j->outcome = maildrop_open(&j->drop, w->mail, j->user, &j->in_use, &j->err);
	else if (j->log.fd < 0)
		j->outcome =
		    error_set(&j->err, EX_TEMPFAIL, "nothing is removed: there is no descriptor left for the log");
	else
		j->outcome = maildrop_remove(j->drop, j->numbers, j->count, on_removed, j, &j->err);
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
	if (j->removes)
		log_close(&j->log);
	free(j->client);
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

static struct maildrop_job *job_new(const char *user, maildrop_done *done, void *owner)
{
	struct maildrop_job *j = mem_alloc(sizeof *j);

	j->user = mem_string(user);
	j->done = done;
	j->owner = owner;
	return j;
}

struct maildrop_job *maildrop_begin_open(
    struct maildrop_workers *w, const char *user, maildrop_done *done, void *owner)
{
	return give(w, job_new(user, done, owner));
}

struct maildrop_job *maildrop_begin_remove(
    struct maildrop_workers *w, const struct maildrop_removal *removal, maildrop_done *done, void *owner)
{
	struct maildrop_job *j = job_new(removal->user, done, owner);

	j->removes = true;
	j->drop = removal->drop;
	j->numbers = removal->numbers;
	j->count = removal->count;
	j->client = mem_string(removal->client);
	/* A descriptor of its own: the loop may go on in another file meanwhile. */
	j->log = (struct log){.fd = fcntl(removal->log->fd, F_DUPFD_CLOEXEC, 0), .echo = removal->log->echo};
	return give(w, j);
}

void maildrop_forget(struct maildrop_job *job)
{
	if (job != NULL)
		job->owner = NULL;
}
