/*
 * What the parts of the POP3 server's machine share. For bridge-pop3/pop3_server*.c only.
 *
 * A handler is given what follows the verb. It answers (pop3_good, pop3_error, pop3_bad), begins a list, or raises an
 * event; CLOSE is raised beside that by pop3_close.
 */
#ifndef BRIDGE_POP3_POP3_SERVER_OWN_H
#define BRIDGE_POP3_POP3_SERVER_OWN_H

#include "bridge-pop3/pop3_server.h"
#include "lib/input.h"
#include "lib/sasl.h"

enum pop3_state {
	POP3_STATE_GREETED,	/* AUTHORIZATION of RFC 1939 */
	POP3_STATE_NAMED,	/* the same, and USER was said */
	POP3_STATE_TRANSACTION, /* logged in */
	POP3_STATE_AUTH,	/* in an exchange of AUTH */
	POP3_STATE_TLS,		/* waits for pop3_server_secured */
	POP3_STATE_TEXT,	/* between pop3_server_text_begin and pop3_server_text_end */
	POP3_STATE_CLOSED,
};

/* A list of all messages, written as the output has room. */
enum pop3_list { POP3_LIST_NONE, POP3_LIST_OCTETS, POP3_LIST_UIDS };

struct pop3_text {
	enum pop3_text_form form;
	bool top;
	bool in_header; /* TOP: the empty line has not come yet */
	uint64_t lines; /* TOP: still wanted of the body */
	bool enough;	/* TOP: nothing more is wanted */
	size_t carried; /* octets of the line at hand that came in earlier pieces */
	bool after_cr;	/* the last of them was CR */
};

struct pop3_server_own {
	enum pop3_state state;

	struct input input;
	struct line_reader line;
	bool spoken;   /* the client has said something */
	bool injected; /* bytes came behind STLS before TLS */

	struct pop3_event event; /* raised, not yet given out */
	bool event_due;
	const char *close_due; /* the reason; null: not due */
	bool waiting;	       /* for the verdict on what `asked` says */
	enum pop3_event_kind asked;

	unsigned errors;
	bool utf8;

	/* Strings of LOGIN. */
	struct buf user;
	struct buf password;

	const struct pop3_listing *listing;
	uint64_t octets; /* of all that is listed */
	uint8_t *marks;	 /* a bit for each that is deleted; null: none is */
	size_t marked;
	uint64_t marked_octets;

	enum pop3_list list;
	size_t list_at;
	struct pop3_text text;
};

typedef void pop3_handler(struct pop3_server *s, struct view arguments);

/* ---- pop3_server.c: answers, events, ends ---------------------------------------------------------------- */

/* "+OK". */
void pop3_good(struct pop3_server *s);
/* "-ERR [CODE] TEXT". TEXT is made printable, and ASCII unless UTF8 was said. CODE may be null. */
void pop3_error(struct pop3_server *s, const char *code, const char *text);
/* The same without a code, for what counts against max_errors. */
void pop3_bad(struct pop3_server *s, const char *text);
/* Counts what was answered against max_errors. */
void pop3_count_error(struct pop3_server *s);
/* Raises an event, and waits for the verdict that its kind wants. */
void pop3_raise(struct pop3_server *s, struct pop3_event event);
/* CLOSE is due. */
void pop3_close(struct pop3_server *s, const char *reason);

/* ---- pop3_server_commands.c ------------------------------------------------------------------------------ */

/* Carries out a command line. */
void pop3_command(struct pop3_server *s, struct view line);
/* Goes on with a list, as long as there is room. */
void pop3_list_step(struct pop3_server *s);

/* ---- pop3_server_auth.c ---------------------------------------------------------------------------------- */

/* May a password be sent now? */
bool pop3_login_offered(const struct pop3_server *s);
pop3_handler pop3_do_user;
pop3_handler pop3_do_pass;
pop3_handler pop3_do_auth;
/* A line of the exchange of AUTH. */
void pop3_auth_line(struct pop3_server *s, enum line_fault fault, struct view line);
/* Forgets user and password. */
void pop3_login_over(struct pop3_server *s);

#endif
