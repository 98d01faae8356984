#include "queue/report.h"

#include "lib/text.h"
#include "queue/header.h"

/* RFC 5322 2.1.1: no line above this, and lines of our own below that where words allow it. */
#define LINE_MAXIMUM 998
#define LINE_WIDTH   76
/* A value in a line of its own, with room for the field name. */
#define VALUE_MAXIMUM 900
/* Subject lines are quoted so far. */
#define SUBJECT_MAXIMUM 200

/* The parts are written piece by piece, so that a report about very many recipients takes little memory. */
struct writer {
	struct sink *out;
	struct buf text;
	enum outcome outcome;
	struct error *err;
};

static void writer_flush(struct writer *w)
{
	if (w->outcome == OUTCOME_DONE)
		w->outcome = sink_view(w->out, view_buf(&w->text), w->err);
	buf_clear(&w->text);
}

bool report_wanted(const struct recipient *r, enum report_action action)
{
	/* RFC 3461 5.2: with no NOTIFY, failures are told; delays are up to the host, and this one tells
	 * them. */
	uint8_t notify = r->notify == 0 ? NOTIFY_FAILURE | NOTIFY_DELAY : r->notify;

	if (notify & NOTIFY_NEVER)
		return false;
	switch (action) {
	case REPORT_FAILED:
		return (notify & NOTIFY_FAILURE) != 0;
	case REPORT_DELAYED:
		return (notify & NOTIFY_DELAY) != 0;
	default:
		return (notify & NOTIFY_SUCCESS) != 0;
	}
}

/* An address for other hosts to read: a user of this host gets our domain. */
static void qualify(const struct report *r, const char *address, struct buf *out)
{
	buf_text(out, address);
	if (strpbrk(address, "@!") == NULL)
		buf_format(out, "@%s", r->domain);
}

/* Where it was going when it ended. */
static void final_address(const struct report *r, const struct report_recipient *to, struct buf *out)
{
	bool moved = to->address != NULL && to->address[0] != '\0';

	qualify(r, moved ? to->address : to->recipient->address, out);
}

/* ---- the returned part -----------------------------------------------------------------------------------
 */

struct returned {
	struct buf bytes;
	const char *type;
	const char *encoding;
	const char *description;
};

/* Is there anything that neither 7bit nor 8bit allow (RFC 2045 2.7, 2.8)? */
static bool is_binary(struct view v)
{
	size_t line = 0;

	for (size_t i = 0; i < v.length; i++) {
		bool cr = i > 0 && v.bytes[i - 1] == '\r';

		if (v.bytes[i] == '\n' && cr) {
			line = 0;
			continue;
		}
		if (v.bytes[i] == '\n' || v.bytes[i] == '\0' || cr || ++line > LINE_MAXIMUM + 1)
			return true;
	}
	return v.length > 0 && v.bytes[v.length - 1] == '\r';
}

/* RFC 2045 6.7, for text with CRLF line ends. */
static void quoted_printable(struct view v, struct buf *out)
{
	size_t line = 0;

	for (size_t i = 0; i < v.length; i++) {
		uint8_t c = v.bytes[i];
		bool line_end = c == '\r' && i + 1 < v.length && v.bytes[i + 1] == '\n';
		bool ends_line = i + 1 == v.length || v.bytes[i + 1] == '\r';
		bool plain = (c > 32 && c < 127 && c != '=') || ((c == ' ' || c == '\t') && !ends_line);

		if (line_end) {
			buf_text(out, "\r\n");
			line = 0;
			i++;
			continue;
		}
		if (line + 3 > LINE_WIDTH - 1) {
			buf_text(out, "=\r\n");
			line = 0;
		}
		line += plain ? 1 : 3;
		if (plain)
			buf_byte(out, c);
		else
			buf_format(out, "=%02X", c);
	}
}

static enum outcome read_full(struct message *m, struct buf *bytes, struct error *err)
{
	struct buf_sink sink;

	buf_sink_init(&sink, bytes);
	message_rewind(m);
	return stream_copy(&m->content.source, &sink.sink, NULL, err);
}

/* The header section without its empty line; of one that is too long, the whole lines that fit. */
static enum outcome read_headers(struct message *m, struct buf *bytes, struct error *err)
{
	struct buf extra;
	struct error why = ERROR_NONE;
	enum outcome outcome;

	buf_init(&extra, COPY_CHUNK);
	message_rewind(m);
	outcome = header_read(&m->content.source, bytes, &extra, &why);
	if (outcome != OUTCOME_DONE && bytes->length == bytes->maximum) {
		size_t end = bytes->length;

		while (end > 0 && bytes->bytes[end - 1] != '\n')
			end--;
		bytes->length = end > 0 ? end : bytes->length;
		outcome = OUTCOME_DONE;
	} else if (outcome != OUTCOME_DONE && err != NULL) {
		*err = why;
	}
	if (bytes->length >= 4 && memcmp(bytes->bytes + bytes->length - 4, "\r\n\r\n", 4) == 0)
		bytes->length -= 2;
	else if (bytes->length == 2)
		bytes->length = 0;
	buf_release(&extra);
	return outcome;
}

static void returned_describe(struct returned *p, const struct envelope *e, bool full)
{
	struct view bytes = view_buf(&p->bytes);
	bool eight = view_has_8bit(bytes);
	bool global = eight && e->smtputf8;

	p->description = full ? "Your message" : "The header of your message";
	if (full)
		p->type = global ? "message/global" : "message/rfc822";
	else
		p->type = global ? "message/global-headers" : "text/rfc822-headers";
	p->encoding = eight ? "8bit" : "7bit";
	if (is_binary(bytes)) {
		struct buf encoded;

		buf_init(&encoded, SIZE_MAX);
		quoted_printable(bytes, &encoded);
		buf_release(&p->bytes);
		p->bytes = encoded;
		p->encoding = "quoted-printable";
	}
}

static enum outcome returned_prepare(struct returned *p, const struct report *r, struct message *m, struct error *err)
{
	const struct envelope *e = &m->envelope;
	bool full = r->action == REPORT_FAILED && e->ret == RETURN_FULL && e->size <= REPORT_FULL_MAX;
	enum outcome outcome = OUTCOME_DONE;

	buf_init(&p->bytes, REPORT_FULL_MAX);
	if (full) {
		outcome = read_full(m, &p->bytes, err);
		if (outcome == OUTCOME_DONE && is_binary(view_buf(&p->bytes))) {
			full = false;
			buf_clear(&p->bytes);
		}
	}
	if (outcome == OUTCOME_DONE && !full)
		outcome = read_headers(m, &p->bytes, err);
	if (outcome == OUTCOME_DONE)
		returned_describe(p, e, full);
	return outcome;
}

/* ---- the words for people --------------------------------------------------------------------------------
 */

/* Breaks TEXT at spaces into lines that begin with INDENT. */
static void wrap(struct buf *out, const char *indent, struct view text)
{
	size_t margin = strlen(indent);
	size_t column = 0;

	while (text.length > 0) {
		size_t word = 0;

		while (word < text.length && text.bytes[word] != ' ')
			word++;
		if (column > 0 && column + 1 + word > LINE_WIDTH) {
			buf_text(out, "\r\n");
			column = 0;
		}
		buf_text(out, column == 0 ? indent : " ");
		column += column == 0 ? margin : 1;
		buf_append(out, text.bytes, word);
		column += word;
		text = view_from(text, word + 1);
	}
	buf_text(out, "\r\n");
}

static void paragraph(struct buf *out, const char *text)
{
	wrap(out, "", view_text(text));
	buf_text(out, "\r\n");
}

/* "3 days", "5 hours", "20 minutes": the largest unit of which there are two, rounded to the nearest. */
static void duration_words(uint64_t seconds, char out[static 32])
{
	static const struct {
		uint64_t worth;
		const char *name;
	} units[] = {{86400, "days"}, {3600, "hours"}, {60, "minutes"}};

	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		if (seconds >= 2 * units[i].worth) {
			uint64_t count = seconds / units[i].worth + (seconds % units[i].worth >= units[i].worth / 2);

			snprintf(out, 32, "%llu %s", (unsigned long long)count, units[i].name);
			return;
		}
	}
	snprintf(out, 32, "a minute");
}

static void verdict_delayed(const struct report *r, const char *whom, struct buf *out)
{
	char text[400];
	char left[32];

	duration_words(r->retry_for, left);
	snprintf(text, sizeof text,
	    "Your message has not yet reached %s. It is still being tried%s%s%s. You do not need to "
	    "send it again; if it cannot be delivered in the end, you will be told.",
	    whom, r->retry_for > 0 ? ", for another " : "", r->retry_for > 0 ? left : "",
	    r->retry_for > 0 ? " or so" : "");
	paragraph(out, text);
}

/* What became of the message, and whether that is the end of it. */
static void verdict(const struct report *r, struct buf *out)
{
	static const struct {
		const char *before;
		const char *after;
	} words[] = {
	    [REPORT_FAILED] = {"Your message could not be delivered to ",
		". This is final: it will not be tried again."},
	    [REPORT_DELIVERED] = {"Your message is in the mailbox of ", ". You asked to be told so."},
	    [REPORT_RELAYED] = {"Your message was passed on towards ",
		", to a mail system that does not report when it arrives."},
	    [REPORT_EXPANDED] = {"Your message was sent on to everybody who gets the mail of ",
		". You asked to be told so."},
	};
	const char *whom = r->recipient_count == 1 ? "the recipient below" : "the recipients below";
	char text[300];

	if (r->action == REPORT_DELAYED) {
		verdict_delayed(r, whom, out);
		return;
	}
	snprintf(text, sizeof text, "%s%s%s", words[r->action].before, whom, words[r->action].after);
	paragraph(out, text);
}

/* What the sender can do about it, by subject and detail of the status (RFC 3463 3). */
static const char *advice(const char *status)
{
	static const struct {
		const char *status; /* without the class; a final '.' takes every detail */
		const char *words;
	} advices[] = {
	    {"1.1", "Look for a typing error in the address, and send the message again."},
	    {"1.2", "Look for a typing error in what follows the @ of the address, and send the message again."},
	    {"1.", "Look for a typing error in the address, and send the message again."},
	    {"2.1", "Ask the recipient by other means whether the mailbox is still in use."},
	    {"2.2", "Ask the recipient by other means to make room in the mailbox, and send the message again."},
	    {"2.3", "Send it again without the attachment, or in smaller parts."},
	    {"3.4", "Send it again without the attachment, or in smaller parts."},
	    {"4.7", "If it still matters, send the message again, or reach the recipient by other means."},
	    {"4.6", "Tell the postmaster: the address leads in a circle."},
	    {"7.", "You are not allowed to send this there; ask the postmaster if you think you should be."},
	};
	struct view tail = view_from(view_text(status), 2);

	for (size_t i = 0; i < sizeof advices / sizeof advices[0]; i++) {
		struct view key = view_text(advices[i].status);
		bool prefix = key.bytes[key.length - 1] == '.';

		if (view_equal(tail, key) ||
		    (prefix && tail.length > key.length && view_equal(view_of(tail.bytes, key.length), key)))
			return advices[i].words;
	}
	return "Ask the postmaster for help, and send this report along.";
}

/* The status as RFC 3463 wants it, or the general one of the action when there is none. */
static const char *status_of(const struct report *r, const struct report_recipient *to)
{
	static const char *const general[] = {"5.0.0", "4.0.0", "2.0.0", "2.0.0", "2.0.0"};
	const char *s = to->status;
	unsigned class, subject, detail;
	int end = 0;

	if (s == NULL || strlen(s) >= 10 || sscanf(s, "%1u.%3u.%3u%n", &class, &subject, &detail, &end) != 3 ||
	    s[end] != '\0' || strspn(s, "0123456789.") != strlen(s) || (class != 2 && class != 4 && class != 5))
		return general[r->action];
	return s;
}

/* The sentence about one recipient, made visible; what is missing gets plain words. */
static void sentence_of(const struct report *r, const struct report_recipient *to, struct buf *out)
{
	const char *reason = to->reason;

	if (reason == NULL || reason[0] == '\0')
		reason = r->action == REPORT_FAILED    ? "It could not be delivered, and nobody said why."
			 : r->action == REPORT_DELAYED ? "It could not be delivered so far."
						       : "";
	text_visible(view_text(reason), VALUE_MAXIMUM, out);
	if (out->length > 0 && r->action <= REPORT_DELAYED)
		buf_format(out, " (%s)", status_of(r, to));
}

static void words_recipient(const struct report *r, const struct report_recipient *to, struct buf *out)
{
	struct buf line;
	struct buf final;

	buf_init(&line, 2 * VALUE_MAXIMUM);
	buf_init(&final, SIZE_MAX);
	final_address(r, to, &final);
	buf_text(out, "  <");
	text_visible(view_text(to->recipient->address), VALUE_MAXIMUM, out);
	buf_text(out, ">\r\n");
	if (to->address != NULL && to->address[0] != '\0' && !text_same(buf_string(&final), to->recipient->address) &&
	    !text_same(to->address, to->recipient->address)) {
		buf_text(&line, "(sent on to ");
		text_visible(view_buf(&final), VALUE_MAXIMUM, &line);
		buf_byte(&line, ')');
		wrap(out, "      ", view_buf(&line));
		buf_clear(&line);
	}
	sentence_of(r, to, &line);
	if (line.length > 0)
		wrap(out, "      ", view_buf(&line));
	if (r->action == REPORT_FAILED) {
		buf_clear(&line);
		buf_format(&line, "What you can do: %s", advice(status_of(r, to)));
		wrap(out, "      ", view_buf(&line));
	}
	buf_text(out, "\r\n");
	buf_release(&line);
	buf_release(&final);
}

/* The subject of the message, unless it is in encoded words (RFC 2047), which say nothing to people. */
static void subject_read(const struct returned *part, struct buf *subject)
{
	struct view body;

	if (strcmp(part->encoding, "quoted-printable") == 0 || !header_find(view_buf(&part->bytes), "Subject", &body))
		return;
	header_unfold(body, subject);
	if (strstr(buf_string(subject), "=?") != NULL)
		buf_clear(subject);
}

static void words_message(const struct report *r, struct view subject, struct buf *out)
{
	char date[DATE_TEXT];

	date_rfc5322(r->arrived, date);
	buf_format(out, "The message reached this host on %s.\r\n", date);
	if (subject.length > 0) {
		buf_text(out, "Its subject is: ");
		text_visible(subject, SUBJECT_MAXIMUM, out);
		buf_text(out, "\r\n");
	}
	buf_format(out, "\r\nIf you need help, write to postmaster@%s.\r\n", r->domain);
}

static bool words_have_8bit(const struct report *r, struct view subject)
{
	bool eight = view_has_8bit(subject);

	for (size_t i = 0; i < r->recipient_count && !eight; i++) {
		const struct report_recipient *to = &r->recipients[i];

		eight = view_has_8bit(view_text(to->recipient->address)) ||
			(to->address != NULL && view_has_8bit(view_text(to->address))) ||
			(to->reason != NULL && view_has_8bit(view_text(to->reason)));
	}
	return eight;
}

static void write_words(const struct report *r, struct view subject, struct writer *w)
{
	char date[DATE_TEXT];

	date_rfc5322(r->now, date);
	buf_format(
	    &w->text, "This is the mail system of the host %s (%s).\r\nIt is %s.\r\n\r\n", r->host, r->domain, date);
	verdict(r, &w->text);
	for (size_t i = 0; i < r->recipient_count; i++) {
		words_recipient(r, &r->recipients[i], &w->text);
		writer_flush(w);
	}
	words_message(r, subject, &w->text);
	writer_flush(w);
}

/* ---- the part for programs: RFC 3464 ---------------------------------------------------------------------
 */

enum ascii_form {
	ASCII_TEXT, /* control characters and what is not ASCII as "\x{HEX}" */
	ASCII_UTF8, /* RFC 6533 3, utf-8-addr-xtext: also space, '\', '+' and '=' */
};

static void ascii(struct view v, enum ascii_form form, struct buf *out)
{
	while (v.length > 0 && out->length < VALUE_MAXIMUM) {
		uint32_t point = v.bytes[0];
		size_t step = utf8_next(v, &point);
		bool plain = step == 1 && point >= 32 && point < 127;

		if (form == ASCII_UTF8 && plain)
			plain = strchr(" \\+=", (int)point) == NULL;
		if (plain)
			buf_byte(out, (uint8_t)point);
		else
			buf_format(out, "\\x{%02lX}", (unsigned long)point);
		v = view_from(v, step > 0 ? step : 1);
	}
}

/* "Name: value", folded at spaces. */
static void status_field(struct buf *out, const char *name, struct view value)
{
	size_t column = strlen(name) + 1;
	bool first = true;

	buf_format(out, "%s:", name);
	while (value.length > 0) {
		size_t word = 0;

		while (word < value.length && value.bytes[word] != ' ')
			word++;
		if (word > 0) {
			if (!first && column + 1 + word > LINE_WIDTH) {
				buf_text(out, "\r\n");
				column = 0;
			}
			buf_byte(out, ' ');
			buf_append(out, value.bytes, word);
			column += 1 + word;
			first = false;
		}
		value = view_from(value, word + 1);
	}
	buf_text(out, "\r\n");
}

/* "Name: prefix value": PREFIX is ours, VALUE a stranger's. */
static void status_text_field(
    struct buf *out, const char *name, const char *prefix, struct view value, enum ascii_form form)
{
	struct buf text;

	buf_init(&text, 2 * VALUE_MAXIMUM);
	buf_text(&text, prefix);
	ascii(value, form, &text);
	status_field(out, name, view_buf(&text));
	buf_release(&text);
}

static void status_date_field(struct buf *out, const char *name, int64_t seconds)
{
	char date[DATE_TEXT];

	date_rfc5322(seconds, date);
	buf_format(out, "%s: %s\r\n", name, date);
}

/* RFC 3464 2.3.1, from the decoded ORCPT: "type;address". */
static void original_recipient(const char *orcpt, struct buf *out)
{
	const char *semicolon = strchr(orcpt, ';');
	char prefix[32] = "rfc822; ";
	struct view address = view_text(orcpt);
	bool utf8;

	if (semicolon != NULL && semicolon - orcpt < 24) {
		size_t type = (size_t)(semicolon - orcpt);

		for (size_t i = 0; i < type; i++)
			if (!text_is_alpha((uint8_t)orcpt[i]) && !text_is_digit((uint8_t)orcpt[i]) && orcpt[i] != '-')
				type = 0;
		if (type > 0) {
			snprintf(prefix, sizeof prefix, "%.*s; ", (int)type, orcpt);
			address = view_from(address, type + 1);
		}
	}
	utf8 = text_same(prefix, "utf-8; ") && view_has_8bit(address);
	status_text_field(out, "Original-Recipient", prefix, address, utf8 ? ASCII_UTF8 : ASCII_TEXT);
}

static void status_recipient(const struct report *r, const struct report_recipient *to, struct buf *out)
{
	static const char *const actions[] = {"failed", "delayed", "delivered", "relayed", "expanded"};
	struct buf address;
	bool utf8;

	buf_init(&address, SIZE_MAX);
	final_address(r, to, &address);
	utf8 = view_has_8bit(view_buf(&address));
	buf_text(out, "\r\n");
	if (to->recipient->orcpt != NULL)
		original_recipient(to->recipient->orcpt, out);
	status_text_field(out, "Final-Recipient", utf8 ? "utf-8; " : "rfc822; ", view_buf(&address),
	    utf8 ? ASCII_UTF8 : ASCII_TEXT);
	buf_format(out, "Action: %s\r\nStatus: %s\r\n", actions[r->action], status_of(r, to));
	if (to->reason != NULL && to->reason[0] != '\0')
		status_text_field(out, "Diagnostic-Code", "x-packetboat; ", view_text(to->reason), ASCII_TEXT);
	if (r->action == REPORT_DELAYED && r->retry_for > 0 && r->retry_for < INT32_MAX)
		status_date_field(out, "Will-Retry-Until", r->now + (int64_t)r->retry_for);
	buf_release(&address);
}

static void write_status(const struct report *r, const struct envelope *e, struct writer *w)
{
	status_text_field(&w->text, "Reporting-MTA", "dns; ", view_text(r->domain), ASCII_TEXT);
	/* RFC 3461 4.4: the value before it was encoded as xtext. */
	if (e->envid != NULL)
		status_text_field(&w->text, "Original-Envelope-Id", "", view_text(e->envid), ASCII_TEXT);
	status_date_field(&w->text, "Arrival-Date", r->arrived);
	for (size_t i = 0; i < r->recipient_count; i++) {
		status_recipient(r, &r->recipients[i], &w->text);
		writer_flush(w);
	}
}

/* ---- the whole -------------------------------------------------------------------------------------------
 */

#define BOUNDARY_MAXIMUM 70 /* RFC 2046 5.1.1 */

/*
 * No line of the other parts begins with "--", so only the returned part can hold it; "=_" keeps it out of
 * anything quoted-printable.
 */
static void choose_boundary(const struct id *id, struct view returned, char out[static BOUNDARY_MAXIMUM + 1])
{
	char incarnation[INCARNATION_TEXT];
	uint8_t random[10];
	struct buf text;

	incarnation_print(id->incarnation, incarnation);
	buf_init(&text, BOUNDARY_MAXIMUM);
	do {
		randombytes_buf(random, sizeof random);
		buf_clear(&text);
		buf_format(&text, "=_%s.%llu.", incarnation, (unsigned long long)id->sequence);
		base32_encode(random, sizeof random, &text);
	} while (returned.length > 0 && memmem(returned.bytes, returned.length, text.bytes, text.length) != NULL);
	memcpy(out, text.bytes, text.length + 1);
	buf_release(&text);
}

static const char *subject_of(enum report_action action)
{
	static const char *const subjects[] = {
	    [REPORT_FAILED] = "Your message could not be delivered",
	    [REPORT_DELAYED] = "Your message is delayed, and still being tried",
	    [REPORT_DELIVERED] = "Your message was delivered",
	    [REPORT_RELAYED] = "Your message was passed on",
	    [REPORT_EXPANDED] = "Your message was sent on to several people",
	};

	return subjects[action];
}

static void write_header(const struct report *r, const char *boundary, const char *encoding, struct buf *out)
{
	char id[LIMIT_ID];
	char date[DATE_TEXT];
	struct buf to;

	buf_init(&to, SIZE_MAX);
	qualify(r, r->to, &to);
	id_print(&r->id, id);
	date_rfc5322(r->now, date);
	buf_format(out, "From: Mail Delivery System <MAILER-DAEMON@%s>\r\nTo: <", r->domain);
	text_visible(view_buf(&to), VALUE_MAXIMUM, out);
	buf_release(&to);
	buf_format(out,
	    ">\r\n"
	    "Subject: %s\r\n"
	    "Date: %s\r\n"
	    "Message-ID: <%s@%s>\r\n"
	    "Auto-Submitted: auto-replied\r\n"
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: multipart/report; report-type=delivery-status;\r\n"
	    "\tboundary=\"%s\"\r\n"
	    "Content-Transfer-Encoding: %s\r\n\r\n",
	    subject_of(r->action), date, id, r->domain, boundary, encoding);
}

static void write_part_header(
    struct buf *out, const char *boundary, const char *type, const char *encoding, const char *description)
{
	buf_format(out,
	    "--%s\r\n"
	    "Content-Type: %s\r\n"
	    "Content-Transfer-Encoding: %s\r\n"
	    "Content-Description: %s\r\n\r\n",
	    boundary, type, encoding, description);
}

static void write_parts(const struct report *r, const struct envelope *e, const struct returned *part,
    struct view subject, struct writer *w)
{
	char boundary[BOUNDARY_MAXIMUM + 1];
	bool eight = words_have_8bit(r, subject);

	choose_boundary(&r->id, view_buf(&part->bytes), boundary);
	write_header(r, boundary, eight || strcmp(part->encoding, "8bit") == 0 ? "8bit" : "7bit", &w->text);
	write_part_header(&w->text, boundary, eight ? "text/plain; charset=utf-8" : "text/plain; charset=us-ascii",
	    eight ? "8bit" : "7bit", "What happened");
	write_words(r, subject, w);
	buf_text(&w->text, "\r\n");
	write_part_header(&w->text, boundary, "message/delivery-status", "7bit", "The same for programs");
	write_status(r, e, w);
	buf_text(&w->text, "\r\n");
	write_part_header(&w->text, boundary, part->type, part->encoding, part->description);
	buf_view(&w->text, view_buf(&part->bytes));
	buf_format(&w->text, "\r\n--%s--\r\n", boundary);
	writer_flush(w);
}

enum outcome report_write(const struct report *r, struct message *m, struct sink *out, struct error *err)
{
	struct writer w = {.out = out, .outcome = OUTCOME_DONE, .err = err};
	struct returned part;
	struct buf subject;

	buf_init(&w.text, SIZE_MAX);
	buf_init(&subject, SIZE_MAX);
	w.outcome = returned_prepare(&part, r, m, err);
	if (w.outcome == OUTCOME_DONE) {
		subject_read(&part, &subject);
		write_parts(r, &m->envelope, &part, view_buf(&subject), &w);
	}
	buf_release(&part.bytes);
	buf_release(&subject);
	buf_release(&w.text);
	return w.outcome;
}
