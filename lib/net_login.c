#include "lib/net_login.h"

#include <sodium.h>

#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/net_login_cache.h"
#include "lib/net_worker.h"

struct login_job {
	struct job job;
	char *path;
	char *user;
	char *password;
	struct login *login; /* null: forgotten */
	char origin[ORIGIN_TEXT];
	enum outcome outcome;
	struct error err;
};

struct logins {
	const struct login_calls *calls;
	struct event_base *base;
	struct worker *worker;
	/* The thread's: one at a time, so that its outcome is known before the next is judged. */
	struct login_job *busy;
	struct job *waiting;	   /* the next one first */
	struct login_cache *cache; /* the thread's; null: nothing is remembered */
	struct strikes strikes;
};

/* ---- in the thread --------------------------------------------------------------------------------------- */

/* Once what stands for the user is at hand. */
static enum outcome check(struct logins *l, const struct login_job *job, struct view stands, struct error *err)
{
	struct login_digest digest;
	uint64_t now = clock_steady();
	enum outcome outcome = OUTCOME_DONE;

	if (l->cache == NULL)
		return l->calls->check(stands, job->password, err);
	login_cache_digest(l->cache, job->path, job->user, job->password, stands, &digest);
	if (!login_cache_has(l->cache, &digest, now)) {
		outcome = l->calls->check(stands, job->password, err);
		if (outcome == OUTCOME_DONE)
			login_cache_add(l->cache, &digest, now);
	}
	sodium_memzero(&digest, sizeof digest);
	return outcome;
}

static void work(void *context, struct worker *w, struct job *jobs)
{
	struct logins *l = context;

	while (jobs != NULL) {
		struct login_job *job = (struct login_job *)jobs;
		struct buf stands;

		jobs = jobs->next;
		buf_init(&stands, LOGIN_STANDS_MAX);
		job->outcome = l->calls->stands(job->path, job->user, &stands, &job->err);
		if (job->outcome == OUTCOME_DONE)
			job->outcome = check(l, job, view_buf(&stands), &job->err);
		if (stands.length > 0)
			sodium_memzero(stands.bytes, stands.length);
		buf_release(&stands);
		worker_done(w, &job->job);
	}
}

/* ---- in the loop ----------------------------------------------------------------------------------------- */

static void on_pause_over(evutil_socket_t fd, short what, void *context)
{
	struct login *login = context;

	(void)fd;
	(void)what;
	event_free(login->pause);
	login->pause = NULL;
	login->logins->calls->done(login->owner, login->failed >= LOGIN_TRIES ? LOGIN_WRONG_LAST : LOGIN_WRONG);
}

static void settle(struct logins *l, struct login *login, const struct login_job *job)
{
	struct timeval pause = {.tv_sec = LOGIN_PAUSE};

	login->job = NULL;
	if (job->outcome == OUTCOME_DONE) {
		l->calls->done(login->owner, LOGIN_RIGHT);
		return;
	}
	l->calls->failed(login->owner, &job->err);
	if (job->outcome == OUTCOME_LATER) {
		l->calls->done(login->owner, LOGIN_TROUBLE);
		return;
	}
	login->failed++;
	login->pause = evtimer_new(l->base, on_pause_over, login);
	evtimer_add(login->pause, &pause);
}

static void job_free(struct login_job *job)
{
	sodium_memzero(job->password, strlen(job->password));
	free(job->path);
	free(job->user);
	free(job->password);
	free(job);
}

/* Puts OTHERS behind all that is in LIST. */
static void append(struct job **list, struct job *others)
{
	while (*list != NULL)
		list = &(*list)->next;
	*list = others;
}

/* Takes the next one; whatever else its origin has waiting goes behind the others. */
static struct login_job *take(struct logins *l)
{
	struct login_job *taken = (struct login_job *)l->waiting;
	struct job **place = &l->waiting;
	struct job *same = NULL;
	struct job **last = &same;

	l->waiting = taken->job.next;
	while (*place != NULL) {
		struct job *job = *place;

		if (strcmp(((struct login_job *)job)->origin, taken->origin) != 0) {
			place = &job->next;
			continue;
		}
		*place = job->next;
		*last = job;
		last = &job->next;
	}
	*last = NULL;
	append(place, same);
	return taken;
}

static void give(struct logins *l, struct login_job *job)
{
	l->busy = job;
	worker_give(l->worker, &job->job);
}

static void answer_too_soon(struct logins *l, struct login_job *job, uint64_t wait)
{
	struct login *login = job->login;

	job_free(job);
	login->job = NULL;
	login->wait = wait;
	l->calls->done(login->owner, LOGIN_TOO_SOON);
}

/* Keeps the thread at work. Those that are answered may begin anew meanwhile, and forget others. */
static void next_turn(struct logins *l)
{
	while (l->busy == NULL && l->waiting != NULL) {
		struct login_job *job = take(l);
		uint64_t wait = strikes_wait(&l->strikes, job->origin, clock_steady());

		if (wait == 0)
			give(l, job);
		else
			answer_too_soon(l, job, wait);
	}
}

static void on_done(void *context, struct job *done)
{
	struct logins *l = context;
	struct login_job *job = (struct login_job *)done;

	l->busy = NULL;
	/* Also of who did not stay to hear it. */
	if (job->outcome == OUTCOME_NEVER)
		strikes_add(&l->strikes, job->origin, clock_steady());
	if (job->login != NULL)
		settle(l, job->login, job);
	job_free(job);
	next_turn(l);
}

enum outcome logins_start(
    struct logins **logins, struct event_base *base, const struct login_calls *calls, struct error *err)
{
	static const struct worker_calls worker = {work, on_done, 0};
	struct logins *l = mem_alloc(sizeof *l);
	enum outcome outcome;

	*l = (struct logins){.calls = calls, .base = base, .cache = login_cache_make()};
	outcome = worker_start(&l->worker, base, &worker, l, err);
	if (outcome == OUTCOME_DONE)
		*logins = l;
	else
		logins_stop(l);
	return outcome;
}

void logins_stop(struct logins *l)
{
	if (l == NULL)
		return;
	while (l->waiting != NULL)
		login_forget(((struct login_job *)l->waiting)->login);
	if (l->busy != NULL && l->busy->login != NULL)
		login_forget(l->busy->login);
	worker_stop(l->worker);
	login_cache_free(l->cache);
	free(l);
}

uint64_t login_begin(struct logins *l, struct login *login, const struct login_attempt *attempt, void *owner)
{
	uint64_t wait = strikes_wait(&l->strikes, attempt->origin, clock_steady());
	struct login_job *job;

	if (wait > 0)
		return wait;
	job = mem_alloc(sizeof *job);
	job->path = mem_string(attempt->path);
	job->user = mem_string(attempt->user);
	job->password = mem_string(attempt->password);
	job->login = login;
	snprintf(job->origin, sizeof job->origin, "%s", attempt->origin);
	login->job = job;
	login->logins = l;
	login->owner = owner;
	/* Where others wait, also when the thread has just become free, it is their turn. */
	if (l->busy == NULL && l->waiting == NULL)
		give(l, job);
	else
		append(&l->waiting, &job->job);
	return 0;
}

/* Was JOB waiting still? */
static bool withdraw(struct logins *l, const struct login_job *job)
{
	struct job **place = &l->waiting;

	while (*place != NULL && *place != &job->job)
		place = &(*place)->next;
	if (*place == NULL)
		return false;
	*place = job->job.next;
	return true;
}

void login_forget(struct login *login)
{
	if (login->job != NULL && withdraw(login->logins, login->job))
		job_free(login->job);
	else if (login->job != NULL)
		login->job->login = NULL;
	if (login->pause != NULL)
		event_free(login->pause);
	login->job = NULL;
	login->pause = NULL;
}

void login_wait_text(uint64_t wait, char out[static LOGIN_WAIT_TEXT])
{
	snprintf(out, LOGIN_WAIT_TEXT, "too many wrong passwords from your address; try again in %llu seconds",
	    (unsigned long long)wait);
}
