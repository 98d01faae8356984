#include "queue/config_parts.h"

/* Where the scan is in a call NAME(ARGUMENT, ...). */
enum scan_call { CALL_NONE, CALL_OPENED, CALL_ARGUMENT };

/* Braces whose lines are kept; no configuration nests deeper than two. */
#define BRACES 16

struct scan {
	struct config_source *source;
	size_t file;
	struct view text;
	uint8_t *bytes; /* the same, to blank comments in */
	size_t at;
	unsigned line;
	unsigned braces[BRACES]; /* lines of those open */
	size_t depth;
	size_t begun; /* of the sign, word, text or comment being looked at */
	enum scan_call call;
	size_t call_begun;
	unsigned call_line;
	bool fit;
};

static bool scan_sees(const struct scan *s, const char *what)
{
	size_t length = strlen(what);

	return s->text.length - s->at >= length && memcmp(s->bytes + s->at, what, length) == 0;
}

static void scan_unfit(struct scan *s, unsigned line, const char *sentence)
{
	mistake_add(s->source, s->file, line, "%s", sentence);
	if (s->fit)
		s->text.length = s->call == CALL_NONE ? s->begun : s->call_begun;
	s->fit = false;
}

static void scan_step(struct scan *s)
{
	if (s->bytes[s->at] == '\n')
		s->line++;
	s->at++;
}

static void scan_blank(struct scan *s)
{
	if (s->bytes[s->at] != '\n')
		s->bytes[s->at] = ' ';
	scan_step(s);
}

static void scan_line_comment(struct scan *s)
{
	while (s->at < s->text.length && s->bytes[s->at] != '\n')
		scan_blank(s);
}

static void scan_block_comment(struct scan *s)
{
	unsigned begun = s->line;

	scan_blank(s);
	scan_blank(s);
	while (s->at < s->text.length && !scan_sees(s, "*/"))
		scan_blank(s);
	if (s->at == s->text.length) {
		scan_unfit(s, begun, "the comment that begins here is not closed by \"*/\"");
		return;
	}
	scan_blank(s);
	scan_blank(s);
}

/* At a word or a quoted text, in a call an argument: may it stand here? */
static bool scan_argument(struct scan *s)
{
	if (s->call == CALL_ARGUMENT)
		scan_unfit(s, s->line, "a comma or \")\" is missing before this");
	else if (s->call == CALL_OPENED)
		s->call = CALL_ARGUMENT;
	return s->fit;
}

/* At "${": libConfuse takes all that follows up to a brace for the name, quotes and line ends too. */
static void scan_variable(struct scan *s)
{
	while (s->at < s->text.length && s->bytes[s->at] != '}' && s->bytes[s->at] != '\n')
		scan_step(s);
	if (s->at == s->text.length || s->bytes[s->at] == '\n')
		scan_unfit(s, s->line, "\"${\" is not closed by \"}\" on its line");
	else
		scan_step(s);
}

static void scan_quoted(struct scan *s)
{
	uint8_t quote = s->bytes[s->at];
	unsigned begun = s->line;

	if (!scan_argument(s))
		return;
	/* No value holds a line end, so the forgotten quote is on this line, not at the end of the file. */
	scan_step(s);
	while (s->fit && s->at < s->text.length && s->bytes[s->at] != quote && s->bytes[s->at] != '\n') {
		if (quote == '"' && scan_sees(s, "${")) {
			scan_variable(s);
			continue;
		}
		if (s->bytes[s->at] == '\\' && s->at + 1 < s->text.length)
			scan_step(s);
		scan_step(s);
	}
	if (!s->fit)
		return;
	if (s->at == s->text.length || s->bytes[s->at] == '\n')
		scan_unfit(s, begun, "the quoted text that begins here is not closed on its line");
	else
		scan_step(s);
}

static bool is_word(uint8_t c)
{
	return c != '\0' && strchr(" #\"'\t\n\r={}()+,*", c) == NULL;
}

static void scan_word(struct scan *s)
{
	if (!scan_argument(s))
		return;
	if (scan_sees(s, "${")) {
		scan_variable(s);
		return;
	}
	while (s->at < s->text.length && is_word(s->bytes[s->at]))
		scan_step(s);
}

/* libConfuse loses memory when it meets a malformed call, and passes over what it does not know: so neither
 * gets there. */
static void scan_sign(struct scan *s)
{
	uint8_t c = s->bytes[s->at];

	if (s->call != CALL_NONE && strchr("{}=+(", c) != NULL) {
		scan_unfit(s, s->line, "\")\" is missing before this");
	} else if (c == '*' || (c == '+' && !scan_sees(s, "+="))) {
		scan_unfit(s, s->line, c == '*' ? "\"*\" must stand in quotes" : "\"+\" must stand in quotes");
	} else if (c == '{') {
		if (s->depth < BRACES)
			s->braces[s->depth] = s->line;
		s->depth++;
	} else if (c == '}') {
		s->depth -= s->depth > 0; /* one too many is libConfuse's to report */
	} else if (c == '(') {
		s->call = CALL_OPENED;
		s->call_begun = s->at;
		s->call_line = s->line;
	} else if (c == ')') {
		s->call = CALL_NONE;
	} else if (c == ',' && s->call == CALL_OPENED) {
		scan_unfit(s, s->line, "a value is missing before the comma");
	} else if (c == ',' && s->call == CALL_ARGUMENT) {
		s->call = CALL_OPENED;
	}
	scan_step(s);
}

static void scan_next(struct scan *s)
{
	uint8_t c = s->bytes[s->at];

	s->begun = s->at;
	if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
		scan_step(s);
	else if (c == '#' || scan_sees(s, "//"))
		scan_line_comment(s);
	else if (scan_sees(s, "/*"))
		scan_block_comment(s);
	else if (c == '"' || c == '\'')
		scan_quoted(s);
	else if (is_word(c))
		scan_word(s);
	else
		scan_sign(s);
}

/* libConfuse takes the end of the file for the end of an open section. */
static void scan_end(struct scan *s)
{
	s->begun = s->at;
	if (s->call != CALL_NONE)
		scan_unfit(s, s->call_line, "the \"(\" here is not closed by \")\"");
	else if (s->depth > 0 && s->depth <= BRACES)
		scan_unfit(s, s->braces[s->depth - 1], "the \"{\" here is not closed by \"}\"");
	else if (s->depth > 0)
		scan_unfit(s, s->line, "\"}\" is missing at the end");
}

bool scan_text(struct config_source *source, size_t file, struct buf *text)
{
	struct scan s = {.source = source, .file = file, .text = view_buf(text), .bytes = text->bytes, .line = 1};

	s.fit = true;
	if (text->length > 0 && memchr(text->bytes, '\0', text->length) != NULL)
		scan_unfit(&s, 1, "this is not a text file: it holds NUL");
	else if (text->length >= 3 && memcmp(text->bytes, "\xef\xbb\xbf", 3) == 0)
		memset(text->bytes, ' ', 3); /* the byte order mark of some editors */
	while (s.fit && s.at < s.text.length)
		scan_next(&s);
	if (s.fit)
		scan_end(&s);
	text->length = s.text.length;
	if (!s.fit)
		text->bytes[text->length] = '\0';
	return s.fit;
}
