/*
 * AUTH (RFC 4954) with PLAIN (RFC 4616) and LOGIN. The machine knows no passwords: it reads what the client says and
 * asks the driver. What it holds of a password is wiped when the verdict is there.
 */
#include "bridge-smtp/smtp_server_own.h"
#include "lib/alloc.h"
#include "lib/sasl.h"
#include "lib/text.h"

bool smtp_auth_offered(const struct smtp_server *s)
{
	return s->options->auth && (s->secured || !(s->options->tls_needed || s->options->auth_tls));
}

static void auth_over(struct smtp_server *s)
{
	buf_wipe(&s->own->user);
	buf_wipe(&s->own->password);
	if (s->own->state == SMTP_STATE_AUTH)
		s->own->state = SMTP_STATE_READY;
}

static void auth_refuse(struct smtp_server *s, int code, const char *status, const char *text)
{
	auth_over(s);
	smtp_bad(s, code, status, text);
}

static void auth_ask(struct smtp_server *s, enum smtp_exchange exchange, const char *challenge)
{
	s->own->exchange = exchange;
	s->own->state = SMTP_STATE_AUTH;
	smtp_answer(s, 334, NULL, challenge);
}

static void auth_claimed(struct smtp_server *s, enum sasl_claim claim)
{
	struct smtp_server_own *own = s->own;

	switch (claim) {
	case SASL_NOT_BASE64:
		auth_refuse(s, 501, "5.5.2", "This is not base64");
		return;
	case SASL_MALFORMED:
		auth_refuse(s, 501, "5.5.2", "PLAIN is a user and a password with NUL before each");
		return;
	case SASL_FOR_ANOTHER:
		auth_refuse(s, 535, "5.7.8", "Nobody may act for another user");
		return;
	case SASL_WRONG:
		auth_refuse(s, 535, "5.7.8", "The user or the password is wrong");
		return;
	case SASL_CLAIM:
		own->state = SMTP_STATE_READY;
		smtp_raise(s, (struct smtp_event){.kind = SMTP_EVENT_AUTH,
				  .user = buf_string(&own->user),
				  .password = buf_string(&own->password)});
	}
}

static void plain_response(struct smtp_server *s, struct view v)
{
	auth_claimed(s, sasl_plain(v, &s->own->user, &s->own->password));
}

static void login_user(struct smtp_server *s, struct view v)
{
	if (!sasl_decode(v, &s->own->user))
		auth_claimed(s, SASL_NOT_BASE64);
	else
		auth_ask(s, EXCHANGE_LOGIN_PASSWORD, "UGFzc3dvcmQ6");
}

static void login_password(struct smtp_server *s, struct view v)
{
	if (!sasl_decode(v, &s->own->password))
		auth_claimed(s, SASL_NOT_BASE64);
	else
		auth_claimed(s, sasl_judge(&s->own->user, &s->own->password));
}

static void auth_start(struct smtp_server *s, struct view mechanism, struct view initial)
{
	bool plain = view_same(mechanism, view_text("PLAIN"));
	bool has_initial = initial.length > 0;

	if (!plain && !view_same(mechanism, view_text("LOGIN"))) {
		smtp_bad(s, 504, "5.5.4", "The mechanisms here are PLAIN and LOGIN");
		return;
	}
	/* RFC 4954 4: "=" is a response that is empty. */
	if (view_is(initial, "="))
		initial.length = 0;
	if (plain && has_initial)
		plain_response(s, initial);
	else if (plain)
		auth_ask(s, EXCHANGE_PLAIN, "");
	else if (has_initial)
		login_user(s, initial);
	else
		auth_ask(s, EXCHANGE_LOGIN_USER, "VXNlcm5hbWU6");
}

void smtp_do_auth(struct smtp_server *s, struct view arguments)
{
	struct view mechanism = line_word(&arguments);
	struct view initial = line_word(&arguments);

	if (!s->options->auth)
		smtp_bad(s, 502, "5.5.1", "AUTH is not offered here");
	else if (!smtp_auth_offered(s))
		smtp_bad(s, 538, "5.7.11", "STARTTLS comes first");
	else if (s->authenticated != NULL)
		smtp_bad(s, 503, "5.5.1", "AUTH was done already");
	else if (mechanism.length == 0 || arguments.length > 0)
		smtp_bad(s, 501, "5.5.4", "AUTH, a mechanism, and perhaps a first response");
	else
		auth_start(s, mechanism, initial);
}

void smtp_auth_line(struct smtp_server *s, enum line_fault fault, struct view line)
{
	if (fault == LINE_TOO_LONG)
		auth_refuse(s, 500, "5.5.6", "The line is too long");
	else if (fault != LINE_GOOD)
		auth_refuse(s, 500, "5.5.2", "The line holds a NUL, or a CR or LF that stands alone");
	else if (view_is(line, "*"))
		auth_refuse(s, 501, "5.7.0", "AUTH was given up");
	else if (s->own->exchange == EXCHANGE_PLAIN)
		plain_response(s, line);
	else if (s->own->exchange == EXCHANGE_LOGIN_USER)
		login_user(s, line);
	else
		login_password(s, line);
}

void smtp_auth_verdict(struct smtp_server *s, int code)
{
	if (code / 100 == 2)
		s->authenticated = mem_string(buf_string(&s->own->user));
	auth_over(s);
}
