/*
 * What the parts of the POP3 client share. For bridge-pop3/pop3_client*.c only: pop3_client.c reads what the server says
 * and leads the session, pop3_client_hello.c brings it to READY.
 */
#ifndef BRIDGE_POP3_POP3_CLIENT_OWN_H
#define BRIDGE_POP3_POP3_CLIENT_OWN_H

#include "bridge-pop3/pop3_client.h"

/* What the next line of the server is. */
enum pop3_await {
	AWAIT_GREETING,
	AWAIT_CAPA,
	AWAIT_CAPA_LINES,
	AWAIT_STLS,
	AWAIT_PLAIN_ASKED, /* "+ ", then the credentials go */
	AWAIT_LOGIN,	   /* the answer to AUTH PLAIN or PASS */
	AWAIT_USER,
	AWAIT_STAT,
	AWAIT_LIST,
	AWAIT_LIST_LINES,
	AWAIT_UIDL,
	AWAIT_UIDL_LINES,
	AWAIT_REQUEST, /* the status of the oldest request, or of QUIT */
	AWAIT_TEXT,    /* of that request */
	AWAIT_NOTHING, /* TLS, or the end */
};

struct pop3_listed {
	uint64_t number; /* the server's */
	uint64_t octets;
	size_t place; /* among the lines of LIST */
	char *uid;
};

struct pop3_asked {
	enum pop3_request request;
	size_t number;
	unsigned lines;
	size_t octets; /* of its command */
};

struct pop3_client_own {
	const struct pop3_client_options *options;
	enum pop3_await await;
	struct buf input;
	size_t at; /* input before it is read */
	struct line_reader line;
	size_t line_octets; /* of the line at hand, so far */
	bool promises;	    /* STAT said how many messages there are: */
	uint64_t promised;
	bool dropped; /* lines of LIST that are not listed */
	struct dot_reader dots;
	struct buf text; /* told by TEXT */
	size_t lines;	 /* of the listing being read */
	bool capa_known;
	bool capa_stls;
	bool capa_top;
	bool capa_plain;
	bool secured_before; /* CAPA was asked again */
	bool plain_asked;
	struct pop3_listed *listed;
	size_t listed_capacity;
	/* Requests: those before `sent` have left, the first of them is being answered. */
	struct pop3_asked *asked;
	size_t asked_count;
	size_t asked_capacity;
	size_t sent;
	size_t window; /* octets of commands that are unanswered */
	bool quitting;
	bool quit_said;
	/* The last event, once it is known. */
	bool over;
	bool told;
	bool was_ready;
	bool ready_due;
	bool stls_due;
	bool committed;
	char words[400]; /* the server's, printable */
	char code[32];
};

/* ---- pop3_client.c ---- */
/* Appends LINE and CRLF to the output. */
void pop3_client_say(struct pop3_client *c, const char *line);
/* The session is over, because of TEXT. */
void pop3_client_end(struct pop3_client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same by the server's own words, behind TEXT; its response code is kept. */
void pop3_client_refused(struct pop3_client *c, const char *text);

enum pop3_status { POP3_OK, POP3_ERR, POP3_GO_ON, POP3_NONSENSE };
/* What LINE says; words and code are kept. */
enum pop3_status pop3_client_status(struct pop3_client *c, struct view line);

/* ---- pop3_client_hello.c ---- */
/* A line has come before READY. */
void pop3_client_hello(struct pop3_client *c, struct view line);
void pop3_client_ask_capa(struct pop3_client *c);
/* What LIST says of a message, "1 512 ..." (RFC 1939 5). False: LINE cannot be understood. */
bool pop3_client_listed(struct view line, struct pop3_listed *listed);

#endif
