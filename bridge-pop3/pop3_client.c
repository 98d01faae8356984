#include "bridge-pop3/pop3_client.h"

#include "bridge-pop3/pop3_client_own.h"
#include "lib/alloc.h"
#include "lib/text.h"

/* Octets of a text that are told at once. */
#define TEXT_PIECE 16384
/* What goes on for so many octets is no line: RFC 2449 4 has 512. Each would count as progress, for ever. */
#define LINE_ENDLESS ((size_t)65536)

void pop3_client_init(struct pop3_client *c, const struct pop3_client_options *options)
{
	struct pop3_client_own *o = mem_alloc(sizeof *o);

	*c = (struct pop3_client){.secured = options->secured, .own = o};
	buf_init(&c->output, SIZE_MAX);
	o->options = options;
	buf_init(&o->input, SIZE_MAX);
	buf_init(&o->text, SIZE_MAX);
	line_reader_init(&o->line, POP3_CLIENT_LINE, NEWLINES_NORMALISE);
}

void pop3_client_release(struct pop3_client *c)
{
	struct pop3_client_own *o = c->own;

	buf_wipe(&c->output); /* it may hold a password that never left */
	buf_release(&c->output);
	if (o == NULL)
		return;
	buf_release(&o->input);
	buf_release(&o->text);
	line_reader_release(&o->line);
	for (size_t i = 0; i < c->count; i++)
		free(o->listed[i].uid);
	free(o->listed);
	free(o->asked);
	free(o);
	c->own = NULL;
}

/* ---- saying ----------------------------------------------------------------------------------------------- */

void pop3_client_say(struct pop3_client *c, const char *line)
{
	buf_text(&c->output, line);
	buf_text(&c->output, "\r\n");
}

void pop3_client_end(struct pop3_client *c, const char *format, ...)
{
	struct pop3_client_own *o = c->own;
	va_list arguments;

	if (o->over)
		return;
	va_start(arguments, format);
	vsnprintf(o->words, sizeof o->words, format, arguments);
	va_end(arguments);
	o->over = true;
	o->await = AWAIT_NOTHING;
}

void pop3_client_refused(struct pop3_client *c, const char *text)
{
	char *words = mem_string(c->own->words);

	pop3_client_end(c, "%s: %s", text, words[0] == '\0' ? "the server gives no reason" : words);
	free(words);
}

/* ---- what a line says ------------------------------------------------------------------------------------- */

/* "[IN-USE] words": the code goes apart. */
static struct view take_code(struct pop3_client_own *o, struct view words)
{
	const uint8_t *end =
	    words.length > 0 && words.bytes[0] == '[' ? memchr(words.bytes, ']', words.length) : NULL;
	struct buf code;

	if (end == NULL)
		return words;
	buf_init(&code, sizeof o->code - 1);
	text_visible_ascii(view_of(words.bytes + 1, (size_t)(end - words.bytes) - 1), sizeof o->code - 1, &code);
	snprintf(o->code, sizeof o->code, "%s", buf_string(&code));
	buf_release(&code);
	return words;
}

enum pop3_status pop3_client_status(struct pop3_client *c, struct view line)
{
	struct pop3_client_own *o = c->own;
	struct view rest = line;
	struct view word = line_word(&rest);
	struct buf words;
	enum pop3_status status = view_same(word, view_text("+OK"))    ? POP3_OK
				  : view_same(word, view_text("-ERR")) ? POP3_ERR
				  : view_is(word, "+")		       ? POP3_GO_ON
								       : POP3_NONSENSE;

	o->code[0] = '\0';
	if (status == POP3_NONSENSE)
		rest = line;
	take_code(o, rest);
	buf_init(&words, sizeof o->words - 1);
	text_visible(rest, sizeof o->words / 2, &words);
	snprintf(o->words, sizeof o->words, "%s", buf_string(&words));
	buf_release(&words);
	return status;
}

/* ---- requests --------------------------------------------------------------------------------------------- */

static void ask(struct pop3_client *c, enum pop3_request request, size_t number, unsigned lines)
{
	struct pop3_client_own *o = c->own;

	if (c->stage != POP3_STAGE_READY || number >= c->count || o->quitting)
		return;
	o->asked = mem_grow(o->asked, o->asked_count, &o->asked_capacity, sizeof o->asked[0]);
	o->asked[o->asked_count++] = (struct pop3_asked){.request = request, .number = number, .lines = lines};
}

void pop3_client_retrieve(struct pop3_client *c, size_t number)
{
	ask(c, POP3_RETRIEVE, number, 0);
}

void pop3_client_top(struct pop3_client *c, size_t number, unsigned lines)
{
	ask(c, POP3_TOP, number, lines);
}

void pop3_client_delete(struct pop3_client *c, size_t number)
{
	ask(c, POP3_DELETE, number, 0);
}

void pop3_client_probe(struct pop3_client *c, size_t number)
{
	struct pop3_client_own *o = c->own;
	size_t at = o->sent;

	if (c->stage != POP3_STAGE_READY || number >= c->count)
		return;
	while (at < o->asked_count && o->asked[at].request == POP3_PROBE)
		at++;
	o->asked = mem_grow(o->asked, o->asked_count, &o->asked_capacity, sizeof o->asked[0]);
	memmove(o->asked + at + 1, o->asked + at, (o->asked_count++ - at) * sizeof o->asked[0]);
	o->asked[at] = (struct pop3_asked){.request = POP3_PROBE, .number = number};
}

size_t pop3_client_under_way(const struct pop3_client *c)
{
	return c->own->sent;
}

bool pop3_client_awaited(const struct pop3_client *c, size_t *number)
{
	if (c->own->sent > 0)
		*number = c->own->asked[0].number;
	return c->own->sent > 0;
}

void pop3_client_quit(struct pop3_client *c)
{
	c->own->quitting = true;
}

static void say_request(struct pop3_client *c, struct pop3_asked *a)
{
	static const char *const words[] = {
	    [POP3_RETRIEVE] = "RETR", [POP3_TOP] = "TOP", [POP3_DELETE] = "DELE", [POP3_PROBE] = "LIST"};
	unsigned long long number = c->own->listed[a->number].number;
	size_t before = c->output.length;

	buf_format(&c->output, "%s %llu", words[a->request], number);
	if (a->request == POP3_TOP)
		buf_format(&c->output, " %u", a->lines);
	buf_text(&c->output, "\r\n");
	a->octets = c->output.length - before;
	c->own->window += a->octets;
}

/* Sends what may be sent. */
static void say_requests(struct pop3_client *c)
{
	struct pop3_client_own *o = c->own;

	while (o->sent < o->asked_count && (c->pipelining ? o->window < POP3_CLIENT_WINDOW : o->sent == 0))
		say_request(c, &o->asked[o->sent++]);
	if (o->quitting && !o->quit_said && o->asked_count == 0) {
		pop3_client_say(c, "QUIT");
		o->quit_said = true;
		c->stage = POP3_STAGE_QUIT;
	}
}

/* The oldest request has its end, which EVENT is to tell. */
static bool end_request(struct pop3_client *c, enum pop3_client_event_kind kind, struct pop3_client_event *event)
{
	struct pop3_client_own *o = c->own;
	struct pop3_asked a = o->asked[0];

	memmove(o->asked, o->asked + 1, --o->asked_count * sizeof o->asked[0]);
	o->sent--;
	o->window -= a.octets;
	o->await = AWAIT_REQUEST;
	*event = (struct pop3_client_event){.kind = kind,
	    .number = a.number,
	    .request = a.request,
	    .top = a.request == POP3_TOP,
	    .text = o->words,
	    .code = o->code};
	return true;
}

/* The answer to a probe. What fits nowhere may be of a message's text: no response code is believed. True: EVENT is set. */
static bool take_probed(
    struct pop3_client *c, enum pop3_status status, struct view line, struct pop3_client_event *event)
{
	struct pop3_client_own *o = c->own;
	const struct pop3_listed *listed = &o->listed[o->asked[0].number];
	struct pop3_listed again;
	struct buf words;

	if (status == POP3_OK && pop3_client_listed(view_from(line, strlen("+OK")), &again) &&
	    again.number == listed->number && again.octets == listed->octets)
		return end_request(c, POP3_CLIENT_PROBED, event);
	buf_init(&words, SIZE_MAX);
	text_visible(line, 100, &words);
	o->code[0] = '\0';
	pop3_client_end(c,
	    "the server's answers do not fit the questions: a message ended before its text did (are dots at the "
	    "beginning of lines not doubled?); LIST %llu was answered by \"%s\"",
	    (unsigned long long)listed->number, buf_string(&words));
	buf_release(&words);
	return false;
}

/* The status of a request, or of QUIT. True: EVENT is set. */
static bool take_status(struct pop3_client *c, struct view line, struct pop3_client_event *event)
{
	struct pop3_client_own *o = c->own;
	enum pop3_status status = pop3_client_status(c, line);

	if (o->sent > 0 && o->asked[0].request == POP3_PROBE)
		return take_probed(c, status, line, event);
	if (status != POP3_OK && status != POP3_ERR) {
		pop3_client_refused(c, "the server's answer is none");
		return false;
	}
	if (o->sent == 0 && !o->quit_said) {
		pop3_client_refused(c, "the server speaks without being asked");
		return false;
	}
	if (o->sent == 0) {
		o->committed = status == POP3_OK;
		pop3_client_refused(c, status == POP3_OK ? "done" : "not all was deleted");
		return false;
	}
	if (status == POP3_ERR)
		return end_request(c, POP3_CLIENT_REFUSED, event);
	if (o->asked[0].request == POP3_DELETE)
		return end_request(c, POP3_CLIENT_DELETED, event);
	dot_reader_init(&o->dots, NEWLINES_NORMALISE);
	o->await = AWAIT_TEXT;
	return false;
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

static struct view unread(const struct pop3_client_own *o)
{
	return view_from(view_buf(&o->input), o->at);
}

static void consume(struct pop3_client_own *o, size_t length)
{
	o->at += length;
	if (o->at == o->input.length || o->at > (size_t)1 << 16) {
		buf_consume(&o->input, o->at);
		o->at = 0;
	}
}

/* A piece of a text. True: EVENT is set. */
static bool take_text(struct pop3_client *c, struct pop3_client_event *event)
{
	struct pop3_client_own *o = c->own;
	struct view in = unread(o);
	size_t offered = in.length < TEXT_PIECE ? in.length : TEXT_PIECE;
	bool ended;

	in.length = offered;
	ended = dot_reader_feed(&o->dots, &in, &o->text);
	consume(o, offered - in.length);
	if (o->text.length > 0) {
		*event = (struct pop3_client_event){.kind = POP3_CLIENT_TEXT,
		    .number = o->asked[0].number,
		    .request = o->asked[0].request,
		    .top = o->asked[0].request == POP3_TOP,
		    .bytes = view_buf(&o->text)};
		return true;
	}
	return ended &&
	       end_request(c, o->asked[0].request == POP3_TOP ? POP3_CLIENT_TOPPED : POP3_CLIENT_RETRIEVED, event);
}

/* A line, when it is whole. True: EVENT is set. */
static bool take_line(struct pop3_client *c, struct pop3_client_event *event)
{
	struct pop3_client_own *o = c->own;
	struct view in = unread(o);
	size_t offered = in.length;
	bool whole = line_reader_feed(&o->line, &in);
	bool told = false;

	consume(o, offered - in.length);
	o->line_octets += offered - in.length;
	if (!whole && o->line_octets > LINE_ENDLESS)
		pop3_client_end(c, "the server's line does not end");
	if (!whole)
		return false;
	o->line_octets = 0;
	if (o->await == AWAIT_REQUEST)
		told = take_status(c, view_buf(&o->line.line), event);
	else
		pop3_client_hello(c, view_buf(&o->line.line));
	line_reader_next(&o->line);
	return told;
}

/* ---- events ----------------------------------------------------------------------------------------------- */

static bool tell_last(struct pop3_client *c, struct pop3_client_event *event)
{
	struct pop3_client_own *o = c->own;

	if (o->told)
		return false;
	o->told = true;
	*event = (struct pop3_client_event){.kind = o->was_ready ? POP3_CLIENT_CLOSED : POP3_CLIENT_FAILED,
	    .committed = o->committed,
	    .text = o->words,
	    .code = o->code};
	if (o->was_ready)
		c->stage = POP3_STAGE_OVER;
	return true;
}

static bool tell_due(struct pop3_client *c, struct pop3_client_event *event)
{
	struct pop3_client_own *o = c->own;

	if (o->stls_due) {
		o->stls_due = false;
		*event = (struct pop3_client_event){.kind = POP3_CLIENT_STLS};
		return true;
	}
	if (o->ready_due) {
		o->ready_due = false;
		o->was_ready = true;
		*event = (struct pop3_client_event){.kind = POP3_CLIENT_READY};
		return true;
	}
	return false;
}

bool pop3_client_next(struct pop3_client *c, struct pop3_client_event *event)
{
	struct pop3_client_own *o = c->own;

	buf_clear(&o->text);
	for (;;) {
		if (tell_due(c, event))
			return true;
		if (o->over)
			return tell_last(c, event);
		/* The end of a text may have been met with its last piece. */
		if (o->await == AWAIT_TEXT && o->dots.ended)
			return end_request(
			    c, o->asked[0].request == POP3_TOP ? POP3_CLIENT_TOPPED : POP3_CLIENT_RETRIEVED, event);
		if (o->was_ready)
			say_requests(c);
		if (unread(o).length == 0 || o->await == AWAIT_NOTHING)
			return false;
		if (o->await == AWAIT_TEXT ? take_text(c, event) : take_line(c, event))
			return true;
	}
}

void pop3_client_feed(struct pop3_client *c, struct view bytes)
{
	if (!c->own->over)
		buf_view(&c->own->input, bytes);
}

void pop3_client_secured(struct pop3_client *c)
{
	struct pop3_client_own *o = c->own;

	if (c->stage != POP3_STAGE_TLS || o->over)
		return;
	if (unread(o).length > 0) {
		pop3_client_end(c, "the server spoke between STLS and TLS: somebody stands in between");
		return;
	}
	c->secured = true;
	pop3_client_ask_capa(c);
}

void pop3_client_lost(struct pop3_client *c, const char *why)
{
	c->own->code[0] = '\0';
	pop3_client_end(c, "%s", why);
}

uint64_t pop3_client_octets(const struct pop3_client *c, size_t number)
{
	return c->own->listed[number].octets;
}

const char *pop3_client_uid(const struct pop3_client *c, size_t number)
{
	return c->own->listed[number].uid;
}
