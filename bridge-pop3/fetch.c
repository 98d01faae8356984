#include "bridge-pop3/fetch.h"

#include <signal.h>

#include "lib/alloc.h"
#include "lib/daemon.h"

/* Seconds for one question to the name servers. */
#define DNS_SECONDS 20

/* ---- which boxes --------------------------------------------------------------------------------------------- */

static void box_add(struct fetch *f, const struct config_fetch *section)
{
	for (size_t i = 0; i < f->box_count; i++)
		if (f->boxes[i]->section == section)
			return; /* named twice */
	f->boxes[f->box_count++] = fetch_box_new(f, section);
}

static enum outcome boxes_choose(struct fetch *f, const struct fetch_start *start, struct error *err)
{
	const struct config *c = &f->config;

	f->boxes = mem_array(c->fetch_count + 1, sizeof f->boxes[0]);
	for (size_t i = 0; i < start->name_count; i++) {
		const struct config_fetch *section = config_fetch(c, start->names[i]);

		if (section == NULL)
			return error_set(
			    err, EX_USAGE, "there is no section fetch \"%s\" in %s", start->names[i], c->path);
		box_add(f, section);
	}
	for (size_t i = 0; start->name_count == 0 && i < c->fetch_count; i++)
		box_add(f, &c->fetches[i]);
	if (f->box_count == 0)
		return error_set(
		    err, EX_CONFIG, "there is no section fetch in %s: nothing is to be fetched", c->path);
	return OUTCOME_DONE;
}

/* ---- running ------------------------------------------------------------------------------------------------- */

static void begin_next(struct fetch *f)
{
	while (f->begun < f->box_count && f->running < FETCH_BOXES && !f->stopping) {
		f->running++;
		fetch_box_begin(f->boxes[f->begun++]);
	}
}

static void on_over(evutil_socket_t fd, short what, void *context)
{
	struct fetch *f = context;

	(void)fd;
	(void)what;
	begin_next(f);
	if (f->running == 0)
		event_base_loopbreak(f->base);
}

/* What is wrong with the configuration outlasts what will pass by itself. */
static void code_note(struct fetch *f, int code)
{
	if (code != EX_OK && (f->code == EX_OK || f->code == EX_TEMPFAIL))
		f->code = code == EX_CONFIG || code == EX_NOPERM ? code : EX_TEMPFAIL;
}

void fetch_box_over(struct fetch *f, int code)
{
	struct timeval now = {0};

	f->running--;
	code_note(f, code);
	/* Not from within: the box that is over is still on the stack. */
	event_base_once(f->base, -1, EV_TIMEOUT, on_over, f, &now);
}

static void on_signal(evutil_socket_t number, short what, void *context)
{
	struct fetch *f = context;

	(void)number;
	(void)what;
	if (f->stopping)
		return;
	f->stopping = true;
	code_note(f, EX_TEMPFAIL);
	for (size_t i = 0; i < f->begun; i++)
		fetch_box_stop(f->boxes[i]);
}

static enum outcome begin(struct fetch *f, const struct fetch_start *start, struct error *err)
{
	static const int numbers[] = {SIGTERM, SIGINT};
	enum outcome outcome = boxes_choose(f, start, err);

	if (outcome == OUTCOME_DONE)
		outcome = queue_open(&f->queue, f->config.spool, f->config.host, err);
	f->opened = outcome == OUTCOME_DONE;
	if (outcome != OUTCOME_DONE)
		return outcome;
	f->queue.min_free = f->config.min_free;
	f->queue.log.echo = f->verbose;
	outcome = age_tick(&f->queue.tmp, &f->queue.state, &f->queue.log, &f->age, err);
	f->base = event_base_new();
	if (outcome == OUTCOME_DONE && f->base == NULL)
		outcome = error_set(err, EX_OSERR, "the event loop cannot be made");
	if (outcome == OUTCOME_DONE)
		outcome = dns_open(&f->dns, f->base, f->config.smtp.nameservers, DNS_SECONDS, err);
	for (size_t i = 0; outcome == OUTCOME_DONE && i < 2; i++) {
		f->signals[i] = evsignal_new(f->base, numbers[i], on_signal, f);
		event_add(f->signals[i], NULL);
	}
	return outcome;
}

static void finish(struct fetch *f)
{
	for (size_t i = 0; i < f->box_count; i++)
		fetch_box_free(f->boxes[i]);
	free(f->boxes);
	for (size_t i = 0; i < 2; i++)
		if (f->signals[i] != NULL)
			event_free(f->signals[i]);
	if (f->dns != NULL)
		dns_close(f->dns);
	tls_drop(f->unchecked);
	tls_drop(f->checked);
	if (f->base != NULL) {
		conn_farewell(f->base);
		conn_abandon(f->base);
		event_base_free(f->base);
	}
	if (f->opened)
		queue_close(&f->queue);
	config_release(&f->config);
}

static void complain(void *context, const char *sentence)
{
	*(bool *)context = true;
	fprintf(stderr, "packetboat-fetch: %s\n", sentence);
}

enum outcome fetch_run(const struct fetch_start *start, struct error *err)
{
	struct fetch f = {.verbose = start->verbose};
	bool complained = false;
	enum outcome outcome;

	daemon_raise_files();
	daemon_ignore_pipe();
	outcome = config_load(&f.config, start->config_path, complain, &complained, err);
	if (outcome != OUTCOME_DONE) {
		if (complained)
			err->text[0] = '\0';
		return outcome;
	}
	outcome = begin(&f, start, err);
	if (outcome == OUTCOME_DONE) {
		begin_next(&f);
		event_base_dispatch(f.base);
		if (f.code != EX_OK)
			outcome = error_set(err, f.code, "%s", "");
	}
	finish(&f);
	return outcome;
}
