/*
 * USER and PASS (RFC 1939 7), AUTH (RFC 5034) with PLAIN (RFC 4616). The machine knows no passwords: it reads what the
 * client says and asks the driver. What it holds of a password is wiped when the verdict is there.
 */
#include "bridge-pop3/pop3_server_own.h"
#include "lib/text.h"

bool pop3_login_offered(const struct pop3_server *s)
{
	return s->secured || s->options->clear_passwords;
}

void pop3_login_over(struct pop3_server *s)
{
	buf_wipe(&s->own->user);
	buf_wipe(&s->own->password);
	if (s->own->state == POP3_STATE_AUTH || s->own->state == POP3_STATE_NAMED)
		s->own->state = POP3_STATE_GREETED;
}

static bool may_log_in(struct pop3_server *s)
{
	if (!pop3_login_offered(s))
		pop3_bad(s, s->options->stls ? "No password in clear: say STLS first" : "No password in clear here");
	return pop3_login_offered(s);
}

static void login_refuse(struct pop3_server *s, const char *code, const char *text)
{
	pop3_login_over(s);
	pop3_error(s, code, text);
	pop3_count_error(s);
}

static void login_claimed(struct pop3_server *s, enum sasl_claim claim)
{
	struct pop3_server_own *own = s->own;

	switch (claim) {
	case SASL_NOT_BASE64:
		login_refuse(s, NULL, "This is not base64");
		return;
	case SASL_MALFORMED:
		login_refuse(s, NULL, "PLAIN is a user and a password with NUL before each");
		return;
	case SASL_FOR_ANOTHER:
		login_refuse(s, "AUTH", "Nobody may act for another user");
		return;
	case SASL_WRONG:
		login_refuse(s, "AUTH", "The user or the password is wrong");
		return;
	case SASL_CLAIM:
		pop3_raise(s, (struct pop3_event){
				  .kind = POP3_EVENT_LOGIN,
				  .user = buf_string(&own->user),
				  .password = buf_string(&own->password),
			      });
	}
}

/* ---- USER and PASS --------------------------------------------------------------------------------------- */

/* Every name is taken: who exists is not told to strangers. */
void pop3_do_user(struct pop3_server *s, struct view arguments)
{
	struct pop3_server_own *own = s->own;

	if (!may_log_in(s))
		return;
	if (arguments.length == 0) {
		pop3_bad(s, "USER and a name");
		return;
	}
	buf_clear(&own->user);
	buf_view(&own->user, arguments);
	own->state = POP3_STATE_NAMED;
	pop3_good(s);
}

/* RFC 1939 7: spaces are part of the password, at its ends too, so the line is looked at as it came. */
void pop3_do_pass(struct pop3_server *s, struct view arguments)
{
	struct pop3_server_own *own = s->own;

	(void)arguments;
	buf_view(&own->password, view_from(view_buf(&own->line.line), strlen("PASS ")));
	if (own->password.length == 0)
		login_refuse(s, NULL, "PASS and a password");
	else
		login_claimed(s, sasl_judge(&own->user, &own->password));
}

/* ---- AUTH ------------------------------------------------------------------------------------------------ */

static void plain_response(struct pop3_server *s, struct view v)
{
	login_claimed(s, sasl_plain(v, &s->own->user, &s->own->password));
}

void pop3_do_auth(struct pop3_server *s, struct view arguments)
{
	struct view mechanism = line_word(&arguments);
	struct view initial = line_word(&arguments);

	pop3_login_over(s);
	if (!may_log_in(s))
		return;
	if (mechanism.length == 0 || arguments.length > 0) {
		pop3_bad(s, "AUTH, a mechanism, and perhaps a first response");
	} else if (!view_same(mechanism, view_text("PLAIN"))) {
		pop3_bad(s, "The mechanism here is PLAIN");
	} else if (initial.length == 0) {
		s->own->state = POP3_STATE_AUTH;
		buf_text(&s->output, "+ \r\n");
	} else {
		/* RFC 5034 4: "=" is a response that is empty. */
		plain_response(s, view_is(initial, "=") ? view_text("") : initial);
	}
}

void pop3_auth_line(struct pop3_server *s, enum line_fault fault, struct view line)
{
	if (fault == LINE_TOO_LONG)
		login_refuse(s, NULL, "The line is too long");
	else if (fault != LINE_GOOD)
		login_refuse(s, NULL, "The line holds a NUL, or a CR or LF that stands alone");
	else if (view_is(line, "*"))
		login_refuse(s, NULL, "AUTH was given up");
	else
		plain_response(s, line);
}
