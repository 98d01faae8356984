#include <criterion/criterion.h>

#include "tests/unit/net_kit.h"

#include <sodium.h>

#include "lib/net_login.h"

/* What a stand-in for the password file says, and how often the slow check was made: the thread's while it is at work. */
static struct {
	const char *stands;
	unsigned checks;
	enum outcome readable;
} file;

static enum outcome stands(const char *path, const char *user, struct buf *out, struct error *err)
{
	if (file.readable != OUTCOME_DONE)
		return error_set(err, EX_TEMPFAIL, "%s cannot be read", path);
	buf_text(out, strcmp(user, "ann") == 0 ? file.stands : "nobody's");
	return OUTCOME_DONE;
}

static enum outcome check(struct view text, const char *password, struct error *err)
{
	file.checks++;
	return view_is(text, password) ? OUTCOME_DONE : error_set(err, EX_NOUSER, "wrong");
}

struct client {
	struct login login;
	unsigned failed;
	unsigned done;
	enum login_result result;
	double at;
};

static void on_failed(void *owner, const struct error *err)
{
	struct client *c = owner;

	cr_expect_neq(err->text[0], '\0');
	cr_expect_eq(c->done, 0, "told at once, not behind the pause");
	c->failed++;
}

static void on_done(void *owner, enum login_result result)
{
	struct client *c = owner;

	c->done++;
	c->result = result;
	c->at = seconds_now();
}

static const struct login_calls calls = {stands, check, on_failed, on_done};

static struct logins *open_logins(struct event_base *base)
{
	struct logins *l;
	struct error err = ERROR_NONE;

	cr_assert_geq(sodium_init(), 0);
	file.stands = "secret";
	cr_assert_eq(logins_start(&l, base, &calls, &err), OUTCOME_DONE, "%s", err.text);
	return l;
}

static uint64_t begin(struct logins *l, struct client *c, const char *user, const char *password, const char *origin)
{
	const struct login_attempt attempt = {"/users", user, password, origin};

	c->failed = c->done = 0;
	return login_begin(l, &c->login, &attempt, c);
}

static enum login_result try(
    struct event_base *base, struct logins *l, struct client *c, const char *user, const char *password)
{
	cr_assert_eq(begin(l, c, user, password, "192.0.2.1"), 0);
	cr_assert(run_until(base, c->done == 1));
	return c->result;
}

Test(net_login, who_was_right_is_not_hashed_again_until_something_changes)
{
	struct event_base *base = event_base_new();
	struct logins *l = open_logins(base);
	struct client c = {0};

	cr_expect_eq(try(base, l, &c, "ann", "secret"), LOGIN_RIGHT);
	cr_expect_eq(file.checks, 1);
	cr_expect_eq(try(base, l, &c, "ann", "secret"), LOGIN_RIGHT);
	cr_expect_eq(file.checks, 1);
	file.stands = "changed";
	cr_expect_eq(try(base, l, &c, "ann", "secret"), LOGIN_WRONG);
	cr_expect_eq(try(base, l, &c, "ann", "changed"), LOGIN_RIGHT);
	cr_expect_eq(file.checks, 3);
	cr_expect_eq(c.failed, 0);
	logins_stop(l);
	event_base_free(base);
}

Test(net_login, a_wrong_password_is_always_hashed_and_answered_late)
{
	struct event_base *base = event_base_new();
	struct logins *l = open_logins(base);
	struct client c = {0};

	for (unsigned i = 1; i <= LOGIN_TRIES; i++) {
		double before = seconds_now();
		enum login_result result = try(base, l, &c, i == 1 ? "ben" : "ann", "guess");

		cr_expect_eq(result, i < LOGIN_TRIES ? LOGIN_WRONG : LOGIN_WRONG_LAST);
		cr_expect_geq(c.at - before, LOGIN_PAUSE - 0.1);
		cr_expect_eq(c.failed, 1);
		cr_expect_eq(file.checks, i);
	}
	logins_stop(l);
	event_base_free(base);
}

Test(net_login, what_cannot_be_checked_is_no_wrong_password)
{
	struct event_base *base = event_base_new();
	struct logins *l = open_logins(base);
	struct client c = {0};

	file.readable = OUTCOME_LATER;
	for (int i = 0; i < 2 * STRIKES_FREE; i++)
		cr_expect_eq(try(base, l, &c, "ann", "secret"), LOGIN_TROUBLE);
	cr_expect_eq(c.failed, 1);
	cr_expect_eq(c.login.failed, 0);
	logins_stop(l);
	event_base_free(base);
}

Test(net_login, an_origin_that_guesses_has_to_wait_whether_it_stays_or_not)
{
	struct event_base *base = event_base_new();
	struct logins *l = open_logins(base);
	struct client c = {0};

	for (int i = 0; i < STRIKES_FREE; i++) {
		cr_assert_eq(begin(l, &c, "ann", "guess", "192.0.2.1"), 0);
		login_forget(&c.login);
	}
	cr_assert_eq(begin(l, &c, "ann", "secret", "192.0.2.2"), 0);
	cr_assert(run_until(base, c.done == 1), "one thread: the others are through");
	cr_expect_eq(c.result, LOGIN_RIGHT);
	cr_expect_eq(c.failed, 0, "who was forgotten is not called");
	cr_expect_gt(begin(l, &c, "ann", "secret", "192.0.2.1"), 0);
	run_for(base, 20);
	cr_expect_eq(c.done, 0, "nothing has begun");
	logins_stop(l);
	event_base_free(base);
}

Test(net_login, who_leaves_in_the_pause_is_not_called)
{
	struct event_base *base = event_base_new();
	struct logins *l = open_logins(base);
	struct client c = {0};

	cr_assert_eq(begin(l, &c, "ann", "guess", "192.0.2.1"), 0);
	cr_assert(run_until(base, c.failed == 1));
	login_forget(&c.login);
	login_forget(&c.login);
	run_for(base, LOGIN_PAUSE * 1000 + 200);
	cr_expect_eq(c.done, 0);
	logins_stop(l);
	event_base_free(base);
}
