#include "bridge-pop3/fetch_notice.h"

#include "lib/text.h"
#include "queue/header.h"

/* So much of a stranger's field is shown. */
#define SHOWN_MAX 300

/* The field NAME, unfolded and made visible, appended to OUT; nothing when there is none. */
static void field_show(struct view head, const char *name, struct buf *out)
{
	struct buf plain;
	struct view body;

	if (!header_find(head, name, &body))
		return;
	buf_init(&plain, SIZE_MAX);
	header_unfold(body, &plain);
	text_visible(view_buf(&plain), SHOWN_MAX, out);
	buf_release(&plain);
}

/* Encoded words of the message are understood by mail programs here too, if they are whole. */
static void write_subject(const struct fetch_notice *n, struct buf *out)
{
	struct buf subject;

	buf_init(&subject, SHOWN_MAX + 16);
	field_show(n->head, "Subject", &subject);
	buf_format(out, "Subject: %s", n->subject);
	if (subject.length > 0)
		buf_text(out, ":\r\n ");
	if (view_has_8bit(view_buf(&subject)))
		header_encode(view_buf(&subject), out);
	else
		buf_view(out, view_buf(&subject));
	buf_text(out, "\r\n");
	buf_release(&subject);
}

static void write_header(const struct fetch_notice *n, bool eight, struct buf *out)
{
	char id[LIMIT_ID];
	char date[DATE_TEXT];

	id_print(&n->id, id);
	date_rfc5322(n->now, date);
	buf_format(out, "From: Mail Delivery System <MAILER-DAEMON@%s>\r\nTo: <", n->domain);
	text_visible(view_text(n->to), SHOWN_MAX, out);
	if (strpbrk(n->to, "@!") == NULL)
		buf_format(out, "@%s", n->domain);
	buf_text(out, ">\r\n");
	write_subject(n, out);
	buf_format(out,
	    "Date: %s\r\n"
	    "Message-ID: <%s@%s>\r\n"
	    "Auto-Submitted: auto-generated\r\n"
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: text/plain; charset=utf-8\r\n"
	    "Content-Transfer-Encoding: %s\r\n\r\n",
	    date, id, n->domain, eight ? "8bit" : "7bit");
}

static void body_field(const struct fetch_notice *n, const char *label, const char *name, struct buf *out)
{
	struct buf text;

	buf_init(&text, SHOWN_MAX + 16);
	field_show(n->head, name, &text);
	if (text.length > 0)
		buf_format(out, "  %-9s%s\r\n", label, buf_string(&text));
	buf_release(&text);
}

static void write_body(const struct fetch_notice *n, struct buf *out)
{
	char size[24];

	size_print(n->octets, size);
	buf_format(out, "A message to you lies in a mailbox outside and was not fetched: %s.\r\n\r\n", n->why);
	body_field(n, "From:", "From", out);
	body_field(n, "Subject:", "Subject", out);
	body_field(n, "Date:", "Date", out);
	buf_format(out, "  %-9s%s (%llu octets)\r\n", "Size:", size, (unsigned long long)n->octets);
	buf_format(out, "  %-9s%s (", "Mailbox:", n->box);
	text_visible(view_text(n->user), SHOWN_MAX, out);
	buf_format(out, " at %s)\r\n\r\n", n->server);
	buf_format(out,
	    "It stays there, and you will not be told of it again. Read it there, or ask\r\n"
	    "postmaster@%s what can be done.\r\n",
	    n->domain);
}

enum outcome fetch_notice_write(const struct fetch_notice *n, struct sink *out, struct error *err)
{
	struct buf body;
	struct buf text;
	enum outcome outcome;

	buf_init(&body, COPY_CHUNK);
	buf_init(&text, COPY_CHUNK);
	write_body(n, &body);
	write_header(n, view_has_8bit(view_buf(&body)), &text);
	outcome = sink_view(out, view_buf(&text), err);
	if (outcome == OUTCOME_DONE)
		outcome = sink_view(out, view_buf(&body), err);
	buf_release(&text);
	buf_release(&body);
	return outcome;
}
