/*
 * The client's side of POP3 (RFC 1939) as a machine without descriptor, clock or log: one session with one box.
 *
 *	pop3_client_init(&c, &options);
 *	pop3_client_feed(&c, bytes);                    what the server said; takes all of it
 *	while (pop3_client_next(&c, &event)) ...        after every call; what an event points to is valid until the next
 *	write view_buf(&c.output), buf_clear(&c.output)
 *
 * Life: greeting, CAPA (RFC 2449; a server without it is found out by trying), STLS if the policy says so (RFC 2595), the
 * login by SASL PLAIN (RFC 5034) or USER and PASS, STAT, LIST, UIDL, and READY with the listing. The driver then asks for
 * messages, any number ahead: where PIPELINING is offered commands are sent while earlier ones are unanswered.
 *
 * Servers are taken as they are: a lone LF ends a line too, in status and listing; in a text it becomes CRLF, and cannot
 * end it. LIST and UIDL may name messages in any order, with blanks and tabs around the numbers; the listing is in order of
 * the server's numbers. A line that cannot be understood, a number for the second time, and what exceeds
 * POP3_CLIENT_MESSAGES is left out: the listing is not `complete` then. A UID that is none (RFC 1939 7: 1 to 70 octets of 33
 * to 126; up to 255 are taken) is as none, and when UIDL is refused, all are. A listing of more than POP3_CLIENT_LINES lines,
 * a status that is none and lines beyond all measure are nonsense, and end the session.
 *
 * A server that does not double the dots at the beginning of lines ends a message at a lone dot in its text, and what follows
 * is taken for answers, which a stranger can forge who wrote the message. A probe shows that client and server are at the
 * same place of the dialogue: what LIST says of a message again must be what it said.
 *
 * Laws: cutting the input differently changes nothing but where TEXT is cut; each request gets exactly one RETRIEVED, TOPPED,
 * DELETED, PROBED or REFUSED, in the order of asking (probes go first), unless FAILED or CLOSED comes before; one of those is
 * the last event, and comes once; nothing that came in clear behind STLS is believed; no password leaves in clear unless that
 * is allowed.
 */
#ifndef BRIDGE_POP3_POP3_CLIENT_H
#define BRIDGE_POP3_POP3_CLIENT_H

#include "lib/lines.h"

/* Messages of a listing; those beyond are for another session. */
#define POP3_CLIENT_MESSAGES 100000
/* Lines that are read of a listing: what is longer does not end. */
#define POP3_CLIENT_LINES 10000000
/* Octets of commands that may be unanswered. */
#define POP3_CLIENT_WINDOW 1024
/* Octets of a line of status or listing that count; longer ones are read to their end. */
#define POP3_CLIENT_LINE 1024

enum pop3_client_tls {
	POP3_TLS_NEVER,
	POP3_TLS_OFFERED, /* STLS when the server offers it (RFC 7435); the driver may try again without when it fails */
	POP3_TLS_NEEDED, /* no login without */
};

struct pop3_client_options {
	enum pop3_client_tls tls;
	bool secured; /* implicit TLS: it stands already */
	bool clear;   /* the password may go without TLS */
	const char *user;
	const char *password;
};

enum pop3_stage {
	POP3_STAGE_GREETING,
	POP3_STAGE_CAPA,
	POP3_STAGE_STLS,
	POP3_STAGE_TLS, /* waits for pop3_client_secured */
	POP3_STAGE_AUTH,
	POP3_STAGE_LISTING,
	POP3_STAGE_READY,
	POP3_STAGE_QUIT,
	POP3_STAGE_OVER,
};

enum pop3_request { POP3_RETRIEVE, POP3_TOP, POP3_DELETE, POP3_PROBE };

enum pop3_client_event_kind {
	POP3_CLIENT_STLS,  /* write the output, begin TLS, call pop3_client_secured */
	POP3_CLIENT_READY, /* the listing stands; requests may be made */
	POP3_CLIENT_TEXT,  /* bytes of message `number`, canonical (CRLF), dots unstuffed; `top`: asked for by TOP */
	POP3_CLIENT_RETRIEVED, /* message `number` is whole */
	POP3_CLIENT_TOPPED,
	POP3_CLIENT_REFUSED, /* `request` for `number`, with the server's words */
	POP3_CLIENT_DELETED, /* `number` is marked; it is gone when QUIT is answered */
	POP3_CLIENT_PROBED,  /* `number` was listed again, as before */
	POP3_CLIENT_FAILED, /* before READY: `stage` of the client says how far it had come; text, and `code`. Write the output, and
			     * close */
	POP3_CLIENT_CLOSED, /* after READY: `committed`: QUIT was answered, and the deletions stand; else text says why not */
};

struct pop3_client_event {
	enum pop3_client_event_kind kind;
	size_t number; /* of the listing, from 0 */
	enum pop3_request request;
	struct view bytes;
	bool top;
	bool committed;
	const char *text; /* printable */
	const char *code; /* response code (RFC 2449 8): "IN-USE", "AUTH", "SYS/TEMP"; "" none */
};

struct pop3_client {
	struct buf output;
	enum pop3_stage stage;
	size_t count; /* messages listed */
	/*
	 * From READY on: LIST had no line that could not be understood, none twice, none beyond POP3_CLIENT_MESSAGES, and as
	 * many messages as STAT promised (a STAT that was refused or made no sense promises nothing). Else messages may be
	 * there that are not listed: nothing may be concluded from what is absent.
	 */
	bool complete;
	bool named; /* they have UIDs */
	bool top;   /* TOP may be tried */
	bool pipelining;
	bool secured;
	struct pop3_client_own *own;
};

/* OPTIONS are borrowed. */
void pop3_client_init(struct pop3_client *c, const struct pop3_client_options *options);
void pop3_client_release(struct pop3_client *c);
void pop3_client_feed(struct pop3_client *c, struct view bytes);
bool pop3_client_next(struct pop3_client *c, struct pop3_client_event *event);
/* TLS stands: what the server said before is forgotten. */
void pop3_client_secured(struct pop3_client *c);
/* The connection is gone, or must not go on: WHY. */
void pop3_client_lost(struct pop3_client *c, const char *why);

/* Octets as listed, and the UID, null: it has none. Of message NUMBER from 0; valid as long as C. */
uint64_t pop3_client_octets(const struct pop3_client *c, size_t number);
const char *pop3_client_uid(const struct pop3_client *c, size_t number);

/* Requests, from READY on. */
void pop3_client_retrieve(struct pop3_client *c, size_t number);
/* Its header and LINES lines. */
void pop3_client_top(struct pop3_client *c, size_t number, unsigned lines);
void pop3_client_delete(struct pop3_client *c, size_t number);
/*
 * LIST of message NUMBER (RFC 1939 5), which must not have been deleted: it is said before all that was asked for and not yet
 * said, QUIT too, but behind probes asked for before. Any answer but +OK with the number and the octets as listed, -ERR too,
 * ends the session at once: CLOSED, not committed. Of use only while nothing is under way: ask for it when a message
 * has come that was asked for alone, before the next pop3_client_next; what was said before it would be answered before it.
 */
void pop3_client_probe(struct pop3_client *c, size_t number);
/* Requests that are said and have not got their end, QUIT not counted. */
size_t pop3_client_under_way(const struct pop3_client *c);
/* The message of the oldest of them; false: none. */
bool pop3_client_awaited(const struct pop3_client *c, size_t *number);
/* Behind all requests; the deletions are done then. */
void pop3_client_quit(struct pop3_client *c);

#endif
