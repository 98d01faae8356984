/*
 * What a delivered message looks like in a user's Maildir, and the trace lines at the edge of packetboat.
 */
#ifndef QUEUE_MAILDIR_H
#define QUEUE_MAILDIR_H

#include "lib/file.h"
#include "lib/stream.h"
#include "queue/message.h"

/* Makes the Maildir NAME (new, cur, tmp) below MAIL; what stands already is kept. */
enum outcome maildir_make(const struct dir *mail, const char *name, struct error *err);
/* Does NAME have a Maildir? */
bool maildir_exists(const struct dir *mail, const char *name);
/* The same, where a failure to look at it is no answer: EX_TEMPFAIL. */
enum outcome maildir_look(const struct dir *mail, const char *name, bool *found, struct error *err);
/*
 * The same for whoever would turn mail away for the lack of it: what is missing together with postmaster's box, as when MAIL
 * is a disk that is not mounted, is no answer either.
 */
enum outcome maildir_find(const struct dir *mail, const char *name, bool *found, struct error *err);

/*
 * Appends the Received lines (RFC 5321 4.4, CRLF, newest first) for the hops of E: from, by, with, id, for (when
 * there is one recipient), date. The id is the message id, the same at every hop.
 */
void trace_received(const struct envelope *e, const char *for_address, struct buf *out);

/*
 * Writes message M for local user USER to OUT in the LF form: Return-Path, Delivered-To, Received, content. ORIGINAL
 * is the recipient's address in the envelope (Delivered-To shows it). *SIZE gets the octets written, *WIRE_SIZE the
 * octets of what POP3 makes of them: every LF becomes CRLF, and a last line without one gets it.
 */
enum outcome maildir_write(struct message *m, const char *original, struct sink *out, uint64_t *size,
    uint64_t *wire_size, struct error *err);
/* The file name: "TIME.ID-K.HOST,S=size,W=wire_size", K the recipient's index. Same message, same name. */
void maildir_name(const struct envelope *e, uint32_t index, int64_t arrived, const char *host, uint64_t size,
    uint64_t wire_size, struct buf *out);
/* Takes "TIME.ID-K.HOST" apart, what such a name has before its ",S="; false: no name that maildir_name gave. */
bool maildir_name_parse(struct view name, struct id *id, uint32_t *index);

#endif
