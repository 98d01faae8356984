#include "bridge-smtp/courier.h"

#include <signal.h>

#include "lib/alloc.h"
#include "lib/daemon.h"
#include "lib/net_watch.h"

/* Seconds that links have to finish what is under way when the program is told to stop. */
#define STOP_SECONDS 10
/* Seconds for one question to the name servers. */
#define DNS_SECONDS 20
/* Mail that comes in a burst is looked for once: so many milliseconds after the first. */
#define GATHER_MILLISECONDS 5
/* What the clerk could not do is tried again after a second; --once gives up after so many times. */
#define STUCK_MAX 5

enum { TIMER_POLL, TIMER_GATHER, TIMER_STOP, TIMER_STUCK };

/* ---- deliveries ------------------------------------------------------------------------------------------ */

static void end_if_over(struct courier *c)
{
	if (c->stopping && c->deliveries == 0 && c->links == 0)
		event_base_loopbreak(c->base);
}

void courier_give_back(struct courier *c, struct delivery *d, enum delivery_end end)
{
	d->end = end;
	c->deliveries--;
	clerk_give_back(c->clerk, d);
	end_if_over(c);
}

static void return_waiting(struct target *t)
{
	struct delivery *d;

	while ((d = target_take(t)) != NULL)
		courier_give_back(t->courier, d, DELIVERY_RETURNED);
}

static void stop_links(struct courier *c)
{
	struct link *next;

	for (struct target *t = c->targets; t != NULL; t = t->next)
		for (struct link *l = t->links; l != NULL; l = next) {
			next = link_next(l);
			link_stop(l);
		}
}

static void stop(struct courier *c)
{
	struct timeval grace = {.tv_sec = STOP_SECONDS};

	if (c->stopping)
		return;
	c->stopping = true;
	daemon_notify(c->again ? "RELOADING=1" : "STOPPING=1");
	clerk_hold(c->clerk);
	for (struct target *t = c->targets; t != NULL; t = t->next)
		return_waiting(t);
	stop_links(c);
	evtimer_add(c->timers[TIMER_STOP], &grace);
	end_if_over(c);
}

static void on_stuck(struct courier *c)
{
	struct timeval pause = {.tv_sec = 1};

	if (c->once && ++c->stuck > STUCK_MAX)
		stop(c);
	else if (!evtimer_pending(c->timers[TIMER_STUCK], NULL))
		evtimer_add(c->timers[TIMER_STUCK], &pause);
}

static void on_taken(void *context, struct delivery *d)
{
	struct courier *c = context;
	struct target *t;

	if (d->news != DELIVERY_GIVEN) {
		if (d->news == DELIVERY_STUCK)
			on_stuck(c);
		else if (c->once && c->deliveries == 0)
			stop(c);
		free(d);
		return;
	}
	c->stuck = 0;
	c->deliveries++;
	if (c->stopping) {
		courier_give_back(c, d, DELIVERY_RETURNED);
		return;
	}
	t = target_find(c, d->destination, d->lmtp);
	target_add(t, d);
	target_work(t);
}

/* Of targets without mail and links nothing need be kept but how fresh their addresses are, and that not for long. */
static void sweep_targets(struct courier *c)
{
	struct target **at = &c->targets;

	while (*at != NULL) {
		struct target *t = *at;

		if (t->waiting != NULL || t->link_count > 0 || t->state == TARGET_ASKING) {
			at = &t->next;
			continue;
		}
		*at = t->next;
		target_free(t);
	}
}

/* A target without a link of its own goes before those that want one more; an idle link elsewhere makes room. */
void courier_link_over(struct courier *c)
{
	c->links--;
	end_if_over(c);
	if (c->stopping)
		return;
	for (struct target *t = c->targets; t != NULL && c->links < c->config.smtp.connections; t = t->next)
		if (t->link_count == 0)
			target_work(t);
	for (struct target *t = c->targets; t != NULL && c->links < c->config.smtp.connections; t = t->next)
		target_work(t);
}

struct tls *courier_tls(struct courier *c, enum tls_policy policy, const char *authorities, struct error *err)
{
	bool check = policy == POLICY_VERIFIED || policy == POLICY_IMPLICIT;
	struct tls **kept = check ? &c->checked : &c->unchecked;
	struct tls *own = NULL;

	if (check && authorities != NULL)
		return tls_client(&own, TLS_CHECK_NAME, authorities, err) == OUTCOME_DONE ? own : NULL;
	if (*kept == NULL && tls_client(kept, check ? TLS_CHECK_NAME : TLS_CHECK_NONE, NULL, err) != OUTCOME_DONE)
		return NULL;
	tls_hold(*kept);
	return *kept;
}

/* ---- events ---------------------------------------------------------------------------------------------- */

static void on_poll(evutil_socket_t fd, short what, void *context)
{
	struct courier *c = context;

	(void)fd;
	(void)what;
	sweep_targets(c);
	clerk_wake(c->clerk);
}

static void on_wake(evutil_socket_t fd, short what, void *context)
{
	struct courier *c = context;

	(void)fd;
	(void)what;
	clerk_wake(c->clerk);
}

static void on_change(void *context)
{
	struct courier *c = context;
	struct timeval gather = {.tv_usec = GATHER_MILLISECONDS * 1000};

	if (!evtimer_pending(c->timers[TIMER_GATHER], NULL))
		evtimer_add(c->timers[TIMER_GATHER], &gather);
}

static void on_grace(evutil_socket_t fd, short what, void *context)
{
	struct courier *c = context;
	struct link *next;

	(void)fd;
	(void)what;
	for (struct target *t = c->targets; t != NULL; t = t->next)
		for (struct link *l = t->links; l != NULL; l = next) {
			next = link_next(l);
			link_abort(l, "this program was stopped");
		}
	event_base_loopbreak(c->base);
}

static void complain(void *context, const char *sentence)
{
	(void)context;
	fprintf(stderr, "packetboat-smtp: %s\n", sentence);
}

/* A configuration with a mistake must not end a program that runs. */
static bool may_reload(const struct courier *c)
{
	struct config new;
	struct error err = ERROR_NONE;
	enum outcome outcome = config_load(&new, c->config.path, complain, NULL, &err);

	if (outcome == OUTCOME_DONE)
		config_release(&new);
	else
		clerk_trouble(c->clerk, "configuration", err.text);
	return outcome == OUTCOME_DONE;
}

static void on_signal(evutil_socket_t number, short what, void *context)
{
	struct courier *c = context;

	(void)what;
	if (number == SIGHUP && !may_reload(c))
		return;
	c->again = number == SIGHUP && (!c->stopping || c->again);
	stop(c);
}

/* ---- running --------------------------------------------------------------------------------------------- */

static enum outcome watch_places(struct courier *c, struct error *err)
{
	enum outcome outcome = watch_open(&c->watch, c->base, on_change, c, err);

	for (size_t i = 0; outcome == OUTCOME_DONE && clerk_places(c->clerk, i) != NULL; i++)
		outcome = watch_add(c->watch, clerk_places(c->clerk, i), err);
	return outcome;
}

static void timers_make(struct courier *c)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
	struct timeval poll = {.tv_sec = (time_t)c->config.smtp.poll};

	c->timers[TIMER_POLL] = event_new(c->base, -1, EV_PERSIST, on_poll, c);
	c->timers[TIMER_GATHER] = evtimer_new(c->base, on_wake, c);
	c->timers[TIMER_STOP] = evtimer_new(c->base, on_grace, c);
	c->timers[TIMER_STUCK] = evtimer_new(c->base, on_wake, c);
	if (!c->once)
		event_add(c->timers[TIMER_POLL], &poll);
	for (size_t i = 0; i < 3; i++) {
		c->signals[i] = evsignal_new(c->base, numbers[i], on_signal, c);
		event_add(c->signals[i], NULL);
	}
}

static enum outcome begin(struct courier *c, const struct courier_start *start, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	if (start->detach)
		outcome = daemon_detach(err);
	c->base = event_base_new();
	if (outcome == OUTCOME_DONE && c->base == NULL)
		outcome = error_set(err, EX_OSERR, "the event loop cannot be made");
	if (outcome == OUTCOME_DONE)
		outcome = dns_open(&c->dns, c->base, c->config.smtp.nameservers, DNS_SECONDS, err);
	if (outcome == OUTCOME_DONE)
		outcome = clerk_start(
		    &c->clerk, c->base, &c->config, start->verbose ? CLERK_VERBOSE : CLERK_QUIET, on_taken, c, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	timers_make(c);
	return c->once ? OUTCOME_DONE : watch_places(c, err);
}

static void finish(struct courier *c)
{
	watch_close(c->watch);
	for (size_t i = 0; i < sizeof c->timers / sizeof c->timers[0]; i++)
		if (c->timers[i] != NULL)
			event_free(c->timers[i]);
	for (size_t i = 0; i < sizeof c->signals / sizeof c->signals[0]; i++)
		if (c->signals[i] != NULL)
			event_free(c->signals[i]);
	if (c->dns != NULL)
		dns_close(c->dns);
	while (c->targets != NULL) {
		struct target *t = c->targets;

		c->targets = t->next;
		target_free(t);
	}
	tls_drop(c->unchecked);
	tls_drop(c->checked);
	if (c->base != NULL) {
		conn_abandon(c->base);
		event_base_free(c->base);
	}
	config_release(&c->config);
}

enum outcome courier_run(const struct courier_start *start, bool *again, struct error *err)
{
	struct courier c = {.once = start->mode == COURIER_ONCE};
	enum outcome outcome;

	*again = false;
	/* A reload that comes amid a start or a stop must not end the program. */
	if (!c.once)
		signal(SIGHUP, SIG_IGN);
	daemon_raise_files();
	daemon_ignore_pipe();
	outcome = config_tell(&c.config, start->config_path, complain, NULL, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = begin(&c, start, err);
	if (outcome == OUTCOME_DONE) {
		daemon_ready();
		clerk_wake(c.clerk);
		event_base_dispatch(c.base);
	}
	if (c.clerk != NULL) {
		struct error late = ERROR_NONE;

		if (clerk_stop(c.clerk, &late) != OUTCOME_DONE && outcome == OUTCOME_DONE && c.once) {
			*err = late;
			outcome = late.outcome;
		}
	}
	*again = c.again && outcome == OUTCOME_DONE;
	finish(&c);
	return outcome;
}
