/*
 * What is to be done with each message that lies in an outside box: decided from its listing and from what is known of the box,
 * before anything is asked for.
 *
 * A message goes by its UID. Where the server gives none, or one that cannot be believed (two messages have the same, or it is none by
 * RFC 1939 7), only its text tells whether it was fetched before, so it is retrieved again, and compared (fetch_plan_match).
 */
#ifndef BRIDGE_POP3_FETCH_PLAN_H
#define BRIDGE_POP3_FETCH_PLAN_H

#include "queue/fetched.h"

/* Of a multidrop box a message larger than this is looked at before it is retrieved, for its owner's link may be narrow. */
#define FETCH_LOOK_ABOVE 65536

enum fetch_action {
	FETCH_NOTHING,	/* stays there, and its owner knows */
	FETCH_DELETE,	/* was fetched before */
	FETCH_RETRIEVE, /* the whole text */
	FETCH_LOOK,	/* the header first */
	FETCH_TELL,	/* too large: its owner is told, without the header */
};

#define FETCH_UNKNOWN SIZE_MAX

struct fetch_message {
	uint64_t octets;
	const char *uid; /* borrowed; null: none that can be believed */
	enum fetch_action action;
	size_t item;	/* of the state that is this message; FETCH_UNKNOWN: none */
	bool too_large; /* by its listing */
	bool done;	/* for the driver: nothing is left to be asked for */
	bool delete;	/* for the driver: the server was told to delete it */
};

struct fetch_plan {
	struct fetch_message *messages; /* octets and uid are set by the caller */
	size_t count;
	uint64_t max_size; /* octets of a message that are fetched */
	uint64_t leave;	   /* seconds that fetched mail stays there */
	bool named;	   /* the server answered UIDL, for all messages */
	bool partial;	   /* there may be more than it listed */
	bool top;	   /* it can show headers */
	bool multidrop;
	/* Set by fetch_plan_make: */
	size_t doubled; /* messages whose UID another has too */
	size_t unnamed; /* all that have none to go by, those among them */
	bool whole;	/* what was not listed is not there */
	bool
	    kept; /* as it seems, what has no name and was deleted is there again; else it would be another with the same text */
	/* Somebody was told of one without a name. It may be larger than its listing says, so their headers are looked at. */
	bool told_unnamed;
};

/*
 * Decides, and marks in STATE (indexed anew) what is present; named items that the server does not list any more are gone, if it listed and named all.
 */
void fetch_plan_make(struct fetch_plan *plan, struct fetched *state);
/*
 * Is ITEM, of a listing that was whole, not there any more? An empty listing may be a mistake of the server's: it takes away only
 * what was deleted.
 */
bool fetch_plan_absent(const struct fetch_plan *plan, const struct fetched_item *item);
/*
 * Retrieved, and its text has DIGEST: the item of STATE that is this message, not met before in this session; FETCH_UNKNOWN: none. A
 * message and an item that both have a name are compared only when that of the item is not listed any more: two names are two messages,
 * unless the server has given new ones.
 */
size_t fetch_plan_match(const struct fetch_plan *plan, const struct fetched *state, const struct fetch_message *m,
    enum fetched_kind kind, const uint8_t digest[static FETCHED_DIGEST]);
/* The item of M was matched: it is there, perhaps under a new name. */
void fetch_plan_met(struct fetched *state, const struct fetch_message *m);
/* Has ITEM lain there for so long that it is to be deleted? */
bool fetch_plan_due(const struct fetch_plan *plan, const struct fetched *state, const struct fetched_item *item);

#endif
