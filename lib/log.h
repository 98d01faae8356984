/*
 * The event log: one line an event, the id of what it is about first, so that `grep ID` tells a life.
 *
 *	village.abcdefg.12 accepted at=2026-11-23T02:51:19Z sender=a@b size=512
 *
 * Each line is in one write(2) to a file opened for appending, so lines of several processes do not mix. Values with
 * spaces, quotes, '=' or control characters are quoted and escaped. The vocabulary is in packetboat(7).
 */
#ifndef LIB_LOG_H
#define LIB_LOG_H

#include "lib/file.h"

struct log {
	int fd;	   /* the log file, or -1 */
	bool echo; /* also to standard error (-v) */
	bool gathering;
	struct buf gathered; /* whole lines, not yet written */
};

struct log_line {
	struct buf text;
	struct log *log;
};

/* Opens NAME in D for appending. A log that cannot be opened is an error, which says whose it must be: nothing happens silently. */
enum outcome log_open(struct log *log, const struct dir *d, const char *name, struct error *err);
void log_close(struct log *log);
/* For those that run for long: opens NAME in D anew when it is another file than the one that is open, or there is none, since
 * somebody rotated it. When that fails the old one stays open, and a line of trouble says so there and on standard error: once in a
 * process for each new file. */
void log_follow(struct log *log, const struct dir *d, const char *name);

/* Lines from here on are held back, to be written together by log_write_out: for a moment in which many come, since what is held
 * back is lost when the program dies. */
void log_gather(struct log *log);
void log_write_out(struct log *log);

/* Begins the line of EVENT about ID ("-" when about nothing in particular). LOG may be null: then nothing is done. */
void log_begin(struct log_line *line, struct log *log, const char *id, const char *event);
/* Adds key=value; a null VALUE adds nothing. */
void log_text(struct log_line *line, const char *key, const char *value);
void log_number(struct log_line *line, const char *key, uint64_t value);
/* Writes the line out. */
void log_end(struct log_line *line);
/* The common case: one key. */
void log_event(struct log *log, const char *id, const char *event, const char *key, const char *value);

#endif
