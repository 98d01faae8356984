#include "lib/net_closer.h"

#include <stdatomic.h>

#include "lib/alloc.h"
#include "lib/file.h"
#include "lib/net_worker.h"

struct closing {
	struct job job;
	int fd;
};

struct closer {
	struct worker *workers[CLOSER_THREADS];
	size_t next;
	atomic_size_t waiting;
};

static void close_files(void *context, struct worker *w, struct job *jobs)
{
	struct closer *c = context;

	(void)w;
	while (jobs != NULL) {
		struct closing *closing = (struct closing *)jobs;

		jobs = jobs->next;
		file_close(&closing->fd);
		free(closing);
		atomic_fetch_sub(&c->waiting, 1);
	}
}

enum outcome closer_start(struct closer **closer, struct event_base *base, struct error *err)
{
	static const struct worker_calls calls = {close_files, NULL, 0};
	struct closer *c = mem_alloc(sizeof *c);
	enum outcome outcome = OUTCOME_DONE;

	*closer = NULL;
	for (size_t i = 0; i < CLOSER_THREADS && outcome == OUTCOME_DONE; i++)
		outcome = worker_start(&c->workers[i], base, &calls, c, err);
	if (outcome == OUTCOME_DONE)
		*closer = c;
	else
		closer_stop(c);
	return outcome;
}

void closer_close(struct closer *c, int fd)
{
	struct closing *closing;

	if (atomic_load(&c->waiting) >= CLOSER_BACKLOG) {
		file_close(&fd);
		return;
	}
	atomic_fetch_add(&c->waiting, 1);
	closing = mem_alloc(sizeof *closing);
	closing->fd = fd;
	worker_give(c->workers[c->next], &closing->job);
	c->next = (c->next + 1) % CLOSER_THREADS;
}

void closer_stop(struct closer *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < CLOSER_THREADS; i++)
		worker_stop(c->workers[i]);
	free(c);
}
