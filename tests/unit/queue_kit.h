/*
 * A host "village" in a scratch directory, with the users joe and ann, the neighbour city and a route to it; and
 * what lies on its disk, counted from outside. Nothing here keeps a descriptor between two steps, so that a step can run
 * in a process of its own and be killed (tests/unit/fault.h).
 *
 *	struct queue_kit k;
 *	char *root = kit_root(CONFIG);       only writes packetboat.conf
 *	kit_attach(&k, root)                 makes or opens the spool
 *	...
 *	kit_detach(&k);  kit_remove(root);
 */
#ifndef TESTS_QUEUE_KIT_H
#define TESTS_QUEUE_KIT_H

#include <fcntl.h>

#include "lib/text.h"
#include "queue/dispatch.h"
#include "queue/maildir.h"
#include "queue/process.h"
#include "tests/unit/scratch.h"

#define KIT_HEAD  "host = \"village\"\ndomains = { \"village.example.org\" }\n"
#define KIT_CITY  "neighbour \"city\" { key = \"pb1.x\"\ncall = { \"dir:/nowhere\" } }\n"
#define KIT_ROUTE "route \"*\" { via = \"neighbour:city\" }\n"
#define KIT_PLAIN KIT_HEAD KIT_CITY KIT_ROUTE

#define KIT_MAIL "From: maria@village.example.org\r\nSubject: x\r\n\r\nbody\r\n"

struct queue_kit {
	char *root;
	struct queue queue;
	struct config config;
	struct age age;
	uint64_t reports;
	struct settle_hooks hooks;
	struct process process;
	struct error err;
};

static inline void kit_put(const char *root, const char *name, const char *text)
{
	char *path = mem_format("%s/%s", root, name);
	FILE *file = fopen(path, "w");

	cr_assert_not_null(file, "%s", path);
	fputs(text, file);
	fclose(file);
	free(path);
}

static inline char *kit_root(const char *config)
{
	struct dir d = scratch_open();
	char *root = mem_string(d.path);

	dir_close(&d);
	kit_put(root, "packetboat.conf", config);
	return root;
}

static inline void kit_remove(char *root)
{
	nftw(root, scratch_remove, 16, FTW_DEPTH | FTW_PHYS);
	free(root);
}

/* What the hooks are told goes to the file "told", a line each. */
static inline void kit_told(void *context, const struct settle_end *end)
{
	const struct queue_kit *k = context;
	char *path = mem_format("%s/told", k->root);
	char *line = mem_format("%s %s %s\n", entry_end_name(end->end), end->recipient, end->sender);
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);

	cr_assert_eq(write(fd, line, strlen(line)), (ssize_t)strlen(line));
	close(fd);
	free(line);
	free(path);
}

static inline enum outcome kit_flush(void *context, struct error *err)
{
	(void)context;
	(void)err;
	return OUTCOME_DONE;
}

/* A directory where the lock NAME ("spool/lock/new") would be: it cannot be opened, which is EX_TEMPFAIL but not "held". */
static inline void kit_spoil_lock(const char *root, const char *name)
{
	char *path = mem_format("%s/%s", root, name);

	unlink(path);
	cr_assert_eq(mkdir(path, 0700), 0, "%s", path);
	free(path);
}

/* Was that told, and not taken for somebody else at work? */
static inline void kit_spoilt_told(enum outcome outcome, struct error *err)
{
	cr_expect_eq(outcome, OUTCOME_LATER);
	cr_expect_eq(err->code, EX_TEMPFAIL);
	cr_expect_not_null(strstr(err->text, "cannot open the lock"), "%s", err->text);
	*err = ERROR_NONE;
}

static inline void kit_detach(struct queue_kit *k)
{
	queue_close(&k->queue);
	config_release(&k->config);
}

static inline enum outcome kit_attach(struct queue_kit *k, char *root)
{
	char *config = mem_format("%s/packetboat.conf", root);
	char *spool = mem_format("%s/spool", root);
	enum outcome outcome;

	*k = (struct queue_kit){.root = root, .reports = 100};
	outcome = config_load(&k->config, config, NULL, NULL, &k->err);
	if (outcome == OUTCOME_DONE)
		outcome = queue_make(spool, &k->err);
	if (outcome == OUTCOME_DONE)
		outcome = queue_open(&k->queue, spool, k->config.host, &k->err);
	if (outcome == OUTCOME_DONE)
		outcome = maildir_make(&k->queue.mail, "joe", &k->err);
	if (outcome == OUTCOME_DONE)
		outcome = maildir_make(&k->queue.mail, "ann", &k->err);
	if (outcome == OUTCOME_DONE)
		outcome = age_look(&k->queue.state, &k->age, &k->err);
	k->hooks = (struct settle_hooks){kit_told, kit_flush, k};
	k->process = (struct process){&k->queue, &k->config, &k->age, &k->hooks, &k->reports};
	free(config);
	free(spool);
	return outcome;
}

/* Opens the directories that are looked at, and changes nothing: for a test that strikes its steps with faults. */
static inline void kit_look(struct queue_kit *k, char *root)
{
	char *spool = mem_format("%s/spool", root);
	struct queue *q = &k->queue;

	*k = (struct queue_kit){.root = root};
	*q = (struct queue){.tmp = DIR_CLOSED,
	    .stage = DIR_CLOSED,
	    .arrivals = DIR_CLOSED,
	    .lock = DIR_CLOSED,
	    .state = DIR_CLOSED,
	    .mail = DIR_CLOSED,
	    .corrupt = DIR_CLOSED,
	    .log.fd = -1};
	cr_assert_eq(dir_open(&q->spool, NULL, spool, &k->err), OUTCOME_DONE, "%s", k->err.text);
	cr_assert_eq(dir_open(&q->queue, &q->spool, "queue", &k->err), OUTCOME_DONE, "%s", k->err.text);
	cr_assert_eq(dir_open(&q->new, &q->spool, "queue/new", &k->err), OUTCOME_DONE, "%s", k->err.text);
	cr_assert_eq(dir_open(&q->msg, &q->spool, "msg", &k->err), OUTCOME_DONE, "%s", k->err.text);
	free(spool);
}

#define kit_done(k, call) cr_assert_eq(call, OUTCOME_DONE, "%s", (k)->err.text)

static inline void kit_open(struct queue_kit *k, const char *config)
{
	char *root = kit_root(config);

	kit_done(k, kit_attach(k, root));
}

static inline void kit_close(struct queue_kit *k)
{
	kit_detach(k);
	kit_remove(k->root);
}

static inline struct envelope kit_envelope(const char *sender, const char *recipients)
{
	struct envelope e;

	envelope_init(&e);
	e.sender = mem_string(sender);
	while (*recipients != '\0') {
		size_t length = strcspn(recipients, " ");
		char *one = mem_copy(recipients, length);

		envelope_add_recipient(&e, one);
		free(one);
		recipients += length + (recipients[length] == ' ');
	}
	envelope_add_hop(&e, "village", 1800000000, HOP_LOCAL);
	return e;
}

/* Hands E over with CONTENT; E keeps its id. */
static inline enum outcome kit_hand(struct queue_kit *k, struct envelope *e, const char *content)
{
	struct handover h;
	enum outcome outcome = handover_begin(&k->queue, &h, &k->err);

	if (outcome == OUTCOME_DONE)
		outcome = sink_view(handover_sink(&h), view_text(content), &k->err);
	if (outcome == OUTCOME_DONE)
		outcome = handover_commit(&h, e, &k->err);
	handover_abort(&h);
	return outcome;
}

/* A message from SENDER to RECIPIENTS (spaces between them); its id. */
static inline struct id kit_send(struct queue_kit *k, const char *sender, const char *recipients)
{
	struct envelope e = kit_envelope(sender, recipients);
	struct id id;

	kit_done(k, kit_hand(k, &e, KIT_MAIL));
	id = e.id;
	envelope_release(&e);
	return id;
}

/* A message as the neighbour city brings it. */
static inline struct envelope kit_arrived(const char *sender, const char *recipients)
{
	struct envelope e = kit_envelope(sender, recipients);

	e.id = (struct id){.host = "city", .incarnation = 9, .sequence = 5};
	free(e.hops[0].host);
	e.hops[0].host = mem_string("city");
	envelope_add_hop(&e, "village", 1800000000, HOP_BATCH);
	e.neighbour = mem_string("city");
	e.batch_incarnation = 9;
	e.batch_sequence = 3;
	return e;
}

static inline void kit_dispatch(struct queue_kit *k)
{
	kit_done(k, dispatch_new(&k->queue, &k->config, &k->age, NULL, &k->err));
}

/* Routes and delivers until nothing is new; what goes to city stays. */
static inline enum outcome kit_rounds(struct queue_kit *k)
{
	for (int i = 0; i < 8; i++) {
		enum outcome outcome = dispatch_new(&k->queue, &k->config, &k->age, NULL, &k->err);

		if (outcome == OUTCOME_DONE)
			outcome = process_expand(&k->process, &k->err);
		if (outcome == OUTCOME_DONE)
			outcome = process_failed(&k->process, &k->err);
		if (outcome == OUTCOME_DONE)
			outcome = process_removed(&k->process, &k->err);
		if (outcome == OUTCOME_DONE)
			outcome = process_local(&k->process, &k->err);
		if (outcome != OUTCOME_DONE || dir_empty(&k->queue.new))
			return outcome;
	}
	return OUTCOME_DONE;
}

static inline bool kit_list_one(
    void *context, const struct queue_place *place, const struct entry *entry, const struct error *err)
{
	struct buf *out = context;

	buf_format(out, "%s%s%s:", place->hop, place->within[0] != '\0' ? "/" : "", place->within);
	for (size_t i = 0; entry != NULL && i < entry->recipient_count; i++) {
		const struct entry_recipient *r = &entry->recipients[i];

		buf_format(out, " %u=%s", (unsigned)r->index, r->address);
		if (r->end != ENTRY_WAITS)
			buf_format(out, "(%s)", entry_end_name(r->end));
		else if (r->status[0] != '\0')
			buf_format(out, "(%s)", r->status);
	}
	if (entry == NULL)
		buf_format(out, " %s", err->text);
	buf_byte(out, '\n');
	return true;
}

/* A line for each record: "hop/within: index=address(status)"; free() it. */
static inline char *kit_list(struct queue_kit *k)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	kit_done(k, queue_walk(&k->queue, NULL, kit_list_one, &out, &k->err));
	return buf_detach(&out);
}

#define kit_expect_list(k, text)                                                                                     \
	do {                                                                                                         \
		char *kit_found = kit_list(k);                                                                       \
		cr_expect_str_eq(kit_found == NULL ? "" : kit_found, text);                                          \
		free(kit_found);                                                                                     \
	} while (0)

/* ---- sweeps of faults (tests/unit/fault.h) ---------------------------------------------------------------- */

/* A step may get over a failure without a word, so that its end does not say that all have been tried. */
#define FAULT_FAILURES		    130
#define fault_goes_on(kind, end, n) ((end) != FAULT_RAN || ((kind)[0] == 'f' && (n) < FAULT_FAILURES))

/* ---- looking from outside -------------------------------------------------------------------------------- */

static size_t kit_counted;

static inline int kit_count_one(const char *path, const struct stat *st, int kind, struct FTW *walk)
{
	(void)path;
	(void)st;
	(void)walk;
	kit_counted += kind == FTW_F;
	return 0;
}

/* Regular files at and below ROOT/spool/WHERE. */
static inline size_t kit_count(const char *root, const char *where)
{
	char *path = mem_format("%s/spool/%s", root, where);

	kit_counted = 0;
	nftw(path, kit_count_one, 16, FTW_PHYS);
	free(path);
	return kit_counted;
}

#define kit_expect(root, where, number)                                                                              \
	cr_expect_eq(kit_count(root, where), (size_t)(number), "%s: %zu, not %zu", where, kit_count(root, where),    \
	    (size_t)(number))

/* Appends ROOT/NAME to OUT, or what all files in that directory hold, one after the other. False: there is none. */
static inline bool kit_read(const char *root, const char *name, struct buf *out)
{
	struct dir d;
	struct names names = {0};
	char *path = mem_format("%s/%s", root, name);
	struct stat st;

	if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
		char *slash = strrchr(path, '/');

		*slash = '\0';
		cr_assert_eq(dir_open(&d, NULL, path, NULL), OUTCOME_DONE);
		names_add(&names, slash + 1);
	} else if (dir_open(&d, NULL, path, NULL) == OUTCOME_DONE) {
		cr_assert_eq(dir_names(&d, &names, NULL), OUTCOME_DONE);
	}
	for (size_t i = 0; i < names.count; i++)
		if (file_exists(&d, names.items[i], NULL))
			cr_assert_eq(file_read(&d, names.items[i], out, NULL), OUTCOME_DONE);
	dir_close(&d);
	free(path);
	names_release(&names);
	return out->length > 0;
}

/* The same as a C string; free() it. Null: there is none. */
static inline char *kit_text(const char *root, const char *name)
{
	struct buf text;

	buf_init(&text, (size_t)1 << 26);
	if (!kit_read(root, name, &text)) {
		buf_release(&text);
		return NULL;
	}
	return buf_detach(&text);
}

/* How often WORD is in the files of NAME (0 when there is none). */
static inline size_t kit_occurs(const char *root, const char *name, const char *word)
{
	struct buf text;
	struct view rest;
	size_t count = 0;
	const uint8_t *at;

	buf_init(&text, (size_t)1 << 26);
	kit_read(root, name, &text);
	rest = view_buf(&text);
	while (rest.length > 0 && (at = memmem(rest.bytes, rest.length, word, strlen(word))) != NULL) {
		rest = view_from(rest, (size_t)(at - rest.bytes) + strlen(word));
		count++;
	}
	buf_release(&text);
	return count;
}

#endif
