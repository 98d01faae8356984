/*
 * From the greeting to the listing.
 */
#include <sodium.h>

#include "bridge-pop3/pop3_client_own.h"
#include "lib/alloc.h"
#include "lib/sasl.h"
#include "lib/text.h"

/* RFC 2449 4: the longest command. */
#define COMMAND_MAX 255
/* Lines of CAPA; a server has a dozen. */
#define CAPA_LINES 256
/* RFC 1939 7 has 70; some servers' are longer. */
#define UID_MAX 255

/* ---- capabilities ------------------------------------------------------------------------------------------ */

void pop3_client_ask_capa(struct pop3_client *c)
{
	struct pop3_client_own *o = c->own;

	c->stage = POP3_STAGE_CAPA;
	c->pipelining = false;
	o->capa_known = o->capa_stls = o->capa_top = o->capa_plain = false;
	o->await = AWAIT_CAPA;
	pop3_client_say(c, "CAPA");
}

static void take_capability(struct pop3_client *c, struct view line)
{
	struct pop3_client_own *o = c->own;
	struct view rest = line;
	struct view word = line_word(&rest);

	c->pipelining |= view_same(word, view_text("PIPELINING"));
	o->capa_stls |= view_same(word, view_text("STLS"));
	o->capa_top |= view_same(word, view_text("TOP"));
	if (!view_same(word, view_text("SASL")))
		return;
	while (rest.length > 0)
		o->capa_plain |= view_same(line_word(&rest), view_text("PLAIN"));
}

/* ---- logging in -------------------------------------------------------------------------------------------- */

static void say_credentials(struct pop3_client *c, const char *prefix)
{
	struct buf line;

	buf_init(&line, SIZE_MAX);
	buf_text(&line, prefix);
	sasl_plain_make(c->own->options->user, c->own->options->password, &line);
	pop3_client_say(c, buf_string(&line));
	buf_wipe(&line);
	buf_release(&line);
}

/* Nothing may be in them that would end the line. */
static bool sendable(const char *text)
{
	return text[0] != '\0' && strcspn(text, "\r\n") == strlen(text);
}

static bool initial_fits(const struct pop3_client_options *o)
{
	size_t size = strlen(o->user) + strlen(o->password) + 2;

	return strlen("AUTH PLAIN ") + (size + 2) / 3 * 4 + 2 <= COMMAND_MAX;
}

static void log_in(struct pop3_client *c)
{
	struct pop3_client_own *o = c->own;

	c->stage = POP3_STAGE_AUTH;
	if (!c->secured && !o->options->clear) {
		pop3_client_end(c, "the password is not sent without TLS, which the server does not offer");
	} else if (!sendable(o->options->user) || !sendable(o->options->password)) {
		pop3_client_end(c, "user or password is empty, or holds a line end");
	} else if (o->capa_plain && initial_fits(o->options)) {
		o->await = AWAIT_LOGIN;
		say_credentials(c, "AUTH PLAIN ");
	} else if (o->capa_plain) {
		o->await = AWAIT_PLAIN_ASKED;
		pop3_client_say(c, "AUTH PLAIN");
	} else {
		char *line = mem_format("USER %s", o->options->user);

		o->await = AWAIT_USER;
		pop3_client_say(c, line);
		free(line);
	}
}

static void say_password(struct pop3_client *c)
{
	c->own->await = AWAIT_LOGIN;
	buf_text(&c->output, "PASS ");
	pop3_client_say(c, c->own->options->password);
}

/* ---- TLS --------------------------------------------------------------------------------------------------- */

static void after_capa(struct pop3_client *c)
{
	struct pop3_client_own *o = c->own;
	enum pop3_client_tls tls = o->options->tls;
	/* A server that does not know CAPA may know STLS. */
	bool worth_trying = o->capa_stls || (tls == POP3_TLS_NEEDED && !o->capa_known);

	c->top = o->capa_top || !o->capa_known;
	if (c->secured || tls == POP3_TLS_NEVER || (tls == POP3_TLS_OFFERED && !worth_trying)) {
		log_in(c);
	} else if (!worth_trying) {
		c->stage = POP3_STAGE_STLS;
		pop3_client_end(c, "the server does not offer TLS (STLS), which is asked for");
	} else {
		c->stage = POP3_STAGE_STLS;
		o->await = AWAIT_STLS;
		pop3_client_say(c, "STLS");
	}
}

static void begin_tls(struct pop3_client *c)
{
	struct pop3_client_own *o = c->own;

	if (o->input.length > o->at) {
		pop3_client_end(c, "the server spoke between STLS and TLS: somebody stands in between");
		return;
	}
	c->stage = POP3_STAGE_TLS;
	o->await = AWAIT_NOTHING;
	o->stls_due = true;
}

/* ---- the listing ------------------------------------------------------------------------------------------- */

static void ask_listing(struct pop3_client *c)
{
	c->stage = POP3_STAGE_LISTING;
	c->own->await = AWAIT_STAT;
	pop3_client_say(c, "STAT");
}

/* The server's message NUMBER; listings are in order as a rule. */
static struct pop3_listed *find_listed(struct pop3_client *c, uint64_t number, size_t hint)
{
	struct pop3_listed *listed = c->own->listed;

	if (hint < c->count && listed[hint].number == number)
		return &listed[hint];
	for (size_t low = 0, high = c->count; low < high;) {
		size_t middle = low + (high - low) / 2;

		if (listed[middle].number == number)
			return &listed[middle];
		if (listed[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* How many messages the answer to STAT, "3 1200", promises. */
static bool promised(const char *words, uint64_t *count)
{
	struct view rest = view_text(words);

	return number_parse(line_word(&rest), UINT64_MAX, count);
}

static int compare_listed(const void *a, const void *b)
{
	const struct pop3_listed *x = a;
	const struct pop3_listed *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return (x->place > y->place) - (x->place < y->place);
}

/* The first of those with one number stays. */
static void sort_listed(struct pop3_client *c)
{
	struct pop3_listed *listed = c->own->listed;
	size_t kept = 0;

	if (c->count > 1)
		qsort(listed, c->count, sizeof listed[0], compare_listed);
	for (size_t i = 0; i < c->count; i++)
		if (kept == 0 || listed[kept - 1].number != listed[i].number)
			listed[kept++] = listed[i];
	c->own->dropped |= kept < c->count;
	c->count = kept;
}

/* A server with mail that cannot be told must not look like an empty one. */
static void end_list(struct pop3_client *c)
{
	struct pop3_client_own *o = c->own;

	sort_listed(c);
	c->complete = !o->dropped && (!o->promises || c->count == o->promised);
	if (c->count == 0 && o->promises && o->promised > 0) {
		pop3_client_end(c, "the server has %llu messages, as it says, and lists none that could be told",
		    (unsigned long long)o->promised);
		return;
	}
	o->await = AWAIT_UIDL;
	pop3_client_say(c, "UIDL");
}

static struct view without_blanks(struct view v)
{
	while (v.length > 0 && (v.bytes[0] == ' ' || v.bytes[0] == '\t'))
		v = view_from(v, 1);
	return v;
}

/* The number at the beginning of REST, which blanks or tabs may surround, is taken off. */
static bool take_number(struct view *rest, uint64_t maximum, uint64_t *number)
{
	struct view digits = without_blanks(*rest);

	*rest = digits;
	while (rest->length > 0 && rest->bytes[0] != ' ' && rest->bytes[0] != '\t')
		*rest = view_from(*rest, 1);
	digits.length -= rest->length;
	*rest = without_blanks(*rest);
	return number_parse(digits, maximum, number);
}

bool pop3_client_listed(struct view line, struct pop3_listed *listed)
{
	struct view rest = line;

	*listed = (struct pop3_listed){.number = 0};
	return take_number(&rest, UINT32_MAX, &listed->number) &&
	       take_number(&rest, UINT64_MAX / 2, &listed->octets) && listed->number > 0;
}

static void take_listed(struct pop3_client *c, struct view line)
{
	struct pop3_client_own *o = c->own;
	struct pop3_listed one;

	if (c->count == POP3_CLIENT_MESSAGES || !pop3_client_listed(line, &one)) {
		o->dropped = true;
		return;
	}
	one.place = o->lines;
	o->listed = mem_grow(o->listed, c->count, &o->listed_capacity, sizeof o->listed[0]);
	o->listed[c->count++] = one;
}

static bool uid_good(struct view uid)
{
	for (size_t i = 0; i < uid.length; i++)
		if (uid.bytes[i] < 33 || uid.bytes[i] > 126)
			return false;
	return uid.length > 0 && uid.length <= UID_MAX;
}

static void take_uid(struct pop3_client *c, struct view line, size_t hint)
{
	struct view rest = line;
	uint64_t number;
	struct pop3_listed *one;
	struct view uid;

	if (!take_number(&rest, UINT32_MAX, &number))
		return;
	one = find_listed(c, number, hint);
	uid = line_trimmed(rest);
	if (one != NULL && one->uid == NULL && uid_good(uid))
		one->uid = mem_copy(uid.bytes, uid.length);
}

static void be_ready(struct pop3_client *c)
{
	struct pop3_client_own *o = c->own;

	c->stage = POP3_STAGE_READY;
	o->await = AWAIT_REQUEST;
	o->ready_due = true;
}

/* ---- lines ------------------------------------------------------------------------------------------------- */

static void take_listing_line(struct pop3_client *c, struct view line)
{
	struct pop3_client_own *o = c->own;
	bool last = view_is(line, ".");

	if (!last && line.length > 0 && line.bytes[0] == '.')
		line = view_from(line, 1);
	if (++o->lines > (o->await == AWAIT_CAPA_LINES ? CAPA_LINES : POP3_CLIENT_LINES)) {
		pop3_client_end(c, "the server's listing does not end");
		return;
	}
	if (o->line.fault == LINE_TOO_LONG) {
		o->dropped |= o->await == AWAIT_LIST_LINES;
		return;
	}
	switch (o->await) {
	case AWAIT_CAPA_LINES:
		if (last)
			after_capa(c);
		else
			take_capability(c, line);
		break;
	case AWAIT_LIST_LINES:
		if (last)
			end_list(c);
		else
			take_listed(c, line);
		break;
	default:
		if (last)
			be_ready(c);
		else
			take_uid(c, line, o->lines - 1);
		break;
	}
}

static void begin_lines(struct pop3_client_own *o, enum pop3_await await)
{
	o->await = await;
	o->lines = 0;
}

/* A refused login or a nonsense is the end; what else was refused is done without. */
static void take_answer(struct pop3_client *c, bool good)
{
	struct pop3_client_own *o = c->own;

	switch (o->await) {
	case AWAIT_GREETING:
		if (good)
			pop3_client_ask_capa(c);
		else
			pop3_client_refused(c, "the server turns us away");
		break;
	case AWAIT_CAPA:
		o->capa_known = good;
		if (good)
			begin_lines(o, AWAIT_CAPA_LINES);
		else
			after_capa(c);
		break;
	case AWAIT_STLS:
		if (good)
			begin_tls(c);
		else
			pop3_client_refused(c, "the server refuses STLS");
		break;
	case AWAIT_USER:
		if (good)
			say_password(c);
		else
			pop3_client_refused(c, "the server refuses the user");
		break;
	case AWAIT_LOGIN:
		if (good)
			ask_listing(c);
		else
			pop3_client_refused(c, "the server refuses the login");
		break;
	case AWAIT_STAT:
		/* LIST is believed rather; but some servers want STAT first. */
		o->promises = good && promised(o->words, &o->promised);
		o->await = AWAIT_LIST;
		pop3_client_say(c, "LIST");
		break;
	case AWAIT_LIST:
		if (good)
			begin_lines(o, AWAIT_LIST_LINES);
		else
			pop3_client_refused(c, "the server does not list the messages");
		break;
	case AWAIT_UIDL:
		c->named = good;
		if (good)
			begin_lines(o, AWAIT_UIDL_LINES);
		else
			be_ready(c);
		break;
	default:
		pop3_client_refused(c, "the server asks for something unknown");
		break;
	}
}

void pop3_client_hello(struct pop3_client *c, struct view line)
{
	struct pop3_client_own *o = c->own;
	enum pop3_status status;

	if (o->await == AWAIT_CAPA_LINES || o->await == AWAIT_LIST_LINES || o->await == AWAIT_UIDL_LINES) {
		take_listing_line(c, line);
		return;
	}
	status = pop3_client_status(c, line);
	if (status == POP3_GO_ON && o->await == AWAIT_PLAIN_ASKED) {
		o->await = AWAIT_LOGIN;
		say_credentials(c, "");
	} else if (o->await == AWAIT_PLAIN_ASKED && status == POP3_ERR) {
		pop3_client_refused(c, "the server refuses the login");
	} else if (status == POP3_OK || status == POP3_ERR) {
		take_answer(c, status == POP3_OK);
	} else {
		pop3_client_refused(c, "the server's answer is none");
	}
}
