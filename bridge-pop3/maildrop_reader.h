/*
 * The texts of a maildrop's messages, one message at a time and in pieces:
 *
 *	maildrop_reader_init(&r)
 *	maildrop_reader_open(&r, drop, number, err)
 *	while (!maildrop_reader_ended(&r)) {
 *		maildrop_reader_piece(&r, drop, chunk, size, &piece, err)
 *		... maildrop_reader_took(&r, how much of it was used)
 *	}
 *	maildrop_reader_close(&r)
 *	maildrop_reader_prepare(&r, drop, number)        the next, while the client receives this one
 *	maildrop_reader_release(&r)
 *
 * Clients ask for one message, wait until they have it, and ask for the next. What is read for them meanwhile need not be waited
 * for: on a slow disk that is most of the time a message takes, on a fast one still a part of it.
 */
#ifndef BRIDGE_POP3_MAILDROP_READER_H
#define BRIDGE_POP3_MAILDROP_READER_H

#include "bridge-pop3/maildrop.h"

/* Octets of a file that is read ahead; a larger one is not: there may be thousands of sessions. */
#define MAILDROP_AHEAD 16000

struct maildrop_reader {
	bool open;
	size_t number;	 /* of the message at hand, or the last one; SIZE_MAX: none yet */
	uint64_t size;	 /* of its file */
	uint64_t offset; /* where the next piece begins */
	int fd;		 /* -1: none is open, or its file is in `text` */
	struct buf text; /* the file of message `ahead` */
	size_t ahead;	 /* SIZE_MAX: none was read ahead */
	bool aged;
};

void maildrop_reader_init(struct maildrop_reader *r);
void maildrop_reader_release(struct maildrop_reader *r);

/* Begins with message NUMBER, as maildrop_message does; from memory if it was prepared. */
enum outcome maildrop_reader_open(struct maildrop_reader *r, struct maildrop *d, size_t number, struct error *err);
bool maildrop_reader_ended(const struct maildrop_reader *r);
/* What comes next, read into CHUNK of SIZE octets if it is not there already. PIECE is valid until CHUNK is used, or the reader
 * closed. */
enum outcome maildrop_reader_piece(struct maildrop_reader *r, const struct maildrop *d, uint8_t *chunk, size_t size,
    struct view *piece, struct error *err);
/* LENGTH octets of the piece were used; the next begins behind them. */
void maildrop_reader_took(struct maildrop_reader *r, size_t length);
/* The message at hand is over; nothing happens when there is none. */
void maildrop_reader_close(struct maildrop_reader *r);

/* To be called every few seconds: what was read ahead before the last call is let go, for a client that does not come for it. */
void maildrop_reader_age(struct maildrop_reader *r);
/* Reads message NUMBER if it is small; what goes wrong is told to whoever opens it. No message may be open. */
void maildrop_reader_prepare(struct maildrop_reader *r, struct maildrop *d, size_t number);

#endif
