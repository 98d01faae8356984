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
		sodium_memzero(job->password, strlen(job->password));
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

static void on_done(void *context, struct job *done)
{
	struct logins *l = context;
	struct login_job *job = (struct login_job *)done;

	/* Also of who did not stay to hear it. */
	if (job->outcome == OUTCOME_NEVER)
		strikes_add(&l->strikes, job->origin, clock_steady());
	if (job->login != NULL)
		settle(l, job->login, job);
	free(job->path);
	free(job->user);
	free(job->password);
	free(job);
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
	worker_give(l->worker, &job->job);
	return 0;
}

void login_forget(struct login *login)
{
	if (login->job != NULL)
		login->job->login = NULL;
	if (login->pause != NULL)
		event_free(login->pause);
	login->job = NULL;
	login->pause = NULL;
}
