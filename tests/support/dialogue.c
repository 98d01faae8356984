/*
 * dialogue PROTOCOL SCRIPT...: plays scripts against a protocol engine, without a socket: in lock-step (a line, then its
 * answers), whole, octet by octet, and cut at random. Every way must give what the script says, and the same. For each
 * script and way a line of "ok NAME" or "not ok NAME", with what was wrong behind "# ".
 *
 * A script has a line for everything; empty lines and those that begin with '#' say nothing.
 *
 *	C: TEXT		the client sends TEXT and CRLF
 *	C- TEXT		the client sends TEXT
 *	S: TEXT		the server's next line is TEXT; "TEXT*": begins with it; "250-...": a whole reply of several lines;
 *			with \r\n in it: several lines
 *	E: TEXT		the driver's next event is TEXT, or begins with it ("TEXT*"). When a script has no such line, events
 *			are held only against the other ways of playing
 *	! WORDS		for the engine (see dialogue_smtp.h, dialogue_pop3.h). An action happens where it stands, what sets an option holds
 *			from the start
 *	! watch WORD...	only events whose first word is among these are looked at
 *
 * Escapes in C and S: \r \n \t \\ \xNN. In all: \{TEXT*COUNT} is TEXT so many times. Events show octets by the same escapes,
 * and all text between two other events as one event.
 *
 * Lock-step is looked at closely: before the client speaks again every answer is there, and nothing else.
 */
#include "tests/support/dialogue.h"
#include "tests/support/dialogue_pop3.h"
#include "tests/support/dialogue_smtp.h"

#define RANDOM_WAYS 6

static const struct dialogue_engine *const engines[] = {&dialogue_smtp, &dialogue_pop3};

/* ---- scripts --------------------------------------------------------------------------------------------- */

enum step_kind { STEP_CLIENT, STEP_SERVER, STEP_ACTION };

struct step {
	enum step_kind kind;
	size_t line;
	struct buf text;
};

struct script {
	const char *path;
	struct step *steps;
	size_t count, capacity;
	struct buf events; /* patterns, one a line */
	struct dialogue_options options;
};

static void expand_repeats(struct view v, struct buf *out, const char *path)
{
	while (v.length > 0) {
		if (v.length > 1 && v.bytes[0] == '\\' && v.bytes[1] == '{') {
			dialogue_repeat(&v, out, path, false);
		} else {
			buf_byte(out, v.bytes[0]);
			v = view_from(v, 1);
		}
	}
}

static struct step *script_step(struct script *s, enum step_kind kind, size_t line)
{
	struct step *step;

	s->steps = mem_grow(s->steps, s->count, &s->capacity, sizeof s->steps[0]);
	step = &s->steps[s->count++];
	*step = (struct step){.kind = kind, .line = line};
	buf_init(&step->text, SIZE_MAX);
	return step;
}

/* A repeat may be many lines. */
static void script_replies(struct script *s, struct view text, size_t number)
{
	struct buf all;
	struct view rest;
	struct view line;

	buf_init(&all, SIZE_MAX);
	dialogue_unescape(text, &all, s->path);
	rest = view_buf(&all);
	while (view_line(&rest, &line)) {
		if (line.length > 0 && line.bytes[line.length - 1] == '\r')
			line.length--;
		buf_view(&script_step(s, STEP_SERVER, number)->text, line);
	}
	buf_release(&all);
}

static void script_line(struct script *s, const struct dialogue_engine *engine, struct view line, size_t number)
{
	struct view rest = view_from(line, line.length > 2 && line.bytes[2] == ' ' ? 3 : 2);
	struct step *step;

	if (line.length == 0 || line.bytes[0] == '#')
		return;
	if (view_equal(view_of(line.bytes, 2), view_text("! "))) {
		char *words = mem_copy(line.bytes + 2, line.length - 2);

		if (engine->is_action(words))
			buf_text(&script_step(s, STEP_ACTION, number)->text, words);
		else if (text_starts(words, "watch "))
			s->options.watched = mem_format("%s ", words + 5);
		else if (!engine->option(&s->options, words))
			errx(1, "%s:%zu: not an option: %s", s->path, number, words);
		free(words);
	} else if (line.bytes[0] == 'C' && line.length > 1 && (line.bytes[1] == ':' || line.bytes[1] == '-')) {
		step = script_step(s, STEP_CLIENT, number);
		dialogue_unescape(rest, &step->text, s->path);
		if (line.bytes[1] == ':')
			buf_text(&step->text, "\r\n");
	} else if (line.bytes[0] == 'S' && line.length > 1 && line.bytes[1] == ':') {
		script_replies(s, rest, number);
	} else if (line.bytes[0] == 'E' && line.length > 1 && line.bytes[1] == ':') {
		expand_repeats(rest, &s->events, s->path);
		buf_byte(&s->events, '\n');
	} else {
		errx(1, "%s:%zu: a line begins with \"C:\", \"C-\", \"S:\", \"E:\", \"!\" or \"#\"", s->path, number);
	}
}

static void script_read(struct script *s, const struct dialogue_engine *engine, const char *path)
{
	FILE *file = fopen(path, "rb");
	struct buf all;
	struct view rest;
	struct view line;
	char bytes[4096];
	size_t got;

	*s = (struct script){.path = path};
	buf_init(&s->events, SIZE_MAX);
	buf_init(&all, SIZE_MAX);
	if (file == NULL)
		err(1, "%s", path);
	while ((got = fread(bytes, 1, sizeof bytes, file)) > 0)
		buf_append(&all, bytes, got);
	fclose(file);
	rest = view_buf(&all);
	for (size_t number = 1; view_line(&rest, &line); number++)
		script_line(s, engine, line, number);
	buf_release(&all);
}

static void script_release(struct script *s)
{
	for (size_t i = 0; i < s->count; i++)
		buf_release(&s->steps[i].text);
	free(s->steps);
	buf_release(&s->events);
	dialogue_options_release(&s->options);
}

/* ---- holding what came against the script ---------------------------------------------------------------- */

static bool matches(struct view pattern, struct view line)
{
	if (pattern.length > 0 && pattern.bytes[pattern.length - 1] == '*')
		return line.length >= pattern.length - 1 &&
		       memcmp(line.bytes, pattern.bytes, pattern.length - 1) == 0;
	return view_equal(pattern, line);
}

/* Takes the next line, with its CRLF gone. */
static bool reply_line(struct view *out, struct view *line)
{
	if (!view_line(out, line))
		return false;
	if (line->length > 0 && line->bytes[line->length - 1] == '\r')
		line->length--;
	return true;
}

static bool wrong(size_t at, const char *wanted, struct view wanted_text, struct view got)
{
	struct buf shown[2];

	for (size_t i = 0; i < 2; i++) {
		buf_init(&shown[i], 2000);
		text_visible(i == 0 ? wanted_text : got, 300, &shown[i]);
	}
	printf(
	    "# line %zu: %s \"%s\", but there is \"%s\"\n", at, wanted, buf_string(&shown[0]), buf_string(&shown[1]));
	buf_release(&shown[0]);
	buf_release(&shown[1]);
	return false;
}

/* Takes what STEP says off the front of OUT. */
static bool take_reply(const struct step *step, struct view *out)
{
	struct view pattern = view_buf(&step->text);
	struct view line = view_of(NULL, 0);
	bool several = pattern.length > 4 && text_ends(buf_string(&step->text), "-...");

	if (several)
		pattern.length -= 3;
	do {
		if (!reply_line(out, &line))
			return wrong(step->line, "the server should say", view_buf(&step->text), view_of(NULL, 0));
		if (several && line.length >= 4 && memcmp(line.bytes, pattern.bytes, 3) == 0 && line.bytes[3] == ' ')
			return true;
		if (several ? memcmp(line.bytes, pattern.bytes, pattern.length) != 0 : !matches(pattern, line))
			return wrong(step->line, "the server should say", view_buf(&step->text), line);
	} while (several);
	return true;
}

static bool nothing_more(const struct step *step, struct view out)
{
	struct view line;

	if (!reply_line(&out, &line))
		return true;
	return wrong(
	    step == NULL ? 0 : step->line, "the server should say nothing more before", view_text("this line"), line);
}

static bool check_events(const struct script *s, struct view got)
{
	struct view patterns = view_buf(&s->events);
	struct view pattern;
	struct view line;

	if (s->events.length == 0)
		return true;
	while (view_line(&patterns, &pattern)) {
		if (!view_line(&got, &line))
			line = view_text("nothing");
		if (!matches(pattern, line))
			return wrong(0, "the event should be", pattern, line);
	}
	return !view_line(&got, &line) || wrong(0, "there should be no more events", view_text(""), line);
}

/* ---- playing --------------------------------------------------------------------------------------------- */

enum way { WAY_LOCK_STEP, WAY_WHOLE, WAY_OCTETS, WAY_RANDOM };

static size_t next_cut(uint64_t *state, enum way way, size_t left)
{
	size_t cut = left;

	if (way == WAY_OCTETS)
		return 1;
	if (way == WAY_RANDOM) {
		*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		cut = (size_t)(*state >> 33) % (*state >> 62 == 0 ? 4000 : *state >> 62 == 1 ? 3 : 40) + 1;
	}
	return cut < left ? cut : left;
}

/* Several lines of the client count as one piece, so that cuts fall across them. */
static void play_client(
    const struct dialogue_engine *engine, void *session, struct buf *pending, enum way way, uint64_t *state)
{
	struct view v = view_buf(pending);

	while (v.length > 0) {
		size_t cut = next_cut(state, way, v.length);

		engine->feed(session, view_of(v.bytes, cut));
		v = view_from(v, cut);
	}
	buf_clear(pending);
}

static bool play(const struct script *s, const struct dialogue_engine *engine, enum way way, uint64_t seed,
    struct dialogue_record *record)
{
	void *session = engine->open(&s->options, record);
	struct view out = view_buf(&record->output);
	struct buf pending;
	size_t seen = 0;
	bool good = true;

	buf_init(&pending, SIZE_MAX);
	for (size_t i = 0; i < s->count && good; i++) {
		const struct step *step = &s->steps[i];

		out = view_from(view_buf(&record->output), seen);
		if (step->kind == STEP_SERVER) {
			good = way != WAY_LOCK_STEP || take_reply(step, &out);
			seen = record->output.length - out.length;
			continue;
		}
		if (way == WAY_LOCK_STEP && (i == 0 || s->steps[i - 1].kind == STEP_SERVER))
			good = nothing_more(step, out);
		if (step->kind == STEP_CLIENT)
			buf_view(&pending, view_buf(&step->text));
		if (step->kind == STEP_ACTION || way == WAY_LOCK_STEP)
			play_client(engine, session, &pending, way, &seed);
		if (step->kind == STEP_ACTION)
			engine->act(session, buf_string(&step->text));
	}
	play_client(engine, session, &pending, way, &seed);
	out = view_from(view_buf(&record->output), way == WAY_LOCK_STEP ? seen : 0);
	for (size_t i = 0; i < s->count && way != WAY_LOCK_STEP && good; i++)
		if (s->steps[i].kind == STEP_SERVER)
			good = take_reply(&s->steps[i], &out);
	good = good && nothing_more(NULL, out);
	engine->close(session);
	dialogue_text_flush(record);
	buf_release(&pending);
	return good && check_events(s, view_buf(&record->events));
}

static bool same(const struct dialogue_record *a, const struct dialogue_record *b)
{
	if (!view_equal(view_buf(&a->output), view_buf(&b->output)))
		return wrong(0, "all output should be, as otherwise,", view_buf(&a->output), view_buf(&b->output));
	if (!view_equal(view_buf(&a->events), view_buf(&b->events)))
		return wrong(0, "all events should be, as otherwise,", view_buf(&a->events), view_buf(&b->events));
	return true;
}

static bool play_every_way(const struct dialogue_engine *engine, const char *path)
{
	static const char *const names[] = {"lock-step", "whole", "octet by octet", "cut at random"};
	struct dialogue_record first;
	struct script s;
	bool all = true;

	script_read(&s, engine, path);
	for (size_t i = 0; i < WAY_RANDOM + RANDOM_WAYS; i++) {
		enum way way = i < WAY_RANDOM ? (enum way)i : WAY_RANDOM;
		struct dialogue_record record;
		bool good;

		dialogue_record_init(&record);
		good = play(&s, engine, way, i * 1000003, &record);
		if (i == 0)
			first = record;
		else
			good = good && same(&first, &record);
		printf("%s %s, %s", good ? "ok" : "not ok", path, names[way]);
		if (way == WAY_RANDOM)
			printf(" (%zu)", i - WAY_RANDOM + 1);
		printf("\n");
		if (i > 0)
			dialogue_record_release(&record);
		all = all && good;
	}
	dialogue_record_release(&first);
	script_release(&s);
	return all;
}

int main(int argc, char **argv)
{
	const struct dialogue_engine *engine = NULL;
	bool good = true;

	for (size_t i = 0; argc > 2 && i < sizeof engines / sizeof engines[0]; i++)
		if (strcmp(engines[i]->name, argv[1]) == 0)
			engine = engines[i];
	if (engine == NULL)
		errx(64, "usage: dialogue PROTOCOL SCRIPT...");
	for (int i = 2; i < argc; i++)
		good = play_every_way(engine, argv[i]) && good;
	return good ? 0 : 1;
}
