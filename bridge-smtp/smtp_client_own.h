/*
 * What the parts of the SMTP client share. For bridge-smtp/smtp_client*.c only: smtp_client.c leads the session,
 * smtp_client_hello.c brings it to READY, smtp_client_message.c carries one message, smtp_client_text.c its text, and
 * smtp_client_command.c says what MAIL and RCPT look like.
 */
#ifndef BRIDGE_SMTP_SMTP_CLIENT_OWN_H
#define BRIDGE_SMTP_SMTP_CLIENT_OWN_H

#include "bridge-smtp/smtp_client.h"

/* The most that one reply brings: a recipient's verdict, DONE, and what follows. */
#define SMTP_CLIENT_EVENTS 4

enum auth_step {
	AUTH_PLAIN,	  /* the credentials were in the command */
	AUTH_PLAIN_ASKED, /* or go when they are asked for */
	AUTH_PLAIN_SENT,
	AUTH_LOGIN,
	AUTH_LOGIN_USER,
	AUTH_LOGIN_PASSWORD,
};

/* What has become of a recipient. */
enum fate {
	FATE_OPEN, /* to be sent */
	FATE_BAD,  /* cannot be sent, to be told */
	FATE_SENT, /* RCPT waits for its reply */
	FATE_TAKEN,
	FATE_TOLD, /* by RECIPIENT */
};

enum mail_step { MAIL_UNSENT, MAIL_SENT, MAIL_TAKEN };

enum text_step {
	TEXT_NONE,
	TEXT_ASKED, /* DATA waits for its reply */
	TEXT_OPEN,  /* the driver gives text */
	TEXT_EMPTY, /* text was let in for nobody: a lone dot waits for its reply */
	TEXT_ENDED, /* all is put out */
};

struct transaction {
	struct smtp_client_message m;
	uint8_t *fates; /* enum fate, by place */
	size_t good;	/* recipients that can be sent */
	bool utf8;	/* SMTPUTF8 is said */
	enum mail_step mail;
	size_t tell;	   /* places before it need no telling of bad ones */
	size_t next;	   /* place whose RCPT is sent next */
	size_t answer;	   /* places before it are answered */
	size_t unanswered; /* RCPTs */
	size_t taken;
	size_t window; /* octets of commands since everything was answered */

	enum text_step text;
	bool chunked;
	struct buf_sink below;
	struct dot_sink dots;
	bool after_cr;	     /* DATA: a CR is held until the LF is seen */
	uint64_t given;	     /* BDAT: octets of text that came */
	uint64_t announced;  /* by the BDAT commands so far */
	uint64_t chunk_left; /* octets that the chunk under way still lacks */
	uint8_t last;	     /* the last octet of the text, held until the driver says that it is the last */
	uint64_t chunks;
	uint64_t chunks_answered;
	size_t finals; /* replies that the ended text still waits for */
	size_t ended;  /* LMTP: places before it have their verdict on the text */

	bool broken; /* no text is wanted any more; over when all replies are in */
	bool needs_reset;
	struct smtp_verdict verdict; /* of what broke it, or of the last refused recipient */
};

struct smtp_client_own {
	struct smtp_reply_reader reader;
	struct buf input; /* fed; before `input_at` it is read */
	size_t input_at;
	struct smtp_client_event events[SMTP_CLIENT_EVENTS];
	size_t event_first;
	size_t event_count;
	enum auth_step auth;
	bool was_ready;
	bool quit_wanted;
	bool ended;	 /* FAILED or CLOSED is told or waits to be */
	bool in_message; /* `t` is under way */
	struct transaction t;
};

/* ---- smtp_client.c */

void smtp_client_event(struct smtp_client *c, enum smtp_client_event_kind kind, const struct smtp_verdict *v);
/* Puts a command and its CRLF into the output. */
void smtp_client_say(struct smtp_client *c, const char *command);
/* READY, or QUIT if that was asked for. */
void smtp_client_ready(struct smtp_client *c);
/* The session is over: DONE with V for a message under way, unless it has its verdict, then FAILED with V, as "later"
 * where only this session can be meant. */
void smtp_client_fail(struct smtp_client *c, const struct smtp_verdict *v);
/* R has no place here. */
void smtp_client_out_of_turn(struct smtp_client *c, const struct smtp_reply *r);

/* ---- smtp_client_hello.c */

void smtp_client_hello(struct smtp_client *c); /* EHLO or LHLO */
void smtp_client_hello_reply(struct smtp_client *c, const struct smtp_reply *r);

/* ---- smtp_client_message.c */

/* Sends or tells one thing that need not wait for a reply; false: there is none. */
bool smtp_client_message_step(struct smtp_client *c);
void smtp_client_message_reply(struct smtp_client *c, const struct smtp_reply *r);
void smtp_client_message_drop(struct smtp_client *c);
/* RECIPIENT with V for the one at PLACE. */
void smtp_client_recipient(struct smtp_client *c, size_t place, const struct smtp_verdict *v);
/* DONE with V, then RSET where the server needs it, or READY. */
void smtp_client_message_finish(struct smtp_client *c, const struct smtp_verdict *v);

/* ---- smtp_client_text.c */

/* Replies behind MAIL and RCPT. */
void smtp_client_text_reply(struct smtp_client *c, const struct smtp_reply *r);

/* ---- smtp_client_command.c */

const char *smtp_client_address(const struct smtp_client_message *m, size_t place);
/* Sets V and returns true when the server cannot take the message, or this recipient. */
bool smtp_client_refuses(const struct smtp_client *c, const struct smtp_client_message *m, struct smtp_verdict *v);
bool smtp_client_refuses_recipient(
    const struct smtp_client *c, const struct smtp_client_message *m, size_t place, struct smtp_verdict *v);
/* MAIL and RCPT with their parameters, without CRLF, appended to OUT. */
void smtp_client_mail_command(const struct smtp_client *c, const struct transaction *t, struct buf *out);
void smtp_client_rcpt_command(
    const struct smtp_client *c, const struct transaction *t, size_t place, struct buf *out);

#endif
