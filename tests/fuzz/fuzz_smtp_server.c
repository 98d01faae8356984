/*
 * The SMTP server's machine. The first octet says what is offered, the second how the driver decides, the third how the
 * input is cut; the rest is what the client sends. An octet 0x1A behind STARTTLS stands for TLS being there.
 *
 * Laws: cut otherwise, the same events and the same output; output is whole replies and nothing else; events come in an
 * order that makes sense; memory is bounded.
 */
#include "bridge-smtp/smtp_server_own.h"
#include "lib/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_SIZE       300
#define MAX_RECIPIENTS 4

static void require(bool law)
{
	if (!law)
		abort();
}

struct play {
	struct smtp_server server;
	uint8_t policy;
	struct buf output;
	struct buf events;
	struct buf text; /* since BEGIN */
	size_t recipients;
	bool begun; /* a SENDER was taken, and neither END nor RESET came */
	bool in_text;
	bool closed;
};

/* "250 x", "250-x": three digits that make sense, visible text, CRLF. */
static void check_replies(struct view out)
{
	struct view line;
	uint8_t code[3] = {0, 0, 0};
	bool more = false;

	while (view_line(&out, &line)) {
		require(line.length >= 5 && line.length <= 511 && line.bytes[line.length - 1] == '\r');
		require(line.bytes[0] >= '2' && line.bytes[0] <= '5' && text_is_digit(line.bytes[1]) &&
			text_is_digit(line.bytes[2]));
		require(line.bytes[3] == ' ' || line.bytes[3] == '-');
		require(!more || memcmp(line.bytes, code, 3) == 0);
		memcpy(code, line.bytes, 3);
		more = line.bytes[3] == '-';
		require(!text_has_control(view_of(line.bytes, line.length - 1)));
		require(utf8_valid(line));
	}
	require(!more);
}

static void check_bounds(const struct smtp_server *s)
{
	const struct smtp_server_own *own = s->own;

	require(s->output.length <= SMTP_OUTPUT_MAX + 1024 * (MAX_RECIPIENTS + 1));
	require(own->input.bytes.capacity <= 2 * SMTP_INPUT_MAX);
	require(own->text.capacity <= 4 * SMTP_INPUT_MAX);
	require(own->line.line.capacity <= 2 * SMTP_AUTH_MAX);
	require(own->address.length <= SMTP_COMMAND_MAX && own->parameter.length <= SMTP_COMMAND_MAX);
}

/* TEXT keeps to CRLF and to the size. */
static void check_text(const struct play *p)
{
	const struct buf *b = &p->text;
	bool binary = p->server.own->body == BODY_BINARY;

	require(b->length <= MAX_SIZE);
	for (size_t i = 0; i < b->length; i++) {
		require(b->bytes[i] != '\n' || (i > 0 && b->bytes[i - 1] == '\r'));
		if (b->bytes[i] == '\r' && p->server.options->newlines == NEWLINES_STRICT && !binary)
			require(i + 1 < b->length && b->bytes[i + 1] == '\n');
	}
}

static int verdict(struct play *p, int good)
{
	static const int codes[] = {0, 450, 550, 421};
	int code;

	/* As the events are the same however the input is cut, so are the verdicts. */
	p->policy = (uint8_t)(p->policy * 5 + 1);
	code = (p->policy & 0x38) == 0 ? codes[p->policy >> 6] : 0;
	return code == 0 ? good : code;
}

static void decide(struct play *p, const struct smtp_event *event)
{
	int code = verdict(p, event->kind == SMTP_EVENT_AUTH ? 235 : event->kind == SMTP_EVENT_BEGIN ? 354 : 250);
	size_t answers = 1;

	if (event->kind == SMTP_EVENT_END && p->server.options->service == SMTP_SERVICE_LMTP)
		answers = p->recipients;
	if (event->kind == SMTP_EVENT_SENDER && code == 250) {
		p->begun = true;
		p->recipients = 0;
	} else if (event->kind == SMTP_EVENT_RECIPIENT && code == 250) {
		p->recipients++;
	}
	p->in_text = event->kind == SMTP_EVENT_BEGIN && code == 354;
	require(answers > 0);
	for (; answers > 0 && smtp_server_waits(&p->server); answers--)
		smtp_server_reply(&p->server, code, "2.0.0", event->text == NULL ? "-" : event->text);
	require(answers == 0 || code == 421);
	require(!smtp_server_waits(&p->server));
}

static void check_order(struct play *p, const struct smtp_event *event)
{
	require(!p->closed);
	switch (event->kind) {
	case SMTP_EVENT_TEXT:
		require(p->begun && p->in_text && event->bytes.length > 0);
		break;
	case SMTP_EVENT_SENDER:
		require(!p->begun && event->text != NULL);
		require(event->smtputf8 || !view_has_8bit(view_text(event->text)));
		break;
	case SMTP_EVENT_RECIPIENT:
		require(p->begun && !p->in_text && event->text[0] != '\0' && p->recipients < MAX_RECIPIENTS);
		break;
	case SMTP_EVENT_BEGIN:
		require(p->begun && !p->in_text && p->recipients > 0);
		break;
	case SMTP_EVENT_END:
		require(p->begun && p->in_text);
		check_text(p);
		p->begun = false;
		break;
	case SMTP_EVENT_RESET:
		require(p->begun);
		p->begun = false;
		p->in_text = false;
		break;
	case SMTP_EVENT_AUTH:
		require(!p->begun && event->user[0] != '\0' && event->password[0] != '\0');
		require(p->server.authenticated == NULL);
		break;
	case SMTP_EVENT_ETRN:
		break;
	case SMTP_EVENT_STARTTLS:
		require(!p->begun && !p->server.secured);
		break;
	case SMTP_EVENT_CLOSE:
		require(!p->begun && event->text != NULL);
		p->closed = true;
		break;
	}
}

static void note(struct play *p, const struct smtp_event *event)
{
	if (event->kind == SMTP_EVENT_TEXT) {
		buf_view(&p->events, event->bytes);
		buf_view(&p->text, event->bytes);
		return;
	}
	buf_format(&p->events, "\n%d %s %s %s %llu %d %d %d %s %d %s\n", (int)event->kind, event->text, event->user,
	    event->password, (unsigned long long)event->size, (int)event->body, event->smtputf8, (int)event->ret,
	    event->envid, event->notify, event->orcpt);
	if (event->kind == SMTP_EVENT_BEGIN)
		buf_clear(&p->text);
}

static void run(struct play *p)
{
	struct smtp_event event;
	bool more = true;

	while (more) {
		while (smtp_server_next(&p->server, &event)) {
			check_order(p, &event);
			note(p, &event);
			check_bounds(&p->server);
			if (smtp_server_waits(&p->server))
				decide(p, &event);
		}
		check_bounds(&p->server);
		more = p->server.output.length > SMTP_OUTPUT_MAX;
		buf_view(&p->output, view_buf(&p->server.output));
		buf_clear(&p->server.output);
	}
}

static void play_all(
    struct play *p, const struct smtp_server_options *options, uint8_t policy, struct view all, size_t step)
{
	*p = (struct play){.policy = policy};
	buf_init(&p->output, SIZE_MAX);
	buf_init(&p->events, SIZE_MAX);
	buf_init(&p->text, SIZE_MAX);
	smtp_server_init(&p->server, options);
	run(p);
	while (all.length > 0) {
		struct view piece = view_of(all.bytes, all.length < step ? all.length : step);
		const uint8_t *mark = memchr(piece.bytes, 0x1a, piece.length);
		size_t before;

		/* Where TLS comes is a matter of time, and so the same however the bytes are cut. */
		if (mark == piece.bytes && p->server.own->state == SMTP_STATE_TLS) {
			smtp_server_secured(&p->server, SMTP_SECURED_CLEAN);
			all = view_from(all, 1);
			run(p);
			continue;
		}
		if (mark != NULL && mark > piece.bytes)
			piece.length = (size_t)(mark - piece.bytes);
		else if (mark != NULL)
			piece.length = 1;
		before = piece.length;
		smtp_server_feed(&p->server, &piece);
		require(piece.length < before);
		all = view_from(all, before - piece.length);
		run(p);
	}
	check_replies(view_buf(&p->output));
	smtp_server_end(&p->server, "4.4.2", "over");
	run(p);
	require(p->closed && !p->begun);
	smtp_server_release(&p->server);
}

static void play_release(struct play *p)
{
	buf_release(&p->output);
	buf_release(&p->events);
	buf_release(&p->text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_server_options options = {
	    .name = "mx.example", .max_size = MAX_SIZE, .max_recipients = MAX_RECIPIENTS, .max_messages = 6};
	struct play whole;
	struct play cut;
	size_t step;

	if (size < 3)
		return 0;
	options.service = data[0] & 1 ? SMTP_SERVICE_LMTP : SMTP_SERVICE_RELAY;
	options.newlines = data[0] & 2 ? NEWLINES_NORMALISE : NEWLINES_STRICT;
	options.starttls = (data[0] & 4) != 0;
	options.tls_needed = (data[0] & 8) != 0;
	options.auth = (data[0] & 16) != 0;
	options.auth_needed = (data[0] & 32) != 0;
	options.etrn = (data[0] & 64) != 0;
	options.max_errors = data[0] & 128 ? 5 : 0;
	step = (size_t)data[2] + 1;
	play_all(&whole, &options, data[1], view_of(data + 3, size - 3), SIZE_MAX);
	play_all(&cut, &options, data[1], view_of(data + 3, size - 3), step);
	require(view_equal(view_buf(&whole.output), view_buf(&cut.output)));
	require(view_equal(view_buf(&whole.events), view_buf(&cut.events)));
	play_release(&whole);
	play_release(&cut);
	return 0;
}
