/*
 * The header section of a message (RFC 5322 2.2), read through a stream without touching it.
 */
#ifndef QUEUE_HEADER_H
#define QUEUE_HEADER_H

#include "lib/stream.h"

/*
 * Reads the header section from SOURCE into OUT, with its line ends as they are and the empty line if there is one;
 * bytes read beyond it are appended to EXTRA. More than OUT's maximum is EX_DATAERR; OUT is full then, and EXTRA holds
 * the rest of what was read. A section ends at the first empty line or at the end of the content.
 */
enum outcome header_read(struct source *source, struct buf *out, struct buf *extra, struct error *err);

/* The next field of *SECTION: name, and body with its folding as it stands (no final line end). False at the end or
 * at a line that is no field. Works on CRLF and on LF. */
bool header_next(struct view *section, struct view *name, struct view *body);
/* The first field NAME (without case); false when there is none. */
bool header_find(struct view section, const char *name, struct view *body);
/* Is BODY that of a Precedence field of bulk mail: "bulk", "list" or "junk"? */
bool header_is_bulk(struct view body);
/* A body unfolded (RFC 5322 2.2.3) and without white space around it, appended to OUT. */
void header_unfold(struct view body, struct buf *out);
/*
 * TEXT, UTF-8, as encoded words (RFC 2047) with a folding between two of them, appended to OUT. There is room for a short field
 * name before the first. An octet that is part of no character is encoded as U+FFFD.
 */
void header_encode(struct view text, struct buf *out);

#endif
