#include "queue/address.h"

#include "lib/limits.h"

/* Room for an address with a source route; what is longer is none. */
#define PART_MAXIMUM 4096

/* The lexical tokens of RFC 5322 3.2 as far as an address needs them. */
enum token_kind {
	TOKEN_END,
	TOKEN_SPACE,   /* white space or a comment */
	TOKEN_QUOTED,  /* with its quotes */
	TOKEN_LITERAL, /* with its brackets */
	TOKEN_SPECIAL, /* one of <>,;:@. */
	TOKEN_WORD,    /* any other octet */
	TOKEN_OPEN,    /* quotes, brackets or a comment that nothing closes */
};

struct token {
	enum token_kind kind;
	struct view text;
};

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is(const struct token *t, char special)
{
	return t->kind == TOKEN_SPECIAL && t->text.bytes[0] == (uint8_t)special;
}

/* Length of the token that begins with OPEN and ends at its CLOSE; comments nest. 0: nothing closes it. */
static size_t enclosed_length(struct view v, uint8_t open, uint8_t close)
{
	size_t depth = 0;

	for (size_t i = 0; i < v.length; i++) {
		if (v.bytes[i] == '\\')
			i++;
		else if (v.bytes[i] == close && (i > 0 || open != close) && --depth == 0)
			return i + 1;
		else if (v.bytes[i] == open && (i == 0 || open == '('))
			depth++;
	}
	return 0;
}

static struct token enclosed(struct view v, enum token_kind kind, char open, char close)
{
	size_t length = enclosed_length(v, (uint8_t)open, (uint8_t)close);

	return length == 0 ? (struct token){TOKEN_OPEN, v} : (struct token){kind, view_of(v.bytes, length)};
}

/* Takes the next token off the front of *V. */
static struct token token_next(struct view *v)
{
	struct token t = {TOKEN_END, *v};

	if (v->length == 0)
		return t;
	if (v->bytes[0] == '"')
		t = enclosed(*v, TOKEN_QUOTED, '"', '"');
	else if (v->bytes[0] == '(')
		t = enclosed(*v, TOKEN_SPACE, '(', ')');
	else if (v->bytes[0] == '[')
		t = enclosed(*v, TOKEN_LITERAL, '[', ']');
	else if (is_space(v->bytes[0]))
		t = (struct token){TOKEN_SPACE, view_of(v->bytes, 1)};
	else if (memchr("<>,;:@.", v->bytes[0], 7) != NULL)
		t = (struct token){TOKEN_SPECIAL, view_of(v->bytes, 1)};
	else
		t = (struct token){TOKEN_WORD, view_of(v->bytes, 1)};
	/* Not view_from: at the end, too, a pointer is to say how far we came. */
	*v = view_of(v->bytes + t.text.length, v->length - t.text.length);
	return t;
}

/* ---- one address, without comments and white space -------------------------------------------------------
 */

/* A quoted string's content with its folding undone (RFC 5322 2.2.3); a bare CR stays and is refused later.
 */
static void append_unfolded(struct buf *out, struct view content)
{
	for (size_t i = 0; i < content.length; i++) {
		uint8_t c = content.bytes[i];
		bool before_lf = i + 1 < content.length && content.bytes[i + 1] == '\n';

		if (c != '\n' && !(c == '\r' && before_lf))
			buf_byte(out, c);
	}
}

/* Appends the tokens of *V up to the special STOP, which is taken off too. False when there is none. */
static bool append_until(struct buf *out, struct view *v, char stop)
{
	for (;;) {
		struct token t = token_next(v);

		if (t.kind == TOKEN_END)
			return false;
		if (t.kind != TOKEN_SPACE)
			buf_view(out, t.text);
		if (is(&t, stop))
			return true;
	}
}

static bool is_word(const struct token *t)
{
	return t->kind == TOKEN_WORD || t->kind == TOKEN_QUOTED;
}

/* May T follow BEFORE in a local part? GAP: white space or a comment stands between them. */
static const char *local_fault(const struct token *before, const struct token *t, bool gap)
{
	bool quotes = t->kind == TOKEN_QUOTED || before->kind == TOKEN_QUOTED;

	if (t->kind == TOKEN_END || is(t, '@') || is(t, '.'))
		return is_word(before) ? NULL : "a word is missing before the \"@\", before a dot or behind one";
	if (!is_word(t))
		return "it holds a character that must not stand there without quotes";
	if (is_word(before) && (gap || quotes))
		return "several words, but no address in \"<\" and \">\" behind them";
	return NULL;
}

/* Appends CONTENT, which stood in QUOTES, and the '@' if END is one. */
static void append_quoted(struct buf *out, const struct buf *content, const char *quotes, const struct token *end)
{
	buf_text(out, quotes);
	buf_view(out, view_buf(content));
	buf_text(out, quotes);
	buf_text(out, is(end, '@') ? "@" : "");
	out->failed = out->failed || content->failed;
}

/*
 * Appends the local part at the front of *V in the form of RFC 5321. obs-local-part (RFC 5322 4.4) has words
 * in quotes and words without between dots, and white space around them: one quoted string says the same.
 * Stops behind the '@', which it appends, or at the end.
 */
static const char *append_local(struct buf *out, struct view *v)
{
	struct token before = {TOKEN_END, view_of(NULL, 0)};
	struct token t;
	struct buf content;
	const char *quotes = "";
	const char *bad = NULL;
	bool gap = false;

	buf_init(&content, PART_MAXIMUM);
	for (;;) {
		t = token_next(v);
		if (t.kind == TOKEN_SPACE) {
			gap = true;
			continue;
		}
		bad = local_fault(&before, &t, gap);
		if (bad != NULL || t.kind == TOKEN_END || is(&t, '@'))
			break;
		if (t.kind == TOKEN_QUOTED) {
			quotes = "\"";
			append_unfolded(&content, view_of(t.text.bytes + 1, t.text.length - 2));
		} else {
			buf_view(&content, t.text);
		}
		gap = false;
		before = t;
	}
	append_quoted(out, &content, quotes, &t);
	buf_release(&content);
	return bad;
}

/* Appends the rest, a domain: words, dots and literals; white space only beside dots. */
static const char *append_domain(struct buf *out, struct view v)
{
	bool gap = false;
	bool after_word = false;

	for (struct token t = token_next(&v); t.kind != TOKEN_END; t = token_next(&v)) {
		if (t.kind == TOKEN_SPACE) {
			gap = true;
			continue;
		}
		if (t.kind == TOKEN_WORD && after_word && gap)
			return "white space stands inside its domain, or words behind it";
		after_word = t.kind == TOKEN_WORD;
		gap = false;
		buf_view(out, t.text);
	}
	return NULL;
}

static const char *append_address(struct buf *out, struct view v)
{
	const char *bad = append_local(out, &v);

	if (bad == NULL)
		bad = append_domain(out, v);
	return bad != NULL || !out->failed ? bad : "it is too long";
}

/* ---- one part of the list --------------------------------------------------------------------------------
 */

struct list {
	struct view left;
	bool in_group;
	address_visit *visit;
	void *context;
};

/* A part of the list, up to what ends it. */
struct part {
	struct view text;  /* all of it, for sentences */
	struct view angle; /* between '<' and '>' */
	bool has_angle;
	bool blank;	  /* nothing but white space and comments */
	struct token end; /* ',' ';' ':' or TOKEN_END */
};

/* The content of '<' to '>', with *V behind the '<' before and behind the '>' after. */
static const char *angle_take(struct view *v, struct view *angle)
{
	const uint8_t *start = v->bytes;

	for (;;) {
		struct token t = token_next(v);

		if (t.kind == TOKEN_OPEN)
			return "its quotes, brackets or parentheses are not closed";
		if (t.kind == TOKEN_END || is(&t, '<'))
			return "its \"<\" is not closed by \">\"";
		if (is(&t, '>')) {
			*angle = view_of(start, (size_t)(t.text.bytes - start));
			return NULL;
		}
	}
}

/* Takes the next part off the front of *LEFT; on a fault its text is all that is left. */
static const char *part_take(struct view *left, struct part *p)
{
	const char *bad = NULL;

	*p = (struct part){.blank = true, .text = *left};
	while (bad == NULL) {
		struct token t = token_next(left);

		if (t.kind == TOKEN_SPACE)
			continue;
		if (t.kind == TOKEN_END || is(&t, ',') || is(&t, ';') || is(&t, ':')) {
			p->text.length = (size_t)(t.text.bytes - p->text.bytes);
			p->end = t;
			return NULL;
		}
		if (p->blank)
			p->text = view_of(t.text.bytes, p->text.length - (size_t)(t.text.bytes - p->text.bytes));
		p->blank = false;
		if (t.kind == TOKEN_OPEN)
			bad = "its quotes, brackets or parentheses are not closed";
		else if (p->has_angle)
			bad = "something stands behind its \">\"";
		else if (is(&t, '>'))
			bad = "its \">\" has no \"<\"";
		else if (is(&t, '<')) {
			p->has_angle = true;
			bad = angle_take(left, &p->angle);
		}
	}
	return bad;
}

/* The address in angle brackets, which may begin with a source route. */
static enum outcome angle_parse(struct part *p, struct buf *out, struct address *a, struct error *err)
{
	struct view inner = p->angle;
	struct token first;
	const char *bad = NULL;

	buf_byte(out, '<');
	do {
		p->angle = inner;
		first = token_next(&inner);
	} while (first.kind == TOKEN_SPACE);
	if (first.kind == TOKEN_END)
		bad = "nothing stands between \"<\" and \">\"";
	else if (is(&first, '@') && !append_until(out, &p->angle, ':'))
		bad = "its source route does not end in \":\"";
	if (bad == NULL)
		bad = append_address(out, p->angle);
	if (bad != NULL)
		return address_fault(err, p->text, bad);
	buf_byte(out, '>');
	return address_parse_path(a, view_buf(out), err);
}

static enum outcome bare_parse(const struct part *p, struct buf *out, struct address *a, struct error *err)
{
	const char *bad = append_address(out, p->text);

	return bad != NULL ? address_fault(err, p->text, bad) : address_parse(a, view_buf(out), err);
}

static enum outcome part_visit(struct list *l, struct part *p, struct error *err)
{
	struct address a;
	struct buf out;
	enum outcome outcome;

	buf_init(&out, PART_MAXIMUM);
	outcome = p->has_angle ? angle_parse(p, &out, &a, err) : bare_parse(p, &out, &a, err);
	if (outcome == OUTCOME_DONE)
		l->visit(
		    l->context, view_of(a.local.bytes, a.local.length + (a.domain.length > 0) + a.domain.length));
	buf_release(&out);
	return outcome;
}

/* "name:" begins a group, ';' ends it (RFC 5322 3.4). */
static const char *group_mark(struct list *l, const struct part *p)
{
	if (is(&p->end, ':')) {
		if (l->in_group)
			return "a group begins inside a group";
		if (p->blank || p->has_angle)
			return "a \":\" must stand behind the name of a group";
		l->in_group = true;
	} else if (is(&p->end, ';')) {
		if (!l->in_group)
			return "\";\" ends no group; \",\" separates addresses";
		l->in_group = false;
	}
	return NULL;
}

enum outcome address_list(struct view field_body, address_visit *visit, void *context, struct error *err)
{
	struct list l = {.left = field_body, .visit = visit, .context = context};
	struct part p;

	do {
		struct view all = l.left;
		const char *bad = part_take(&l.left, &p);
		bool name;

		if (bad == NULL)
			bad = group_mark(&l, &p);
		if (bad != NULL)
			return address_fault(err, p.blank ? all : p.text, bad);
		name = is(&p.end, ':');
		if (!p.blank && !name && part_visit(&l, &p, err) != OUTCOME_DONE)
			return OUTCOME_NEVER;
	} while (p.end.kind != TOKEN_END);
	return OUTCOME_DONE;
}
