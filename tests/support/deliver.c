/*
 * deliver CONFIG HOP SERVER [MILLISECONDS]: what a program that delivers by SMTP does with the queue, without the SMTP. All
 * that is ready in HOP is handed to a server that takes it, waits that long for each record, and appends a line "ID RECIPIENT" to
 * the file SERVER for each recipient. It refuses recipients named "bad" and has no room for those named "full" the first time.
 */
#include <err.h>
#include <fcntl.h>

#include "lib/alloc.h"
#include "lib/text.h"
#include "queue/work.h"
#include "spool/notes.h"

struct delivering {
	struct config config;
	struct queue queue;
	struct age age;
	struct notes notes;
	uint64_t reports;
	const char *server;
	long pause;
	bool failed;
};

static void ended(void *context, const struct settle_end *end)
{
	struct delivering *d = context;
	struct event_note note = {end->batch_incarnation, end->batch_sequence, end->ordinal,
	    end->end == ENTRY_FAILED ? EVENT_FAILED : EVENT_DELIVERED,
	    {end->status[0], end->status[1], end->status[2]}};

	notes_add(&d->notes, end->neighbour, &note);
}

static enum outcome flush(void *context, struct error *error)
{
	struct delivering *d = context;

	return notes_flush(&d->notes, &d->queue.state, &d->queue.lock, error);
}

static void trouble(void *context, const char *about, const struct error *error)
{
	struct delivering *d = context;

	warnx("%s: %s", about, error->text);
	d->failed = true;
}

static void serve(const struct delivering *d, struct settle_item *item)
{
	const struct timespec pause = {d->pause / 1000, d->pause % 1000 * 1000000};
	int fd = open(d->server, O_WRONLY | O_APPEND | O_CREAT, 0600);
	char id[LIMIT_ID];

	nanosleep(&pause, NULL);
	id_print(&item->entry.id, id);
	for (size_t i = 0; i < item->entry.recipient_count; i++) {
		const struct entry_recipient *r = &item->entry.recipients[i];
		char *line = mem_format("%s %s\n", id, r->address);

		if (r->end != ENTRY_WAITS)
			;
		else if (text_starts(r->address, "bad@"))
			settle_recipient(item, i, ENTRY_FAILED, "5.1.1", "550 5.1.1 nobody of that name");
		else if (text_starts(r->address, "full@") && item->entry.attempts == 0)
			settle_recipient(item, i, ENTRY_WAITS, "4.2.2", "452 4.2.2 the box is full");
		else if (write(fd, line, strlen(line)) == (ssize_t)strlen(line))
			settle_recipient(item, i, ENTRY_RELAYED, "2.0.0", "250 2.0.0 Ok");
		free(line);
	}
	close(fd);
}

static void deliver_one(struct delivering *d, struct work *w, const char *name)
{
	struct error error = ERROR_NONE;
	struct settle_item *item = NULL;
	char *destination = NULL;
	enum outcome outcome = work_look(w, name, &destination, &error);

	free(destination);
	if (outcome == OUTCOME_DONE)
		outcome = work_claim(w, name, &error);
	if (outcome == OUTCOME_DONE)
		outcome = work_item(w, name, &item, &error);
	if (outcome == OUTCOME_DONE && item != NULL) {
		process_limits(w->process, item);
		serve(d, item);
		outcome = work_done(w, item, &error);
	}
	/* Another one was faster, or somebody has the hop. */
	if (outcome != OUTCOME_DONE && error.code != EX_NOINPUT && error.code != EX_TEMPFAIL)
		trouble(d, name, &error);
}

/* Goes through the hop until nothing that is ready can be had. */
static void deliver_all(struct delivering *d, struct work *w)
{
	struct error error = ERROR_NONE;
	struct names names = {0};

	do {
		names_release(&names);
		if (work_ready(w, 100, &names, &error) != OUTCOME_DONE)
			trouble(d, w->hop, &error);
		for (size_t i = 0; i < names.count; i++) {
			deliver_one(d, w, names.items[i]);
			if (work_unsettled(w) >= 4 && work_settle(w, &error) != OUTCOME_DONE)
				trouble(d, "settle", &error);
		}
	} while (names.count > 0);
	names_release(&names);
	for (int i = 0; i < 3 && work_unsettled(w) > 0; i++)
		if (work_settle(w, &error) != OUTCOME_DONE)
			trouble(d, "settle", &error);
}

int main(int argc, char **argv)
{
	struct delivering d = {.reports = 1000};
	struct settle_hooks hooks = {ended, flush, &d};
	struct process p = {&d.queue, &d.config, &d.age, &hooks, &d.reports};
	struct error error = ERROR_NONE;
	struct work w;

	if (argc < 4)
		errx(EX_USAGE, "usage: deliver CONFIG HOP SERVER [MILLISECONDS]");
	d.server = argv[3];
	d.pause = argc > 4 ? strtol(argv[4], NULL, 10) : 0;
	if (config_load(&d.config, argv[1], NULL, NULL, &error) != OUTCOME_DONE ||
	    queue_open(&d.queue, d.config.spool, d.config.host, &error) != OUTCOME_DONE ||
	    age_look(&d.queue.state, &d.age, &error) != OUTCOME_DONE)
		errx(error.code, "%s", error.text);
	d.queue.min_free = d.config.min_free;
	process_rounds(&p, trouble, &d);
	if (work_open(&w, &p, argv[2], &error) != OUTCOME_DONE)
		errx(error.code, "%s", error.text);
	deliver_all(&d, &w);
	if (work_close(&w, &error) != OUTCOME_DONE)
		trouble(&d, "close", &error);
	process_rounds(&p, trouble, &d);
	notes_release(&d.notes);
	queue_close(&d.queue);
	config_release(&d.config);
	return d.failed ? EX_TEMPFAIL : 0;
}
