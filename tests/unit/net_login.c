#include <criterion/criterion.h>

#include "tests/unit/net_kit.h"

#include <sodium.h>

#include "lib/net_login.h"

/* What a stand-in for the password file says of everybody whose name begins with "ann"; how often the slow check was made, and
 * at which of those times the password began with MARKED: the thread's while it is at work. */
#define MARKED "marked "
static struct {
	const char *stands;
	unsigned checks;
	unsigned marked;
	enum outcome readable;
} file;

static enum outcome stands(const char *path, const char *user, struct buf *out, struct error *err)
{
	if (file.readable != OUTCOME_DONE)
		return error_set(err, EX_TEMPFAIL, "%s cannot be read", path);
	buf_text(out, strncmp(user, "ann", 3) == 0 ? file.stands : "nobody's");
	return OUTCOME_DONE;
}

static enum outcome check(struct view text, const char *password, struct error *err)
{
	file.checks++;
	if (strncmp(password, MARKED, strlen(MARKED)) == 0)
		file.marked = file.checks;
	return view_is(text, password) ? OUTCOME_DONE : error_set(err, EX_NOUSER, "wrong");
}

struct client {
	struct login login;
	unsigned failed;
	unsigned done;
	enum login_result result;
	double at;
	struct logins *again; /* begins anew in its answer, once */
};

static uint64_t begin(struct logins *l, struct client *c, const char *user, const char *password, const char *origin)
{
	const struct login_attempt attempt = {"/users", user, password, origin};

	c->failed = c->done = 0;
	return login_begin(l, &c->login, &attempt, c);
}

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
	struct logins *again = c->again;

	c->done++;
	c->result = result;
	c->at = seconds_now();
	c->again = NULL;
	if (again != NULL)
		cr_expect_eq(begin(again, c, "ann", MARKED "again", "192.0.2.1"), 0);
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
	struct client other = {0};

	for (int i = 0; i < STRIKES_FREE; i++) {
		cr_assert_eq(begin(l, &c, "ann", "guess", "192.0.2.1"), 0);
		login_forget(&c.login);
		cr_assert_eq(begin(l, &other, "ann", "secret", "192.0.2.2"), 0);
		cr_assert(run_until(base, other.done == 1), "one thread: the guess is through");
		cr_expect_eq(other.result, LOGIN_RIGHT);
	}
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

/* As many sessions as one origin may have. */
#define CROWD 50

/* All of one origin at once, each with a name of its own. */
static void begin_crowd(struct logins *l, struct client crowd[static CROWD], const char *password)
{
	char user[16];

	for (int i = 0; i < CROWD; i++) {
		snprintf(user, sizeof user, "ann%d", i);
		cr_assert_eq(begin(l, &crowd[i], user, password, "192.0.2.1"), 0);
	}
}

static unsigned count_answers(const struct client crowd[static CROWD], enum login_result result)
{
	unsigned count = 0;

	for (int i = 0; i < CROWD; i++) {
		cr_expect_leq(crowd[i].done, 1, "answered once");
		count += crowd[i].done == 1 && crowd[i].result == result;
	}
	return count;
}

Test(net_login, guesses_that_come_together_are_no_more_than_those_that_come_one_by_one)
{
	struct event_base *base = event_base_new();
	struct logins *l = open_logins(base);
	struct client crowd[CROWD] = {0};

	begin_crowd(l, crowd, "guess");
	cr_assert(run_until(base, count_answers(crowd, LOGIN_WRONG) == STRIKES_FREE));
	cr_expect_eq(file.checks, STRIKES_FREE);
	cr_expect_eq(count_answers(crowd, LOGIN_TOO_SOON), CROWD - STRIKES_FREE);
	for (int i = STRIKES_FREE; i < CROWD; i++) {
		cr_expect_eq(crowd[i].failed, 0);
		cr_expect_eq(crowd[i].login.failed, 0, "it was no wrong password");
		cr_expect_gt(crowd[i].login.wait, 0);
		cr_expect_leq(crowd[i].login.wait, STRIKES_PAUSE);
	}
	logins_stop(l);
	event_base_free(base);
}

Test(net_login, those_of_one_origin_that_are_right_all_pass)
{
	struct event_base *base = event_base_new();
	struct logins *l = open_logins(base);
	struct client crowd[CROWD] = {0};

	begin_crowd(l, crowd, "secret");
	cr_assert(run_until(base, count_answers(crowd, LOGIN_RIGHT) == CROWD));
	cr_expect_eq(file.checks, CROWD);
	logins_stop(l);
	event_base_free(base);
}

Test(net_login, a_crowd_of_one_origin_delays_another_by_two_checks_at_most)
{
	static const char *const words[] = {"secret", "guess"};

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		struct event_base *base = event_base_new();
		struct logins *l = open_logins(base);
		struct client crowd[CROWD] = {0};
		struct client others[2] = {0};

		file.checks = file.marked = 0;
		begin_crowd(l, crowd, words[i]);
		cr_assert_eq(begin(l, &others[0], "ann", "secret", "192.0.2.2"), 0);
		cr_assert_eq(begin(l, &others[1], "ann", MARKED, "192.0.2.3"), 0);
		cr_assert(run_until(base, others[0].done == 1 && others[1].done == 1));
		cr_expect_eq(others[0].result, LOGIN_RIGHT);
		cr_expect_leq(file.marked, 4, "two of the crowd, another, and then it");
		for (int j = 0; j < CROWD; j++)
			login_forget(&crowd[j].login);
		logins_stop(l);
		event_base_free(base);
	}
}

Test(net_login, who_begins_anew_in_his_answer_comes_behind_the_others)
{
	struct event_base *base = event_base_new();
	struct logins *l = open_logins(base);
	struct client crowd[CROWD] = {0};

	crowd[0].again = l;
	begin_crowd(l, crowd, "secret");
	cr_assert(run_until(base, crowd[0].failed == 1));
	cr_expect_eq(count_answers(crowd, LOGIN_RIGHT), CROWD - 1);
	cr_expect_eq(file.marked, CROWD + 1);
	login_forget(&crowd[0].login);
	logins_stop(l);
	event_base_free(base);
}

Test(net_login, who_leaves_before_his_turn_is_not_looked_at)
{
	static const int leaving[] = {0, 1, 2, CROWD / 2, CROWD - 1};
	struct event_base *base = event_base_new();
	struct logins *l = open_logins(base);
	struct client crowd[CROWD] = {0};
	struct client last = {0};

	begin_crowd(l, crowd, "secret");
	for (size_t i = 0; i < sizeof leaving / sizeof leaving[0]; i++)
		login_forget(&crowd[leaving[i]].login);
	cr_assert_eq(begin(l, &crowd[2], "ann2", "secret", "192.0.2.1"), 0, "a session may begin anew at once");
	cr_assert_eq(begin(l, &last, "ann", "secret", "192.0.2.1"), 0);
	cr_assert(run_until(base, last.done == 1));
	cr_expect_eq(count_answers(crowd, LOGIN_RIGHT), CROWD - 4);
	for (size_t i = 0; i < sizeof leaving / sizeof leaving[0]; i++)
		cr_expect_eq(crowd[leaving[i]].done, leaving[i] == 2);
	cr_expect_eq(file.checks, 1 + CROWD - 3, "the first was at it already");
	logins_stop(l);
	event_base_free(base);
}

Test(net_login, nobody_is_called_for_what_was_not_finished)
{
	struct event_base *base = event_base_new();
	struct logins *l = open_logins(base);
	struct client crowd[CROWD] = {0};

	begin_crowd(l, crowd, "secret");
	logins_stop(l);
	for (int i = 0; i < CROWD; i++) {
		cr_expect_eq(crowd[i].done, 0);
		login_forget(&crowd[i].login);
	}
	event_base_free(base);
}
