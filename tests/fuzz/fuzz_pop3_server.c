/*
 * The POP3 server's machine. The first octet says what is offered, the second how the driver decides, the third how input
 * and texts are cut. Then come the messages, each ended by 0x1C, the last by 0x1D: the first octet of each says its form
 * and whether it is repeated. The rest is what the client sends, in which 0x1A behind STLS stands for TLS being there.
 *
 * Laws: cut otherwise, the same events and the same output; what is sent of a message is, read back, its canonical form,
 * and as long as was told; TOP is the front of that; nothing is retrieved before a login; an UPDATE follows QUIT, in a
 * session that is logged in, and the marks add up; answers are lines of text; memory is bounded, and of passwords nothing is
 * left behind.
 */
#include "bridge-pop3/pop3_server_own.h"
#include "lib/alloc.h"
#include "lib/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MESSAGES_MAX 16
/* Of small messages with long UIDs, so that lists are longer than the output may be. */
#define MANY	450
#define REPEATS 16

static void require(bool law)
{
	if (!law)
		abort();
}

struct message {
	enum pop3_text_form form;
	struct buf file;
	struct buf canonical;
};

struct drop {
	struct pop3_listing listing;
	struct message messages[MESSAGES_MAX];
	size_t used;
};

struct play {
	struct pop3_server server;
	const struct drop *drop;
	uint8_t policy;
	size_t step;
	struct buf output; /* without the texts of messages */
	struct buf texts;  /* as they were sent */
	struct buf events;
	struct buf fed; /* since TLS */
	bool opened;
	bool updated;
	bool closed;
};

/* ---- the maildrop ---------------------------------------------------------------------------------------- */

static const struct message *message_of(const struct pop3_listing *self, size_t number)
{
	const struct drop *d = (const struct drop *)self;

	return &d->messages[number % d->used];
}

static uint64_t drop_octets(const struct pop3_listing *self, size_t number)
{
	require(number < self->count);
	return message_of(self, number)->canonical.length;
}

static void drop_uid(const struct pop3_listing *self, size_t number, struct buf *out)
{
	require(number < self->count);
	buf_text(out, "uid-of-the-longest-sort-that-there-may-be-whatever-it-is-good-for-");
	buf_number(out, number + 1000);
}

/* Octet by octet, as the header of the machine has it. */
static void make_canonical(struct message *m)
{
	uint8_t before = '\n';

	for (size_t i = 0; i < m->file.length; i++) {
		uint8_t c = m->file.bytes[i];

		if (c == '\n' && (m->form == POP3_TEXT_LF || i == 0 || before != '\r'))
			buf_byte(&m->canonical, '\r');
		buf_byte(&m->canonical, c);
		before = c;
	}
	if (before != '\n')
		buf_text(&m->canonical, "\r\n");
}

static void add_message(struct drop *d, struct view v)
{
	struct message *m = &d->messages[d->used++];
	uint8_t how = v.length > 0 ? v.bytes[0] : 0;

	m->form = how & 1 ? POP3_TEXT_MIXED : POP3_TEXT_LF;
	buf_init(&m->file, SIZE_MAX);
	buf_init(&m->canonical, SIZE_MAX);
	for (size_t i = how & 2 ? REPEATS : 1; i > 0; i--)
		buf_view(&m->file, view_from(v, 1));
	make_canonical(m);
}

/* Takes the messages off the front of IN. */
static void fill(struct drop *d, struct view *in, bool many)
{
	size_t at = 0;

	*d = (struct drop){.listing = {.octets = drop_octets, .uid = drop_uid}};
	for (size_t i = 0; i < in->length; i++) {
		bool last = in->bytes[i] == 0x1d;

		if (!last && in->bytes[i] != 0x1c)
			continue;
		if (d->used < MESSAGES_MAX)
			add_message(d, view_of(in->bytes + at, i - at));
		at = i + 1;
		if (last)
			break;
	}
	*in = view_from(*in, at);
	d->listing.count = many && d->used > 0 ? MANY : d->used;
}

static void empty(struct drop *d)
{
	for (size_t i = 0; i < d->used; i++) {
		buf_release(&d->messages[i].file);
		buf_release(&d->messages[i].canonical);
	}
}

/* ---- what is sent of a message --------------------------------------------------------------------------- */

/* How much of canonical text TOP wants, line by line. */
static size_t top_length(struct view text, const struct pop3_event *event)
{
	bool in_header = true;
	uint64_t lines = 0;
	struct view rest = text;
	struct view line;

	while (view_line(&rest, &line)) {
		if (!in_header)
			lines++;
		else if (view_is(line, "\r"))
			in_header = false;
		if (!in_header && lines == event->lines)
			break;
	}
	return text.length - rest.length;
}

static void check_text(const struct play *p, const struct pop3_event *event, struct view sent)
{
	const struct message *m = message_of(&p->drop->listing, event->number);
	struct view wanted = view_buf(&m->canonical);
	struct dot_reader reader;
	struct view first;
	struct buf text;

	require(view_line(&sent, &first) && first.length >= 4 && memcmp(first.bytes, "+OK", 3) == 0);
	if (event->top) {
		wanted.length = top_length(wanted, event);
	} else {
		char told[64];

		snprintf(told, sizeof told, "+OK %zu octets\r", wanted.length);
		require(view_is(first, told));
	}
	buf_init(&text, SIZE_MAX);
	dot_reader_init(&reader, NEWLINES_STRICT);
	require(dot_reader_feed(&reader, &sent, &text) && sent.length == 0 && !reader.bare_lf);
	require(view_equal(view_buf(&text), wanted));
	buf_release(&text);
}

/* The machine never takes less than it says, nor anything that it has no room for. */
static void send_text(struct play *p, const struct pop3_event *event)
{
	const struct message *m = message_of(&p->drop->listing, event->number);
	struct view rest = view_buf(&m->file);
	struct buf sent;
	bool more = true;

	buf_init(&sent, SIZE_MAX);
	buf_view(&p->output, view_buf(&p->server.output));
	buf_clear(&p->server.output);
	pop3_server_text_begin(&p->server, m->form);
	while (rest.length > 0 && more) {
		struct view piece = view_of(rest.bytes, rest.length < p->step ? rest.length : p->step);
		size_t length = piece.length;
		size_t room = pop3_server_room(&p->server);
		size_t taken;

		more = pop3_server_text(&p->server, &piece);
		taken = length - piece.length;
		require(taken == (more ? (length < room ? length : room) : length));
		rest = view_from(rest, taken);
		require(p->server.output.length <= 2 * POP3_OUTPUT_MAX);
		if (room == 0 || p->policy & 1) {
			buf_view(&sent, view_buf(&p->server.output));
			buf_clear(&p->server.output);
		}
	}
	pop3_server_text_end(&p->server);
	buf_view(&sent, view_buf(&p->server.output));
	buf_clear(&p->server.output);
	check_text(p, event, view_buf(&sent));
	buf_view(&p->texts, view_buf(&sent));
	buf_release(&sent);
}

/* ---- the driver ------------------------------------------------------------------------------------------ */

static const char *refusal(struct play *p, const char *const codes[4])
{
	/* As the events are the same however the input is cut, so are the verdicts. */
	p->policy = (uint8_t)(p->policy * 5 + 1);
	return (p->policy & 0x38) == 0 ? codes[p->policy >> 6] : "";
}

static void decide(struct play *p, const struct pop3_event *event)
{
	static const char *const login_codes[] = {"AUTH", "IN-USE", NULL, "SYS/TEMP"};
	static const char *const text_codes[] = {NULL, "SYS/TEMP", "SYS/PERM", NULL};
	const char *code = refusal(p, event->kind == POP3_EVENT_LOGIN ? login_codes : text_codes);
	bool good = code != NULL && code[0] == '\0';

	if (event->kind == POP3_EVENT_UPDATE) {
		pop3_server_updated(&p->server, good ? OUTCOME_DONE : OUTCOME_LATER, good ? NULL : "No");
	} else if (!good) {
		pop3_server_refuse(&p->server, code, event->kind == POP3_EVENT_LOGIN ? event->user : "No");
	} else if (event->kind == POP3_EVENT_LOGIN) {
		pop3_server_opened(&p->server, &p->drop->listing);
		p->opened = true;
	} else {
		send_text(p, event);
	}
	require(!pop3_server_waits(&p->server));
}

/* Was the last line that was read QUIT? */
static bool said_quit(const struct play *p)
{
	size_t waiting = input_view(&p->server.own->input).length;
	struct view read = view_of(p->fed.bytes, p->fed.length - waiting);
	size_t at = read.length - 2;
	struct view line;

	require(read.length > 2 && read.bytes[read.length - 1] == '\n' && read.bytes[read.length - 2] == '\r');
	read.length -= 2;
	while (at > 1 && (read.bytes[at - 1] != '\n' || read.bytes[at - 2] != '\r'))
		at--;
	line = view_from(read, at > 1 ? at : 0);
	return view_same(line_trimmed(line), view_text("QUIT"));
}

static void check_marks(const struct play *p, size_t marked)
{
	const struct pop3_server_own *own = p->server.own;
	uint64_t octets = 0;
	size_t count = 0;

	for (size_t i = 0; i < p->drop->listing.count; i++) {
		if (pop3_server_marked(&p->server, i))
			count++;
		else
			octets += drop_octets(&p->drop->listing, i);
	}
	require(count == marked && own->marked == marked && octets == own->octets - own->marked_octets);
	require(!pop3_server_marked(&p->server, p->drop->listing.count));
}

static void check_event(struct play *p, const struct pop3_event *event)
{
	require(!p->closed);
	switch (event->kind) {
	case POP3_EVENT_LOGIN:
		require(!p->opened && event->user[0] != '\0' && event->password[0] != '\0');
		require(p->server.secured || p->server.options->clear_passwords);
		require(utf8_valid(view_text(event->user)) && !text_has_control(view_text(event->user)));
		break;
	case POP3_EVENT_RETRIEVE:
		require(p->opened && !p->updated && event->number < p->drop->listing.count);
		require(!pop3_server_marked(&p->server, event->number));
		break;
	case POP3_EVENT_UPDATE:
		require(p->opened && !p->updated && said_quit(p));
		check_marks(p, event->marked);
		p->updated = true;
		break;
	case POP3_EVENT_STLS:
		require(!p->opened && !p->server.secured && p->server.options->stls);
		break;
	case POP3_EVENT_CLOSE:
		require(event->text != NULL);
		p->closed = true;
		break;
	}
}

static void note(struct play *p, const struct pop3_event *event)
{
	buf_format(&p->events, "%d %s %s %zu %d %llu %zu %s\n", (int)event->kind, event->user, event->password,
	    event->number, event->top, (unsigned long long)event->lines, event->marked, event->text);
}

static void check_bounds(const struct pop3_server *s)
{
	const struct pop3_server_own *own = s->own;

	require(s->output.length <= POP3_OUTPUT_MAX + 1024);
	require(own->input.bytes.capacity <= 2 * POP3_INPUT_MAX);
	require(own->line.line.capacity <= 2 * POP3_AUTH_MAX);
	if (!pop3_server_waits(s) && own->state != POP3_STATE_NAMED)
		require(own->user.bytes == NULL && own->password.bytes == NULL);
}

static void run(struct play *p)
{
	struct pop3_event event;
	bool more = true;

	while (more) {
		while (pop3_server_next(&p->server, &event)) {
			check_event(p, &event);
			note(p, &event);
			if (pop3_server_waits(&p->server))
				decide(p, &event);
			check_bounds(&p->server);
		}
		check_bounds(&p->server);
		more = p->server.output.length > 0;
		buf_view(&p->output, view_buf(&p->server.output));
		buf_clear(&p->server.output);
	}
}

/* Everything but texts is lines that can be shown. Those of lists, which are most, are looked at only in passing. */
static void check_answers(struct view out)
{
	struct view line;

	while (view_line(&out, &line)) {
		require(line.length > 1 && line.length <= 511 && line.bytes[line.length - 1] == '\r');
		line.length--;
		if (!text_is_digit(line.bytes[0]))
			require(!text_has_control(line) && utf8_valid(line));
	}
	require(out.length == 0);
}

static void feed(struct play *p, struct view *all, size_t step)
{
	struct view piece = view_of(all->bytes, all->length < step ? all->length : step);
	const uint8_t *mark = memchr(piece.bytes, 0x1a, piece.length);
	bool in_tls = p->server.own->state == POP3_STATE_TLS;
	size_t before;

	/* Where TLS comes is a matter of time, and so the same however the bytes are cut. */
	if (mark == piece.bytes && in_tls) {
		pop3_server_secured(&p->server, POP3_SECURED_CLEAN);
		buf_clear(&p->fed);
		*all = view_from(*all, 1);
		return;
	}
	if (mark != NULL)
		piece.length = mark > piece.bytes ? (size_t)(mark - piece.bytes) : 1;
	before = piece.length;
	pop3_server_feed(&p->server, &piece);
	require(piece.length < before);
	buf_append(&p->fed, all->bytes, before - piece.length);
	*all = view_from(*all, before - piece.length);
}

static void play_all(struct play *p, const struct drop *drop, const struct pop3_server_options *options,
    uint8_t policy, struct view all, size_t step)
{
	*p = (struct play){.policy = policy, .drop = drop, .step = step};
	buf_init(&p->output, SIZE_MAX);
	buf_init(&p->texts, SIZE_MAX);
	buf_init(&p->events, SIZE_MAX);
	buf_init(&p->fed, SIZE_MAX);
	pop3_server_init(&p->server, options);
	run(p);
	while (all.length > 0) {
		feed(p, &all, step);
		run(p);
	}
	pop3_server_end(&p->server, "SYS/TEMP", "over");
	run(p);
	require(p->closed);
	pop3_server_release(&p->server);
}

static void play_release(struct play *p)
{
	buf_release(&p->output);
	buf_release(&p->texts);
	buf_release(&p->events);
	buf_release(&p->fed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pop3_server_options options = {.name = "mx.example"};
	struct view rest;
	struct drop drop;
	struct play whole;
	struct play cut;

	if (size < 3)
		return 0;
	options.stls = (data[0] & 1) != 0;
	options.clear_passwords = (data[0] & 2) != 0;
	options.max_errors = data[0] & 4 ? 5 : 0;
	rest = view_of(data + 3, size - 3);
	fill(&drop, &rest, (data[0] & 8) != 0);
	play_all(&whole, &drop, &options, data[1], rest, SIZE_MAX);
	play_all(&cut, &drop, &options, data[1], rest, (size_t)data[2] + 1);
	check_answers(view_buf(&whole.output));
	require(view_equal(view_buf(&whole.output), view_buf(&cut.output)));
	require(view_equal(view_buf(&whole.texts), view_buf(&cut.texts)));
	require(view_equal(view_buf(&whole.events), view_buf(&cut.events)));
	play_release(&whole);
	play_release(&cut);
	empty(&drop);
	return 0;
}
