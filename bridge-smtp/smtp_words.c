#include "bridge-smtp/smtp_words.h"

#include <stdarg.h>

#include "lib/limits.h"
#include "lib/text.h"

/* RFC 3461 4.4: octets of an envelope identifier. */
#define ENVID_MAXIMUM 100

bool smtp_complain(struct smtp_complaint *c, int code, const char *status, const char *format, ...)
{
	va_list arguments;

	c->code = code;
	c->status = status;
	va_start(arguments, format);
	vsnprintf(c->text, sizeof c->text, format, arguments);
	va_end(arguments);
	return false;
}

/* ---- words ----------------------------------------------------------------------------------------------- */

static struct view without_spaces(struct view v)
{
	while (v.length > 0 && v.bytes[0] == ' ')
		v = view_from(v, 1);
	return v;
}

bool smtp_path(struct view *rest, struct view *path)
{
	bool quoted = false;
	size_t at;

	if (rest->length == 0 || rest->bytes[0] != '<')
		return false;
	for (at = 1; at < rest->length && (quoted || rest->bytes[at] != '>'); at++) {
		if (rest->bytes[at] == '"')
			quoted = !quoted;
		else if (quoted && rest->bytes[at] == '\\')
			at++;
	}
	if (at >= rest->length || (at + 1 < rest->length && rest->bytes[at + 1] != ' '))
		return false;
	*path = view_of(rest->bytes, at + 1);
	*rest = without_spaces(view_from(*rest, at + 1));
	return true;
}

bool smtp_parameter(struct view *rest, struct smtp_parameter *p)
{
	struct view word = line_word(rest);
	size_t at = 0;

	while (at < word.length && word.bytes[at] != '=') {
		uint8_t c = word.bytes[at];

		if (!text_is_alpha(c) && !text_is_digit(c) && (at == 0 || c != '-'))
			return false;
		at++;
	}
	p->keyword = view_of(word.bytes, at);
	p->has_value = at < word.length;
	p->value = view_from(word, at + 1);
	if (at == 0 || (p->has_value && p->value.length == 0))
		return false;
	return !text_has_control(p->value) &&
	       (p->value.length == 0 || memchr(p->value.bytes, '=', p->value.length) == NULL);
}

static int hex_digit(uint8_t c)
{
	return text_is_digit(c) ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool smtp_xtext_decode(struct view v, struct buf *out)
{
	for (size_t i = 0; i < v.length; i++) {
		uint8_t c = v.bytes[i];

		if (c < '!' || c > '~' || c == '=')
			return false;
		if (c == '+') {
			int high = i + 2 < v.length ? hex_digit(v.bytes[i + 1]) : -1;
			int low = i + 2 < v.length ? hex_digit(v.bytes[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (uint8_t)(high << 4 | low);
			i += 2;
		}
		buf_byte(out, c);
	}
	return true;
}

/* ---- parameters ------------------------------------------------------------------------------------------ */

/* Reads one parameter into what MAIL or RCPT says, or sets the complaint. */
typedef bool parameter_read(void *said, const struct smtp_parameter *p, struct smtp_complaint *c);

struct parameter_kind {
	const char *keyword;
	parameter_read *read;
};

static bool bad_value(struct smtp_complaint *c, const char *keyword, const char *form)
{
	return smtp_complain(c, 501, "5.5.4", "%s must be %s", keyword, form);
}

static bool parameters(
    struct view rest, const struct parameter_kind *kinds, size_t count, void *said, struct smtp_complaint *c)
{
	unsigned seen = 0;

	while (rest.length > 0) {
		struct smtp_parameter p;
		size_t i = 0;

		if (!smtp_parameter(&rest, &p))
			return smtp_complain(c, 501, "5.5.4", "A parameter is KEYWORD or KEYWORD=VALUE");
		while (i < count && !view_same(p.keyword, view_text(kinds[i].keyword)))
			i++;
		if (i == count)
			return smtp_complain(c, 555, "5.5.4", "The parameter %.*s is not known here",
			    (int)(p.keyword.length < 40 ? p.keyword.length : 40), (const char *)p.keyword.bytes);
		if (seen & 1u << i)
			return smtp_complain(c, 501, "5.5.4", "The parameter %s stands twice", kinds[i].keyword);
		seen |= 1u << i;
		if (!kinds[i].read(said, &p, c))
			return false;
	}
	return true;
}

static bool read_size(void *said, const struct smtp_parameter *p, struct smtp_complaint *c)
{
	struct smtp_mail *m = said;

	/* RFC 1870 4: one to twenty digits, which may be more than 64 bits hold. */
	for (size_t i = 0; i < p->value.length; i++)
		if (!text_is_digit(p->value.bytes[i]))
			return bad_value(c, "SIZE", "a number of octets");
	if (!p->has_value || p->value.length > 20)
		return bad_value(c, "SIZE", "a number of octets");
	if (!number_parse(p->value, UINT64_MAX, &m->size))
		m->size = UINT64_MAX;
	return true;
}

static bool read_body(void *said, const struct smtp_parameter *p, struct smtp_complaint *c)
{
	struct smtp_mail *m = said;

	if (view_same(p->value, view_text("7BIT")))
		m->body = BODY_7BIT;
	else if (view_same(p->value, view_text("8BITMIME")))
		m->body = BODY_8BIT;
	else if (view_same(p->value, view_text("BINARYMIME")))
		m->body = BODY_BINARY;
	else
		return bad_value(c, "BODY", "7BIT, 8BITMIME or BINARYMIME");
	return true;
}

static bool read_smtputf8(void *said, const struct smtp_parameter *p, struct smtp_complaint *c)
{
	struct smtp_mail *m = said;

	m->smtputf8 = true;
	return !p->has_value || smtp_complain(c, 501, "5.5.4", "SMTPUTF8 has no value");
}

static bool read_ret(void *said, const struct smtp_parameter *p, struct smtp_complaint *c)
{
	struct smtp_mail *m = said;

	if (view_same(p->value, view_text("FULL")))
		m->ret = RETURN_FULL;
	else if (view_same(p->value, view_text("HDRS")))
		m->ret = RETURN_HEADERS;
	else
		return bad_value(c, "RET", "FULL or HDRS");
	return true;
}

static bool printable(const struct buf *b)
{
	for (size_t i = 0; i < b->length; i++)
		if (b->bytes[i] < 32 || b->bytes[i] > 126)
			return false;
	return true;
}

static bool read_envid(void *said, const struct smtp_parameter *p, struct smtp_complaint *c)
{
	struct smtp_mail *m = said;

	m->has_envid = p->has_value;
	if (!p->has_value || !smtp_xtext_decode(p->value, &m->envid) || m->envid.failed || !printable(&m->envid))
		return bad_value(c, "ENVID", "at most 100 printable characters in xtext");
	return true;
}

/* RFC 4954 5: who is said to have handed the message in first. Nobody here would believe it. */
static bool read_auth(void *said, const struct smtp_parameter *p, struct smtp_complaint *c)
{
	struct buf ignored;
	bool good;

	(void)said;
	buf_init(&ignored, SIZE_MAX);
	good = p->has_value && smtp_xtext_decode(p->value, &ignored);
	buf_release(&ignored);
	return good || bad_value(c, "AUTH", "an address in xtext, or <>");
}

static bool read_notify(void *said, const struct smtp_parameter *p, struct smtp_complaint *c)
{
	struct smtp_rcpt *r = said;
	char value[32] = "";

	if (p->value.length < sizeof value)
		memcpy(value, p->value.bytes, p->value.length);
	if (!p->has_value || p->value.length >= sizeof value || !notify_parse(value, &r->notify))
		return bad_value(c, "NOTIFY", "NEVER, or some of SUCCESS,FAILURE,DELAY");
	return true;
}

/* RFC 6533 3: an address of type utf-8 is not xtext; it has an escape of its own, and '+' stands for itself. */
static bool read_orcpt_address(struct smtp_rcpt *r, struct view type, struct view address)
{
	if (address.length == 0 || !utf8_valid(address))
		return false;
	r->utf8 = r->utf8 || view_has_8bit(address);
	if (!view_same(type, view_text("utf-8")))
		return smtp_xtext_decode(address, &r->orcpt);
	buf_view(&r->orcpt, address);
	return true;
}

static bool read_orcpt(void *said, const struct smtp_parameter *p, struct smtp_complaint *c)
{
	struct smtp_rcpt *r = said;
	size_t at = 0;

	while (at < p->value.length && (text_is_alpha(p->value.bytes[at]) || text_is_digit(p->value.bytes[at]) ||
					   (at > 0 && p->value.bytes[at] == '-')))
		at++;
	r->has_orcpt = true;
	buf_append(&r->orcpt, p->value.bytes, at);
	buf_byte(&r->orcpt, ';');
	if (at == 0 || at >= p->value.length || p->value.bytes[at] != ';' ||
	    !read_orcpt_address(r, view_of(p->value.bytes, at), view_from(p->value, at + 1)) || r->orcpt.failed ||
	    text_has_control(view_buf(&r->orcpt)) || !utf8_valid(view_buf(&r->orcpt)))
		return bad_value(c, "ORCPT", "TYPE;ADDRESS with the address in xtext");
	return true;
}

/* ---- MAIL and RCPT --------------------------------------------------------------------------------------- */

/* Splits ARGUMENTS, "FROM:<path> parameters", into the address and the parameters. STATUS is what a bad path is. */
static bool command_path(struct view arguments, const char *lead, const char *status, struct address *a,
    struct view *rest, struct smtp_complaint *c)
{
	size_t length = strlen(lead);
	struct error err = ERROR_NONE;
	struct view path;

	if (arguments.length < length || !view_same(view_of(arguments.bytes, length), view_text(lead)))
		return smtp_complain(c, 501, "5.5.4", "%s<address> is missing", lead);
	*rest = without_spaces(view_from(arguments, length));
	if (!smtp_path(rest, &path))
		return smtp_complain(c, 501, status, "The address must stand between < and >");
	if (address_parse_path(a, path, &err) != OUTCOME_DONE)
		return smtp_complain(c, 501, status, "%s", err.text);
	return true;
}

void smtp_mail_init(struct smtp_mail *m)
{
	*m = (struct smtp_mail){.ret = RETURN_UNSET, .body = BODY_7BIT};
	buf_init(&m->envid, ENVID_MAXIMUM);
}

void smtp_mail_release(struct smtp_mail *m)
{
	buf_release(&m->envid);
}

bool smtp_mail_parse(struct smtp_mail *m, struct view arguments, struct smtp_complaint *c)
{
	static const struct parameter_kind kinds[] = {
	    {"SIZE", read_size},
	    {"BODY", read_body},
	    {"SMTPUTF8", read_smtputf8},
	    {"RET", read_ret},
	    {"ENVID", read_envid},
	    {"AUTH", read_auth},
	};
	struct view rest;

	if (!command_path(arguments, "FROM:", "5.1.7", &m->address, &rest, c) ||
	    !parameters(rest, kinds, sizeof kinds / sizeof kinds[0], m, c))
		return false;
	return !m->address.utf8 || m->smtputf8 ||
	       smtp_complain(c, 550, "5.6.7", "This address needs the parameter SMTPUTF8");
}

void smtp_rcpt_init(struct smtp_rcpt *r)
{
	*r = (struct smtp_rcpt){.notify = 0};
	buf_init(&r->orcpt, LIMIT_ORCPT);
}

void smtp_rcpt_release(struct smtp_rcpt *r)
{
	buf_release(&r->orcpt);
}

bool smtp_rcpt_parse(struct smtp_rcpt *r, struct view arguments, struct smtp_complaint *c)
{
	static const struct parameter_kind kinds[] = {
	    {"NOTIFY", read_notify},
	    {"ORCPT", read_orcpt},
	};
	struct view rest;

	if (!command_path(arguments, "TO:", "5.1.3", &r->address, &rest, c))
		return false;
	if (r->address.kind == ADDRESS_NULL)
		return smtp_complain(c, 501, "5.1.3", "<> is nobody to send to");
	if (!parameters(rest, kinds, sizeof kinds / sizeof kinds[0], r, c))
		return false;
	r->utf8 = r->utf8 || r->address.utf8;
	return true;
}

struct view smtp_address_text(const struct address *a)
{
	const uint8_t *end = a->domain.length > 0 ? a->domain.bytes + a->domain.length : NULL;

	if (a->kind == ADDRESS_NULL)
		return view_text("");
	return end == NULL ? a->local : view_of(a->local.bytes, (size_t)(end - a->local.bytes));
}

/* ---- the rest -------------------------------------------------------------------------------------------- */

bool smtp_chunk_parse(struct smtp_chunk *chunk, struct view arguments)
{
	struct view size = line_word(&arguments);

	chunk->last = view_same(arguments, view_text("LAST"));
	return number_parse(size, UINT64_MAX, &chunk->size) && (chunk->last || arguments.length == 0);
}

bool smtp_helo_valid(struct view name)
{
	for (size_t i = 0; i < name.length; i++)
		if (name.bytes[i] <= ' ' || name.bytes[i] > '~' || strchr("()<>@,;\\\"", name.bytes[i]) != NULL)
			return false;
	return name.length > 0 && name.length <= LIMIT_DOMAIN;
}

bool smtp_node_valid(struct view node)
{
	if (node.length > 0 && (node.bytes[0] == '@' || node.bytes[0] == '#'))
		node = view_from(node, 1);
	for (size_t i = 0; i < node.length; i++) {
		uint8_t c = node.bytes[i];

		if (!text_is_alpha(c) && !text_is_digit(c) && c != '.' && c != '-' && c != '_')
			return false;
	}
	return node.length > 0 && node.length <= LIMIT_DOMAIN;
}
