/*
 * Reading with libConfuse. Every option is declared to it as a list of strings whose callback notes value and
 * line, so no value can stop it. A name that it does not know is declared as one more option, of the shape
 * that it turns out to have, and the file is read again: so one unknown name does not hide the mistakes
 * behind it. Only a syntax error ends the reading of a file.
 *
 * A section is noted when it opens: libConfuse then sets the default of OPENED, a list option that nobody can
 * write (it takes "|" in a name for a path), and the callback of that value runs with the section's name,
 * title and line.
 */
#include "queue/config_parts.h"

#include <confuse.h>
#include <errno.h>

#include "lib/alloc.h"
#include "lib/text.h"

#define OPENED "|"

/* A flag of ours beside libConfuse's: the section is unknown, or lies in one. */
#define CFGF_FOREIGN (1 << 28)

/* Each unknown name costs one more reading of the file; a file with more of them is not ours. */
#define FOREIGN_NAMES 100

/* What a name that we do not know is written like; each is tried after the one before it. */
enum shape { SHAPE_OPTION, SHAPE_SECTION, SHAPE_TITLED, SHAPE_CALL };

struct foreign {
	enum config_scope scope;
	char *name;
	enum shape shape;
};

/* One file being read. libConfuse's callbacks have no argument of ours, hence `reading`. */
struct reading {
	struct config_source *source;
	size_t file;
	struct foreign *foreign;
	size_t foreign_count;
	size_t foreign_capacity;
	bool inside;	/* the last section noted is still open */
	bool cut;	/* the text was cut at a mistake that is reported */
	bool again;	/* a name or its shape was learnt */
	bool explained; /* the error that ends the reading was reported */
};

static struct reading *reading;

/* ---- what was read -------------------------------------------------------------------------------- */

char *path_below(const char *directory, const char *path)
{
	return path[0] == '/' ? mem_string(path) : mem_format("%s/%s", directory, path);
}

void mistake_add(struct config_source *s, size_t file, unsigned line, const char *format, ...)
{
	va_list arguments;
	char text[800];
	struct config_mistake *m;
	struct buf visible;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	buf_init(&visible, sizeof text);
	text_visible(view_text(text), sizeof text, &visible); /* it quotes the file, which may hold anything */
	s->mistakes = mem_grow(s->mistakes, s->mistake_count, &s->mistake_capacity, sizeof s->mistakes[0]);
	m = &s->mistakes[s->mistake_count];
	*m = (struct config_mistake){
	    .file = file, .line = line, .order = s->mistake_count, .text = buf_detach(&visible)};
	s->mistake_count++;
}

static int compare_mistakes(const void *a, const void *b)
{
	const struct config_mistake *x = a;
	const struct config_mistake *y = b;

	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

enum outcome config_source_verdict(
    struct config_source *s, config_complain *complain, void *context, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	if (s->mistake_count > 1)
		qsort(s->mistakes, s->mistake_count, sizeof s->mistakes[0], compare_mistakes);
	for (size_t i = 0; i < s->mistake_count; i++) {
		const struct config_mistake *m = &s->mistakes[i];
		char *sentence = mem_format("%s:%u: %s", s->files.items[m->file], m->line, m->text);

		if (i == 0)
			outcome = error_set(err, EX_CONFIG, "%s", sentence);
		if (complain != NULL)
			complain(context, sentence);
		free(sentence);
	}
	return outcome;
}

static struct config_section *section_add(struct config_source *s, enum config_scope scope, const char *title)
{
	struct config_section *section;

	s->sections = mem_grow(s->sections, s->section_count, &s->section_capacity, sizeof s->sections[0]);
	section = &s->sections[s->section_count++];
	*section = (struct config_section){.scope = scope, .title = mem_string(title)};
	return section;
}

static void section_shorten(struct config_section *section, size_t count)
{
	while (section->count > count) {
		struct config_setting *setting = &section->settings[--section->count];

		for (size_t i = 0; i < setting->count; i++)
			free(setting->values[i].text);
		free(setting->values);
	}
}

static void strings_shorten(struct strings *s, size_t count)
{
	while (s->count > count)
		free(s->items[--s->count]);
}

/* How much there was before a file was begun. */
struct mark {
	size_t files;
	size_t sections;
	size_t settings;
	size_t mistakes;
};

static struct mark source_mark(const struct config_source *s)
{
	return (struct mark){s->files.count, s->section_count, s->sections[0].count, s->mistake_count};
}

static void source_shorten(struct config_source *s, struct mark mark)
{
	strings_shorten(&s->files, mark.files);
	strings_shorten(&s->real, mark.files);
	while (s->section_count > mark.sections) {
		struct config_section *section = &s->sections[--s->section_count];

		section_shorten(section, 0);
		free(section->settings);
		free(section->title);
	}
	if (s->section_count > 0)
		section_shorten(&s->sections[0], mark.settings);
	while (s->mistake_count > mark.mistakes)
		free(s->mistakes[--s->mistake_count].text);
}

void config_source_release(struct config_source *s)
{
	source_shorten(s, (struct mark){0});
	strings_release(&s->files);
	strings_release(&s->real);
	free(s->directory);
	free(s->sections);
	free(s->mistakes);
	*s = (struct config_source){0};
}

/* ---- callbacks ------------------------------------------------------------------------------------ */

static unsigned line_of(const cfg_t *cfg)
{
	return cfg->line > 0 ? (unsigned)cfg->line : 1;
}

static enum config_scope scope_of(const cfg_t *cfg)
{
	if ((cfg->flags & CFGF_FOREIGN) != 0)
		return SCOPE_UNKNOWN;
	return strcmp(cfg->name, "root") == 0 ? SCOPE_TOP : scope_find(cfg->name);
}

/* For a sentence: ` in neighbour "city"`, or nothing at the top. */
static void place_print(enum config_scope scope, const char *title, char out[static 160])
{
	out[0] = '\0';
	if (scope != SCOPE_TOP)
		snprintf(out, 160, " in %s%s%.100s%s", scope_name(scope), title == NULL ? "" : " \"",
		    title == NULL ? "" : title, title == NULL ? "" : "\"");
}

static void complain_unknown(const cfg_t *cfg, const char *what, const char *name)
{
	char place[160];

	place_print(scope_of(cfg), cfg->title, place);
	mistake_add(reading->source, reading->file, line_of(cfg), "unknown %s \"%.200s\"%s", what, name, place);
}

static struct config_setting *setting_begin(
    struct config_section *section, const struct config_option *option, unsigned line)
{
	const struct config_setting *old = section_setting(section, option_name(option));
	struct config_setting *setting;

	if (old != NULL)
		mistake_add(reading->source, reading->file, line, "%s was already set at %s:%u", option_name(option),
		    reading->source->files.items[old->file], old->line);
	section->settings =
	    mem_grow(section->settings, section->count, &section->capacity, sizeof section->settings[0]);
	setting = &section->settings[section->count++];
	*setting = (struct config_setting){.option = option, .file = reading->file, .line = line};
	return setting;
}

static struct config_setting *setting_last(struct config_section *section, const struct config_option *option)
{
	for (size_t i = section->count; i > 0; i--)
		if (section->settings[i - 1].option == option)
			return &section->settings[i - 1];
	return NULL;
}

/* A value of any option. libConfuse counts the values of one assignment, and goes on counting after "+=". */
static int on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	struct config_source *s = reading->source;
	enum config_scope scope = scope_of(cfg);
	const struct config_option *option = option_find(scope, opt->name);
	struct config_section *section = &s->sections[scope == SCOPE_TOP ? 0 : s->section_count - 1];
	struct config_setting *setting = NULL;

	*(const char **)result = value;
	if (option == NULL) {
		if (opt->nvalues == 1 && scope != SCOPE_UNKNOWN)
			complain_unknown(cfg, "option", opt->name);
		return 0;
	}
	if (opt->nvalues > 1)
		setting = setting_last(section, option);
	if (setting == NULL)
		setting = setting_begin(section, option, line_of(cfg));
	setting->values = mem_grow(setting->values, setting->count, &setting->capacity, sizeof setting->values[0]);
	setting->values[setting->count++] = (struct config_value){mem_string(value), line_of(cfg)};
	return 0;
}

static int on_open(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	struct config_section *section;

	(void)opt;
	*(const char **)result = value;
	section = section_add(reading->source, scope_of(cfg), cfg->title);
	section->file = reading->file;
	section->line = line_of(cfg);
	reading->inside = true;
	return 0;
}

static int on_close(cfg_t *cfg, cfg_opt_t *opt)
{
	(void)cfg;
	(void)opt;
	reading->inside = false;
	return 0;
}

/*
 * A section that we do not know: named once, its content passed over. libConfuse's own passing over loses its
 * way in all but the simplest sections, so what is in one is declared as well; only sections inside it are
 * left to libConfuse.
 */
static int on_foreign_open(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	const struct config_section *last = &reading->source->sections[reading->source->section_count - 1];
	char place[160];

	(void)opt;
	*(const char **)result = value;
	if ((cfg->flags & CFGF_FOREIGN) != 0) {
		cfg->flags |= CFGF_IGNORE_UNKNOWN;
		return 0;
	}
	cfg->flags |= CFGF_FOREIGN;
	place_print(reading->inside ? last->scope : SCOPE_TOP, last->title, place);
	mistake_add(reading->source, reading->file, line_of(cfg), "unknown section \"%.200s\"%s%s", cfg->name, place,
	    scope_find(cfg->name) == SCOPE_UNKNOWN ? "" : ": is a \"}\" missing before it?");
	return 0;
}

static int on_foreign_call(cfg_t *cfg, cfg_opt_t *opt, int argc, const char **argv)
{
	(void)argc;
	(void)argv;
	if (scope_of(cfg) != SCOPE_UNKNOWN)
		complain_unknown(cfg, "function", opt->name);
	return 0;
}

/* Adds a file to be read; one that was read or is waiting already is a mistake: include loops end here. */
static void source_add_file(struct config_source *s, const char *path, size_t file, unsigned line)
{
	char *real = realpath(path, NULL);

	if (real == NULL) {
		mistake_add(s, file, line, "cannot read %s: %s", path, strerror(errno));
	} else if (strings_contain(&s->real, real)) {
		mistake_add(s, file, line, "%s is read already", path);
	} else {
		strings_add(&s->files, path);
		strings_add(&s->real, real);
	}
	free(real);
}

static int on_include(cfg_t *cfg, cfg_opt_t *opt, int argc, const char **argv)
{
	char *path;

	(void)opt;
	if (argc != 1 || argv[0][0] == '\0') {
		mistake_add(reading->source, reading->file, line_of(cfg), "include takes the name of one file");
		return 0;
	}
	path = path_below(reading->source->directory, argv[0]);
	source_add_file(reading->source, path, reading->file, line_of(cfg));
	free(path);
	return 0;
}

/* ---- errors of libConfuse ------------------------------------------------------------------------- */

static struct foreign *foreign_find(enum config_scope scope, const char *name)
{
	for (size_t i = 0; i < reading->foreign_count; i++)
		if (reading->foreign[i].scope == scope && strcmp(reading->foreign[i].name, name) == 0)
			return &reading->foreign[i];
	return NULL;
}

/* Declares NAME for the next reading; false when that cannot help. */
static bool foreign_add(enum config_scope scope, const char *name)
{
	/* "root" is libConfuse's own name for the top level; '|' and '=' make a path of a name. */
	if (reading->foreign_count == FOREIGN_NAMES || strcmp(name, "root") == 0 || strpbrk(name, "|=") != NULL)
		return false;
	reading->foreign = mem_grow(
	    reading->foreign, reading->foreign_count, &reading->foreign_capacity, sizeof reading->foreign[0]);
	reading->foreign[reading->foreign_count++] =
	    (struct foreign){.scope = scope, .name = mem_string(name), .shape = SHAPE_OPTION};
	return true;
}

/* Does the error mean that an unknown name has another shape than was tried? */
static bool foreign_reshape(struct foreign *f, const char *format)
{
	static const char *const refusals[] = {
	    [SHAPE_OPTION] = "missing equal sign",
	    [SHAPE_SECTION] = "missing opening brace",
	    [SHAPE_TITLED] = "missing title",
	};

	if (f->shape == SHAPE_CALL || !text_starts(format, refusals[f->shape]))
		return false;
	f->shape++;
	return true;
}

/* The end of reading. WORD, if there is one, stands where a known name should. */
__attribute__((format(printf, 3, 0))) static void complain_syntax(
    const cfg_t *cfg, const char *word, const char *format, va_list arguments)
{
	static const char rest[] = "what follows in this file was not read";
	char place[160];
	char text[300];

	reading->explained = true;
	place_print(scope_of(cfg), cfg->title, place);
	vsnprintf(text, sizeof text, format, arguments);
	if (text_starts(format, "premature end") && reading->cut)
		return;
	if (word != NULL)
		mistake_add(
		    reading->source, reading->file, line_of(cfg), "unknown word \"%.200s\"%s; %s", word, place, rest);
	else
		mistake_add(reading->source, reading->file, line_of(cfg), "%s%s; %s", text, place, rest);
}

__attribute__((format(printf, 2, 0))) static void on_error(cfg_t *cfg, const char *format, va_list arguments)
{
	enum config_scope scope = scope_of(cfg);
	const char *word = NULL;

	if (strstr(format, "'%s'") != NULL) {
		va_list copy;
		struct foreign *f;

		va_copy(copy, arguments);
		word = va_arg(copy, const char *);
		va_end(copy);
		f = foreign_find(scope, word);
		if (text_starts(format, "no such option") ? foreign_add(scope, word)
							  : f != NULL && foreign_reshape(f, format)) {
			reading->again = true;
			return;
		}
		if (f == NULL && !text_starts(format, "no such option"))
			word = NULL;
	}
	complain_syntax(cfg, word, format, arguments);
}

/* ---- declarations --------------------------------------------------------------------------------- */

static size_t foreign_in(enum config_scope scope)
{
	size_t count = 0;

	for (size_t i = 0; i < reading->foreign_count; i++)
		count += reading->foreign[i].scope == scope;
	return count;
}

static cfg_opt_t declare_opened(cfg_callback_t callback)
{
	return (cfg_opt_t)CFG_STR_LIST_CB(OPENED, "{opened}", CFGF_NONE, callback);
}

static cfg_opt_t declare_foreign(const struct foreign *f, cfg_opt_t *content)
{
	switch (f->shape) {
	case SHAPE_SECTION:
		return (cfg_opt_t)CFG_SEC(f->name, content, CFGF_MULTI);
	case SHAPE_TITLED:
		return (cfg_opt_t)CFG_SEC(f->name, content, CFGF_MULTI | CFGF_TITLE);
	case SHAPE_CALL:
		return (cfg_opt_t)CFG_FUNC(f->name, on_foreign_call);
	default:
		return (cfg_opt_t)CFG_STR_LIST_CB(f->name, NULL, CFGF_NODEFAULT, on_value);
	}
}

/* The options of SCOPE, unknown ones included, and EXTRA free places; *COUNT says how many are set. */
static cfg_opt_t *declare_scope(enum config_scope scope, cfg_opt_t *foreign_content, size_t extra, size_t *count)
{
	size_t known = 0;
	size_t at = 0;
	cfg_opt_t *opts;

	while (option_at(scope, known) != NULL)
		known++;
	opts = mem_array(known + foreign_in(scope) + extra + 2, sizeof opts[0]);
	if (scope != SCOPE_TOP)
		opts[at++] = declare_opened(scope == SCOPE_UNKNOWN ? on_foreign_open : on_open);
	for (size_t i = 0; i < known; i++)
		opts[at++] =
		    (cfg_opt_t)CFG_STR_LIST_CB(option_name(option_at(scope, i)), NULL, CFGF_NODEFAULT, on_value);
	for (size_t i = 0; i < reading->foreign_count; i++)
		if (reading->foreign[i].scope == scope)
			opts[at++] = declare_foreign(&reading->foreign[i], foreign_content);
	*count = at; /* the zeroed place after the last is CFG_END */
	return opts;
}

static const struct {
	const char *name;
	enum config_scope scope;
	cfg_flag_t flags;
} section_kinds[] = {
    {"neighbour", SCOPE_NEIGHBOUR, CFGF_MULTI | CFGF_TITLE},
    {"neighbor", SCOPE_NEIGHBOUR, CFGF_MULTI | CFGF_TITLE},
    {"route", SCOPE_ROUTE, CFGF_MULTI | CFGF_TITLE},
    {"alias", SCOPE_ALIAS, CFGF_MULTI | CFGF_TITLE},
    {"destination", SCOPE_DESTINATION, CFGF_MULTI | CFGF_TITLE},
    {"smtpd", SCOPE_SMTPD, CFGF_MULTI},
    {"smtp", SCOPE_SMTP, CFGF_MULTI},
    {"pop3d", SCOPE_POP3D, CFGF_MULTI},
    {"relay", SCOPE_RELAY, CFGF_MULTI},
    {"fetch", SCOPE_FETCH, CFGF_MULTI | CFGF_TITLE},
};
#define SECTION_KINDS (sizeof section_kinds / sizeof section_kinds[0])

static cfg_opt_t declare_section(size_t kind, cfg_opt_t *content)
{
	cfg_opt_t opt = CFG_SEC(section_kinds[kind].name, content, section_kinds[kind].flags);

	opt.validcb = on_close;
	return opt;
}

static int parse_once(const char *text)
{
	cfg_opt_t deep[2] = {declare_opened(on_foreign_open), CFG_END()};
	cfg_opt_t *contents[SECTION_KINDS];
	size_t count;
	cfg_opt_t *foreign = declare_scope(SCOPE_UNKNOWN, deep, 0, &count);
	cfg_opt_t *top = declare_scope(SCOPE_TOP, foreign, SECTION_KINDS + 1, &count);
	cfg_t *cfg;
	int result;

	for (size_t i = 0; i < SECTION_KINDS; i++) {
		size_t ignored;

		contents[i] = declare_scope(section_kinds[i].scope, foreign, 0, &ignored);
		top[count++] = declare_section(i, contents[i]);
	}
	top[count++] = (cfg_opt_t)CFG_FUNC("include", on_include);

	cfg = cfg_init(top, CFGF_NONE); /* copies the declarations */
	cfg_set_error_function(cfg, on_error);
	result = cfg_parse_buf(cfg, text);
	cfg_free(cfg); /* also puts its scanner back to the start, whatever it was in the midst of */
	for (size_t i = 0; i < SECTION_KINDS; i++)
		free(contents[i]);
	free(foreign);
	free(top);
	return result;
}

/* ---- files ---------------------------------------------------------------------------------------- */

static void parse_text(struct config_source *s, size_t file, struct buf *text)
{
	struct reading r = {.source = s, .file = file, .cut = !scan_text(s, file, text)};
	struct mark mark = source_mark(s);
	int result;

	reading = &r;
	for (;;) {
		r.again = false;
		r.explained = false;
		r.inside = false;
		result = parse_once(buf_string(text));
		if (!r.again)
			break;
		source_shorten(s, mark);
	}
	reading = NULL;
	if (result != CFG_SUCCESS || r.cut) {
		s->incomplete = true;
		if (!r.explained && !r.cut)
			mistake_add(s, file, 1, "an option with an empty name ends the reading of this file");
	}
	for (size_t i = 0; i < r.foreign_count; i++)
		free(r.foreign[i].name);
	free(r.foreign);
}

/* The content of a file, by its path without symbolic links: the rule of lib/file.h is for state, not for
 * this. */
static enum outcome text_read(const char *real, struct buf *text, struct error *err)
{
	const char *slash = strrchr(real, '/');
	char *parent = slash == real ? mem_string("/") : mem_copy(real, (size_t)(slash - real));
	struct dir d;
	enum outcome outcome = dir_open(&d, NULL, parent, err);

	if (outcome == OUTCOME_DONE)
		outcome = file_read(&d, slash + 1, text, err);
	dir_close(&d);
	free(parent);
	return outcome;
}

static void source_read_file(struct config_source *s, size_t file)
{
	struct error err = ERROR_NONE;
	struct buf text;

	buf_init(&text, LIMIT_SMALL_FILE);
	if (text_read(s->real.items[file], &text, &err) != OUTCOME_DONE) {
		mistake_add(s, file, 1, "%s", err.text);
		s->incomplete = true;
	} else {
		parse_text(s, file, &text);
	}
	buf_release(&text);
}

static void source_add_drop_ins(struct config_source *s)
{
	char *path = mem_format("%s/conf.d", s->directory);
	struct error err = ERROR_NONE;
	struct names names = {0};
	struct dir d;

	if (dir_open(&d, NULL, path, &err) != OUTCOME_DONE) {
		if (err.code != EX_NOINPUT)
			mistake_add(s, 0, 1, "%s", err.text);
	} else if (dir_names(&d, &names, &err) != OUTCOME_DONE) {
		mistake_add(s, 0, 1, "%s", err.text);
	}
	for (size_t i = 0; i < names.count; i++) {
		if (names.items[i][0] != '.' && text_ends(names.items[i], ".conf")) {
			char *file = mem_format("%s/%s", path, names.items[i]);

			source_add_file(s, file, 0, 1);
			free(file);
		}
	}
	names_release(&names);
	dir_close(&d);
	free(path);
}

static char *directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return mem_string(".");
	return slash == path ? mem_string("/") : mem_copy(path, (size_t)(slash - path));
}

enum outcome config_source_read(struct config_source *s, const char *path, struct error *err)
{
	char *real = realpath(path, NULL);
	size_t next = 0;

	*s = (struct config_source){0};
	if (real == NULL) {
		if (errno != ENOENT && errno != ENOTDIR)
			return error_errno(err, errno, "cannot open %s", path);
		return error_set(err, EX_NOINPUT,
		    "there is no configuration %s: make one with \"packetboat init DIR\", or name yours with "
		    "-c or in "
		    "PACKETBOAT_CONF",
		    path);
	}
	s->directory = directory_of(path);
	strings_add(&s->files, path);
	strings_add(&s->real, real);
	free(real);
	section_add(s, SCOPE_TOP, NULL);
	while (next < s->files.count)
		source_read_file(s, next++);
	source_add_drop_ins(s);
	while (next < s->files.count)
		source_read_file(s, next++);
	return OUTCOME_DONE;
}
