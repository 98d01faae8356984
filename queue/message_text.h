/*
 * What passes between a protocol and the queue: the text of a message, whose header section is looked at on its way.
 *
 *  - from users (submission), Date and Message-ID are put in front when they are missing (RFC 6409 8), and nothing else
 *  - "Precedence: bulk", "list" or "junk" makes it bulk mail
 *  - more than TEXT_RECEIVED_MAX Received fields are a loop (RFC 5321 6.3)
 *
 * Errors of the sink below are kept until message_text_end; what follows one is thrown away.
 */
#ifndef QUEUE_MESSAGE_TEXT_H
#define QUEUE_MESSAGE_TEXT_H

#include "lib/stream.h"

#define TEXT_RECEIVED_MAX 100
/* So much of a header section is looked at; what is longer passes unseen behind it. */
#define TEXT_HEAD_MAX ((size_t)64 << 10)

struct text_author {
	bool submitted;
	const char *domain; /* for Message-ID; borrowed */
	int64_t now;
};

/*
 * Sees the header section, as much of it as is looked at, before it is written. What is returned, a part of it, is left out: what the
 * envelope says from then on; empty: nothing.
 */
typedef struct view text_look(void *context, struct view section);

struct message_text {
	struct sink *below; /* borrowed */
	struct text_author author;
	text_look *look; /* null: nobody else looks */
	void *look_context;
	struct buf head; /* the section as far as it has come */
	bool passed;	 /* it was looked at and written */
	uint64_t size;	 /* octets written, what was put in front included */
	bool bulk;
	bool looping;
	enum outcome outcome;
	struct error err;
};

void message_text_init(struct message_text *t, struct sink *below, const struct text_author *author);
/* Called before the first message_text_add. */
void message_text_watch(struct message_text *t, text_look *look, void *context);
void message_text_release(struct message_text *t);
void message_text_add(struct message_text *t, struct view bytes);
/* Writes what is left; the first error there was. */
enum outcome message_text_end(struct message_text *t, struct error *err);

#endif
