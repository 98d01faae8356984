/*
 * The life of one message, put together from log lines: pure, so that it can be held to tests. Lines are fed in the
 * order in which they were written. What later hosts told ("learned") names recipients by their index; the line that
 * packed them says whose index that is. Lines about a batch belong to the message when it was packed into that batch.
 */
#ifndef TOOLS_TRACING_H
#define TOOLS_TRACING_H

#include "lib/id.h"
#include "tools/logread.h"

enum trace_state {
	TRACE_ACCEPTED, /* and nothing more is known */
	TRACE_WAITING,	/* deferred, held, or in a batch */
	TRACE_FORWARDED,
	TRACE_DELIVERED,
	TRACE_DELETED, /* delivered, and deleted by a mail program */
	TRACE_RELAYED,
	TRACE_EXPANDED,
	TRACE_FAILED,
	TRACE_REMOVED,
};

struct trace_recipient {
	char *address; /* or its number, unless `named` */
	bool named;
	bool indexed;
	uint64_t index;
	enum trace_state state;
	char *at;	 /* of the line that said so */
	char *status;	 /* null: none */
	char *reason;	 /* the same */
	char *neighbour; /* that has it or told so; null: it ended here, or is still here */
	bool told;	 /* by a neighbour, instead of seen here */
};

/* A batch that the message was packed into. */
struct trace_batch {
	char *neighbour;
	uint64_t sequence;
	bool known; /* the incarnation is */
	uint32_t incarnation;
};

/* One line of the story. */
struct trace_step {
	char *at;
	char *event;
	char *recipient; /* null: the message as a whole, or a batch */
	char *text;
};

struct trace {
	struct id id;
	char text[LIMIT_ID]; /* the same, printed */
	char *sender;
	uint64_t size;
	struct trace_recipient *recipients;
	size_t recipient_count;
	size_t recipient_capacity;
	struct trace_batch *batches;
	size_t batch_count;
	size_t batch_capacity;
	struct trace_step *steps;
	size_t step_count;
	size_t step_capacity;
};

void trace_init(struct trace *t, const struct id *id);
void trace_release(struct trace *t);
/* Could LINE belong to the message? A cheap look, before it is taken apart. */
bool trace_wants(const struct trace *t, struct view line);
/* Takes one line into the story; one that does not belong there is passed over. */
void trace_feed(struct trace *t, const struct log_fields *line);
const char *trace_state_name(enum trace_state state);

#endif
