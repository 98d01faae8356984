/*
 * What the parts of the SMTP server's machine share. For bridge-smtp/smtp_server*.c only.
 *
 * A handler is given what follows the verb. It answers (smtp_answer, smtp_bad), raises at most one event, or both;
 * RESET and CLOSE are raised beside that by smtp_transaction_end and smtp_close, and come behind the event.
 */
#ifndef BRIDGE_SMTP_SMTP_SERVER_OWN_H
#define BRIDGE_SMTP_SMTP_SERVER_OWN_H

#include "bridge-smtp/smtp_server.h"
#include "bridge-smtp/smtp_words.h"
#include "lib/input.h"

enum smtp_exchange { EXCHANGE_PLAIN, EXCHANGE_LOGIN_USER, EXCHANGE_LOGIN_PASSWORD };

struct smtp_server_own {
	enum smtp_server_state state;

	struct input input;
	struct line_reader line;
	bool injected; /* bytes came behind STARTTLS before TLS */

	struct smtp_event event; /* raised, not yet given out */
	bool event_due;
	bool reset_due;
	const char *close_due; /* the reason; null: not due */
	bool waiting;	       /* for the verdict on what `asked` says */
	enum smtp_event_kind asked;

	unsigned errors;
	size_t messages;

	/* The transaction. */
	bool begun; /* its SENDER was taken, and END was not given out */
	bool smtputf8;
	enum body_type body;
	size_t tried; /* recipients */
	size_t taken;

	/* The text. */
	struct dot_reader dots;
	struct buf text;
	uint64_t size; /* of what was given out as TEXT */
	bool text_over;
	bool chunked;  /* it comes by BDAT */
	bool in_chunk; /* from a BDAT command to its answer */
	bool chunk_cr; /* the last octet was CR */
	struct smtp_chunk chunk;
	uint64_t chunk_left;
	size_t answers_due; /* to END: more than one over LMTP */

	/* What is still to come of the text or chunk is swallowed, and then answered with this. */
	bool refused;
	int refusal_code;
	char refusal_status[12];
	struct buf refusal_text;
	size_t refusal_copies;

	enum smtp_exchange exchange;
	/* Strings of the event. */
	struct buf address;
	struct buf parameter;
	struct buf user;
	struct buf password;
};

typedef void smtp_handler(struct smtp_server *s, struct view arguments);

/* ---- smtp_server.c: answers, events, ends ---------------------------------------------------------------- */

/* "CODE STATUS TEXT". TEXT is made printable, and ASCII unless SMTPUTF8 was said (RFC 6531 3.7.4). STATUS may be null. */
void smtp_answer(struct smtp_server *s, int code, const char *status, const char *text);
/* The same for what counts against max_errors. */
void smtp_bad(struct smtp_server *s, int code, const char *status, const char *text);
/* Raises an event, and waits for the verdict that its kind wants. */
void smtp_raise(struct smtp_server *s, struct smtp_event event);
/* Forgets the transaction; RESET is due if one had begun. */
void smtp_transaction_end(struct smtp_server_own *own);
/* CLOSE is due. */
void smtp_close(struct smtp_server *s, const char *reason);
bool smtp_is_lmtp(const struct smtp_server *s);

/* ---- smtp_server_commands.c ------------------------------------------------------------------------------ */

/* Carries out a command line. */
void smtp_command(struct smtp_server *s, struct view line);
/* The verdicts on what commands raised. */
void smtp_sender_verdict(struct smtp_server *s, int code);
void smtp_recipient_verdict(struct smtp_server *s, int code);

/* ---- smtp_server_data.c ---------------------------------------------------------------------------------- */

smtp_handler smtp_do_data;
smtp_handler smtp_do_bdat;
smtp_handler smtp_stray_bdat; /* where no chunk may come: it is swallowed and refused */
/* Works on input inside a text or chunk; false: more is needed. */
bool smtp_text_step(struct smtp_server *s);
bool smtp_chunk_step(struct smtp_server *s);
void smtp_begin_verdict(struct smtp_server *s, int code, const char *status, const char *text);
void smtp_end_verdict(struct smtp_server *s, int code, const char *status, const char *text);

/* ---- smtp_server_auth.c ---------------------------------------------------------------------------------- */

/* Is AUTH offered now? */
bool smtp_auth_offered(const struct smtp_server *s);
smtp_handler smtp_do_auth;
/* A line of the exchange. */
void smtp_auth_line(struct smtp_server *s, enum line_fault fault, struct view line);
void smtp_auth_verdict(struct smtp_server *s, int code);

#endif
