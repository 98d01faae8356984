#include "tools/command.h"

#include <getopt.h>

#include "lib/alloc.h"
#include "lib/text.h"

/* ---- words ----------------------------------------------------------------------------------------------- */

enum outcome tool_usage(const struct tool *t, struct error *err, const char *format, ...)
{
	const struct command *c = t->command;
	char text[400];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	return error_set(err, EX_USAGE, "%s (usage: packetboat %s%s%s %s)", text, c->name, c->verb == NULL ? "" : " ",
	    c->verb == NULL ? "" : c->verb, c->operands);
}

/* How many letters must be added, taken away, changed or swapped to make B of A; rows of the usual table. */
static size_t distance(const char *a, const char *b)
{
	size_t rows[3][32];
	size_t length = strlen(b);

	if (length >= 32 || strlen(a) >= 32)
		return SIZE_MAX;
	for (size_t k = 0; k <= length; k++)
		rows[0][k] = k;
	for (size_t i = 1; a[i - 1] != '\0'; i++) {
		size_t *row = rows[i % 3];
		const size_t *above = rows[(i + 2) % 3];
		const size_t *higher = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t k = 1; k <= length; k++) {
			size_t least = above[k - 1] + (a[i - 1] != b[k - 1]);

			if (above[k] + 1 < least)
				least = above[k] + 1;
			if (row[k - 1] + 1 < least)
				least = row[k - 1] + 1;
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] &&
			    higher[k - 2] + 1 < least)
				least = higher[k - 2] + 1;
			row[k] = least;
		}
	}
	return rows[strlen(a) % 3][length];
}

const char *tool_nearest(const char *word, const char *const *names, size_t count)
{
	const char *best = NULL;
	size_t least = strlen(word) > 4 ? 3 : 2; /* not as far as this */

	for (size_t i = 0; i < count; i++) {
		size_t far = distance(word, names[i]);

		if (far < least) {
			least = far;
			best = names[i];
		}
	}
	return best;
}

/* What getopt_long needs of an options table: values from LONG_BASE on stand for the long ones. */
#define LONG_BASE 256
#define TABLE	  16
struct table {
	struct option longs[TABLE + 1];
	char shorts[2 * TABLE + 12];
};

static void table_make(struct table *table, const struct tool_option *options, size_t count)
{
	size_t at = 0;
	size_t letters = 0;
	char *shorts = table->shorts;

	shorts[letters++] = ':';
	for (size_t i = 0; i < count && i < TABLE; i++) {
		bool flag = options[i].kind == OPTION_FLAG;

		if (options[i].name[1] == '\0') {
			shorts[letters++] = options[i].name[0];
			if (!flag)
				shorts[letters++] = ':';
		} else {
			table->longs[at++] = (struct option){
			    options[i].name, flag ? no_argument : required_argument, NULL, LONG_BASE + (int)i};
		}
	}
	for (const char *general = "c:vnh"; *general != '\0'; general++)
		if (*general == ':' || strchr(shorts + 1, *general) == NULL)
			shorts[letters++] = *general;
	shorts[letters] = '\0';
}

static enum outcome option_store(struct tool *t, const struct tool_option *o, const char *value, struct error *err)
{
	switch (o->kind) {
	case OPTION_FLAG:
		*(bool *)o->place = true;
		break;
	case OPTION_TEXT:
		*(const char **)o->place = value;
		break;
	case OPTION_TEXTS:
		strings_add(o->place, value);
		break;
	case OPTION_TIME:
		if (!duration_parse(value, o->place))
			return tool_usage(t, err, "\"%s\" is not a duration like 90s, 15m, 4h, 3d or 2w", value);
		break;
	}
	return OUTCOME_DONE;
}

static enum outcome option_take(
    struct tool *t, const struct tool_option *options, size_t count, int option, const char *word, struct error *err)
{
	const struct tool_option *found = option >= LONG_BASE ? &options[option - LONG_BASE] : NULL;

	for (size_t i = 0; i < count && found == NULL; i++)
		if (options[i].name[1] == '\0' && options[i].name[0] == option)
			found = &options[i];
	if (found != NULL)
		return option_store(t, found, optarg, err);
	switch (option) {
	case 'c':
		t->given = optarg;
		return OUTCOME_DONE;
	case 'v':
		t->verbose = true;
		return OUTCOME_DONE;
	case 'n':
		t->dry_run = true;
		return OUTCOME_DONE;
	case 'h':
		t->help = true;
		return OUTCOME_DONE;
	case ':':
		return tool_usage(t, err, "the option %s needs a value", word);
	default:
		return tool_usage(t, err, "there is no option %s", word);
	}
}

enum outcome tool_options(struct tool *t, const struct tool_option *options, size_t count, int least, int most,
    const char *need, struct error *err)
{
	struct table table = {0};
	char letter[] = "-?";
	int option;

	table_make(&table, options, count);
	opterr = 0;
	optind = 0; /* anew: main has read the words before the command */
	while ((option = getopt_long(t->count, t->words, table.shorts, table.longs, NULL)) != -1) {
		const char *word = t->words[optind > 0 ? optind - 1 : 0];
		enum outcome outcome;

		letter[1] = (char)optopt;
		if ((option == '?' || option == ':') && optopt > 0 && optopt < LONG_BASE)
			word = letter;
		outcome = option_take(t, options, count, option, word, err);
		if (outcome != OUTCOME_DONE)
			return outcome;
	}
	t->words += optind;
	t->count -= optind;
	if (t->help)
		return OUTCOME_NEVER; /* main shows it */
	if (t->count < least)
		return tool_usage(
		    t, err, "%s needs %s", t->command->verb == NULL ? t->command->name : t->command->verb, need);
	if (most >= 0 && t->count > most)
		return tool_usage(t, err, "\"%s\" is one word too many", t->words[most]);
	return OUTCOME_DONE;
}

/* ---- what is worked on ----------------------------------------------------------------------------------- */

const char *tool_config_path(const struct tool *t)
{
	return config_path(t->given);
}

enum outcome tool_config(struct tool *t, struct error *err)
{
	enum outcome outcome;

	if (t->configured)
		return OUTCOME_DONE;
	outcome = config_load(&t->config, tool_config_path(t), NULL, NULL, err);
	t->configured = outcome == OUTCOME_DONE;
	return outcome;
}

enum outcome tool_queue(struct tool *t, struct error *err)
{
	enum outcome outcome = tool_config(t, err);

	if (outcome != OUTCOME_DONE || t->opened)
		return outcome;
	outcome = queue_open(&t->queue, t->config.spool, t->config.host, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	t->opened = true;
	t->queue.min_free = t->config.min_free;
	return age_look(&t->queue.state, &t->age, err);
}

void tool_release(struct tool *t)
{
	if (t->opened)
		queue_close(&t->queue);
	if (t->configured)
		config_release(&t->config);
	t->opened = t->configured = false;
}

enum outcome tool_id(const char *text, struct id *id, struct error *err)
{
	struct buf shown;

	if (id_parse(view_text(text), id))
		return OUTCOME_DONE;
	buf_init(&shown, LIMIT_REASON);
	text_visible(view_text(text), LIMIT_ID, &shown);
	error_set(err, EX_DATAERR, "\"%s\" is no message id (they look like village.abcdefg.12)", buf_string(&shown));
	buf_release(&shown);
	return err->outcome;
}

/* ---- saying ---------------------------------------------------------------------------------------------- */

void tool_say(const char *format, ...)
{
	va_list arguments;

	fflush(stdout); /* in the order in which it happened, when both go to the same place */
	fputs("packetboat: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

void tool_say_error(struct tool *t, const struct error *err)
{
	tool_say("%s", err->text);
	if (t->code == EX_OK)
		t->code = err->code;
}

/* Plain ASCII needs no copy: a list of a hundred thousand is mostly that. */
static bool plain(const char *text)
{
	for (; *text != '\0'; text++)
		if (*text < ' ' || *text == 0x7f)
			return false;
	return true;
}

void print_visible(const char *text)
{
	struct buf visible;

	if (plain(text)) {
		fputs(text, stdout);
		return;
	}
	buf_init(&visible, SIZE_MAX);
	text_visible(view_text(text), SIZE_MAX, &visible);
	fputs(buf_string(&visible), stdout);
	buf_release(&visible);
}

void print_column(const char *text, int width)
{
	struct buf column;

	if (plain(text) && strchr(text, ' ') == NULL) {
		printf("%-*s", width, text[0] == '\0' ? "-" : text);
		return;
	}
	buf_init(&column, SIZE_MAX);
	text_visible(view_text(text), SIZE_MAX, &column);
	for (const char *c = buf_string(&column); *c != '\0'; c++, width--) {
		if (*c == ' ')
			fputs("\\x20", stdout);
		else
			putchar(*c);
	}
	printf("%*s", width > 0 ? width : 0, "");
	buf_release(&column);
}

void print_span(int64_t seconds, char out[static 24])
{
	duration_print(seconds > 0 ? (uint64_t)seconds : 0, out);
}

void print_json(json_t *object)
{
	char *line = json_dumps(object, JSON_COMPACT);

	puts(line != NULL ? line : "{}");
	free(line);
	json_decref(object);
}

void json_text(json_t *object, const char *key, const char *text)
{
	json_t *value;
	struct buf visible;

	if (text == NULL)
		return;
	value = json_string(text);
	if (value == NULL) { /* no UTF-8 */
		buf_init(&visible, SIZE_MAX);
		text_visible(view_text(text), SIZE_MAX, &visible);
		value = json_string(buf_string(&visible));
		buf_release(&visible);
	}
	json_object_set_new(object, key, value);
}

void json_number(json_t *object, const char *key, uint64_t number)
{
	json_object_set_new(object, key, json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number));
}

void json_time(json_t *object, const char *key, int64_t seconds)
{
	char text[DATE_TEXT];

	if (seconds == 0)
		return;
	date_rfc3339(seconds, text);
	json_object_set_new(object, key, json_string(text));
}

bool within_batch(const char *within, uint32_t *incarnation, uint64_t *sequence)
{
	const char *text = within + strlen("batch-");

	return text_starts(within, "batch-") && strlen(text) > INCARNATION_TEXT &&
	       text[INCARNATION_TEXT - 1] == '-' &&
	       incarnation_parse(view_of(text, INCARNATION_TEXT - 1), incarnation) &&
	       number_parse(view_text(text + INCARNATION_TEXT), UINT64_MAX, sequence);
}

const char *hop_neighbour(const char *hop)
{
	return text_starts(hop, "neighbour-") ? hop + strlen("neighbour-") : NULL;
}
