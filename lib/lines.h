/*
 * Lines and dot-terminated text as SMTP (RFC 5321 2.3.8, 4.5.2) and POP3 (RFC 1939 3) have them. One small machine
 * decides for every engine what ends a line and what ends a text: CRLF and CRLF.CRLF, nothing else. A lone CR or LF
 * never does, whatever stands around it, so nothing can be smuggled past the next server.
 *
 *	line_reader_init(&r, 512);
 *	while (line_reader_feed(&r, &in)) {          takes from the front of IN
 *		... r.fault, view_buf(&r.line)
 *		line_reader_next(&r);
 *	}
 *
 *	dot_reader_init(&d, NEWLINES_STRICT);
 *	ended = dot_reader_feed(&d, &in, &text);     what follows the end stays in IN
 *
 * How the input is cut into pieces makes no difference to what comes out.
 */
#ifndef LIB_LINES_H
#define LIB_LINES_H

#include "lib/stream.h"

enum newlines {
	NEWLINES_STRICT,    /* a lone CR or LF is noted as a fault */
	NEWLINES_NORMALISE, /* a lone LF is taken for CRLF, except before and behind the dot that ends a text */
};

/* What is wrong with a line; the first that was met. */
enum line_fault { LINE_GOOD, LINE_TOO_LONG, LINE_BARE_CR, LINE_BARE_LF, LINE_NUL };

struct line_reader {
	struct buf line; /* without its CRLF; of a faulty line as much as fits */
	enum newlines newlines;
	enum line_fault fault;
	bool after_cr;
	bool complete;
};

/* MAXIMUM octets of a line, its CRLF not counted. NEWLINES_NORMALISE lets a lone LF end a line too. */
void line_reader_init(struct line_reader *r, size_t maximum, enum newlines newlines);
void line_reader_release(struct line_reader *r);
/* Takes bytes off the front of IN until a line is complete (true) or IN is empty. A faulty line is read to its end. */
bool line_reader_feed(struct line_reader *r, struct view *in);
/* Begins the next line. */
void line_reader_next(struct line_reader *r);

/* Takes the next word of a command, which a space ends, off the front of REST with the spaces behind it. Empty at the end. */
struct view line_word(struct view *rest);
/* V without the blanks at its end. */
struct view line_trimmed(struct view v);

/* How many octets of V stand before its first CR or LF. */
size_t line_plain(struct view v);

enum dot_place { DOT_LINE_START, DOT_AFTER_LF, DOT_TEXT, DOT_CR, DOT_DOT, DOT_DOT_CR };

struct dot_reader {
	enum dot_place place;
	enum newlines newlines;
	bool bare_cr;  /* a lone CR was met; it is in the text */
	bool bare_lf;  /* a lone LF was met; it is in the text, as CRLF when normalising */
	bool lone_dot; /* the dot in hand stands behind a lone LF: it can end nothing */
	bool ended;
	size_t fault_at; /* how long OUT was when the first lone CR or LF was met, in the call that set its flag */
};

void dot_reader_init(struct dot_reader *r, enum newlines newlines);
/*
 * Takes bytes off the front of IN, appends to OUT what they say (unstuffed, with the CRLF that belongs to the last
 * line), and returns true when the text has ended. At most one octet more than IN held is appended; when normalising,
 * two more than twice as many.
 */
bool dot_reader_feed(struct dot_reader *r, struct view *in, struct buf *out);

/* Writes text with its dots stuffed. Call the end once: it adds the CRLF that the last line may lack, and the dot. */
struct dot_sink {
	struct sink sink;
	struct sink *below; /* borrowed */
	bool line_start;
	bool after_cr;
};
void dot_sink_init(struct dot_sink *s, struct sink *below);
enum outcome dot_sink_end(struct dot_sink *s, struct error *err);

#endif
