/*
 * A message on its way out. Whole sessions consist of little else, so nothing here looks at octets one by one: a line is
 * found, copied, and given its end.
 */
#include "bridge-pop3/pop3_server_own.h"

void pop3_server_text_begin(struct pop3_server *s, enum pop3_text_form form)
{
	struct pop3_server_own *own = s->own;
	const struct pop3_event *asked = &own->event;

	if (!own->waiting || own->asked != POP3_EVENT_RETRIEVE)
		return;
	own->waiting = false;
	own->state = POP3_STATE_TEXT;
	own->text = (struct pop3_text){
	    .form = form,
	    .top = asked->top,
	    .in_header = true,
	    .lines = asked->lines,
	};
	buf_text(&s->output, "+OK");
	if (!asked->top) {
		buf_byte(&s->output, ' ');
		buf_number(&s->output, own->listing->octets(own->listing, asked->number));
		buf_text(&s->output, " octets");
	}
	buf_text(&s->output, "\r\n");
}

/* A line is over, which was EMPTY or not: has TOP all that it wants? */
static void count_line(struct pop3_text *t, bool empty)
{
	if (!t->in_header)
		t->lines--;
	else if (empty)
		t->in_header = false;
	t->enough = !t->in_header && t->lines == 0;
}

/*
 * Writes what FROM to END says; returns where the next octet goes. No octet becomes more than two: a LF gets a CR, a dot a
 * dot. The state is worked on in a copy, which the octets written cannot be suspected to change.
 */
static uint8_t *put_lines(struct pop3_text *state, const uint8_t *from, const uint8_t *end, uint8_t *to)
{
	struct pop3_text t = *state;

	while (from < end && !t.enough) {
		const uint8_t *lf = memchr(from, '\n', (size_t)(end - from));
		size_t length = (size_t)((lf == NULL ? end : lf) - from);
		bool has_cr;

		if (t.carried == 0 && *from == '.')
			*to++ = '.';
		memcpy(to, from, length);
		to += length;
		from += length;
		t.carried += length;
		if (length > 0)
			t.after_cr = from[-1] == '\r';
		if (lf == NULL)
			break;
		has_cr = t.after_cr && t.form == POP3_TEXT_MIXED;
		if (!has_cr)
			*to++ = '\r';
		*to++ = '\n';
		from++;
		if (t.top)
			count_line(&t, t.carried == (has_cr ? 1 : 0));
		t.carried = 0;
		t.after_cr = false;
	}
	*state = t;
	return to;
}

size_t pop3_server_room(const struct pop3_server *s)
{
	if (s->own->state != POP3_STATE_TEXT || s->output.length >= POP3_OUTPUT_MAX)
		return 0;
	return POP3_OUTPUT_MAX - s->output.length;
}

bool pop3_server_text(struct pop3_server *s, struct view *in)
{
	struct pop3_text *t = &s->own->text;
	size_t room = pop3_server_room(s);
	size_t length = in->length < room ? in->length : room;
	size_t before = s->output.length;

	if (s->own->state != POP3_STATE_TEXT || t->enough) {
		*in = view_from(*in, in->length);
		return false;
	}
	if (length > 0) {
		uint8_t *place = buf_extend(&s->output, 2 * length);
		uint8_t *end = put_lines(t, in->bytes, in->bytes + length, place);

		*end = '\0';
		s->output.length = before + (size_t)(end - place);
		*in = view_from(*in, t->enough ? in->length : length);
	}
	return !t->enough;
}

void pop3_server_text_end(struct pop3_server *s)
{
	struct pop3_server_own *own = s->own;

	if (own->state != POP3_STATE_TEXT)
		return;
	buf_text(&s->output, own->text.carried > 0 ? "\r\n.\r\n" : ".\r\n");
	own->state = POP3_STATE_TRANSACTION;
}
