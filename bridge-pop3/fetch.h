/*
 * packetboat-fetch: empties outside POP3 boxes into the queue, several at once on one loop.
 *
 *	fetch.c		the run: configuration, queue, which boxes, how it ended
 *	fetch_box.c	one box from its lock to its last word: connecting, TLS, the failures that count
 *	fetch_session.c	one session with its server: what comes
 *	fetch_ask.c	what it asks for, in which order, and when what came is durable
 *	fetch_mail.c	one message on its way into the queue, or the notice that it stays there
 *	fetch_plan.c	what is to be done with each message, without anything that moves
 *
 * The state on disk and why each message is taken once is in queue/fetched.h.
 */
#ifndef BRIDGE_POP3_FETCH_H
#define BRIDGE_POP3_FETCH_H

#include "bridge-pop3/fetch_plan.h"
#include "bridge-pop3/fetch_text.h"
#include "bridge-pop3/pop3_client.h"
#include "lib/endpoint.h"
#include "lib/net_conn.h"
#include "lib/net_dns.h"

/* Boxes worked on at once: each costs some ten descriptors and a connection. */
#define FETCH_BOXES 50
/* Addresses of one server that are tried. */
#define FETCH_ADDRESSES 8
/* Messages and octets that share the waits for the disk, and requests under way. */
#define FETCH_GROUP	   32
#define FETCH_GROUP_OCTETS ((uint64_t)2 << 20)
/* And seconds that the first of them waits for the others. */
#define FETCH_GROUP_SECONDS 5
#define FETCH_AHEAD	    64
/* At a server without UIDs a cut makes everything be sent again that was not deleted by QUIT: so it is said so often. */
#define FETCH_ROUND	   64
#define FETCH_ROUND_OCTETS ((uint64_t)4 << 20)
/* Messages of a run that may turn out to be larger than their listing says: each costs a session. */
#define FETCH_BREAKS 20
/* Octets that an answer to TOP may have. */
#define FETCH_HEADER_MAX ((uint64_t)1 << 20)
/* A message of at most so many octets is kept in memory until it is whole. */
#define FETCH_SMALL 32768

struct fetch_box;

struct fetch {
	struct event_base *base;
	struct config config;
	struct queue queue;
	bool opened;
	struct age age;
	struct dns *dns;
	struct tls *unchecked; /* contexts, made when first needed */
	struct tls *checked;
	struct fetch_box **boxes;
	size_t box_count;
	size_t begun;	/* boxes before this one have been begun */
	size_t running; /* of those, not over yet */
	bool verbose;
	bool stopping;
	int code; /* how it will end: EX_OK, else that of the worst failure */
	struct event *signals[2];
};

struct fetch_start {
	const char *config_path;
	bool verbose;
	char *const *names; /* of sections; none: all */
	size_t name_count;
};

/* Works on all boxes. What went wrong with one is on standard error and in the log already, and the outcome is the worst of it, with an
 * empty sentence. */
enum outcome fetch_run(const struct fetch_start *start, struct error *err);
/* A box is over with exit code CODE: the next may begin. */
void fetch_box_over(struct fetch *f, int code);

/* ---- one box ----------------------------------------------------------------------------------------------- */

/* One message on its way into the queue. */
struct fetch_mail {
	struct fetch_box *box;
	size_t number; /* in the plan */
	bool open;
	struct handover handover;
	struct fetch_text text;
};

struct fetch_counts {
	uint64_t taken;
	uint64_t octets;
	uint64_t again; /* retrieved and found to be here already */
	uint64_t notices;
	uint64_t deleted;
	uint64_t left; /* that are still in the box, for whatever reason */
};

struct fetch_box {
	struct fetch *fetch;
	const struct config_fetch *section;
	struct endpoint server;
	enum tls_policy policy; /* never POLICY_DEFAULT */
	char *password;
	struct tls *tls;
	struct fetched state;
	bool opened;
	uint64_t max_size; /* by the configuration, and as far as it is known by the way to `to` */

	struct dns_address addresses[FETCH_ADDRESSES];
	size_t address_count;
	size_t tried; /* addresses before this one */
	bool no_top;  /* its server answers TOP with more than a header */
	bool plain;   /* TLS failed where it is only offered, and is left out */

	/* A session. */
	struct conn *conn;
	struct pop3_client client;
	struct pop3_client_options options;
	bool spoke; /* the machine is set up */
	bool connected;
	bool heard;	      /* something came */
	bool exact;	      /* the last text was as long as it was listed */
	bool again;	      /* it ended at a message: another one passes that by */
	size_t postponed;     /* message that is passed by, for another session; FETCH_UNKNOWN: none */
	bool planned;	      /* the listing is there */
	bool leaving;	      /* QUIT was said */
	bool broken;	      /* to be cut by us, for a message that is larger than it should be */
	bool incomplete;      /* some message could not be had or deleted */
	struct error refused; /* and that was why; code EX_OK: none */
	struct fetch_plan plan;
	size_t next;	  /* messages before this one have been asked for, or need nothing */
	size_t under_way; /* requests without an answer */
	size_t round;	  /* messages taken in this session */
	uint64_t round_octets;
	bool round_full;
	size_t laid[FETCH_GROUP]; /* messages that wait for the commit */
	size_t laid_count;
	uint64_t laid_since; /* steady seconds, of the first of them */
	uint64_t laid_octets;
	struct fetch_mail mail; /* the text under way */
	struct buf header;	/* the answer to TOP */
	uint64_t header_octets; /* of it, those that did not fit included */

	bool careful;  /* requests are said one at a time: a text was not as long as it was listed */
	bool stumbled; /* a session of this run ended at a message, this one: */
	size_t stumbled_number;
	char *stumbled_uid;
	bool last_try; /* it is tried once more */
	struct fetch_counts counts;
	size_t breaks;	   /* sessions of this run that were broken off for a message larger than its listing says */
	size_t kept;	   /* messages that the server had said to have deleted, and lists */
	uint64_t progress; /* messages settled in this run, and at the beginning of the session */
	uint64_t progress_before;
};

struct fetch_box *fetch_box_new(struct fetch *f, const struct config_fetch *section);
void fetch_box_free(struct fetch_box *b);
/* Begins; fetch_box_over will be called, perhaps before this returns. */
void fetch_box_begin(struct fetch_box *b);
/* It is over: WHY null: well. LATER or worse is counted, logged and told. */
void fetch_box_end(struct fetch_box *b, const struct error *why);
/* The run is told to stop: what is whole is kept, the rest is left. */
void fetch_box_stop(struct fetch_box *b);

/* ---- one session with its server ----------------------------------------------------------------------------- */

/* Connects to the address that is next. */
void fetch_session_begin(struct fetch_box *b);
/* Lets go of connection and machine. */
void fetch_session_close(struct fetch_box *b);
/* Makes durable what was taken so far. */
enum outcome fetch_session_keep(struct fetch_box *b, struct error *err);
/* The session ended: tries the next address, begins another round, or ends the box. */
void fetch_box_session_over(struct fetch_box *b, const struct error *why);

/* ---- what a session asks for ----------------------------------------------------------------------------------- */

/* Asks for as much as is good at once. *ASKED: there is something new for the machine. */
enum outcome fetch_ask(struct fetch_box *b, bool *asked, struct error *err);
void fetch_ask_retrieve(struct fetch_box *b, size_t number);
/* Message NUMBER was retrieved and is here already. */
void fetch_known_again(struct fetch_box *b, size_t number);
/* It was laid, or a notice about it. */
enum outcome fetch_laid(struct fetch_box *b, size_t number, uint64_t octets, struct error *err);
/* Makes durable what was laid. */
enum outcome fetch_commit(struct fetch_box *b, struct error *err);

/* The notice that was sent about message NUMBER, of which no more is known than HEAD (may be empty); FETCH_UNKNOWN: none. */
size_t fetch_notice_of(const struct fetch_box *b, size_t number, struct view head);
/* It is KNOWN. */
void fetch_notice_met(struct fetch_box *b, size_t number, size_t known);
/* Its owner is told that it stays there, unless he was. */
enum outcome fetch_tell_too_large(
    struct fetch_box *b, size_t number, struct view head, uint64_t octets, uint64_t limit, struct error *err);
/* The postmaster is. */
enum outcome fetch_tell_looping(struct fetch_box *b, size_t number, const struct error *why, struct error *err);

/* ---- one message ---------------------------------------------------------------------------------------------- */

enum outcome fetch_mail_begin(struct fetch_mail *mail, struct fetch_box *b, size_t number, struct error *err);
void fetch_mail_drop(struct fetch_mail *mail);
/* The text is whole: it is laid among the held, or was known. *KNOWN: the item that it is; FETCH_UNKNOWN: it was laid. */
enum outcome fetch_mail_end(struct fetch_mail *mail, size_t *known, struct error *err);
/* Lays a notice that message NUMBER stays there, with what is known of its header. TO: null: to its owner. WHY: a sentence; OCTETS: that
 * it has. */
enum outcome fetch_notice_lay(struct fetch_box *b, size_t number, const char *to, struct view head, uint64_t octets,
    const char *why, const char *subject, struct error *err);

#endif
