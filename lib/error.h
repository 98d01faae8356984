/*
 * Outcomes and their reasons. A function that can fail returns `enum outcome` (0 is done, so `if (f())` reads as
 * "if f failed") and fills a `struct error` with one sentence for a person: what was being done, to what, why it
 * failed. Callers on the way up may put context before it. Nobody but the functions here decides whether an
 * errno or an exit code is worth another try.
 */
#ifndef LIB_ERROR_H
#define LIB_ERROR_H

#include <stdarg.h>
#include <sysexits.h>

enum outcome {
	OUTCOME_DONE = 0,
	OUTCOME_LATER, /* may succeed when tried again: disk full, no permission yet, link down */
	OUTCOME_NEVER, /* will fail the same way every time */
};

struct error {
	enum outcome outcome;
	int code; /* the exit code of sysexits.h that a command leaves with */
	char text[1000];
};

/* A value to start from. */
#define ERROR_NONE ((struct error){.outcome = OUTCOME_DONE})

/* Sets the sentence and the exit code CODE (EX_…); the outcome follows from it. Returns the outcome. ERR may be null. */
enum outcome error_set(struct error *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same from a system call's errno: "SENTENCE: No space left on device". */
enum outcome error_errno(struct error *err, int errnum, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts context before the sentence: "CONTEXT: SENTENCE". Returns the outcome unchanged. */
enum outcome error_context(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What an errno of a file-system or memory call means for mail: done for 0, else later or never. */
enum outcome outcome_of_errno(int errnum);
/* What an exit code of a program means. */
enum outcome outcome_of_exit(int code);
/* The exit code for an errno. */
int exit_of_errno(int errnum);
/* "done", "later" or "never". */
const char *outcome_name(enum outcome outcome);

#endif
