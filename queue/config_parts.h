/*
 * The parts that config_load is made of; nobody else includes this.
 *
 *	config_scan.c	 makes a text fit for libConfuse: takes comments out, reports what it would pass over
 *
 *	config_source.c	 reads the files: sections, settings, values, each with its place; the mistakes
 *
 *	config_value.c	 the table of options: how each is written and where it is kept
 *
 *	config_check.c	 what only shows when all is read: names that point nowhere, loops
 *
 *	config_look.c	 what the programs ask of it beside its members
 *
 *	config.c	 puts them together
 */
#ifndef QUEUE_CONFIG_PARTS_H
#define QUEUE_CONFIG_PARTS_H

#include "lib/file.h"
#include "queue/config.h"

enum config_scope {
	SCOPE_TOP,
	SCOPE_NEIGHBOUR,
	SCOPE_ROUTE,
	SCOPE_ALIAS,
	SCOPE_DESTINATION,
	SCOPE_SMTPD,
	SCOPE_SMTP,
	SCOPE_POP3D,
	SCOPE_RELAY,
	SCOPE_FETCH,
	SCOPE_UNKNOWN
};

struct config_value {
	char *text;
	unsigned line;
};

struct config_option;

/* NAME = VALUE or NAME = { VALUE, ... } */
struct config_setting {
	const struct config_option *option;
	size_t file;
	unsigned line;
	struct config_value *values;
	size_t count;
	size_t capacity;
};

struct config_section {
	enum config_scope scope;
	char *title; /* null where there is none */
	size_t file;
	unsigned line;
	struct config_setting *settings;
	size_t count;
	size_t capacity;
};

struct config_mistake {
	size_t file;
	unsigned line;
	size_t order; /* of being found */
	char *text;
};

/* All that was read. The first section is the top level of all files together. */
struct config_source {
	char *directory;
	struct strings files; /* in the order of reading; other members name them by index */
	struct strings real;  /* the same without symbolic links */
	bool incomplete;      /* a file could not be read to its end */

	struct config_section *sections;
	size_t section_count;
	size_t section_capacity;

	struct config_mistake *mistakes;
	size_t mistake_count;
	size_t mistake_capacity;
};

/* Reads PATH, its includes and its drop-ins. Fails only when PATH itself cannot be read; the rest are
 * mistakes. */
enum outcome config_source_read(struct config_source *s, const char *path, struct error *err);
void config_source_release(struct config_source *s);
void mistake_add(struct config_source *s, size_t file, unsigned line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Hands out the mistakes in the order of the files and lines. EX_CONFIG when there was any. */
enum outcome config_source_verdict(
    struct config_source *s, config_complain *complain, void *context, struct error *err);
/* PATH, below the directory of packetboat.conf when it is relative; a new string. */
char *path_below(const char *directory, const char *path);

/*
 * Blanks the comments of TEXT (libConfuse 3.3 miscounts the lines of files with comments) and reports what
 * libConfuse would pass over or trip on: false when there was any, TEXT then ends before it.
 */
bool scan_text(struct config_source *s, size_t file, struct buf *text);

/* ---- options -------------------------------------------------------------------------------------- */

/* The name of a section's kind, and the kind of a name ("neighbor" too). */
const char *scope_name(enum config_scope scope);
enum config_scope scope_find(const char *name);

/* The I-th option of a scope, null after the last; and by name. */
const struct config_option *option_at(enum config_scope scope, size_t i);
const struct config_option *option_find(enum config_scope scope, const char *name);
const char *option_name(const struct config_option *option);
/* Checks the settings of SECTION and stores them in BASE, the struct that belongs to its scope. */
void section_apply(struct config_source *s, const struct config_section *section, void *base);
const struct config_setting *section_setting(const struct config_section *section, const char *name);

/* A domain; also "*" and "*.domain"; also "user@domain". */
enum config_pattern { PATTERN_DOMAIN, PATTERN_DOMAINS, PATTERN_ROUTE };
bool pattern_valid(const char *text, enum config_pattern form);

/* ---- what only shows when all is read ------------------------------------------------------------- */

/* The N-th section of a scope belongs to the N-th neighbour, route, alias or destination of C. */
void config_check(const struct config *c, struct config_source *s);

#endif
