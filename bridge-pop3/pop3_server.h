/*
 * The server's side of POP3 (RFC 1939) as a machine without descriptor, clock or log, with TOP, UIDL, CAPA and PIPELINING
 * (RFC 2449), STLS (RFC 2595 4), AUTH PLAIN (RFC 5034), the response codes of RFC 2449 8 and RFC 3206, and UTF8 (RFC 6856).
 * Bytes go in, events and bytes come out; whoever drives it has the clocks, the passwords and the mail.
 *
 *	pop3_server_init(&s, &options);                    the greeting is in the output
 *	pop3_server_feed(&s, &bytes)                       takes what it has room for
 *	while (pop3_server_next(&s, &event)) {
 *		switch (event.kind) ... POP3_EVENT_LOGIN: pop3_server_opened(&s, &listing) or pop3_server_refuse(...)
 *	}
 *	write view_buf(&s.output); buf_clear(&s.output)
 *
 * An event that wants a verdict stops the machine: until the verdict is given, pop3_server_next says there is nothing,
 * and input waits. So a driver may take its time (a password, a disk) without holding up other sessions. Answers come
 * in the order of the commands, whatever was pipelined. While the output holds more than POP3_OUTPUT_MAX no input is
 * worked on, and a long LIST or UIDL stands still: empty it and call pop3_server_next again, whether or not anything
 * new has come.
 *
 * A message is handed over in as many pieces as the driver likes, in the line ends of its file:
 *
 *	pop3_server_text_begin(&s, form);
 *	while (pop3_server_text(&s, &piece)) ...           takes what it has room for: empty the output and go on;
 *	                                                   false: no more of it is wanted (TOP has its lines)
 *	pop3_server_text_end(&s);
 *
 * The machine makes CRLF of line ends, doubles dots, gives the last line the CRLF that it lacks, and counts the lines of
 * TOP. The octets that a listing tells must be those of that same form, which is what a client gets to count:
 *
 *	a LF without CR before it (POP3_TEXT_LF: every LF)          one octet more
 *	text that is not empty and does not end with LF             two octets more
 *
 * What a driver need not do: numbers are in range and not marked as deleted, messages are retrieved in a session that is
 * logged in only, deletions are asked for by QUIT only. A connection that drops is none of the machine's business: release
 * it, and nothing has been deleted.
 *
 * UTF8: a client that did not say UTF8 is owed by RFC 6856 2.1 that a message with UTF-8 in its header comes either not at
 * all ("-ERR [UTF8]") or made over into something poorer. That is not done: such a message is given as it is. A client that
 * cannot read a name still has the mail, its signatures hold, and no message stands at the server for ever because a program
 * is old. Only answers of the machine's own keep to ASCII until UTF8 was said. Names and passwords are handed on octet by
 * octet (the SASLprep of 2.2 is not applied).
 *
 * Laws: cutting the input or the text differently changes nothing; only CRLF ends a command; nothing that was sent before
 * TLS counts after it; an UPDATE is asked for by a QUIT of a session that is logged in, and by nothing else.
 */
#ifndef BRIDGE_POP3_POP3_SERVER_H
#define BRIDGE_POP3_POP3_SERVER_H

#include "lib/error.h"
#include "lib/lines.h"

/* What is offered and where the limits are. Borrowed: must outlive the machine. */
struct pop3_server_options {
	const char *name;     /* of this host, in the greeting */
	bool stls;	      /* STLS is offered until TLS is there */
	bool clear_passwords; /* USER, PASS and AUTH PLAIN are taken without TLS too */
	/* Bad commands and passwords refused; the last of so many is answered, and then the session ends with a plain -ERR.
	 * Asking for a message that is not there, or is deleted, is none. 0: any number */
	unsigned max_errors;
};

/*
 * A maildrop as its driver opened it. Borrowed from pop3_server_opened until pop3_server_release; it must not change
 * meanwhile. Whoever implements one embeds the struct. Numbers are from 0 here, though a client counts from 1.
 */
struct pop3_listing {
	size_t count;
	/* Octets of message NUMBER as it is sent, without its doubled dots and the dot at the end. */
	uint64_t (*octets)(const struct pop3_listing *self, size_t number);
	/* Appends the UID of message NUMBER: 1 to 70 octets from '!' to '~' (RFC 1939 7). */
	void (*uid)(const struct pop3_listing *self, size_t number, struct buf *out);
};

enum pop3_event_kind {
	/* Wanting a verdict: */
	POP3_EVENT_LOGIN, /* user, password: pop3_server_opened or pop3_server_refuse. Wipe what you copy; the machine wipes
				its own */
	POP3_EVENT_RETRIEVE, /* number, top, lines: pop3_server_text_begin ... pop3_server_text_end, or pop3_server_refuse */
	POP3_EVENT_UPDATE, /* QUIT: remove what pop3_server_marked names, then pop3_server_updated */
	/* Wanting none: */
	POP3_EVENT_STLS,  /* write the output, then begin TLS, then call pop3_server_secured */
	POP3_EVENT_CLOSE, /* write the output, then close; text: why, for the log */
};

struct pop3_event {
	enum pop3_event_kind kind;
	/* All that is pointed to is valid until the verdict, or, where none is wanted, until the next call. */
	const char
	    *user; /* LOGIN: well-formed UTF-8 without control characters, not empty; anything else may be in it */
	const char *password; /* LOGIN: not empty */
	size_t number;	      /* RETRIEVE, from 0 */
	bool top;	      /* RETRIEVE: only the header and `lines` lines */
	uint64_t lines;	      /* RETRIEVE with top; UINT64_MAX: so many or more */
	size_t marked;	      /* UPDATE: how many */
	const char *text;     /* CLOSE */
};

/* RFC 2449 4: a command has at most 255 octets with its CRLF. */
#define POP3_COMMAND_MAX 253
/* RFC 5034 4: a response of the client within AUTH may be longer. */
#define POP3_AUTH_MAX 8192
/* Input waiting in the machine; more is not taken. */
#define POP3_INPUT_MAX 8192
/* Output that may wait before nothing more is worked on. One step may go beyond it: at most twice as much waits. */
#define POP3_OUTPUT_MAX 32768

struct pop3_server; /* its members are below; drivers read `output`, `secured`, `user` */

/* The greeting (+OK) is put into the output. */
void pop3_server_init(struct pop3_server *s, const struct pop3_server_options *options);
/* Instead of the greeting: "-ERR [CODE] TEXT", and the next event is CLOSE. Call right after init. CODE, here and below, is
 * one of RFC 2449 8.1 or RFC 3206 ("SYS/TEMP", "SYS/PERM", "AUTH", "IN-USE", "LOGIN-DELAY"), or null: none; TEXT does not
 * begin with '[', or a client would read a code there. */
void pop3_server_turn_away(struct pop3_server *s, const char *code, const char *text);
void pop3_server_release(struct pop3_server *s);
/* Takes bytes off the front of IN, as many as there is room for; all, and for nothing, when the session is closed. */
void pop3_server_feed(struct pop3_server *s, struct view *in);
/* Sets EVENT and returns true, or false when more input, room in the output or a verdict is needed. */
bool pop3_server_next(struct pop3_server *s, struct pop3_event *event);
/* Does it wait for a verdict, or for the rest of a text? */
bool pop3_server_waits(const struct pop3_server *s);

/* LOGIN: the user is who he says, and this is his maildrop. */
void pop3_server_opened(struct pop3_server *s, const struct pop3_listing *listing);
/* LOGIN or RETRIEVE: "-ERR [CODE] TEXT". TEXT may hold what a stranger wrote and is made printable. A LOGIN refused with
 * "AUTH" or without a code counts as an error of the client's. */
void pop3_server_refuse(struct pop3_server *s, const char *code, const char *text);
/* UPDATE: done, or what is wrong (later: SYS/TEMP, never: SYS/PERM) in TEXT, which may be null when all is done. CLOSE is
 * next. */
void pop3_server_updated(struct pop3_server *s, enum outcome outcome, const char *text);
/* Is message NUMBER marked as deleted? */
bool pop3_server_marked(const struct pop3_server *s, size_t number);

enum pop3_text_form {
	/* Every LF gets a CR, also behind a CR: exactly what canonical_sink makes of what unix_sink wrote (queue/canonical.h).
	 * For files of our own, so that what comes out is what came in, octet by octet. */
	POP3_TEXT_LF,
	/* CRLF that stands in the file stays; a LF without CR gets one. For files of other programs. */
	POP3_TEXT_MIXED,
};
/* RETRIEVE: the text begins; "+OK" is said. */
void pop3_server_text_begin(struct pop3_server *s, enum pop3_text_form form);
/*
 * Takes bytes off the front of IN, as many as the output has room for: all of up to pop3_server_room(), none when that is 0.
 * False: nothing more of this message is wanted, and all of IN is taken; call pop3_server_text_end.
 */
bool pop3_server_text(struct pop3_server *s, struct view *in);
/* How many octets of text are taken now; 0: the output must be emptied first. */
size_t pop3_server_room(const struct pop3_server *s);
/* The text is whole. */
void pop3_server_text_end(struct pop3_server *s);

/* TLS stands. INJECTED: bytes came in clear behind STLS; the session is refused. For implicit TLS call it right after init.
 * Bytes fed between STLS and pop3_server_secured, and those that stood behind STLS in what was fed, count as INJECTED
 * whatever HOW says: they are thrown away, and the session ends. A name given by USER before is forgotten. */
enum pop3_secured { POP3_SECURED_CLEAN, POP3_SECURED_INJECTED };
void pop3_server_secured(struct pop3_server *s, enum pop3_secured how);
/*
 * Ends the session from outside, at any point, and deletes nothing: "-ERR [CODE] TEXT" and CLOSE. With TEXT null nothing is
 * said, as RFC 1939 3 has it for a client that was silent too long. Nothing is said within a text or a list either: a
 * client would take it for a part of that. So a text that cannot be read to its end is ended by this too, and the client
 * knows, since the dot is missing, that it has not the whole.
 */
void pop3_server_end(struct pop3_server *s, const char *code, const char *text);

struct pop3_server {
	const struct pop3_server_options *options;
	struct buf output;
	bool secured; /* TLS is there */
	char *user;   /* who is logged in; null: nobody */
	/* What follows is the machine's own. */
	struct pop3_server_own *own;
};

#endif
