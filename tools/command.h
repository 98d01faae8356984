/*
 * What the subcommands of `packetboat` share: how one is called, its options, the configuration and the queue it
 * works on, ids, and how data is printed. main_packetboat.c holds the table of them; packetboat(1) is the manual.
 *
 * A command returns its outcome with one sentence in ERR, which main prints and leaves with. A command that goes on
 * after a failure says it with tool_say_error, which keeps the exit code of the first.
 */
#ifndef TOOLS_COMMAND_H
#define TOOLS_COMMAND_H

#include <jansson.h>

#include "queue/config.h"
#include "queue/queue.h"

struct tool;
typedef enum outcome tool_run(struct tool *t, struct error *err);

struct command {
	const char *name; /* "list" */
	const char *verb; /* "add" of `user add`; null: the command has no verbs */
	tool_run *run;
	const char *operands; /* what follows the name, for the usage line */
	const char *summary;
	const char *details; /* for `help COMMAND` */
};

struct tool {
	const struct command *command;
	const char *given; /* -c, null: not given */
	bool verbose;	   /* -v */
	bool dry_run;	   /* -n */
	bool json;	   /* --json, of commands that have it */
	bool help;	   /* -h */
	char **words;	   /* operands, options taken out */
	int count;
	int code; /* of the first failure that did not end the command */

	bool configured;
	struct config config;
	bool opened;
	struct queue queue;
	struct age age; /* as of tool_queue */
};

/* ---- words ----------------------------------------------------------------------------------------------- */

enum tool_option_kind {
	OPTION_FLAG,  /* bool */
	OPTION_TEXT,  /* const char *, the last one given */
	OPTION_TEXTS, /* struct strings, all of them */
	OPTION_TIME,  /* uint64_t, a duration */
};

struct tool_option {
	const char *name; /* "json" is --json; one letter is a short option and goes before a general one */
	enum tool_option_kind kind;
	void *place;
};

/*
 * Takes the options out of the operands: those in OPTIONS (COUNT), and -c, -v, -n, -h, which may stand anywhere. Then
 * at least LEAST and at most MOST (-1: any number) operands must be left; NEED names the first that is missing
 * ("an id"). EX_USAGE. With -h it fails too, without a sentence: main then shows what help there is.
 */
enum outcome tool_options(struct tool *t, const struct tool_option *options, size_t count, int least, int most,
    const char *need, struct error *err);
/* EX_USAGE: the sentence, and the usage line behind it. */
enum outcome tool_usage(const struct tool *t, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The name in NAMES that WORD was probably meant to be, null when none is near. */
const char *tool_nearest(const char *word, const char *const *names, size_t count);

/* ---- what is worked on ----------------------------------------------------------------------------------- */

const char *tool_config_path(const struct tool *t);
/* Loads the configuration, once. */
enum outcome tool_config(struct tool *t, struct error *err);
/* The same, and opens the queue and looks at the age clock. */
enum outcome tool_queue(struct tool *t, struct error *err);
void tool_release(struct tool *t);

/* EX_DATAERR when TEXT is no message id. */
enum outcome tool_id(const char *text, struct id *id, struct error *err);

/* ---- saying ---------------------------------------------------------------------------------------------- */

/* "packetboat: SENTENCE" on standard error. */
void tool_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same for a failure that does not end the command. */
void tool_say_error(struct tool *t, const struct error *err);
/* What strangers wrote, without what would steer a terminal. */
void print_visible(const char *text);
/* The same without spaces, as one column; "-" when it is empty. */
void print_column(const char *text, int width);
/* "3h", of SECONDS that may be negative by a wrong clock (then "0s"). */
void print_span(int64_t seconds, char out[static 24]);
/* Prints OBJECT as one line, and releases it. */
void print_json(json_t *object);
/* Sets KEY to TEXT, made valid; a null TEXT sets nothing. */
void json_text(json_t *object, const char *key, const char *text);
void json_number(json_t *object, const char *key, uint64_t number);
/* A point of time by the wall clock; 0 sets nothing. */
void json_time(json_t *object, const char *key, int64_t seconds);

/* Where a batch's records lie: "batch-INCARNATION-SEQUENCE". False for another directory. */
bool within_batch(const char *within, uint32_t *incarnation, uint64_t *sequence);
/* "to batch 4 of city" wants the neighbour of a hop "neighbour-NAME"; null for another hop. */
const char *hop_neighbour(const char *hop);

/* ---- the commands ---------------------------------------------------------------------------------------- */

tool_run command_init;
tool_run command_key;
tool_run command_neighbour_add;
tool_run command_neighbour_list;
tool_run command_neighbour_remove;
tool_run command_user_add;
tool_run command_user_list;
tool_run command_user_senders;
tool_run command_user_password;
tool_run command_user_remove;
tool_run command_route_add;
tool_run command_route_list;
tool_run command_route_remove;
tool_run command_route_test;
tool_run command_alias_list;
tool_run command_run;
tool_run command_export;
tool_run command_call;
tool_run command_import;
tool_run command_list;
tool_run command_show;
tool_run command_trace;
tool_run command_hold;
tool_run command_release;
tool_run command_retry;
tool_run command_reroute;
tool_run command_remove;
tool_run command_status;
tool_run command_check;
tool_run command_fsck;
tool_run command_log;

#endif
