#include "relay/calls.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "relay/carrier.h"
#include "relay/intake.h"
#include "relay/ledger.h"
#include "relay/pass.h"

bool calls_possible(const struct config_neighbour *n)
{
	for (size_t i = 0; i < n->call.count; i++)
		if (line_serves(n->call.items[i]))
			return true;
	return false;
}

/* One line a call, for whoever asks what became of it and what it cost. */
static void log_call(struct relay *r, const char *name, const char *event, const char *with,
    const struct call_report *report, const struct error *err)
{
	struct log_line line;

	log_begin(&line, &r->queue.log, name, event);
	log_text(&line, "line", with);
	log_number(&line, "octets", report->octets);
	log_number(&line, "seconds", (report->milliseconds + 500) / 1000);
	if (report->rate > 0)
		log_number(&line, "rate", report->rate * 8);
	log_text(&line, "reason", err->text[0] == '\0' ? NULL : err->text);
	log_end(&line);
}

/* The ledger of N, with what the call cost. */
static void count_call(struct relay *r, struct neighbour *n, const struct call_report *report)
{
	struct ledger l;
	struct error err = ERROR_NONE;

	ledger_read(&l, &r->queue.state, n->config->name);
	ledger_count(&l, report, clock_now());
	if (ledger_write(&l, &r->queue.tmp, &r->queue.state, n->config->name, &err) != OUTCOME_DONE)
		relay_trouble(r, n->config->name, &err);
}

static enum outcome call_line(struct relay *r, struct neighbour *n, const char *address, struct error *err)
{
	struct call_report report;
	struct call_limits limits;
	struct ledger l;
	struct line line;
	const char *why;
	enum outcome outcome;

	ledger_read(&l, &r->queue.state, n->config->name);
	if (!ledger_limits(&l, n->config, clock_now(), &limits, &why))
		return error_set(err, EX_TEMPFAIL, "%s", why);
	outcome = line_open(&line, address, (unsigned)n->config->connect, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = call_out(r, n, &line, &limits, &report, err);
	log_call(r, n->config->name, "called", address, &report, err);
	count_call(r, n, &report);
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
static enum outcome try_addresses(struct relay *r, struct neighbour *n, struct error *err)
{
	enum outcome outcome =
	    error_set(err, EX_CONFIG, "neighbour \"%s\" has no address (call = \"tcp:…\")", n->config->name);

	for (size_t i = 0; i < n->config->call.count && outcome != OUTCOME_DONE; i++) {
		const char *address = n->config->call.items[i];
		const char *path = carrier_path(address);

		*err = ERROR_NONE;
		outcome = path != NULL ? use_directory(r, n, path, err) : call_line(r, n, address, err);
	}
	return outcome;
}

/* Notes that N was reached or not, for the next time. */
static void settle_ledger(struct relay *r, struct neighbour *n, bool reached)
{
	struct ledger l;
	struct error err = ERROR_NONE;

	ledger_read(&l, &r->queue.state, n->config->name);
	ledger_settle(&l, reached, &r->config, &r->age);
	if (ledger_write(&l, &r->queue.tmp, &r->queue.state, n->config->name, &err) != OUTCOME_DONE)
		relay_trouble(r, n->config->name, &err);
}

enum outcome calls_make(struct relay *r, const char *name, struct error *err)
{
	struct neighbour *n;
	struct error saving = ERROR_NONE;
	enum outcome outcome;

	if (config_neighbour(&r->config, name) == NULL)
		return error_set(err, EX_DATAERR, "there is no neighbour \"%s\" in the configuration", name);
	outcome = relay_neighbour(r, name, &n, err);
	if (outcome == OUTCOME_DONE && n == NULL)
		return error_set(err, EX_TEMPFAIL, "another process works on %s; try again", name);
	if (outcome == OUTCOME_DONE)
		outcome = intake_recover(r, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	call_prepare();
	outcome = try_addresses(r, n, err);
	settle_ledger(r, n, outcome == OUTCOME_DONE);
	pass_note_attempt(r, n, outcome, err);
	if (neighbour_save(r, n, &saving) != OUTCOME_DONE && outcome == OUTCOME_DONE) {
		*err = saving;
		outcome = saving.outcome;
	}
	return outcome;
}

enum outcome calls_answer(struct relay *r, int in, int out, const char *name, struct error *err)
{
	struct call_report report;
	struct line line;
	enum outcome outcome = intake_recover(r, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	call_prepare();
	line_adopt(&line, in, out, name);
	outcome = call_in(r, &line, &report, err);
	log_call(r, report.peer[0] == '\0' ? "-" : report.peer, "answered", line.name, &report, err);
	line_close(&line);
	return outcome;
}

/* ---- those that are due ------------------------------------------------------------------------------------ */

/* What is out for N and not acknowledged, or has not been packed. */
static void look_waiting(struct relay *r, const struct neighbour *n, struct waiting *w)
{
	int64_t now = clock_now();

	(void)r;
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
	const char *why;

	if (!calls_possible(n->config))
		return false;
	ledger_read(&l, &r->queue.state, n->config->name);
	look_waiting(r, n, &w);
	return ledger_due(&l, n->config, &w, &r->age, clock_now(), &why);
}

/* In a process of its own. What failed before in the same way is not said again. */
static _Noreturn void call_alone(const char *config_path, bool verbose, const char *name)
{
	struct error err = ERROR_NONE;
	struct relay r;

	if (relay_open(&r, config_path, verbose, &err) == OUTCOME_DONE) {
		calls_make(&r, name, &err);
		err = r.trouble;
		relay_close(&r);
	}
	if (err.outcome == OUTCOME_DONE)
		_exit(EX_OK);
	fprintf(stderr, "packetboat-relay: %s\n", err.text);
	_exit(err.code != EX_OK ? err.code : EX_TEMPFAIL);
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
		begun += pid > 0;
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
