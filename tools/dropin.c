#include "tools/dropin.h"

#include "lib/alloc.h"
#include "lib/text.h"

#define DROPIN_DIRECTORY "conf.d"

void dropin_quote(struct buf *out, const char *text)
{
	/* Single quotes: nothing is expanded within them. */
	buf_byte(out, '\'');
	for (; *text != '\0'; text++) {
		if (*text == '\'' || *text == '\\')
			buf_byte(out, '\\');
		buf_byte(out, (uint8_t)*text);
	}
	buf_byte(out, '\'');
}

void dropin_name(const char *kind, const char *name, struct buf *out)
{
	buf_format(out, "%s-", kind);
	for (; *name != '\0'; name++) {
		uint8_t c = text_lower((uint8_t)*name);

		if (c == '*')
			buf_text(out, "any");
		else if (text_is_alpha(c) || text_is_digit(c) || strchr("-._", c) != NULL)
			buf_byte(out, c);
		else
			buf_format(out, "_%02x", c);
	}
	buf_text(out, ".conf");
}

bool dropin_is(const struct tool *t, const char *where, const char *name)
{
	const char *colon = strrchr(where, ':');
	char *path = mem_format("%s/" DROPIN_DIRECTORY "/%s", t->config.directory, name);
	size_t length = strlen(path);
	bool is = colon != NULL && (size_t)(colon - where) == length && strncmp(where, path, length) == 0;

	free(path);
	return is;
}

static enum outcome dropin_open(const struct tool *t, struct dir *d, struct error *err)
{
	char *path = mem_format("%s/" DROPIN_DIRECTORY, t->config.directory);
	enum outcome outcome = dir_make(d, NULL, path, 0700, err);

	free(path);
	return outcome;
}

/* Can all of it be read as it now stands? */
static enum outcome prove(const struct tool *t, struct error *err)
{
	struct config c;
	enum outcome outcome = config_load(&c, tool_config_path(t), NULL, NULL, err);

	if (outcome == OUTCOME_DONE)
		config_release(&c);
	return outcome;
}

enum outcome dropin_add(struct tool *t, const char *name, struct view text, struct error *err)
{
	struct dir d;
	enum outcome outcome = dropin_open(t, &d, err);

	if (outcome == OUTCOME_DONE && file_exists(&d, name, NULL))
		outcome = error_set(err, EX_CANTCREAT, "%s/%s exists already", d.path, name);
	if (outcome == OUTCOME_DONE && t->dry_run) {
		printf("would write %s/%s:\n%.*s", d.path, name, (int)text.length, (const char *)text.bytes);
	} else if (outcome == OUTCOME_DONE) {
		outcome = file_commit(&d, &d, name, text, err);
		if (outcome == OUTCOME_DONE) {
			outcome = prove(t, err);
			if (outcome != OUTCOME_DONE)
				file_remove(&d, name, NULL);
		}
	}
	dir_close(&d);
	return outcome;
}

enum outcome dropin_replace(struct tool *t, const char *name, struct view text, struct error *err)
{
	char *aside = mem_format("%s.replaced", name); /* not read, since it does not end with .conf */
	struct dir d;
	enum outcome outcome = dropin_open(t, &d, err);

	if (outcome == OUTCOME_DONE && t->dry_run) {
		printf("would replace %s/%s:\n%.*s", d.path, name, (int)text.length, (const char *)text.bytes);
	} else if (outcome == OUTCOME_DONE) {
		outcome = file_remove(&d, aside, err);
		if (outcome == OUTCOME_DONE)
			outcome = file_link(&d, name, &d, aside, err);
		if (outcome == OUTCOME_DONE)
			outcome = file_commit(&d, &d, name, text, err);
		if (outcome == OUTCOME_DONE) {
			outcome = prove(t, err);
			if (outcome != OUTCOME_DONE)
				file_rename(&d, aside, &d, name, NULL);
			else
				outcome = file_remove(&d, aside, err);
		}
	}
	dir_close(&d);
	free(aside);
	return outcome;
}

enum outcome dropin_remove(struct tool *t, const char *name, struct error *err)
{
	char *aside = mem_format("%s.removed", name); /* not read, since it does not end with .conf */
	struct dir d;
	enum outcome outcome = dropin_open(t, &d, err);

	if (outcome == OUTCOME_DONE && t->dry_run) {
		printf("would remove %s/%s\n", d.path, name);
	} else if (outcome == OUTCOME_DONE) {
		outcome = file_rename(&d, name, &d, aside, err);
		if (outcome == OUTCOME_DONE) {
			outcome = prove(t, err);
			if (outcome != OUTCOME_DONE)
				file_rename(&d, aside, &d, name, NULL);
			else
				outcome = file_remove(&d, aside, err);
		}
		if (outcome == OUTCOME_DONE)
			outcome = dir_sync(&d, err);
	}
	dir_close(&d);
	free(aside);
	return outcome;
}
