#include "queue/address.h"

#include <arpa/inet.h>

#include "lib/limits.h"
#include "lib/text.h"

/* RFC 1035 2.3.4 */
#define LABEL_MAXIMUM 63

/*
 * Inside, a fault is the end of a sentence that begins with the address; null is success.
 */
typedef const char *fault;

/* What a person is shown of an address that may be hostile and long. */
#define SHOWN_OCTETS 100

enum outcome address_fault(struct error *err, struct view text, const char *reason)
{
	struct buf shown;
	enum outcome outcome;

	buf_init(&shown, SHOWN_OCTETS);
	text_visible(text, SHOWN_OCTETS, &shown);
	outcome = error_set(err, EX_DATAERR, "\"%s%s\" is not a mail address: %s", buf_string(&shown),
	    text.length > SHOWN_OCTETS ? "..." : "", reason);
	buf_release(&shown);
	return outcome;
}

/* ---- characters ------------------------------------------------------------------------------------------
 */

/* RFC 5322 3.2.3, with UTF-8 by RFC 6531 3.3. */
static bool is_atext(uint8_t c)
{
	return text_is_alpha(c) || text_is_digit(c) || c > 127 ||
	       (c != 0 && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/*
 * No U-label holds these (RFC 5892: white space, invisible and directing characters), and a mail program
 * would take the full stops of other scripts for dots: such a domain shows as another one than it is.
 */
static bool point_misleads(uint32_t point)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
	    {0x00a0, 0x00a0},
	    {0x00ad, 0x00ad},
	    {0x1680, 0x1680},
	    {0x180e, 0x180e},
	    {0x2000, 0x200b},
	    {0x200e, 0x200f},
	    {0x2028, 0x202f},
	    {0x205f, 0x206f},
	    {0x3000, 0x3000},
	    {0x3002, 0x3002},
	    {0xfeff, 0xfeff},
	    {0xff0e, 0xff0e},
	    {0xff20, 0xff20},
	    {0xff61, 0xff61},
	};

	for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
		if (point >= ranges[i].first && point <= ranges[i].last)
			return true;
	return false;
}

/* ---- the local part --------------------------------------------------------------------------------------
 */

/* Quoted-string (RFC 5321 4.1.2) at the start of V. */
static fault quoted_local(struct view v, size_t *length)
{
	for (size_t i = 1; i < v.length; i++) {
		if (v.bytes[i] == '"') {
			*length = i + 1;
			return NULL;
		}
		if (v.bytes[i] != '\\')
			continue;
		i++;
		if (i < v.length && v.bytes[i] > 127)
			return "a backslash stands before a character that is not ASCII";
	}
	return "its quotes are not closed";
}

/* Dot-string at the start of V, up to its '@' or end. */
static fault dotted_local(struct view v, size_t *length)
{
	size_t i;

	for (i = 0; i < v.length && v.bytes[i] != '@'; i++) {
		if (v.bytes[i] == '.' && (i == 0 || v.bytes[i - 1] == '.'))
			return i == 0 ? "it begins with a dot" : "two dots stand together before the \"@\"";
		if (v.bytes[i] != '.' && !is_atext(v.bytes[i]))
			return "it holds a character that must not stand there without quotes";
	}
	if (i == 0)
		return "nothing stands before the \"@\"";
	if (v.bytes[i - 1] == '.')
		return "a dot ends what stands before the \"@\"";
	*length = i;
	return NULL;
}

/* Every part of a bang path must be what could stand alone, or the next host could not read the rest. */
static fault bang_parts(struct view path)
{
	for (;;) {
		const uint8_t *mark = memchr(path.bytes, '!', path.length);
		size_t length = mark == NULL ? path.length : (size_t)(mark - path.bytes);

		if (length == 0)
			return "its bang path has an empty part";
		if (path.bytes[0] == '.' || path.bytes[length - 1] == '.')
			return "a part of its bang path begins or ends with a dot";
		if (length > (mark == NULL ? LIMIT_LOCAL_PART : LIMIT_DOMAIN))
			return mark == NULL ? "the user of its bang path has more than 64 octets"
					    : "a host of its bang path has more than 255 octets";
		if (mark == NULL)
			return NULL;
		path = view_from(path, length + 1);
	}
}

static void bang_split(struct address *a)
{
	const uint8_t *mark = memchr(a->local.bytes, '!', a->local.length);

	a->kind = ADDRESS_BANG;
	a->first = view_of(a->local.bytes, (size_t)(mark - a->local.bytes));
	a->rest = view_from(a->local, a->first.length + 1);
}

/* ---- the domain ------------------------------------------------------------------------------------------
 */

static fault label_fault(struct view label)
{
	size_t characters = 0;
	size_t step;
	uint32_t point;

	if (label.length == 0)
		return "its domain has an empty part";
	if (label.bytes[0] == '-' || label.bytes[label.length - 1] == '-')
		return "a part of its domain begins or ends with a hyphen";
	for (; (step = utf8_next(label, &point)) > 0; label = view_from(label, step), characters++) {
		bool good = point > 127 ? !point_misleads(point)
					: text_is_alpha((uint8_t)point) || text_is_digit((uint8_t)point) ||
					      point == '-' || point == '_';

		if (!good)
			return "its domain holds a character that no domain has";
	}
	return characters > LABEL_MAXIMUM ? "a part of its domain has more than 63 characters" : NULL;
}

/* RFC 5321 4.1.3; "IPv6" is the only tag that was ever standardised. */
static fault literal_fault(struct view d)
{
	char text[INET6_ADDRSTRLEN + 1];
	struct in6_addr place;
	struct view inner = view_of(d.bytes + 1, d.length - 2);
	bool v6 = inner.length > 5 && view_same(view_of(inner.bytes, 5), view_text("IPv6:"));

	if (v6)
		inner = view_from(inner, 5);
	if (inner.length >= sizeof text)
		return "its address literal is too long";
	memcpy(text, inner.bytes, inner.length);
	text[inner.length] = '\0';
	if (inet_pton(v6 ? AF_INET6 : AF_INET, text, &place) != 1)
		return "its address literal is neither \"[192.0.2.1]\" nor \"[IPv6:2001:db8::1]\" in form";
	return NULL;
}

static fault domain_fault(struct view d)
{
	fault bad = NULL;

	if (d.length == 0)
		return "nothing stands behind the \"@\"";
	if (d.length > LIMIT_DOMAIN)
		return "its domain has more than 255 octets";
	if (d.bytes[0] == '[')
		return d.length < 3 || d.bytes[d.length - 1] != ']' ? "its address literal is not closed by \"]\""
								    : literal_fault(d);
	for (size_t start = 0; bad == NULL && start <= d.length;) {
		struct view label = view_from(d, start);
		const uint8_t *dot = label.length == 0 ? NULL : memchr(label.bytes, '.', label.length);

		if (dot != NULL)
			label.length = (size_t)(dot - label.bytes);
		bad = label_fault(label);
		start += label.length + 1;
	}
	return bad;
}

/* ---- the whole -------------------------------------------------------------------------------------------
 */

static fault characters_fault(struct view text)
{
	if (!utf8_valid(text))
		return "it is not well-formed UTF-8";
	if (text_has_control(text))
		return "it holds a control character";
	return NULL;
}

/* What remains to be said of a local part that stands alone or before DOMAIN. */
static fault classify(struct address *a, size_t whole, bool with_domain)
{
	bool bang = a->local.bytes[0] != '"' && memchr(a->local.bytes, '!', a->local.length) != NULL;
	fault bad = bang ? bang_parts(a->local) : NULL;

	if (bang && !with_domain) {
		bang_split(a);
		return whole > LIMIT_BANG_PATH ? "it has more than 512 octets" : bad;
	}
	if (a->local.length > LIMIT_LOCAL_PART)
		return with_domain ? "what stands before the \"@\" has more than 64 octets"
				   : "it has more than 64 octets";
	a->kind = with_domain ? ADDRESS_MAILBOX : ADDRESS_LOCAL;
	if (bang && bad == NULL)
		bang_split(a);
	if (!with_domain)
		return NULL;
	bad = domain_fault(a->domain);
	return bad == NULL && whole > LIMIT_ADDRESS ? "it has more than 254 octets" : bad;
}

static fault parse(struct address *a, struct view text)
{
	size_t length = 0;
	bool with_domain;
	fault bad;

	*a = (struct address){.kind = ADDRESS_NULL};
	if (text.length == 0)
		return NULL;
	bad = characters_fault(text);
	if (bad == NULL)
		bad = text.bytes[0] == '"' ? quoted_local(text, &length) : dotted_local(text, &length);
	if (bad != NULL)
		return bad;
	with_domain = length < text.length;
	if (with_domain && text.bytes[length] != '@')
		return "something stands between the closing quote and the \"@\"";
	a->local = view_of(text.bytes, length);
	a->domain = view_from(text, length + 1);
	a->utf8 = view_has_8bit(text);
	a->literal = a->domain.length > 0 && a->domain.bytes[0] == '[';
	return classify(a, text.length, with_domain);
}

static enum outcome told(struct address *a, struct view text, fault bad, struct error *err)
{
	if (bad == NULL)
		return OUTCOME_DONE;
	*a = (struct address){.kind = ADDRESS_NULL};
	return address_fault(err, text, bad);
}

enum outcome address_parse(struct address *a, struct view text, struct error *err)
{
	return told(a, text, parse(a, text), err);
}

/* Takes the source route "@a,@b:" off the front of *PATH (RFC 5321 4.1.2 and appendix C). */
static fault route_dropped(struct view *path)
{
	while (path->length > 0 && path->bytes[0] == '@') {
		size_t length = 1;
		fault bad;

		/* A literal may hold ':'. */
		for (bool literal = false; length < path->length; length++) {
			uint8_t c = path->bytes[length];

			if (!literal && (c == ',' || c == ':'))
				break;
			literal = c == '[' || (literal && c != ']');
		}
		if (length == path->length)
			return "its source route does not end in \":\"";
		bad = domain_fault(view_of(path->bytes + 1, length - 1));
		if (bad != NULL)
			return bad;
		if (path->bytes[length] == ':') {
			*path = view_from(*path, length + 1);
			return NULL;
		}
		*path = view_from(*path, length + 1);
	}
	return "its source route does not end in \":\"";
}

static fault parse_path(struct address *a, struct view text)
{
	struct view inner;
	fault bad;

	if (text.length < 2 || text.bytes[0] != '<' || text.bytes[text.length - 1] != '>')
		return "it does not stand between \"<\" and \">\"";
	inner = view_of(text.bytes + 1, text.length - 2);
	if (inner.length == 0 || inner.bytes[0] != '@')
		return parse(a, inner);
	bad = characters_fault(inner);
	if (bad == NULL)
		bad = route_dropped(&inner);
	if (bad == NULL)
		bad = parse(a, inner);
	if (bad == NULL && a->domain.length == 0)
		bad = "a source route must end in an address with a domain";
	return bad;
}

enum outcome address_parse_path(struct address *a, struct view text, struct error *err)
{
	return told(a, text, parse_path(a, text), err);
}

void address_local_plain(const struct address *a, struct buf *out)
{
	struct view v = a->local;

	if (v.length < 2 || v.bytes[0] != '"') {
		buf_view(out, v);
		return;
	}
	for (size_t i = 1; i + 1 < v.length; i++) {
		if (v.bytes[i] == '\\')
			i++;
		buf_byte(out, v.bytes[i]);
	}
}

bool address_equal(const struct address *a, const struct address *b)
{
	struct buf left;
	struct buf right;
	bool equal;

	/* Unquoted, "" is as empty as the null sender and yet somebody. */
	if ((a->kind == ADDRESS_NULL) != (b->kind == ADDRESS_NULL) || !view_same(a->domain, b->domain))
		return false;
	buf_init(&left, LIMIT_BANG_PATH);
	buf_init(&right, LIMIT_BANG_PATH);
	address_local_plain(a, &left);
	address_local_plain(b, &right);
	equal = view_equal(view_buf(&left), view_buf(&right));
	buf_release(&left);
	buf_release(&right);
	return equal;
}
