#include "lib/net_worker.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

#include "lib/alloc.h"

/* The deepest a worker goes is writing a file with an error sentence or two on the way. */
#define WORKER_STACK ((size_t)512 << 10)

struct job_list {
	struct job *first;
	struct job **last;
};

struct worker {
	const struct worker_calls *calls;
	void *context;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t given;
	struct job_list waiting;
	struct job_list finished;
	bool stopping;
	unsigned pause; /* the thread's own */
	int wake[2];	/* a pipe: a byte for the loop when `finished` is no longer empty */
	struct event *event;
};

static void list_init(struct job_list *l)
{
	l->first = NULL;
	l->last = &l->first;
}

static void list_add(struct job_list *l, struct job *job)
{
	job->next = NULL;
	*l->last = job;
	l->last = &job->next;
}

static struct job *list_take(struct job_list *l)
{
	struct job *jobs = l->first;

	list_init(l);
	return jobs;
}

/* ---- in the thread --------------------------------------------------------------------------------------- */

/* Waits for jobs or the pause. With the mutex held. */
static void await(struct worker *w)
{
	struct timespec until;

	if (w->pause == 0) {
		pthread_cond_wait(&w->given, &w->mutex);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)(w->pause % 1000) * 1000000;
	until.tv_sec += (time_t)(w->pause / 1000) + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&w->given, &w->mutex, &until);
}

static void be_nice(int nice)
{
#ifdef __linux__
	/* On Linux a thread has a priority of its own. */
	if (nice != 0)
		(void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), nice);
#else
	(void)nice;
#endif
}

static void *worker_run(void *argument)
{
	struct worker *w = argument;
	bool stopping = false;

	be_nice(w->calls->nice);
	while (!stopping) {
		struct job *jobs;

		pthread_mutex_lock(&w->mutex);
		if (w->waiting.first == NULL && !w->stopping)
			await(w);
		jobs = list_take(&w->waiting);
		stopping = w->stopping && jobs == NULL;
		pthread_mutex_unlock(&w->mutex);
		if (jobs != NULL || (!stopping && w->pause > 0))
			w->calls->work(w->context, w, jobs);
	}
	return NULL;
}

void worker_pause(struct worker *w, unsigned milliseconds)
{
	w->pause = milliseconds;
}

void worker_done(struct worker *w, struct job *job)
{
	bool first;

	pthread_mutex_lock(&w->mutex);
	first = w->finished.first == NULL;
	list_add(&w->finished, job);
	pthread_mutex_unlock(&w->mutex);
	while (first && write(w->wake[1], "", 1) < 0 && errno == EINTR)
		;
}

/* ---- in the loop ----------------------------------------------------------------------------------------- */

static void deliver(struct worker *w)
{
	struct job *jobs;

	pthread_mutex_lock(&w->mutex);
	jobs = list_take(&w->finished);
	pthread_mutex_unlock(&w->mutex);
	while (jobs != NULL) {
		struct job *next = jobs->next;

		if (w->calls->done != NULL)
			w->calls->done(w->context, jobs);
		jobs = next;
	}
}

static void on_wake(evutil_socket_t fd, short what, void *context)
{
	char bytes[64];

	(void)what;
	while (read(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes)
		;
	deliver(context);
}

static enum outcome thread_start(struct worker *w, struct error *err)
{
	pthread_attr_t attributes;
	pthread_condattr_t clock;
	sigset_t all;
	sigset_t before;
	int errnum;

	pthread_mutex_init(&w->mutex, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&w->given, &clock);
	pthread_condattr_destroy(&clock);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, WORKER_STACK);
	/* Signals are for the loop. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	errnum = pthread_create(&w->thread, &attributes, worker_run, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return errnum == 0 ? OUTCOME_DONE : error_errno(err, errnum, "cannot start a thread");
}

static void worker_free(struct worker *w)
{
	if (w->event != NULL)
		event_free(w->event);
	for (size_t i = 0; i < 2; i++)
		if (w->wake[i] >= 0)
			close(w->wake[i]);
	free(w);
}

enum outcome worker_start(struct worker **worker, struct event_base *base, const struct worker_calls *calls,
    void *context, struct error *err)
{
	struct worker *w = mem_alloc(sizeof *w);
	enum outcome outcome;

	*worker = NULL;
	*w = (struct worker){.calls = calls, .context = context, .wake = {-1, -1}};
	list_init(&w->waiting);
	list_init(&w->finished);
	if (pipe2(w->wake, O_CLOEXEC | O_NONBLOCK) != 0) {
		outcome = error_errno(err, errno, "cannot make a pipe");
		worker_free(w);
		return outcome;
	}
	w->event = event_new(base, w->wake[0], EV_READ | EV_PERSIST, on_wake, w);
	event_add(w->event, NULL);
	outcome = thread_start(w, err);
	if (outcome == OUTCOME_DONE)
		*worker = w;
	else
		worker_free(w);
	return outcome;
}

void worker_give(struct worker *w, struct job *job)
{
	pthread_mutex_lock(&w->mutex);
	list_add(&w->waiting, job);
	pthread_mutex_unlock(&w->mutex);
	pthread_cond_signal(&w->given);
}

void worker_stop(struct worker *w)
{
	if (w == NULL)
		return;
	pthread_mutex_lock(&w->mutex);
	w->stopping = true;
	pthread_mutex_unlock(&w->mutex);
	pthread_cond_signal(&w->given);
	pthread_join(w->thread, NULL);
	deliver(w);
	pthread_mutex_destroy(&w->mutex);
	pthread_cond_destroy(&w->given);
	worker_free(w);
}
