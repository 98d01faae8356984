#include "queue/message_text.h"

#include <sodium.h>

#include "lib/text.h"
#include "queue/header.h"

void message_text_init(struct message_text *t, struct sink *below, const struct text_author *author)
{
	*t = (struct message_text){.below = below, .author = *author};
	buf_init(&t->head, TEXT_HEAD_MAX);
}

void message_text_watch(struct message_text *t, text_look *look, void *context)
{
	t->look = look;
	t->look_context = context;
}

void message_text_release(struct message_text *t)
{
	buf_release(&t->head);
}

static void put(struct message_text *t, struct view bytes)
{
	if (t->outcome != OUTCOME_DONE || bytes.length == 0)
		return;
	t->outcome = sink_view(t->below, bytes, &t->err);
	t->size += bytes.length;
}

/* ---- the header section ---------------------------------------------------------------------------------- */

static bool name_is(struct view name, const char *text)
{
	return view_same(name, view_text(text));
}

static void put_message_id(const struct message_text *t, struct buf *out)
{
	uint8_t random[15];

	randombytes_buf(random, sizeof random);
	buf_format(out, "Message-ID: <%lld.", (long long)t->author.now);
	base32_encode(random, sizeof random, out);
	buf_format(out, "@%s>\r\n", t->author.domain);
}

/* The fields that RFC 5322 3.6 wants and the user's program left out. */
static void put_additions(struct message_text *t, bool has_date, bool has_id, bool has_fields)
{
	struct buf out;
	char date[DATE_TEXT];

	if (!t->author.submitted || (has_date && has_id))
		return;
	buf_init(&out, 1000);
	if (!has_date) {
		date_rfc5322(t->author.now, date);
		buf_format(&out, "Date: %s\r\n", date);
	}
	if (!has_id)
		put_message_id(t, &out);
	/* A text without any header is all body. */
	if (!has_fields)
		buf_text(&out, "\r\n");
	put(t, view_buf(&out));
	buf_release(&out);
}

static void look(struct message_text *t)
{
	struct view rest = view_buf(&t->head);
	struct view name;
	struct view body;
	size_t received = 0;
	bool has_date = false;
	bool has_id = false;
	bool has_fields = rest.length > 0 && rest.bytes[0] == '\r';

	while (header_next(&rest, &name, &body)) {
		has_fields = true;
		has_date |= name_is(name, "Date");
		has_id |= name_is(name, "Message-ID");
		received += name_is(name, "Received");
		t->bulk |= name_is(name, "Precedence") && header_is_bulk(body);
	}
	if (received > TEXT_RECEIVED_MAX && t->outcome == OUTCOME_DONE) {
		t->looping = true;
		t->outcome = error_set(&t->err, EX_DATAERR,
		    "the message has come through %zu servers: it goes round in a loop", received);
	}
	put_additions(t, has_date, has_id, has_fields);
}

/* END octets of what has come are the section. */
static void pass_head(struct message_text *t, size_t end)
{
	struct view section = view_buf(&t->head);
	struct view out = view_of(section.bytes, 0);
	size_t before = 0;

	look(t);
	if (t->look != NULL)
		out = t->look(t->look_context, view_of(section.bytes, end));
	if (out.length > 0)
		before = (size_t)(out.bytes - section.bytes);
	put(t, view_of(section.bytes, before));
	put(t, view_from(section, before + out.length));
	buf_release(&t->head);
	t->passed = true;
}

/* Where the section ends in what has come: behind its empty line; 0: it has not. FROM: what was looked at before. */
static size_t section_end(struct view v, size_t from)
{
	const uint8_t *found;

	if (v.length >= 2 && v.bytes[0] == '\r' && v.bytes[1] == '\n')
		return 2;
	from = from > 3 ? from - 3 : 0;
	found = memmem(v.bytes + from, v.length - from, "\r\n\r\n", 4);
	return found == NULL ? 0 : (size_t)(found - v.bytes) + 4;
}

void message_text_add(struct message_text *t, struct view bytes)
{
	size_t room = t->head.maximum - t->head.length;
	size_t before = t->head.length;
	size_t part = bytes.length < room ? bytes.length : room;
	size_t end;

	if (t->passed) {
		put(t, bytes);
		return;
	}
	buf_view(&t->head, view_of(bytes.bytes, part));
	end = section_end(view_buf(&t->head), before);
	if (end == 0 && t->head.length < t->head.maximum)
		return;
	pass_head(t, end > 0 ? end : t->head.length);
	put(t, view_from(bytes, part));
}

enum outcome message_text_end(struct message_text *t, struct error *err)
{
	if (!t->passed)
		pass_head(t, t->head.length);
	if (t->outcome != OUTCOME_DONE)
		*err = t->err;
	return t->outcome;
}
