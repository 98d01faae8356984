/*
 * `packetboat fsck`: see tools/fsck.h for its parts. The locks of all hops are held while it looks, "new" first, so that
 * nothing moves; a relay pass only tries for these locks, so waiting here for one after the other is safe. Programs that
 * deliver keep the locks of their slots as long as they live: what they had taken before is left alone here.
 */
#include "lib/alloc.h"
#include "lib/text.h"
#include "queue/work.h"
#include "tools/fsck.h"

static void tell(struct fsck *f, const char *level, const char *text)
{
	json_t *object;

	if (!f->tool->json) {
		printf("%s: ", level);
		print_visible(text);
		putchar('\n');
		return;
	}
	object = json_object();
	json_text(object, "level", level);
	json_text(object, "text", text);
	print_json(object);
}

void fsck_finding(struct fsck *f, const char *format, ...)
{
	char text[1200];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	f->findings++;
	tell(f, "error", text);
}

void fsck_note(struct fsck *f, const char *format, ...)
{
	char text[1200];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	tell(f, "note", text);
}

void fsck_progress(const char *what, size_t done, size_t all)
{
	static int terminal = -1;

	if (terminal < 0)
		terminal = isatty(STDERR_FILENO);
	if (terminal == 0 || (done % 500 != 0 && done != all))
		return;
	fprintf(stderr, "\r%s: %zu of %zu%s", what, done, all, done == all ? "\r\033[K" : "");
}

bool fsck_holds(const struct fsck *f, const char *hop)
{
	for (size_t i = 0; i < f->locked.count; i++)
		if (strcmp(f->locked.items[i], hop) == 0)
			return true;
	return false;
}

bool fsck_moves(const struct fsck *f, const char *name)
{
	return names_contain(&f->moving, name);
}

/* ---- locks ----------------------------------------------------------------------------------------------- */

static struct lock *lock_next(struct fsck *f)
{
	f->locks = mem_grow(f->locks, f->lock_count, &f->lock_capacity, sizeof f->locks[0]);
	return &f->locks[f->lock_count];
}

static void lock_hop(struct fsck *f, const char *hop)
{
	struct error err = ERROR_NONE;

	if (fsck_holds(f, hop))
		return;
	if (hop_lock(f->queue, hop, lock_next(f), &err) == OUTCOME_DONE) {
		f->lock_count++;
		names_add(&f->locked, hop);
	} else {
		f->incomplete = true;
		fsck_finding(f, "the hop %s was not looked at: %s", hop, err.text);
	}
}

/* Holds a slot that nobody holds, so that nothing moves back out of it; of another, learns what is in it. */
static enum outcome lock_slot(
    struct fsck *f, const char *hop, const struct dir *top, const char *part, struct error *err)
{
	struct names names = {0};
	struct dir d;
	bool held;
	enum outcome outcome = work_slot_try(f->queue, hop, part, lock_next(f), &held, err);

	if (outcome == OUTCOME_DONE)
		f->lock_count++;
	if (outcome == OUTCOME_DONE || !held)
		return outcome;
	outcome = dir_open(&d, top, part, err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_names(&d, &names, err);
	else if (err->code == EX_NOINPUT)
		outcome = OUTCOME_DONE; /* its process has come to its end */
	for (size_t i = 0; i < names.count; i++)
		names_add(&f->moving, names.items[i]);
	if (names.count > 0)
		fsck_note(f, "%s: %zu record%s being delivered at this moment and not looked at", d.path, names.count,
		    names.count == 1 ? " is" : "s are");
	names_release(&names);
	dir_close(&d);
	return outcome;
}

/* With the hop's lock held nothing new is taken into a slot. */
static enum outcome lock_slots(struct fsck *f, const char *hop, struct error *err)
{
	struct names parts = {0};
	struct dir top;
	enum outcome outcome = dir_open(&top, &f->queue->queue, hop, err);

	if (outcome == OUTCOME_DONE)
		outcome = hop_parts(&top, &parts, err);
	else if (err->code == EX_NOINPUT)
		outcome = OUTCOME_DONE;
	for (size_t i = 0; i < parts.count && outcome == OUTCOME_DONE; i++)
		if (text_starts(parts.items[i], "work-"))
			outcome = lock_slot(f, hop, &top, parts.items[i], err);
	names_release(&parts);
	dir_close(&top);
	return outcome;
}

/* Names below spool/PART, as locks of neighbours. */
static enum outcome neighbour_names(struct fsck *f, const char *part, struct names *hops, struct error *err)
{
	struct names names = {0};
	struct dir d;
	enum outcome outcome = dir_open(&d, &f->queue->spool, part, err);

	if (outcome == OUTCOME_DONE)
		outcome = dir_names(&d, &names, err);
	for (size_t i = 0; i < names.count; i++) {
		char *hop = mem_format("neighbour-%s", names.items[i]);

		if (host_name_valid(names.items[i]) && strcmp(names.items[i], "seen") != 0)
			names_add(hops, hop);
		free(hop);
	}
	names_release(&names);
	dir_close(&d);
	return outcome;
}

static enum outcome lock_all(struct fsck *f, struct error *err)
{
	struct names hops;
	enum outcome outcome = hop_list(f->queue, &hops, err);

	if (outcome == OUTCOME_DONE)
		outcome = neighbour_names(f, "out", &hops, err);
	if (outcome == OUTCOME_DONE)
		outcome = neighbour_names(f, "in", &hops, err);
	if (outcome == OUTCOME_DONE) {
		lock_hop(f, "new");
		for (size_t i = 0; i < hops.count; i++)
			lock_hop(f, hops.items[i]);
	}
	for (size_t i = 0; i < hops.count && outcome == OUTCOME_DONE; i++)
		if (fsck_holds(f, hops.items[i]))
			outcome = lock_slots(f, hops.items[i], err);
	names_sort(&f->moving);
	names_release(&hops);
	return outcome;
}

static void fsck_release(struct fsck *f)
{
	for (size_t i = 0; i < f->lock_count; i++)
		lock_release(&f->locks[i]);
	free(f->locks);
	for (size_t i = 0; i < f->record_count; i++) {
		free(f->records[i].name);
		free(f->records[i].indices);
	}
	free(f->records);
	names_release(&f->locked);
	names_release(&f->moving);
	names_release(&f->places);
	names_release(&f->claims);
}

enum outcome command_fsck(struct tool *t, struct error *err)
{
	struct fsck f = {.tool = t, .queue = &t->queue};
	const struct tool_option options[] = {{"repair", OPTION_FLAG, &f.repair}, {"json", OPTION_FLAG, &t->json}};
	enum outcome outcome = tool_options(t, options, 2, 0, 0, "", err);

	if (outcome == OUTCOME_DONE)
		outcome = tool_queue(t, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	f.repair = f.repair && !t->dry_run;
	outcome = lock_all(&f, err);
	if (outcome == OUTCOME_DONE)
		outcome = fsck_arrivals(&f, err);
	if (outcome == OUTCOME_DONE)
		outcome = fsck_queue(&f, err);
	if (outcome == OUTCOME_DONE)
		outcome = fsck_spool(&f, err);
	fsck_release(&f);
	if (outcome == OUTCOME_DONE && f.findings > 0)
		t->code = 1;
	return outcome;
}
