#include <criterion/criterion.h>

#include <event2/event.h>
#include <pthread.h>

#include "lib/net_worker.h"

struct number {
	struct job job;
	int value;
	bool worked;
};

struct kit {
	struct event_base *base;
	struct worker *worker;
	pthread_t loop;
	size_t done;
	int last;
	int pauses;
	bool in_thread;
	unsigned pause; /* to ask for */
};

static void work(void *context, struct worker *w, struct job *jobs)
{
	struct kit *k = context;

	k->pauses += jobs == NULL;
	worker_pause(w, k->pause);
	while (jobs != NULL) {
		struct number *n = (struct number *)jobs;

		jobs = jobs->next;
		n->worked = true;
		k->in_thread |= pthread_equal(pthread_self(), k->loop) == 0;
		worker_done(w, &n->job);
	}
}

static void on_done(void *context, struct job *job)
{
	struct kit *k = context;
	struct number *n = (struct number *)job;

	cr_expect(n->worked);
	cr_expect_eq(n->value, k->last + 1, "in the order they were given");
	cr_expect(pthread_equal(pthread_self(), k->loop), "in the loop");
	k->last = n->value;
	k->done++;
	if (k->done == 1000)
		event_base_loopbreak(k->base);
}

static struct kit *kit_open(const struct worker_calls *calls)
{
	static struct kit k;
	struct error err = ERROR_NONE;

	k = (struct kit){.base = event_base_new(), .loop = pthread_self()};
	cr_assert_eq(worker_start(&k.worker, k.base, calls, &k, &err), OUTCOME_DONE, "%s", err.text);
	return &k;
}

Test(net_worker, jobs_are_worked_on_beside_the_loop_and_come_back_in_order)
{
	static const struct worker_calls calls = {work, on_done, 0};
	static struct number numbers[1000];
	struct kit *k = kit_open(&calls);

	for (int i = 0; i < 1000; i++) {
		numbers[i] = (struct number){.value = i + 1};
		worker_give(k->worker, &numbers[i].job);
	}
	event_base_dispatch(k->base);
	cr_expect_eq(k->done, 1000);
	cr_expect(k->in_thread);
	cr_expect_eq(k->pauses, 0);
	worker_stop(k->worker);
	event_base_free(k->base);
}

Test(net_worker, stopping_works_off_what_was_given)
{
	static const struct worker_calls calls = {work, on_done, 0};
	static struct number numbers[100];
	struct kit *k = kit_open(&calls);

	k->pause = 5;
	for (int i = 0; i < 100; i++) {
		numbers[i] = (struct number){.value = i + 1};
		worker_give(k->worker, &numbers[i].job);
	}
	worker_stop(k->worker);
	cr_expect_eq(k->done, 100);
	event_base_free(k->base);
}

Test(net_worker, a_pause_is_told)
{
	static const struct worker_calls calls = {work, on_done, 0};
	struct kit *k = kit_open(&calls);
	struct number number = {.value = 1};
	struct timespec wait = {.tv_nsec = 50000000};

	nanosleep(&wait, NULL);
	cr_expect_eq(k->pauses, 0, "nobody asked");
	k->pause = 1;
	worker_give(k->worker, &number.job);
	nanosleep(&wait, NULL);
	worker_stop(k->worker);
	cr_expect_gt(k->pauses, 0);
	event_base_free(k->base);
}
