#include "tools/health.h"

#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/text.h"
#include "queue/fetched.h"
#include "queue/served.h"

/* A jump is news for a week. */
#define JUMP_NEWS 604800
/* Clocks that are nearer than this need no words. */
#define CLOCK_APART 3600
/* Fewer than this many inodes left are a reason to look. */
#define INODES_FEW 1000
/* Seconds of age after which a box that nobody emptied is told of. */
#define BOX_UNVISITED 172800

static void tell_format(health_tell *tell, void *context, enum health_level level, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void tell_format(health_tell *tell, void *context, enum health_level level, const char *format, ...)
{
	char text[400];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	tell(context, level, text);
}

void health_clock(const struct age *age, health_tell *tell, void *context)
{
	char now[DATE_TEXT];
	char until[DATE_TEXT];
	char span[24];
	int64_t since = age->wall - age->jumped_at;

	if (!clock_plausible(age->wall)) {
		date_rfc3339(age->wall, now);
		tell_format(tell, context, HEALTH_WARNING,
		    "the clock of this host cannot be right: it says %s (mail flows all the same, and expires by its "
		    "age here)",
		    now);
	}
	if (age->jumped != 0 && since >= 0 && since < JUMP_NEWS) {
		duration_print((uint64_t)(age->jumped < 0 ? -age->jumped : age->jumped), span);
		date_rfc3339(age->jumped_at, now);
		date_rfc3339(age->jumped_at + JUMP_NEWS, until);
		tell_format(tell, context, HEALTH_WARNING,
		    "the clock of this host jumped %s by %s, to %s%s; if that is right, nothing needs to be done "
		    "(mail expires by its age here), and this is said until %s",
		    age->jumped < 0 ? "back" : "forward", span, now,
		    age->jumped < 0 ? "" : ", or nothing ran here for so long", until);
	}
}

void health_space(const struct queue *q, health_tell *tell, void *context)
{
	uint64_t bytes;
	uint64_t inodes;
	char free_text[24];
	char keep[24];
	struct error err = ERROR_NONE;

	if (dir_space(&q->spool, &bytes, &inodes, &err) != OUTCOME_DONE) {
		tell(context, HEALTH_ERROR, err.text);
		return;
	}
	size_print(bytes, free_text);
	size_print(q->min_free, keep);
	if (bytes < q->min_free)
		tell_format(tell, context, HEALTH_ERROR,
		    "the disk of %s is full: %s free, %s are to stay free (min-free); no mail is taken in",
		    q->spool.path, free_text, keep);
	else if (bytes / 4 < q->min_free)
		tell_format(tell, context, HEALTH_WARNING,
		    "the disk of %s is nearly full: %s free, %s are to stay free (min-free)", q->spool.path,
		    free_text, keep);
	if (inodes < INODES_FEW)
		tell_format(tell, context, inodes < 100 ? HEALTH_ERROR : HEALTH_WARNING,
		    "the disk of %s has only %llu inodes left", q->spool.path, (unsigned long long)inodes);
}

void health_corrupt(const struct queue *q, health_tell *tell, void *context)
{
	struct names names;
	size_t count = 0;

	if (dir_names(&q->corrupt, &names, NULL) != OUTCOME_DONE)
		return;
	for (size_t i = 0; i < names.count; i++)
		count += !text_ends(names.items[i], ".why");
	names_release(&names);
	if (count > 0)
		tell_format(tell, context, HEALTH_NOTE,
		    "%zu damaged file%s in %s, each with its reason in a .why file", count, count == 1 ? "" : "s",
		    q->corrupt.path);
}

static void health_failure(
    const struct config_fetch *section, const struct fetched_summary *s, health_tell *tell, void *context)
{
	char since[DATE_TEXT];
	struct buf why;

	date_rfc3339(s->failing_since, since);
	buf_init(&why, LIMIT_REASON);
	text_visible(view_text(s->failure == NULL ? "" : s->failure), LIMIT_REASON, &why);
	tell_format(tell, context, HEALTH_WARNING, "box %s could not be emptied %llu time%s in a row, since %s: %s",
	    section->name, (unsigned long long)s->failures, s->failures == 1 ? "" : "s", since, buf_string(&why));
	buf_release(&why);
}

/* Where nobody looks, nobody hears of a failure. */
static void health_visits(const struct config_fetch *section, const struct queue *q, const struct age *age,
    health_tell *tell, void *context)
{
	char *name = mem_format("fetch-%s", section->name);
	uint64_t when;
	char span[24];

	if (!served_look(q, name, age, &when)) {
		tell_format(tell, context, HEALTH_WARNING,
		    "box %s (%s at %s) was not emptied yet: packetboat-fetch, from cron, does that", section->name,
		    section->user, section->server);
	} else if (age->now - when >= BOX_UNVISITED) {
		duration_print(age->now - when, span);
		tell_format(tell, context, HEALTH_WARNING,
		    "box %s (%s at %s) was not emptied for %s: packetboat-fetch, from cron, does that", section->name,
		    section->user, section->server, span);
	}
	free(name);
}

static void health_box(const struct config_fetch *section, const struct queue *q, const struct age *age,
    health_tell *tell, void *context)
{
	struct fetched_summary s;

	/* Nothing is known of one that cannot be read: fsck tells why. */
	(void)fetched_look(&q->state, section->name, &s, NULL);
	if (s.notices > 0)
		tell_format(tell, context, HEALTH_NOTE,
		    "%zu message%s of box %s stay%s there, too large or in a loop: who they are for was told",
		    s.notices, s.notices == 1 ? "" : "s", section->name, s.notices == 1 ? "s" : "");
	if (s.failures > 0)
		health_failure(section, &s, tell, context);
	else
		health_visits(section, q, age, tell, context);
	fetched_summary_release(&s);
}

/* What is kept of a box that has no section; nothing is lost with a file that tells of no message. */
static void health_stray(const char *name, const struct queue *q, health_tell *tell, void *context)
{
	struct fetched_summary s;

	if (fetched_look(&q->state, name, &s, NULL) == OUTCOME_DONE && s.mail + s.notices > 0)
		tell_format(tell, context, HEALTH_WARNING,
		    "%s/fetch/%s tells of %zu message%s in a box that no section fetch names any more; remove it, "
		    "unless the section comes back",
		    q->state.path, name, s.mail + s.notices, s.mail + s.notices == 1 ? "" : "s");
	fetched_summary_release(&s);
}

void health_boxes(
    const struct config *config, const struct queue *q, const struct age *age, health_tell *tell, void *context)
{
	struct names names;

	for (size_t i = 0; i < config->fetch_count; i++)
		health_box(&config->fetches[i], q, age, tell, context);
	if (fetched_names(&q->state, &names, NULL) != OUTCOME_DONE)
		return;
	for (size_t i = 0; i < names.count; i++)
		if (config_fetch(config, names.items[i]) == NULL)
			health_stray(names.items[i], q, tell, context);
	names_release(&names);
}

enum outcome peer_look(const struct queue *q, const char *name, struct peer *p, struct error *err)
{
	enum outcome outcome = peer_load(p, &q->state, name, q->incarnation, err);

	if (outcome != OUTCOME_DONE && err != NULL && err->code == EX_DATAERR)
		return error_set(err, EX_DATAERR,
		    "%s/%s/peer is damaged; the next relay pass sets it aside, and the exchange with %s begins anew",
		    q->state.path, name, name);
	return outcome;
}

char *clock_apart_text(int64_t seconds)
{
	char span[24];
	uint64_t apart = seconds < 0 ? 0 - (uint64_t)seconds : (uint64_t)seconds;

	if (apart < CLOCK_APART)
		return NULL;
	duration_print(apart, span);
	/* What travels on a stick for a day looks as if its host lived a day ago. */
	return seconds > 0 ? mem_format("%s ahead of ours", span)
			   : mem_format("%s behind ours, or what it sends takes that long", span);
}
