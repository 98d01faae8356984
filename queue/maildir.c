#include "queue/maildir.h"

#include "lib/alloc.h"
#include "lib/text.h"
#include "queue/canonical.h"

/* Addresses are far shorter; what a forged envelope holds must still fit a line (RFC 5322 2.1.1). */
#define TRACE_TEXT 900

/* A name that is not a path and not hidden; what a user may be called is judged by user_name_valid. */
static bool name_is_safe(const char *name)
{
	return name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL;
}

enum outcome maildir_make(const struct dir *mail, const char *name, struct error *err)
{
	/* "new" comes last: it is what maildir_exists looks for, so a half-made Maildir is none yet. */
	static const char *const parts[] = {"tmp", "cur", "new"};
	struct dir box;
	enum outcome outcome;

	if (!name_is_safe(name))
		return error_set(err, EX_DATAERR, "\"%s\" cannot be the name of a Maildir", name);
	outcome = dir_make(&box, mail, name, 0700, err);
	for (size_t i = 0; i < sizeof parts / sizeof parts[0] && outcome == OUTCOME_DONE; i++) {
		struct dir part;

		outcome = dir_make(&part, &box, parts[i], 0700, err);
		dir_close(&part);
	}
	dir_close(&box);
	return outcome;
}

bool maildir_exists(const struct dir *mail, const char *name)
{
	bool found;

	return maildir_find(mail, name, &found, NULL) == OUTCOME_DONE && found;
}

enum outcome maildir_look(const struct dir *mail, const char *name, bool *found, struct error *err)
{
	char *part;
	enum outcome outcome;

	*found = false;
	if (!name_is_safe(name))
		return OUTCOME_DONE;
	part = mem_format("%s/new", name);
	outcome = dir_look(mail, part, found, err);
	free(part);
	return outcome;
}

enum outcome maildir_find(const struct dir *mail, const char *name, bool *found, struct error *err)
{
	bool postmaster = true;
	enum outcome outcome;

	if (!name_is_safe(name)) {
		*found = false;
		return OUTCOME_DONE;
	}
	outcome = maildir_look(mail, name, found, err);
	if (outcome == OUTCOME_DONE && !*found)
		outcome = maildir_look(mail, "postmaster", &postmaster, err);
	if (outcome == OUTCOME_DONE && !postmaster)
		outcome =
		    error_set(err, EX_TEMPFAIL, "%s has not even a box for postmaster: is it mounted?", mail->path);
	return outcome;
}

/* The "with" name: RFC 3848, and RFC 6531 4.3, where there is one; plain words for the ways of our own. */
static const char *protocol_name(const struct envelope *e, uint8_t protocol)
{
	static const char *const names[] = {
	    [HOP_LOCAL] = "local",
	    [HOP_BATCH] = "batch",
	    [HOP_SMTP] = "SMTP",
	    [HOP_ESMTP] = "ESMTP",
	    [HOP_ESMTPS] = "ESMTPS",
	    [HOP_ESMTPSA] = "ESMTPSA",
	    [HOP_ESMTPA] = "ESMTPA",
	    [HOP_LMTP] = "LMTP",
	    [HOP_POP3] = "POP3",
	    [HOP_UUCP] = "UUCP",
	    [HOP_REPORT] = "local (delivery report)",
	    [HOP_EXPANDED] = "local (alias)",
	};

	static const char *const utf8_names[] = {
	    [HOP_ESMTP] = "UTF8SMTP",
	    [HOP_ESMTPS] = "UTF8SMTPS",
	    [HOP_ESMTPSA] = "UTF8SMTPSA",
	    [HOP_ESMTPA] = "UTF8SMTPA",
	    [HOP_LMTP] = "UTF8LMTP",
	};

	if (e->smtputf8 && protocol >= HOP_ESMTP && protocol <= HOP_LMTP)
		return utf8_names[protocol];
	return protocol < sizeof names / sizeof names[0] ? names[protocol] : "unknown";
}

void trace_received(const struct envelope *e, const char *for_address, struct buf *out)
{
	char id[LIMIT_ID];
	char date[DATE_TEXT];

	id_print(&e->id, id);
	for (size_t i = e->hop_count; i-- > 0;) {
		const struct hop *hop = &e->hops[i];

		buf_text(out, "Received: ");
		if (i > 0 && hop->protocol == HOP_BATCH)
			buf_format(out, "from %s ", e->hops[i - 1].host);
		if (hop->client != NULL) {
			buf_text(out, "from ");
			text_visible(view_text(hop->client), LIMIT_CLIENT, out);
			buf_text(out, "\r\n\t");
		}
		buf_format(out, "by %s with %s\r\n\tid %s", hop->host, protocol_name(e, hop->protocol), id);
		/* Further back the message may have had more recipients: only the last host can say. */
		if (for_address != NULL && i == e->hop_count - 1) {
			buf_text(out, "\r\n\tfor <");
			text_visible(view_text(for_address), TRACE_TEXT, out);
			buf_byte(out, '>');
		}
		date_rfc5322(hop->time, date);
		buf_format(out, ";\r\n\t%s\r\n", date);
	}
}

static void delivery_header(const struct envelope *e, const char *original, struct buf *out)
{
	buf_text(out, "Return-Path: <");
	text_visible(view_text(e->sender == NULL ? "" : e->sender), TRACE_TEXT, out);
	buf_text(out, ">\r\nDelivered-To: ");
	text_visible(view_text(original), TRACE_TEXT, out);
	buf_text(out, "\r\n");
	trace_received(e, e->recipient_count == 1 ? original : NULL, out);
}

enum outcome maildir_write(
    struct message *m, const char *original, struct sink *out, uint64_t *size, uint64_t *wire_size, struct error *err)
{
	struct unix_sink lf;
	struct buf header;
	enum outcome outcome;

	buf_init(&header, SIZE_MAX);
	delivery_header(&m->envelope, original, &header);
	unix_sink_init(&lf, out);
	message_rewind(m);
	outcome = sink_view(&lf.sink, view_buf(&header), err);
	if (outcome == OUTCOME_DONE)
		outcome = stream_copy(&m->content.source, &lf.sink, NULL, err);
	if (outcome == OUTCOME_DONE)
		outcome = unix_sink_finish(&lf, err);
	*size = lf.written;
	*wire_size = lf.written + lf.lines + (lf.unfinished ? 2 : 0);
	buf_release(&header);
	return outcome;
}

void maildir_name(const struct envelope *e, uint32_t index, int64_t arrived, const char *host, uint64_t size,
    uint64_t wire_size, struct buf *out)
{
	char id[LIMIT_ID];

	id_print(&e->id, id);
	buf_format(out, "%lld.%s-%lu.%s,S=%llu,W=%llu", arrived > 0 ? (long long)arrived : 0LL, id,
	    (unsigned long)index, host, (unsigned long long)size, (unsigned long long)wire_size);
}

/* A number behind the last dash of NAME, as it is printed, taken off with it. */
static bool take_index(struct view *name, uint32_t *index)
{
	const uint8_t *dash = name->length > 0 ? memrchr(name->bytes, '-', name->length) : NULL;
	uint64_t number;
	struct view digits;

	if (dash == NULL)
		return false;
	digits = view_from(*name, (size_t)(dash + 1 - name->bytes));
	if (!number_parse(digits, UINT32_MAX, &number) || (digits.length > 1 && digits.bytes[0] == '0'))
		return false;
	*index = (uint32_t)number;
	name->length = (size_t)(dash - name->bytes);
	return true;
}

bool maildir_name_parse(struct view name, struct id *id, uint32_t *index)
{
	const uint8_t *dot = name.length > 0 ? memchr(name.bytes, '.', name.length) : NULL;
	const uint8_t *host;

	if (dot == NULL)
		return false;
	for (const uint8_t *at = name.bytes; at < dot; at++)
		if (!text_is_digit(*at))
			return false;
	name = view_from(name, (size_t)(dot + 1 - name.bytes));
	host = name.length > 0 ? memrchr(name.bytes, '.', name.length) : NULL;
	if (host == NULL)
		return false;
	name.length = (size_t)(host - name.bytes);
	return take_index(&name, index) && id_parse(name, id);
}
