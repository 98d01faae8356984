/*
 * What a call goes over: two descriptors, or one for both directions. "tcp:HOST:PORT" connects; "exec:PROGRAM ARGUMENT ..."
 * starts a program, whose standard input and output are the line and whose standard error goes to the log.
 */
#ifndef RELAY_LINE_H
#define RELAY_LINE_H

#include <sys/types.h>

#include "lib/log.h"

struct line {
	int in;
	int out;
	int errors;	 /* standard error of the program; -1: none */
	pid_t program;	 /* leader of a process group of its own; 0: none */
	char *name;	 /* for the log: the address, or who calls */
	struct buf said; /* of standard error, not a whole line yet */
};

#define LINE_CLOSED ((struct line){.in = -1, .out = -1, .errors = -1})

/* Opens ADDRESS, one that is no directory; a connection is waited for SECONDS. "Later" with a sentence when it cannot be had. */
enum outcome line_open(struct line *l, const char *address, unsigned seconds, struct error *err);
/* IN and OUT, which may be the same, are taken over. */
void line_adopt(struct line *l, int in, int out, const char *name);
/* Closes it and ends the program with all that it started in its group: SIGHUP, and after a moment SIGKILL. */
void line_close(struct line *l);
/* Standard error of the program can be read: whole lines go to LOG, about ABOUT. */
void line_listen(struct line *l, struct log *log, const char *about);

#endif
