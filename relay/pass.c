#include "relay/pass.h"

#include <inttypes.h>

#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/text.h"
#include "queue/arrivals.h"
#include "queue/work.h"
#include "relay/calls.h"
#include "relay/carrier.h"
#include "relay/intake.h"
#include "relay/outbox.h"

static struct process pass_process(struct relay *r)
{
	return (struct process){&r->queue, &r->config, &r->age, &r->hooks, &r->reports_left};
}

/* Failures of one part stay with it: the pass goes on with the others. */
static void contain(struct relay *r, const char *about, enum outcome outcome, struct error *err)
{
	if (outcome != OUTCOME_DONE)
		relay_trouble(r, about, err);
	*err = ERROR_NONE;
}

/* ---- neighbours ------------------------------------------------------------------------------------------ */

static void open_neighbours(struct relay *r)
{
	for (size_t i = 0; i < r->config.neighbour_count; i++) {
		struct error err = ERROR_NONE;
		struct neighbour *n;
		const char *name = r->config.neighbours[i].name;
		enum outcome outcome = relay_neighbour(r, name, &n, &err);

		if (outcome == OUTCOME_DONE && n != NULL)
			outcome = outbox_recover(r, n, &err);
		contain(r, name, outcome, &err);
	}
}

/* What lies in one directory of a hop goes to queue/new, once what a crash left undone is finished. */
static enum outcome empty_part(struct relay *r, const char *hop, const char *part, struct error *err)
{
	struct process p = pass_process(r);
	char *path = mem_format("%s/%s", hop, part);
	struct names names = {0};
	struct settle s;
	enum outcome outcome =
	    settle_init(&s, &r->queue, &r->config, &r->age, path, &r->hooks, &r->reports_left, err);

	s.stay = true;
	if (outcome == OUTCOME_DONE)
		outcome = dir_names(&s.dir, &names, err);
	for (size_t i = 0; i < names.count && outcome == OUTCOME_DONE; i++) {
		struct settle_item *item = NULL;

		if (strcmp(names.items[i], "recall") == 0)
			outcome = file_remove(&s.dir, names.items[i], err);
		else if (hop_is_record(names.items[i]))
			outcome = settle_open(&s, names.items[i], &item, err);
		if (outcome == OUTCOME_DONE && item != NULL)
			outcome = process_again(&p, &s.dir, names.items[i], err);
		settle_drop(item);
	}
	names_release(&names);
	settle_release(&s);
	free(path);
	return outcome;
}

/* Everything in a hop whose neighbour is gone from the configuration is routed again. */
static enum outcome empty_hop(struct relay *r, const char *hop, struct error *err)
{
	struct names parts = {0};
	struct dir top;
	struct lock lock;
	bool held;
	enum outcome outcome = hop_lock_try(&r->queue, hop, &lock, &held, err);

	if (outcome != OUTCOME_DONE)
		return held ? OUTCOME_DONE : outcome;
	outcome = hop_open(&r->queue, hop, &top, err);
	if (outcome == OUTCOME_DONE)
		outcome = hop_parts(&top, &parts, err);
	names_add(&parts, ".");
	for (size_t i = 0; i < parts.count && outcome == OUTCOME_DONE; i++) {
		outcome = empty_part(r, hop, parts.items[i], err);
		if (outcome == OUTCOME_DONE && strcmp(parts.items[i], ".") != 0)
			outcome = dir_remove(&top, parts.items[i], err);
	}
	names_release(&parts);
	dir_close(&top);
	if (outcome == OUTCOME_DONE)
		outcome = dir_remove(&r->queue.queue, hop, err);
	lock_release(&lock);
	return outcome;
}

static enum outcome empty_lost_hops(struct relay *r, struct error *err)
{
	struct names hops;
	enum outcome outcome = hop_list(&r->queue, &hops, err);

	for (size_t i = 0; i < hops.count && outcome == OUTCOME_DONE; i++)
		if (text_starts(hops.items[i], "neighbour-") &&
		    config_neighbour(&r->config, hops.items[i] + strlen("neighbour-")) == NULL)
			outcome = empty_hop(r, hops.items[i], err);
	names_release(&hops);
	return outcome;
}

/* ---- in -------------------------------------------------------------------------------------------------- */

void pass_note_attempt(struct relay *r, struct neighbour *n, enum outcome outcome, const struct error *err)
{
	const char *text = outcome == OUTCOME_DONE ? "done" : err->text;

	n->peer.tried = clock_now();
	if (n->peer.result == NULL || strcmp(n->peer.result, text) != 0) {
		if (outcome != OUTCOME_DONE)
			relay_trouble(r, n->config->name, err);
		free(n->peer.result);
		n->peer.result = mem_string(text);
		n->changed = true;
	}
}

static void fetch_all(struct relay *r)
{
	struct strings seen = {0};

	for (size_t i = 0; i < r->config.neighbour_count; i++) {
		const struct config_neighbour *c = &r->config.neighbours[i];

		for (size_t k = 0; k < c->call.count; k++) {
			const char *path = carrier_path(c->call.items[k]);
			struct error err = ERROR_NONE;
			size_t taken;

			/* One directory may serve several neighbours. What cannot be opened is told when sending. */
			if (path == NULL || strings_contain(&seen, path))
				continue;
			strings_add(&seen, path);
			if (carrier_fetch(r, path, &taken, &err) != OUTCOME_DONE && err.code != EX_NOINPUT)
				relay_trouble(r, path, &err);
		}
	}
	strings_release(&seen);
}

/* ---- the middle ------------------------------------------------------------------------------------------ */

static void hear_trouble(void *context, const char *about, const struct error *err)
{
	relay_trouble(context, about, err);
}

/* Routes and delivers until nothing new comes of it; returns how many names were routed. */
static size_t rounds(struct relay *r)
{
	struct process p = pass_process(r);
	size_t moved = process_rounds(&p, hear_trouble, r);
	struct error err = ERROR_NONE;

	contain(r, "smtp", work_unserved(&p, "smtp", &err), &err);
	contain(r, "lmtp", work_unserved(&p, "lmtp", &err), &err);
	return moved;
}

/* ---- out ------------------------------------------------------------------------------------------------- */

static enum outcome pack_for(struct relay *r, struct neighbour *n, struct error *err)
{
	enum outcome outcome = outbox_expire(r, n, err);

	return outcome == OUTCOME_DONE ? outbox_pack(r, n, err) : outcome;
}

static void pack_all(struct relay *r)
{
	for (size_t i = 0; i < r->config.neighbour_count; i++) {
		struct neighbour *n = &r->neighbours[i];
		struct error err = ERROR_NONE;

		if (n->state == NEIGHBOUR_READY)
			contain(r, n->config->name, pack_for(r, n, &err), &err);
	}
}

static bool has_directory(const struct config_neighbour *n)
{
	for (size_t i = 0; i < n->call.count; i++)
		if (carrier_path(n->call.items[i]) != NULL)
			return true;
	return false;
}

/* Tries the directories of a neighbour in their order until one works. */
static void send_to(struct relay *r, struct neighbour *n)
{
	struct error err = ERROR_NONE;
	enum outcome outcome = OUTCOME_DONE;

	for (size_t i = 0; i < n->config->call.count; i++) {
		const char *path = carrier_path(n->config->call.items[i]);
		size_t sent;

		if (path == NULL)
			continue;
		err = ERROR_NONE;
		outcome = carrier_send(r, n, path, CARRIER_DUE, &sent, &err);
		if (outcome == OUTCOME_DONE)
			break;
	}
	pass_note_attempt(r, n, outcome, &err);
	err = ERROR_NONE;
	contain(r, n->config->name, neighbour_save(r, n, &err), &err);
}

/* ---- sweeping -------------------------------------------------------------------------------------------- */

/* Is the staged file needed: does the record that it is named after still exist, or may it? */
static bool stage_needed(struct relay *r, const char *staged)
{
	const char *dot = strrchr(staged, '.');
	char *record = mem_copy(staged, dot == NULL ? 0 : (size_t)(dot - staged));
	bool needed = file_exists(&r->queue.msg, record, NULL);

	free(record);
	return needed;
}

/* Files in stage/ whose record has ended were left by a crash before its commit. */
static enum outcome sweep_stage(struct relay *r, struct error *err)
{
	struct names names;
	enum outcome outcome = dir_names(&r->queue.stage, &names, err);

	for (size_t i = 0; i < names.count && outcome == OUTCOME_DONE; i++)
		if (!stage_needed(r, names.items[i]))
			outcome = file_remove(&r->queue.stage, names.items[i], err);
	names_release(&names);
	return outcome;
}

static void note_clock(struct relay *r)
{
	struct error err = ERROR_NONE;

	contain(r, "age", age_tick(&r->queue.tmp, &r->queue.state, &r->queue.log, &r->age, &err), &err);
	if (!clock_plausible(r->age.wall)) {
		char now[DATE_TEXT];

		date_rfc3339(r->age.wall, now);
		log_event(&r->queue.log, "-", "clock", "implausible", now);
	}
}

/* What a daemon took and did not live to bring into the queue. */
static void drain_arrivals(struct relay *r)
{
	struct error err = ERROR_NONE;

	contain(r, "arrivals", arrivals_drain(&r->queue, NULL, &err), &err);
}

/* ---- within a call --------------------------------------------------------------------------------------- */

enum outcome pass_feed(struct relay *r, struct neighbour *n, struct error *err)
{
	note_clock(r);
	drain_arrivals(r);
	rounds(r);
	return pack_for(r, n, err);
}

enum outcome pass_prepare(struct relay *r, struct neighbour *n, struct error *err)
{
	enum outcome outcome = outbox_recover(r, n, err);

	return outcome == OUTCOME_DONE ? pass_feed(r, n, err) : outcome;
}

/* ---- the passes ------------------------------------------------------------------------------------------ */

enum outcome pass_run(struct relay *r, struct strings *due, struct error *err)
{
	enum outcome outcome;

	note_clock(r);
	open_neighbours(r);
	drain_arrivals(r);
	contain(r, "intake", intake_recover(r, NULL, err), err);
	fetch_all(r);
	contain(r, "queue", empty_lost_hops(r, err), err);
	for (size_t round = 0; round < PROCESS_ROUNDS; round++) {
		size_t moved = rounds(r);

		pack_all(r);
		if (dir_empty(&r->queue.new) || (round > 0 && moved == 0))
			break;
	}
	for (size_t i = 0; i < r->config.neighbour_count; i++) {
		struct neighbour *n = &r->neighbours[i];

		if (n->state == NEIGHBOUR_READY && calls_due(r, n))
			strings_add(due, n->config->name);
		else if (n->state == NEIGHBOUR_READY && has_directory(n->config))
			send_to(r, n);
	}
	outcome = tmp_sweep(&r->queue.tmp, err);
	return outcome == OUTCOME_DONE ? sweep_stage(r, err) : outcome;
}

enum outcome pass_import(struct relay *r, const char *path, struct error *err)
{
	size_t taken;
	enum outcome outcome;

	note_clock(r);
	open_neighbours(r);
	drain_arrivals(r);
	contain(r, "intake", intake_recover(r, NULL, err), err);
	outcome = carrier_fetch(r, path, &taken, err);
	if (outcome == OUTCOME_DONE)
		rounds(r);
	for (size_t i = 0; i < r->config.neighbour_count && outcome == OUTCOME_DONE; i++)
		if (r->neighbours[i].state == NEIGHBOUR_READY)
			outcome = neighbour_save(r, &r->neighbours[i], err);
	if (outcome == OUTCOME_DONE && taken == 0)
		return error_set(err, EX_NOINPUT, "%s holds no batch that %s could take (see `packetboat log`)", path,
		    r->queue.host);
	return outcome;
}

enum outcome pass_export(struct relay *r, const char *name, const char *path, struct error *err)
{
	struct neighbour *n;
	size_t sent;
	enum outcome outcome;

	note_clock(r);
	outcome = relay_neighbour(r, name, &n, err);
	if (outcome == OUTCOME_DONE && n == NULL)
		return err->outcome;
	if (outcome == OUTCOME_DONE)
		outcome = outbox_recover(r, n, err);
	if (outcome == OUTCOME_DONE) {
		drain_arrivals(r);
		rounds(r);
		outcome = pack_for(r, n, err);
	}
	if (outcome == OUTCOME_DONE)
		outcome = carrier_send(r, n, path, CARRIER_FORCE, &sent, err);
	struct error saving = ERROR_NONE;

	if (neighbour_save(r, n, &saving) != OUTCOME_DONE && outcome == OUTCOME_DONE) {
		*err = saving;
		outcome = saving.outcome;
	}
	return outcome;
}
