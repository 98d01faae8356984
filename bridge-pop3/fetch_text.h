/*
 * The text of a message on its way from an outside box to the queue: its header section tells whose it is, and it gets a digest by
 * which it is known again where the server gives no names.
 *
 *	fetch_text_begin(&t, config, box, mail, handover_sink(&h));
 *	fetch_text_add(&t, bytes);                     canonical form
 *	fetch_text_end(&t, &err);
 *	... t.address, t.digest, t.text.bulk, t.text.looping, t.head
 *	fetch_text_release(&t);
 */
#ifndef BRIDGE_POP3_FETCH_TEXT_H
#define BRIDGE_POP3_FETCH_TEXT_H

#include <sodium.h>

#include "bridge-pop3/fetch_address.h"
#include "queue/fetched.h"
#include "queue/message_text.h"

struct fetch_text {
	struct message_text text;
	const struct config *config; /* borrowed, as box and mail */
	const struct config_fetch *box;
	const struct dir *mail;
	struct fetch_address address; /* once the header section is there */
	struct buf head;	      /* the section, as much as is looked at */
	bool looked;
	uint64_t octets; /* so far */
	uint64_t lines;	 /* of them, line ends */
	crypto_generichash_state hash;
	uint8_t digest[FETCHED_DIGEST];
	enum outcome outcome; /* of judging the recipients */
	struct error err;
};

void fetch_text_begin(struct fetch_text *t, const struct config *config, const struct config_fetch *box,
    const struct dir *mail, struct sink *below);
void fetch_text_add(struct fetch_text *t, struct view bytes);
/* The first error there was: LATER of this host's disk or routes; NEVER with EX_DATAERR of the text, `text.looping` among that. */
enum outcome fetch_text_end(struct fetch_text *t, struct error *err);
void fetch_text_release(struct fetch_text *t);

/*
 * The digest of a whole text, its header being SECTION: fields that mail servers change in a message that lies there (Status and the
 * like) do not count.
 */
void fetch_digest(struct view section, uint8_t digest[static FETCHED_DIGEST]);

#endif
