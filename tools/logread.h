/*
 * Reading the event log that lib/log.h writes: its lines, and its files in the order in which they were written, those
 * that a log rotator moved aside (log.2.gz, log.1, log-20261123) before the present one.
 */
#ifndef TOOLS_LOGREAD_H
#define TOOLS_LOGREAD_H

#include "lib/file.h"

/* One line taken apart. Owned; every log_fields_parse sets it anew. */
struct log_fields {
	char *id;
	char *event;
	struct log_field {
		char *key;
		char *value;
	} * items;
	size_t count;
	size_t capacity;
};

/* The reverse of log_begin ... log_end; false when LINE (no line end) is not such a line. A cut line gives what it has. */
bool log_fields_parse(struct log_fields *f, struct view line);
void log_fields_release(struct log_fields *f);
/* The value of KEY, null when there is none. */
const char *log_field(const struct log_fields *f, const char *key);
/* The same as a number; false when there is none. */
bool log_field_number(const struct log_fields *f, const char *key, uint64_t *number);
/* Is LINE about ID: its first word, or the value of a field (the report made for a message, what an alias became)? */
bool log_line_about(struct view line, const char *id);

/* Which of the files of one log stands before which: older first, the present one ("log") last. For qsort over names. */
int log_name_compare(const void *a, const void *b);
/* The files of the log in D, in that order. */
enum outcome log_files(const struct dir *d, struct names *files, struct error *err);
/* Calls VISIT for every line of file NAME in D, compressed or not; it returns false to stop. */
typedef bool log_visit(void *context, struct view line);
enum outcome log_read(const struct dir *d, const char *name, log_visit *visit, void *context, struct error *err);
/* The same for the lines in the last OCTETS of the present file, those that are whole. */
enum outcome log_read_end(const struct dir *d, size_t octets, log_visit *visit, void *context, struct error *err);

#endif
