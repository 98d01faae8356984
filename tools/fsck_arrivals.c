#include "lib/alloc.h"
#include "lib/text.h"
#include "queue/arrival_log.h"
#include "tools/fsck.h"

/* Reads a log to its end. What is damaged is a finding: the next relay pass brings only the rest into the queue. */
static void read_log(struct fsck *f, int fd, const char *name)
{
	struct arrival_reader reader;
	struct error err = ERROR_NONE;
	size_t count = 0;
	bool more = true;

	if (arrival_reader_open(&reader, fd, name, &err) != OUTCOME_DONE) {
		tool_say_error(f->tool, &err);
		return;
	}
	while (more) {
		struct envelope e;
		struct view image;
		enum outcome outcome = arrival_next(&reader, &image, &e, &err);

		more = image.length > 0;
		count += more;
		if (outcome != OUTCOME_DONE && err.code == EX_DATAERR) {
			fsck_finding(f, "%s/%s: %s", f->queue->arrivals.path, name, err.text);
			more = true;
		} else if (outcome != OUTCOME_DONE) {
			tool_say_error(f->tool, &err);
		}
		envelope_release(&e);
	}
	arrival_reader_close(&reader);
	fsck_note(f, "%s/%s holds %zu message%s; the next relay pass brings %s into the queue",
	    f->queue->arrivals.path, name, count, count == 1 ? "" : "s", count == 1 ? "it" : "them");
}

/* A log that no daemon writes to any more. */
static void look_at_log(struct fsck *f, const char *name, const struct names *all)
{
	const struct dir *d = &f->queue->arrivals;
	char *take = mem_format("%.*s.take", (int)(strlen(name) - strlen(ARRIVAL_SUFFIX)), name);
	int fd;

	if (names_contain(all, take))
		fsck_note(f, "%s/%s is drained; the next relay pass removes it", d->path, name);
	else if (file_claim(d, name, &fd)) {
		read_log(f, fd, name);
		file_close(&fd);
	}
	free(take);
}

static void look_at_name(struct fsck *f, const char *name, const struct names *all)
{
	const struct dir *d = &f->queue->arrivals;

	if (text_ends(name, ARRIVAL_SUFFIX) && file_exists(d, name, NULL))
		look_at_log(f, name, all);
	else if (text_ends(name, ".part"))
		fsck_note(f, "%s/%s is half made; the next relay pass makes it anew", d->path, name);
	else if (text_ends(name, ".take"))
		fsck_note(f, "%s/%s is on its way into the queue; the next relay pass goes on", d->path, name);
	else if (name[0] != '.')
		fsck_finding(f, "%s/%s is no name that packetboat gives", d->path, name);
}

enum outcome fsck_arrivals(struct fsck *f, struct error *err)
{
	struct names names;
	struct lock lock;
	bool held;
	enum outcome outcome = lock_try(&lock, &f->queue->lock, "arrivals", &held, err);

	if (outcome != OUTCOME_DONE && held) {
		fsck_note(f, "%s was not looked at: it is being drained", f->queue->arrivals.path);
		*err = ERROR_NONE;
		return OUTCOME_DONE;
	}
	if (outcome == OUTCOME_DONE)
		outcome = dir_names(&f->queue->arrivals, &names, err);
	for (size_t i = 0; outcome == OUTCOME_DONE && i < names.count; i++)
		look_at_name(f, names.items[i], &names);
	if (outcome == OUTCOME_DONE)
		names_release(&names);
	lock_release(&lock);
	return outcome;
}
