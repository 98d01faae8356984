#include "relay/relay.h"

#include "lib/alloc.h"
#include "lib/text.h"
#include "queue/hop.h"

/* ---- names ----------------------------------------------------------------------------------------------- */

void batch_file_name(uint32_t incarnation, uint64_t sequence, char out[static BATCH_FILE])
{
	char text[INCARNATION_TEXT];

	incarnation_print(incarnation, text);
	snprintf(out, BATCH_FILE, "%s.%llu.pb", text, (unsigned long long)sequence);
}

void batch_part_name(uint32_t incarnation, uint64_t sequence, char out[static BATCH_FILE])
{
	char text[INCARNATION_TEXT];

	incarnation_print(incarnation, text);
	snprintf(out, BATCH_FILE, "batch-%s-%llu", text, (unsigned long long)sequence);
}

/* "abcdefg", SEPARATOR, digits. */
static bool numbered_parse(struct view text, char separator, uint32_t *incarnation, uint64_t *sequence)
{
	return text.length > INCARNATION_TEXT && text.bytes[INCARNATION_TEXT - 1] == (uint8_t)separator &&
	       incarnation_parse(view_of(text.bytes, INCARNATION_TEXT - 1), incarnation) &&
	       number_parse(view_from(text, INCARNATION_TEXT), UINT64_MAX, sequence);
}

bool batch_file_parse(const char *name, uint32_t *incarnation, uint64_t *sequence)
{
	return text_ends(name, ".pb") &&
	       numbered_parse(view_of(name, strlen(name) - strlen(".pb")), '.', incarnation, sequence);
}

bool batch_part_parse(const char *name, uint32_t *incarnation, uint64_t *sequence)
{
	return text_starts(name, "batch-") &&
	       numbered_parse(view_text(name + strlen("batch-")), '-', incarnation, sequence);
}

/* ---- what the neighbours hear ---------------------------------------------------------------------------- */

static void hook_ended(void *context, const struct settle_end *end)
{
	static const enum event_kind kinds[] = {
	    [ENTRY_DELIVERED] = EVENT_DELIVERED,
	    [ENTRY_FAILED] = EVENT_FAILED,
	    [ENTRY_FORWARDED] = EVENT_FORWARDED,
	    [ENTRY_RELAYED] = EVENT_DELIVERED,
	    [ENTRY_EXPANDED] = EVENT_DELIVERED,
	    [ENTRY_REMOVED] = EVENT_REMOVED,
	    [ENTRY_REISSUED] = EVENT_FORWARDED,
	};
	struct relay *r = context;
	struct event_note note = {
	    end->batch_incarnation, end->batch_sequence, end->ordinal, kinds[end->end], {0, 0, 0}};

	if (end->end == ENTRY_FAILED)
		memcpy(note.status, end->status, sizeof note.status);
	notes_add(&r->notes, end->neighbour, &note);
}

static enum outcome hook_flush(void *context, struct error *err)
{
	struct relay *r = context;

	return notes_flush(&r->notes, &r->queue.state, &r->queue.lock, err);
}

/* ---- opening --------------------------------------------------------------------------------------------- */

void relay_complain(void *context, const char *sentence)
{
	(void)context;
	fprintf(stderr, "packetboat-relay: %s\n", sentence);
}

int relay_leave(const struct error *err)
{
	if (err->text[0] != '\0')
		relay_complain(NULL, err->text);
	return err->code != EX_OK ? err->code : EX_TEMPFAIL;
}

static enum outcome open_parts(struct relay *r, struct error *err)
{
	struct dir keys;
	enum outcome outcome = queue_open(&r->queue, r->config.spool, r->config.host, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	r->queue.min_free = r->config.min_free;
	outcome = dir_open(&r->in, &r->queue.spool, "in", err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_open(&r->out, &r->queue.spool, "out", err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_open(&keys, NULL, r->config.keys, err);
	if (outcome != OUTCOME_DONE) {
		if (err->code == EX_NOINPUT) {
			error_context(err, "this host has no keys (see `packetboat init`)");
			err->code = EX_CONFIG;
			err->outcome = outcome = outcome_of_exit(EX_CONFIG);
		}
		return outcome;
	}
	outcome = keys_load(&r->keys, &keys, r->config.host, err);
	dir_close(&keys);
	if (outcome == OUTCOME_DONE)
		outcome = age_look(&r->queue.state, &r->age, err);
	return outcome;
}

static enum outcome neighbour_keys(const struct config_neighbour *config, struct public_keys *keys, struct error *err)
{
	enum outcome outcome = key_line_parse(config->key, keys, err);

	if (outcome == OUTCOME_DONE && strcmp(keys->host, config->name) != 0)
		outcome = error_set(err, EX_CONFIG, "the key is of a host named \"%s\"", keys->host);
	if (outcome == OUTCOME_DONE)
		return outcome;
	keys->host[0] = '\0';
	error_context(err, "%s: neighbour \"%s\"", config->where, config->name);
	if (err != NULL) {
		err->code = EX_CONFIG;
		err->outcome = outcome_of_exit(EX_CONFIG);
	}
	return outcome_of_exit(EX_CONFIG);
}

/* A key line that is none is told when its neighbour is worked on. */
static void know_neighbours(struct relay *r)
{
	r->neighbours = mem_array(r->config.neighbour_count, sizeof r->neighbours[0]);
	for (size_t i = 0; i < r->config.neighbour_count; i++)
		(void)neighbour_keys(&r->config.neighbours[i], &r->neighbours[i].keys, NULL);
}

enum outcome relay_open(struct relay *r, const char *path, bool verbose, struct error *err)
{
	enum outcome outcome;

	*r = (struct relay){.in = DIR_CLOSED, .out = DIR_CLOSED};
	r->queue.log.fd = -1;
	outcome = config_tell(&r->config, path, relay_complain, NULL, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = open_parts(r, err);
	if (outcome != OUTCOME_DONE) {
		relay_close(r);
		return outcome;
	}
	r->queue.log.echo = verbose;
	r->reports_left = r->config.reports;
	r->hooks = (struct settle_hooks){hook_ended, hook_flush, r};
	know_neighbours(r);
	return OUTCOME_DONE;
}

static void neighbour_close(struct neighbour *n)
{
	if (n->state != NEIGHBOUR_READY && n->state != NEIGHBOUR_BROKEN)
		return;
	peer_release(&n->peer);
	dir_close(&n->in);
	dir_close(&n->out);
	dir_close(&n->hop);
	lock_release(&n->lock);
	n->state = NEIGHBOUR_UNOPENED;
}

void relay_close(struct relay *r)
{
	for (size_t i = 0; r->neighbours != NULL && i < r->config.neighbour_count; i++) {
		neighbour_close(&r->neighbours[i]);
		free(r->neighbours[i].broken);
	}
	free(r->neighbours);
	notes_release(&r->notes);
	dir_close(&r->in);
	dir_close(&r->out);
	keys_release(&r->keys);
	if (r->queue.spool.path != NULL)
		queue_close(&r->queue);
	config_release(&r->config);
	*r = (struct relay){.in = DIR_CLOSED, .out = DIR_CLOSED};
}

void relay_trouble(struct relay *r, const char *about, const struct error *err)
{
	log_event(&r->queue.log, about, "trouble", "reason", err->text);
	if (r->trouble.outcome == OUTCOME_DONE) {
		r->trouble = *err;
		if (r->trouble.outcome == OUTCOME_DONE)
			r->trouble.outcome = OUTCOME_LATER;
	}
}

/* ---- neighbours ------------------------------------------------------------------------------------------ */

/*
 * The state of the exchange is damaged: it goes to corrupt/. Without it the numbers used are not known, so this host
 * begins a new incarnation; the neighbour then takes nothing new for old.
 */
static enum outcome peer_begin_anew(struct relay *r, struct neighbour *n, struct error *err)
{
	const char *name = n->config->name;
	struct error why = *err;
	struct dir state;
	enum outcome outcome = dir_open(&state, &r->queue.state, name, err);

	if (outcome == OUTCOME_DONE)
		outcome = queue_set_aside(&r->queue, &state, "peer", why.text, err);
	dir_close(&state);
	if (outcome == OUTCOME_DONE)
		outcome = relay_renew(r, RENEW_BATCHES, "the state of an exchange was damaged", err);
	peer_release(&n->peer);
	return outcome == OUTCOME_DONE ? peer_load(&n->peer, &r->queue.state, name, r->queue.incarnation, err)
				       : outcome;
}

static enum outcome neighbour_load(struct relay *r, struct neighbour *n, struct error *err)
{
	const char *name = n->config->name;
	enum outcome outcome;

	if (n->keys.host[0] == '\0')
		return neighbour_keys(n->config, &n->keys, err);
	outcome = peer_load(&n->peer, &r->queue.state, name, r->queue.incarnation, err);
	if (outcome == OUTCOME_NEVER)
		outcome = peer_begin_anew(r, n, err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_make(&n->in, &r->in, name, 0700, err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_make(&n->out, &r->out, name, 0700, err);
	if (outcome == OUTCOME_DONE)
		outcome = hop_open(&r->queue, n->hop_name, &n->hop, err);
	return outcome;
}

static void neighbour_break(struct neighbour *n, const struct error *why)
{
	n->state = NEIGHBOUR_BROKEN;
	n->broken = mem_alloc(sizeof *n->broken);
	*n->broken = *why;
}

static enum outcome neighbour_open(
    struct relay *r, struct neighbour *n, const struct config_neighbour *config, struct error *err)
{
	struct error why = ERROR_NONE;
	bool held;
	enum outcome outcome;

	*n = (struct neighbour){.config = config,
	    .keys = n->keys,
	    .in = DIR_CLOSED,
	    .out = DIR_CLOSED,
	    .hop = DIR_CLOSED,
	    .lock = LOCK_NONE};
	snprintf(n->hop_name, sizeof n->hop_name, "neighbour-%s", config->name);
	outcome = hop_lock_try(&r->queue, n->hop_name, &n->lock, &held, &why);
	if (outcome != OUTCOME_DONE && held) {
		n->state = NEIGHBOUR_BUSY; /* another pass is at it */
		return OUTCOME_DONE;
	}
	if (outcome != OUTCOME_DONE) {
		if (err != NULL)
			*err = why; /* still to be opened: whoever asks next hears of it as well */
		return outcome;
	}
	outcome = neighbour_load(r, n, &why);
	n->state = NEIGHBOUR_READY;
	if (outcome != OUTCOME_DONE) {
		relay_trouble(r, config->name, &why);
		neighbour_close(n);
		neighbour_break(n, &why);
	}
	return OUTCOME_DONE;
}

/* To say that N cannot be worked on is no failure. */
static void say_why_not(const struct neighbour *n, const char *name, struct error *err)
{
	if (n == NULL)
		error_set(err, EX_DATAERR, "there is no neighbour \"%s\" in the configuration", name);
	else if (n->state == NEIGHBOUR_BUSY)
		error_set(err, EX_TEMPFAIL, "another process works on %s; try again", name);
	else if (err != NULL)
		*err = *n->broken;
}

enum outcome relay_neighbour(struct relay *r, const char *name, struct neighbour **n, struct error *err)
{
	const struct config_neighbour *config = config_neighbour(&r->config, name);
	enum outcome outcome = OUTCOME_DONE;
	struct neighbour *found = config == NULL ? NULL : &r->neighbours[config - r->config.neighbours];

	*n = NULL;
	if (found != NULL && found->state == NEIGHBOUR_UNOPENED)
		outcome = neighbour_open(r, found, config, err);
	if (outcome == OUTCOME_DONE && found != NULL && found->state == NEIGHBOUR_READY)
		*n = found;
	else if (outcome == OUTCOME_DONE)
		say_why_not(found, name, err);
	return outcome;
}

enum outcome neighbour_save(struct relay *r, struct neighbour *n, struct error *err)
{
	enum outcome outcome;

	if (!n->changed)
		return OUTCOME_DONE;
	outcome = peer_save(&n->peer, &r->queue.tmp, &r->queue.state, err);
	if (outcome == OUTCOME_DONE)
		n->changed = false;
	return outcome;
}

/* One that cannot be loaded anew is broken: what is known of it stays for whoever works on it, but nothing more is packed. */
static enum outcome neighbour_renew(struct relay *r, struct neighbour *n, struct error *err)
{
	struct peer fresh = {.next = 0};
	enum outcome outcome = neighbour_save(r, n, err);

	if (outcome == OUTCOME_DONE)
		outcome = peer_load(&fresh, &r->queue.state, n->config->name, r->queue.incarnation, err);
	if (outcome != OUTCOME_DONE) {
		peer_release(&fresh);
		neighbour_break(n, err);
		n->unsure = true;
		return outcome;
	}
	peer_release(&n->peer);
	n->peer = fresh;
	n->changed = true;
	return OUTCOME_DONE;
}

enum outcome relay_renew(struct relay *r, enum renewal what, const char *why, struct error *err)
{
	/* Ids given out since the old copy came back may have been given out before. */
	enum outcome outcome = what == RENEW_ALL ? process_doubt(&r->queue, err) : OUTCOME_DONE;

	if (outcome == OUTCOME_DONE)
		outcome = queue_renew(&r->queue, why, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	for (size_t i = 0; i < r->config.neighbour_count; i++) {
		struct neighbour *n = &r->neighbours[i];
		struct error trouble = ERROR_NONE;

		if (n->state != NEIGHBOUR_READY || neighbour_renew(r, n, &trouble) == OUTCOME_DONE)
			continue;
		if (outcome == OUTCOME_DONE)
			*err = trouble;
		else
			relay_trouble(r, n->config->name, &trouble);
		outcome = err->outcome;
	}
	return outcome;
}

void relay_log_sent(struct relay *r, const struct neighbour *n, const struct peer_batch *b, const char *to)
{
	char label[LIMIT_ID];
	struct log_line line;

	id_label(r->queue.host, b->incarnation, b->sequence, label);
	log_begin(&line, &r->queue.log, label, "sent");
	log_text(&line, "neighbour", n->config->name);
	log_text(&line, "to", to);
	log_number(&line, "size", b->size);
	log_number(&line, "sendings", b->sendings);
	log_end(&line);
}

void relay_log_batch(
    struct relay *r, const struct peer_batch *b, const char *event, const char *neighbour, const char *reason)
{
	char label[LIMIT_ID];
	struct log_line line;

	id_label(r->queue.host, b->incarnation, b->sequence, label);
	log_begin(&line, &r->queue.log, label, event);
	log_text(&line, "neighbour", neighbour);
	log_text(&line, "reason", reason);
	log_end(&line);
}

const struct public_keys *relay_lookup(void *context, const char *name)
{
	const struct relay *r = context;
	const struct config_neighbour *config = config_neighbour(&r->config, name);
	const struct public_keys *keys = config == NULL ? NULL : &r->neighbours[config - r->config.neighbours].keys;

	return keys == NULL || keys->host[0] == '\0' ? NULL : keys;
}
