/*
 * Line ends. Content is stored and carried with CRLF; Unix programs hand in and read LF. The conversions are exact
 * inverses of each other:
 *
 *	canonical_sink   LF form → CRLF form: every LF gets a CR before it, whatever stands there (a CR of the text is text)
 *	unix_sink        CRLF form → LF form: exactly one CR before every LF is taken off
 *
 * For text that already has CRLF (decided once, at its first line end), canonical_sink keeps CRLF and gives a CR
 * only to bare LFs.
 */
#ifndef QUEUE_CANONICAL_H
#define QUEUE_CANONICAL_H

#include "lib/stream.h"

enum canonical_form { CANONICAL_UNDECIDED, CANONICAL_FROM_LF, CANONICAL_FROM_CRLF };

struct canonical_sink {
	struct sink sink;
	struct sink *below; /* borrowed */
	enum canonical_form form;
	bool after_cr;
};
void canonical_sink_init(struct canonical_sink *s, struct sink *below);

struct unix_sink {
	struct sink sink;
	struct sink *below;
	bool held_cr;
	uint64_t written; /* octets of the LF form so far */
	uint64_t lines;	  /* LFs among them */
	bool unfinished;  /* the last octet was no LF */
};
void unix_sink_init(struct unix_sink *s, struct sink *below);
/* Writes a CR held back at the very end. Call once after the last write. */
enum outcome unix_sink_finish(struct unix_sink *s, struct error *err);

#endif
