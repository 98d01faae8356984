#include "bridge-smtp/smtp_client_own.h"

#include "lib/text.h"
#include "queue/address.h"

/* RFC 3461 4.4 and 4.2: the longest ENVID and ORCPT as they are sent. A server may refuse longer ones, and the mail with
 * them: they are left out. */
#define ENVID_SENT 100
#define ORCPT_SENT 500

const char *smtp_client_address(const struct smtp_client_message *m, size_t place)
{
	if (m->addresses != NULL && m->addresses[place] != NULL)
		return m->addresses[place];
	return m->recipients[place]->address;
}

/* ---- what the server cannot take ------------------------------------------------------------------------- */

static bool offers(const struct smtp_client *c, unsigned extensions)
{
	return (c->extensions & extensions) == extensions;
}

bool smtp_client_refuses(const struct smtp_client *c, const struct smtp_client_message *m, struct smtp_verdict *v)
{
	bool needs_utf8 = m->smtputf8 || view_has_8bit(view_text(m->sender));
	struct address address;
	struct error err = ERROR_NONE;

	if (address_parse(&address, view_text(m->sender), &err) != OUTCOME_DONE)
		smtp_verdict_set(v, OUTCOME_NEVER, "5.1.7", "the sender: %s", err.text);
	else if (c->max_size > 0 && m->size > c->max_size)
		smtp_verdict_set(v, OUTCOME_NEVER, "5.3.4",
		    "the server takes messages of up to %llu octets, and this one has %llu",
		    (unsigned long long)c->max_size, (unsigned long long)m->size);
	else if (needs_utf8 && !offers(c, SMTP_EXT_SMTPUTF8))
		smtp_verdict_set(v, OUTCOME_NEVER, "5.6.7",
		    "the message has addresses or headers beyond ASCII, and the server does not offer SMTPUTF8");
	else if (m->body == BODY_BINARY && !offers(c, SMTP_EXT_CHUNKING | SMTP_EXT_BINARYMIME))
		smtp_verdict_set(v, OUTCOME_NEVER, "5.6.1",
		    "the message is binary, and the server does not offer both CHUNKING and BINARYMIME");
	else if (m->body == BODY_8BIT && !offers(c, SMTP_EXT_8BITMIME))
		smtp_verdict_set(v, OUTCOME_NEVER, "5.6.3",
		    "the message has octets beyond ASCII, and the server does not offer 8BITMIME");
	else
		return false;
	return true;
}

bool smtp_client_refuses_recipient(
    const struct smtp_client *c, const struct smtp_client_message *m, size_t place, struct smtp_verdict *v)
{
	const char *text = smtp_client_address(m, place);
	struct address address;
	struct error err = ERROR_NONE;

	if (address_parse(&address, view_text(text), &err) != OUTCOME_DONE)
		smtp_verdict_set(v, OUTCOME_NEVER, "5.1.3", "%s", err.text);
	else if (address.kind == ADDRESS_NULL)
		smtp_verdict_set(v, OUTCOME_NEVER, "5.1.3", "the address is empty");
	else if (address.utf8 && !offers(c, SMTP_EXT_SMTPUTF8))
		smtp_verdict_set(v, OUTCOME_NEVER, "5.6.7",
		    "the address has octets beyond ASCII, and the server does not offer SMTPUTF8");
	else
		return false;
	return true;
}

/* ---- MAIL and RCPT --------------------------------------------------------------------------------------- */

/* RFC 3461 4: "+XX" for what is no printable ASCII, '+' and '='. */
static void xtext(struct view v, struct buf *out)
{
	for (size_t i = 0; i < v.length; i++) {
		uint8_t c = v.bytes[i];

		if (c > 32 && c < 127 && c != '+' && c != '=')
			buf_byte(out, c);
		else
			buf_format(out, "+%02X", c);
	}
}

/* RFC 6533 3: utf-8-addr-unitext where SMTPUTF8 is said, else utf-8-addr-xtext. */
static void utf8_text(struct view v, bool raw, struct buf *out)
{
	while (v.length > 0) {
		uint32_t point = v.bytes[0];
		size_t step = utf8_next(v, &point);
		bool plain = step == 1 && point > 32 && point < 127 && strchr("\\+=", (int)point) == NULL;

		step = step > 0 ? step : 1;
		if (plain || (raw && point > 0x9f))
			buf_append(out, v.bytes, step);
		else
			buf_format(out, "\\x{%02lX}", (unsigned long)point);
		v = view_from(v, step);
	}
}

/* " NAME" and VALUE, unless that is longer than a server must take. */
static void parameter(struct buf *out, const char *name, const struct buf *value, size_t maximum)
{
	if (value->length == 0 || value->length > maximum)
		return;
	buf_text(out, name);
	buf_view(out, view_buf(value));
}

static void envid_parameter(const char *envid, struct buf *out)
{
	struct view v = view_text(envid);
	struct buf value;

	/* RFC 3461 4.4: printable ASCII before it was encoded. */
	if (view_has_8bit(v) || text_has_control(v))
		return;
	buf_init(&value, SIZE_MAX);
	xtext(v, &value);
	parameter(out, " ENVID=", &value, ENVID_SENT);
	buf_release(&value);
}

static bool type_valid(struct view type)
{
	for (size_t i = 0; i < type.length; i++)
		if (!text_is_alpha(type.bytes[i]) && !text_is_digit(type.bytes[i]) && type.bytes[i] != '-')
			return false;
	return type.length > 0;
}

static void orcpt_parameter(const char *orcpt, bool utf8, struct buf *out)
{
	const char *semicolon = strchr(orcpt, ';');
	struct view type;
	struct view address;
	struct buf value;

	if (semicolon == NULL || semicolon[1] == '\0')
		return;
	type = view_of(orcpt, (size_t)(semicolon - orcpt));
	address = view_text(semicolon + 1);
	if (!type_valid(type))
		return;
	buf_init(&value, SIZE_MAX);
	buf_view(&value, type);
	buf_byte(&value, ';');
	if (view_same(type, view_text("utf-8")) && view_has_8bit(address) && utf8_valid(address))
		utf8_text(address, utf8, &value);
	else
		xtext(address, &value);
	parameter(out, " ORCPT=", &value, ORCPT_SENT);
	buf_release(&value);
}

void smtp_client_mail_command(const struct smtp_client *c, const struct transaction *t, struct buf *out)
{
	const struct smtp_client_message *m = &t->m;

	buf_format(out, "MAIL FROM:<%s>", m->sender);
	if (offers(c, SMTP_EXT_SIZE))
		buf_format(out, " SIZE=%llu", (unsigned long long)m->size);
	if (m->body == BODY_8BIT)
		buf_text(out, " BODY=8BITMIME");
	else if (m->body == BODY_BINARY)
		buf_text(out, " BODY=BINARYMIME");
	if (t->utf8)
		buf_text(out, " SMTPUTF8");
	if (!offers(c, SMTP_EXT_DSN))
		return;
	if (m->ret != RETURN_UNSET)
		buf_text(out, m->ret == RETURN_FULL ? " RET=FULL" : " RET=HDRS");
	if (m->envid != NULL)
		envid_parameter(m->envid, out);
}

/* RFC 3461 4.1: NEVER stands alone. In the capitals that old servers compare with. */
static void notify_parameter(uint8_t notify, struct buf *out)
{
	uint8_t bits = notify & (NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY);
	char text[32];

	if (bits == 0 && (notify & NOTIFY_NEVER) == 0)
		return;
	notify_print(bits != 0 ? bits : NOTIFY_NEVER, text);
	for (char *at = text; *at != '\0'; at++)
		if (*at >= 'a' && *at <= 'z')
			*at = (char)(*at - ('a' - 'A'));
	buf_format(out, " NOTIFY=%s", text);
}

void smtp_client_rcpt_command(const struct smtp_client *c, const struct transaction *t, size_t place, struct buf *out)
{
	const struct recipient *r = t->m.recipients[place];

	buf_format(out, "RCPT TO:<%s>", smtp_client_address(&t->m, place));
	if (!offers(c, SMTP_EXT_DSN))
		return;
	notify_parameter(r->notify, out);
	if (r->orcpt != NULL)
		orcpt_parameter(r->orcpt, t->utf8, out);
}
