/*
 * The SMTP client against a server that says anything. The first octets choose what the driver does; the rest is the
 * server's: octets from 0x80 to 0xbf stand for whole lines that servers say, 0xff for a pause in which the driver does
 * what it has put off (TLS, text), others for themselves.
 *
 * Laws: however the server's words are cut, the client says and tells the same; what it says are command lines, and
 * texts from which the message can be read back; every message has one DONE, every recipient one verdict; nothing is
 * told behind the end of the session; no password and no mail goes in clear when TLS is needed.
 */
#include "bridge-smtp/smtp_client.h"
#include "lib/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool law)
{
	if (!law)
		abort();
}

static const char *const lines[] = {"220 mx\r\n", "250 ok\r\n", "250 2.1.0 ok\r\n", "250-mx\r\n",
    "250 PIPELINING\r\n", "250-PIPELINING\r\n", "250 CHUNKING\r\n", "250-CHUNKING\r\n", "250-BINARYMIME\r\n",
    "250-SIZE 100\r\n", "250-SMTPUTF8\r\n", "250-8BITMIME\r\n", "250-DSN\r\n", "250 STARTTLS\r\n", "250-STARTTLS\r\n",
    "250 AUTH PLAIN\r\n", "250-AUTH LOGIN\r\n", "250 LIMITS RCPTMAX=2\r\n", "354 go\r\n", "550 5.1.1 no\r\n",
    "450 4.2.0 later\r\n", "552 5.2.2 full\r\n", "552 many\r\n", "503 5.5.1 order\r\n", "421 4.3.2 down\r\n",
    "334 VXNlcm5hbWU6\r\n", "235 2.7.0 in\r\n", "535 5.7.8 wrong\r\n", "221 bye\r\n", "500 what\r\n", "\r\n",
    "250 x\n"};

static struct recipient people[] = {
    {.address = "anna@mx.example", .notify = NOTIFY_SUCCESS, .orcpt = "rfc822;a+b@x"},
    {.address = "bert@mx.example", .orcpt = "utf-8;\xc3\xa4\\x@x"},
    {.address = "\xc3\xa4nne@mx.example", .notify = NOTIFY_NEVER | NOTIFY_DELAY},
    {.address = "two\r\nlines@mx.example"},
    {.address = "carl"},
    {.address = "\"d > e\"@mx.example"},
    {.address = ""},
};
#define PEOPLE (sizeof people / sizeof people[0])

static const char *const senders[] = {"me@here.example", "", "\xc3\xbc@here.example", "a>\r\nDATA\r\n@x"};
/* The last is too long to be sent ahead. */
static char long_text[5000];
static const char *const texts[] = {"Subject: x\r\n\r\n.dot\r\n..\r\nend", "", "\r\n.\r\n", "lone\n.\r\nQUIT\r\n",
    "cr\r", "only text, and a little more of it", long_text};

static const char *text_of(uint8_t choice)
{
	if (long_text[0] == '\0')
		for (size_t i = 0; i < sizeof long_text - 1; i++)
			long_text[i] = ".text\r\n"[i % 7];
	return texts[choice % (sizeof texts / sizeof texts[0])];
}

enum put_off { PUT_OFF_TEXT = 1, PUT_OFF_TLS = 2 };

struct choices {
	uint8_t session;
	uint8_t message;
	uint8_t text;
	uint8_t step;
};

struct run {
	struct smtp_client client;
	const struct choices *choices;
	struct smtp_client_options options;
	struct recipient *list[PEOPLE];
	bool told[PEOPLE];
	struct smtp_client_message m;
	size_t given;	 /* messages */
	bool in_message; /* given, no DONE yet */
	bool text_ended;
	bool after_done; /* READY, FAILED or CLOSED is due */
	bool ended;
	unsigned put_off;
	struct buf commands;
	struct buf text;
	struct buf events;
};

/* ---- what is said ---------------------------------------------------------------------------------------- */

static bool begins_as_command(struct view line)
{
	static const char *const verbs[] = {"EHLO me", "HELO me", "LHLO me", "STARTTLS", "AUTH PLAIN", "AUTH LOGIN",
	    "MAIL FROM:<", "RCPT TO:<", "DATA", "RSET", "QUIT", ".", "dGVzdA==", "c2VjcmV0", "AHRlc3QAc2VjcmV0"};

	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
		if (line.length >= strlen(verbs[i]) && memcmp(line.bytes, verbs[i], strlen(verbs[i])) == 0)
			return true;
	return false;
}

static void take_commands(struct run *r)
{
	struct view said = view_buf(&r->client.output);
	struct view line;
	struct smtp_client *c = &r->client;

	buf_view(&r->commands, said);
	while (view_line(&said, &line)) {
		require(line.length > 0 && line.bytes[line.length - 1] == '\r' && line.bytes[line.length] == '\n');
		line.length--;
		require(!text_has_control(line) && begins_as_command(line));
		if (line.bytes[0] == 'A' || line.bytes[0] == 'd' || line.bytes[0] == 'c')
			require(c->secured || r->options.clear_auth);
		if (line.bytes[0] == 'M')
			require(c->secured || r->options.tls != SMTP_TLS_NEEDED);
	}
	buf_clear(&c->output);
}

/* Text by BDAT: chunks that hold the text in order; the last one only if it ENDED. */
static void check_chunks(struct view said, struct view text, bool ended)
{
	uint64_t length;
	struct view line;

	while (view_line(&said, &line)) {
		bool last = line.length > 6 && memcmp(line.bytes + line.length - 6, " LAST\r", 6) == 0;
		struct view number = view_of(line.bytes + 5, line.length - 5 - (last ? 6 : 1));

		require(memcmp(line.bytes, "BDAT ", 5) == 0 && number_parse(number, SIZE_MAX, &length));
		require(said.length >= length || (said.length < length && !ended));
		length = length < said.length ? length : said.length;
		require(text.length >= length);
		require(view_equal(view_of(said.bytes, (size_t)length), view_of(text.bytes, (size_t)length)));
		said = view_from(said, (size_t)length);
		text = view_from(text, (size_t)length);
		require(!last || said.length == 0);
		if (ended && said.length == 0)
			require(last && text.length == 0);
	}
}

/* Text by DATA: no lone CR or LF, and read back it is what was given. */
static void check_dots(struct view said, struct view text, bool ended)
{
	struct dot_reader d;
	struct buf back;

	for (size_t i = 0; i < said.length; i++) {
		if (said.bytes[i] == '\n')
			require(i > 0 && said.bytes[i - 1] == '\r');
		if (said.bytes[i] == '\r')
			require(i + 1 < said.length && said.bytes[i + 1] == '\n');
	}
	dot_reader_init(&d, NEWLINES_STRICT);
	buf_init(&back, SIZE_MAX);
	require(dot_reader_feed(&d, &said, &back) == ended);
	require(said.length == 0 && !d.bare_cr && !d.bare_lf);
	if (ended) {
		require(back.length == text.length ||
			(back.length == text.length + 2 && !text_ends(buf_string(&back), "\n\r\n")));
		require(view_equal(view_of(back.bytes, text.length), text));
	}
	buf_release(&back);
}

static void give_text(struct run *r)
{
	const char *text = text_of(r->choices->text);
	size_t step = (size_t)(r->choices->text >> 5) * (strlen(text) / 30 + 1) + 1;
	struct view rest = view_text(text);
	struct smtp_client *c = &r->client;
	bool chunks = (c->extensions & SMTP_EXT_CHUNKING) != 0;

	take_commands(r);
	while (rest.length > 0) {
		size_t part = rest.length < step ? rest.length : step;

		smtp_client_text(c, view_of(rest.bytes, part));
		rest = view_from(rest, part);
	}
	smtp_client_text_end(c);
	r->text_ended = c->text_sent;
	if (chunks)
		check_chunks(view_buf(&c->output), view_text(text), c->text_sent);
	else
		check_dots(view_buf(&c->output), view_text(text), c->text_sent);
	buf_view(&r->text, view_buf(&c->output));
	buf_clear(&c->output);
}

/* ---- what is told ---------------------------------------------------------------------------------------- */

static void give_message(struct run *r)
{
	uint8_t choice = r->choices->message;
	const char *text = text_of(r->choices->text);

	if (r->given == 3 || (r->given > 0 && (choice & 128) != 0)) {
		smtp_client_quit(&r->client);
		return;
	}
	for (size_t i = 0; i < PEOPLE; i++) {
		r->list[i] = &people[(i + choice) % PEOPLE];
		r->told[i] = false;
	}
	r->m = (struct smtp_client_message){.sender = senders[choice >> 3 & 3],
	    .recipients = r->list,
	    .count = (size_t)choice % PEOPLE + (r->given == 1),
	    .size = strlen(text) + ((r->choices->step & 64) != 0),
	    .body = (enum body_type)(r->choices->session >> 6) % 3,
	    .smtputf8 = (choice & 64) != 0,
	    .ret = RETURN_FULL,
	    .envid = "a b+c"};
	r->given++;
	r->in_message = true;
	r->text_ended = false;
	smtp_client_message(&r->client, &r->m);
}

static void check_verdict(const struct smtp_verdict *v)
{
	require(strlen(v->text) < LIMIT_REASON && !text_has_control(view_text(v->text)) &&
		utf8_valid(view_text(v->text)));
	require(v->code == 0 || (v->code >= 200 && v->code <= 599));
	require(v->outcome != OUTCOME_DONE || v->code == 0 || (v->code >= 200 && v->code <= 299));
}

static void take_recipient(struct run *r, const struct smtp_client_event *event)
{
	require(r->in_message && event->place < r->m.count && !r->told[event->place]);
	require(event->verdict.outcome != OUTCOME_DONE || (r->options.lmtp && r->text_ended));
	r->told[event->place] = true;
}

static void take_done(struct run *r, const struct smtp_client_event *event)
{
	size_t told = 0;

	require(r->in_message && !r->after_done);
	for (size_t i = 0; i < r->m.count; i++)
		told += r->told[i];
	if (told < r->m.count && event->verdict.outcome == OUTCOME_DONE)
		require(r->text_ended && !r->options.lmtp);
	if (event->verdict.outcome == OUTCOME_DONE)
		require(!r->client.text_sent);
	r->in_message = false;
	r->after_done = true;
	r->put_off &= ~(unsigned)PUT_OFF_TEXT;
}

static void take_event(struct run *r, const struct smtp_client_event *event)
{
	const struct smtp_verdict *v = &event->verdict;

	require(!r->ended);
	if (event->kind != SMTP_CLIENT_STARTTLS)
		buf_format(&r->events, "%d %zu %d %d %s %s\n", event->kind, event->place, v->outcome, v->code,
		    v->status, v->text);
	check_verdict(v);
	require(!r->after_done || event->kind == SMTP_CLIENT_READY || event->kind == SMTP_CLIENT_FAILED ||
		event->kind == SMTP_CLIENT_CLOSED);
	switch (event->kind) {
	case SMTP_CLIENT_STARTTLS:
		require(r->client.output.length == 0 && !r->client.secured);
		r->put_off |= PUT_OFF_TLS;
		break;
	case SMTP_CLIENT_READY:
		r->after_done = false;
		require(!r->in_message);
		give_message(r);
		break;
	case SMTP_CLIENT_RECIPIENT:
		take_recipient(r, event);
		break;
	case SMTP_CLIENT_WANTS_TEXT:
		require(r->in_message && !r->text_ended);
		if ((r->choices->step & 128) != 0)
			r->put_off |= PUT_OFF_TEXT;
		else
			give_text(r);
		break;
	case SMTP_CLIENT_DONE:
		take_done(r, event);
		break;
	case SMTP_CLIENT_FAILED:
	case SMTP_CLIENT_CLOSED:
		require(!r->in_message);
		r->ended = true;
		break;
	}
}

/* ---- a run ----------------------------------------------------------------------------------------------- */

static void work(struct run *r)
{
	struct smtp_client_event event;

	take_commands(r);
	while (smtp_client_next(&r->client, &event)) {
		take_commands(r);
		take_event(r, &event);
	}
	take_commands(r);
}

/* The server is silent: what was put off is done. */
static void pause_of(struct run *r)
{
	unsigned put_off = r->put_off;

	r->put_off = 0;
	if ((put_off & PUT_OFF_TLS) != 0 && !r->ended) {
		buf_text(&r->events, "secured\n");
		smtp_client_secured(&r->client);
	}
	if ((put_off & PUT_OFF_TEXT) != 0)
		give_text(r);
	work(r);
}

static void feed(struct run *r, struct view bytes, size_t step)
{
	while (bytes.length > 0) {
		size_t part = bytes.length < step ? bytes.length : step;

		smtp_client_feed(&r->client, view_of(bytes.bytes, part));
		work(r);
		bytes = view_from(bytes, part);
	}
}

static void serve(struct run *r, struct view script, size_t step)
{
	struct buf server;

	buf_init(&server, SIZE_MAX);
	for (size_t i = 0; i < script.length; i++) {
		uint8_t c = script.bytes[i];

		if (c == 0xff) {
			feed(r, view_buf(&server), step);
			buf_clear(&server);
			pause_of(r);
		} else if (c >= 0x80 && c < 0xc0) {
			buf_text(&server, lines[c % (sizeof lines / sizeof lines[0])]);
		} else {
			buf_byte(&server, c);
		}
	}
	feed(r, view_buf(&server), step);
	pause_of(r);
	buf_release(&server);
}

static void run(struct run *r, const struct choices *choices, struct view script, size_t step)
{
	uint8_t session = choices->session;

	*r = (struct run){.choices = choices,
	    .options = {.lmtp = (session & 1) != 0,
		.name = "me",
		.tls = (enum smtp_client_tls)((session >> 1 & 3) % 3),
		.secured = (session & 8) != 0,
		.user = (session & 16) != 0 ? "test" : NULL,
		.password = "secret",
		.clear_auth = (session & 32) != 0}};
	buf_init(&r->commands, SIZE_MAX);
	buf_init(&r->text, SIZE_MAX);
	buf_init(&r->events, SIZE_MAX);
	smtp_client_init(&r->client, &r->options);
	serve(r, script, step);
	smtp_client_lost(&r->client, "closed");
	work(r);
	require(r->ended && !r->in_message);
	smtp_client_feed(&r->client, view_text("250 ok\r\n"));
	work(r);
}

static void run_release(struct run *r)
{
	smtp_client_release(&r->client);
	buf_release(&r->commands);
	buf_release(&r->text);
	buf_release(&r->events);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct choices choices;
	struct view script;
	struct run whole;
	size_t steps[2];

	if (size < 4)
		return 0;
	choices = (struct choices){data[0], data[1], data[2], data[3]};
	script = view_of(data + 4, size - 4);
	steps[0] = 1;
	steps[1] = (size_t)(choices.step & 63) + 2;
	run(&whole, &choices, script, SIZE_MAX);
	for (size_t i = 0; i < 2; i++) {
		struct run pieces;

		run(&pieces, &choices, script, steps[i]);
		require(view_equal(view_buf(&whole.commands), view_buf(&pieces.commands)));
		require(view_equal(view_buf(&whole.text), view_buf(&pieces.text)));
		require(view_equal(view_buf(&whole.events), view_buf(&pieces.events)));
		run_release(&pieces);
	}
	run_release(&whole);
	return 0;
}
