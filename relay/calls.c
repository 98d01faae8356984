#include "relay/calls.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "relay/carrier.h"
#include "relay/pass.h"

/* A neighbour that is being called. */
struct calling {
	struct relay *relay;
	struct neighbour *n;
	enum call_licence licence;
	struct ledger ledger;
};

/* One line a call, for whoever asks what became of it and what it cost. */
static void log_call(
    struct relay *r, const char *name, const char *event, const char *with, const struct call_report *report)
{
	struct log_line line;

	log_begin(&line, &r->queue.log, name, event);
	log_text(&line, "line", with);
	log_number(&line, "octets", report->octets);
	log_number(&line, "sent", report->sent);
	log_number(&line, "received", report->received);
	log_number(&line, "seconds", (report->milliseconds + 500) / 1000);
	if (report->rate > 0)
		log_number(&line, "rate", report->rate * 8);
	log_text(&line, "reason", report->reason[0] == '\0' ? NULL : report->reason);
	log_end(&line);
}

/* How far this call may go. False: WHY says what keeps it from being made. */
static bool terms_of(struct calling *c, struct call_terms *terms, const char **why)
{
	const struct config_neighbour *config = c->n->config;
	int64_t now = clock_now();
	uint64_t left;

	*terms = (struct call_terms){.ledger = &c->ledger};
	if (c->licence == CALL_OVER_CAPS)
		return true;
	if (!ledger_limits(&c->ledger, config, now, &terms->limits, why))
		return false;
	left = c->licence == CALL_DUE ? window_left(&config->window, now) : 0;
	if (left > 0 && (terms->limits.seconds == 0 || left < terms->limits.seconds))
		terms->limits.seconds = left;
	return true;
}

static enum outcome call_line(struct calling *c, const char *address, struct error *err)
{
	struct call_report report;
	struct call_terms terms;
	struct line line;
	const char *why;
	enum outcome outcome;

	if (!terms_of(c, &terms, &why))
		return error_set(err, EX_TEMPFAIL, "%s", why);
	outcome = line_open(&line, address, (unsigned)c->n->config->connect, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = call_out(c->relay, c->n, &line, &terms, &report, err);
	log_call(c->relay, c->n->config->name, "called", address, &report);
	line_close(&line);
	return outcome;
}

static enum outcome use_directory(struct relay *r, struct neighbour *n, const char *path, struct error *err)
{
	size_t count;
	enum outcome outcome = carrier_fetch(r, path, &count, err);

	if (outcome == OUTCOME_DONE)
		outcome = pass_feed(r, n, err);
	return outcome == OUTCOME_DONE ? carrier_send(r, n, path, CARRIER_DUE, &count, err) : outcome;
}

/* The addresses in their order, until one works. ERR says why the last did not. */
static enum outcome try_addresses(struct calling *c, struct error *err)
{
	struct neighbour *n = c->n;
	enum outcome outcome =
	    error_set(err, EX_CONFIG, "neighbour \"%s\" has no address (call = \"tcp:…\")", n->config->name);

	for (size_t i = 0; i < n->config->call.count && outcome != OUTCOME_DONE; i++) {
		const char *address = n->config->call.items[i];
		const char *path = carrier_path(address);

		*err = ERROR_NONE;
		outcome = path != NULL ? use_directory(c->relay, n, path, err) : call_line(c, address, err);
	}
	return outcome;
}

static void save_ledger(struct calling *c)
{
	struct queue *q = &c->relay->queue;
	struct error err = ERROR_NONE;

	if (ledger_write(&c->ledger, &q->tmp, &q->state, c->n->config->name, &err) != OUTCOME_DONE)
		relay_trouble(c->relay, c->n->config->name, &err);
}

/* Opens it and packs: that takes time which the line need not be open for. Failures are told, but for another process's being at work. */
static enum outcome make_ready(struct calling *c, const char *name, struct error *err)
{
	struct relay *r = c->relay;
	enum outcome outcome = relay_neighbour(r, name, &c->n, err);

	if (outcome == OUTCOME_DONE && c->n == NULL)
		return err->outcome; /* if it is broken, whoever found that has told of it */
	if (outcome == OUTCOME_DONE)
		outcome = pass_prepare(r, c->n, err);
	if (outcome != OUTCOME_DONE)
		relay_trouble(r, name, err);
	return outcome;
}

enum outcome calls_make(struct relay *r, const char *name, enum call_licence licence, struct error *err)
{
	struct calling c = {.relay = r, .licence = licence};
	struct error saving = ERROR_NONE;
	enum outcome outcome = make_ready(&c, name, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	call_prepare();
	ledger_read(&c.ledger, &r->queue.state, name);
	outcome = try_addresses(&c, err);
	ledger_settle(&c.ledger, outcome == OUTCOME_DONE, &r->config, &r->age);
	save_ledger(&c);
	pass_note_attempt(r, c.n, outcome, err);
	if (neighbour_save(r, c.n, &saving) != OUTCOME_DONE) {
		relay_trouble(r, name, &saving);
		if (outcome == OUTCOME_DONE)
			*err = saving;
		return err->outcome;
	}
	return outcome;
}

/* The link is seen from either end. What it was before does, if that is near. */
static void note_rate(struct relay *r, const struct call_report *report)
{
	struct calling c = {.relay = r};
	uint64_t apart;

	if (report->rate == 0 || relay_neighbour(r, report->peer, &c.n, NULL) != OUTCOME_DONE || c.n == NULL)
		return;
	ledger_read(&c.ledger, &r->queue.state, report->peer);
	apart = report->rate > c.ledger.rate ? report->rate - c.ledger.rate : c.ledger.rate - report->rate;
	if (apart <= c.ledger.rate / 4)
		return;
	c.ledger.rate = report->rate;
	save_ledger(&c);
}

enum outcome calls_answer(struct relay *r, int in, int out, const char *name, struct error *err)
{
	struct call_report report;
	struct line line;
	enum outcome outcome;

	call_prepare();
	line_adopt(&line, in, out, name);
	outcome = call_in(r, &line, &report, err);
	log_call(r, report.peer[0] == '\0' ? "-" : report.peer, "answered", line.name, &report);
	note_rate(r, &report);
	line_close(&line);
	return outcome;
}

/* ---- those that are due ------------------------------------------------------------------------------------ */

/* What is out for N and not acknowledged, or has not been packed. */
static void look_waiting(const struct neighbour *n, struct waiting *w)
{
	int64_t now = clock_now();

	*w = (struct waiting){.any = n->peer.ack_due};
	for (size_t i = 0; i < n->peer.out_count; i++) {
		const struct peer_batch *b = &n->peer.out[i];
		uint64_t since = b->packed < now ? (uint64_t)(now - b->packed) : 0;

		w->any = true;
		w->urgent |= b->class == CLASS_URGENT;
		w->octets += b->size;
		w->oldest = since > w->oldest ? since : w->oldest;
	}
}

bool calls_due(struct relay *r, const struct neighbour *n)
{
	struct ledger l;
	struct waiting w;
	int64_t now = clock_now();
	const char *why;

	if (!config_calls(n->config))
		return false;
	ledger_read(&l, &r->queue.state, n->config->name);
	look_waiting(n, &w);
	return ledger_next(&l, n->config, &w, &r->age, now, &why) <= now;
}

/* In a process of its own. What failed before in the same way is not said again: the trouble is what is news. */
static _Noreturn void call_alone(const char *config_path, bool verbose, const char *name)
{
	struct error err = ERROR_NONE;
	struct relay r;

	if (relay_open(&r, config_path, verbose, &err) == OUTCOME_DONE) {
		calls_make(&r, name, CALL_DUE, &err);
		err = r.trouble;
		relay_close(&r);
	}
	_exit(err.outcome == OUTCOME_DONE ? EX_OK : relay_leave(&err));
}

static int cannot_begin(const char *config_path, bool verbose, const char *name, int errnum)
{
	struct error err = ERROR_NONE;
	struct error ignored = ERROR_NONE;
	struct relay r;

	error_errno(&err, errnum, "cannot call %s in a process of its own", name);
	if (relay_open(&r, config_path, verbose, &ignored) == OUTCOME_DONE) {
		relay_trouble(&r, name, &err);
		relay_close(&r);
	}
	return relay_leave(&err);
}

int calls_run(const char *config_path, bool verbose, const struct strings *names)
{
	size_t begun = 0;
	int worst = EX_OK;
	int status;

	fflush(stderr);
	for (size_t i = 0; i < names->count; i++) {
		pid_t pid = fork();

		if (pid == 0)
			call_alone(config_path, verbose, names->items[i]);
		if (pid > 0)
			begun++;
		else
			worst = cannot_begin(config_path, verbose, names->items[i], errno);
	}
	while (begun > 0) {
		pid_t pid = wait(&status);

		if (pid < 0 && errno != EINTR)
			break;
		if (pid > 0 && worst == EX_OK)
			worst = WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
		begun -= pid > 0;
	}
	return worst;
}
