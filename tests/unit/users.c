#include <criterion/criterion.h>

#include "lib/alloc.h"
#include "queue/maildir.h"
#include "queue/users.h"
#include "tests/unit/scratch.h"

struct kit {
	struct dir top;
	struct queue queue;
	struct config config;
	char *path; /* of the password file */
};

static struct kit kit_open(void)
{
	static const char text[] =
	    "host = \"village\"\ndomains = { \"village.example\" }\n"
	    "alias \"office\" { to = { \"ann\" } }\nalias \"both\" { to = { \"ann\", \"ben\" } }\n";
	struct kit k = {0};
	struct error err = ERROR_NONE;
	char *path;

	cr_assert_geq(sodium_init(), 0);
	k.top = scratch_open();
	path = mem_format("%s/spool", k.top.path);
	cr_assert_eq(queue_make(path, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(queue_open(&k.queue, path, "village", &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(maildir_make(&k.queue.mail, "ann", &err), OUTCOME_DONE);
	cr_assert_eq(maildir_make(&k.queue.mail, "ben", &err), OUTCOME_DONE);
	free(path);
	cr_assert_eq(file_commit(&k.top, &k.top, "packetboat.conf", view_text(text), &err), OUTCOME_DONE);
	path = mem_format("%s/packetboat.conf", k.top.path);
	cr_assert_eq(config_load(&k.config, path, NULL, NULL, &err), OUTCOME_DONE, "%s", err.text);
	free(path);
	k.path = mem_format("%s/users", k.top.path);
	return k;
}

static void kit_close(struct kit *k)
{
	free(k->path);
	config_release(&k->config);
	queue_close(&k->queue);
	scratch_close(&k->top);
}

static void set(struct kit *k, const char *user, const char *hash, const struct strings *senders)
{
	struct users u;
	struct error err = ERROR_NONE;

	cr_assert_eq(users_open(&u, &k->queue, k->path, USERS_CHANGE, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(users_set(&u, user, hash, senders, &err), OUTCOME_DONE, "%s", err.text);
	users_close(&u);
}

Test(users, a_line_is_set_found_and_taken_out)
{
	struct kit k = kit_open();
	struct users u;
	struct strings senders = {0};
	struct error err = ERROR_NONE;
	char hash[crypto_pwhash_STRBYTES];

	strings_add(&senders, "sales@village.example");
	strings_add(&senders, "*@shop.example");
	set(&k, "ann", "$hash", &senders);
	set(&k, "annabel", "$other", NULL);
	strings_release(&senders);
	cr_assert_eq(users_open(&u, NULL, k.path, USERS_READ, &err), OUTCOME_DONE);
	cr_expect(users_find(&u, "ann", hash, &senders));
	cr_expect_str_eq(hash, "$hash");
	cr_assert_eq(senders.count, 2);
	cr_expect_str_eq(senders.items[1], "*@shop.example");
	cr_expect(users_find(&u, "annabel", hash, NULL));
	cr_expect(users_find(&u, "annabel", NULL, NULL));
	cr_expect_str_eq(hash, "$other");
	cr_expect_not(users_find(&u, "an", hash, NULL));
	cr_expect_not(users_find(&u, "", hash, NULL));
	users_close(&u);
	strings_release(&senders);
	set(&k, "ann", NULL, NULL);
	cr_assert_eq(users_open(&u, NULL, k.path, USERS_READ, &err), OUTCOME_DONE);
	cr_expect_not(users_find(&u, "ann", hash, NULL));
	cr_expect(users_find(&u, "annabel", hash, NULL));
	users_close(&u);
	kit_close(&k);
}

static enum outcome login(const struct kit *k, const char *user, const char *password, struct error *err)
{
	struct buf stands;
	enum outcome outcome;

	buf_init(&stands, 1024);
	outcome = users_stands(k->path, user, &stands, err);
	if (outcome == OUTCOME_DONE)
		outcome = users_check(view_buf(&stands), password, err);
	buf_release(&stands);
	return outcome;
}

Test(users, a_domain_of_ours_says_nothing_at_a_login)
{
	static const char *const cases[][2] = {
	    {"ann", "ann"},
	    {"ann@village.example", "ann"},
	    {"ann@VILLAGE.example", "ann"},
	    {"ann@elsewhere.example", "ann@elsewhere.example"},
	    {"ann@", "ann@"},
	    {"@village.example", ""},
	    {"ann@x@village.example", "ann@x"},
	    {"", ""},
	};
	struct kit k = kit_open();

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char *user = users_said(&k.config, cases[i][0]);

		cr_expect_str_eq(user, cases[i][1], "%s: %s", cases[i][0], user);
		free(user);
	}
	kit_close(&k);
}

Test(users, what_stands_for_nobody_is_as_long_as_a_hash_and_fits_nothing)
{
	struct kit k = kit_open();
	struct error err = ERROR_NONE;
	char hash[crypto_pwhash_STRBYTES];
	struct buf one, other;

	buf_init(&one, 1024);
	buf_init(&other, 1024);
	cr_assert_eq(crypto_pwhash_str(hash, "secret", 6, USERS_HASH_PASSES, USERS_HASH_MEMORY), 0);
	set(&k, "ann", hash, NULL);
	cr_assert_eq(users_stands(k.path, "ann", &one, &err), OUTCOME_DONE);
	cr_assert_eq(users_stands(k.path, "ben", &other, &err), OUTCOME_DONE);
	cr_expect_str_eq(buf_string(&one), hash);
	cr_expect_eq(one.length, other.length);
	cr_expect_eq(users_check(view_buf(&other), "", &err), OUTCOME_NEVER);
	cr_expect_eq(users_check(view_text(""), "", &err), OUTCOME_NEVER);
	buf_release(&one);
	buf_release(&other);
	kit_close(&k);
}

Test(users, a_login_needs_the_password_and_tells_nothing_else)
{
	static const struct {
		const char *user;
		const char *password;
	} wrong[] = {{"ann", "Secret"}, {"ann", ""}, {"ben", "secret"}, {"nobody", "secret"}, {"../ann", "secret"},
	    {"", "secret"}};
	struct kit k = kit_open();
	struct error err = ERROR_NONE;
	char hash[crypto_pwhash_STRBYTES];
	char first[sizeof err.text];

	cr_expect_eq(login(&k, "ann", "secret", &err), OUTCOME_NEVER, "no file: no users");
	cr_assert_eq(crypto_pwhash_str(hash, "secret", 6, USERS_HASH_PASSES, USERS_HASH_MEMORY), 0);
	set(&k, "ann", hash, NULL);
	cr_expect_eq(login(&k, "ann", "secret", &err), OUTCOME_DONE, "%s", err.text);
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		cr_expect_eq(login(&k, wrong[i].user, wrong[i].password, &err), OUTCOME_NEVER, "%s", wrong[i].user);
		if (i == 0)
			memcpy(first, err.text, sizeof first);
		cr_expect_str_eq(err.text, first);
	}
	kit_close(&k);
}

/* The hash that stands for nobody must cost what a real one costs: it is parsed and computed, not thrown out. */
Test(users, nobody_is_hashed_with_the_parameters_of_everybody)
{
	char hash[crypto_pwhash_STRBYTES];

	cr_assert_geq(sodium_init(), 0);
	cr_assert_eq(crypto_pwhash_str(hash, "x", 1, USERS_HASH_PASSES, USERS_HASH_MEMORY), 0);
	cr_expect_eq(strncmp(hash, "$argon2id$v=19$m=19456,t=2,p=1$", 31), 0, "%s", hash);
}

Test(users, a_user_sends_as_himself_and_as_his_list_says)
{
	static const struct {
		const char *user;
		const char *sender;
		bool may;
	} cases[] = {
	    {"ann", "ann@village.example", true},
	    {"ann", "Ann@Village.Example", true},
	    {"ann", "ann+x@village.example", true},
	    {"ann", "office@village.example", true},
	    {"ann", "", true},
	    {"ann", "both@village.example", false},
	    {"ann", "ben@village.example", false},
	    {"ann", "ann@elsewhere.example", false},
	    {"ann", "sales@village.example", true},
	    {"ann", "any@shop.example", true},
	    {"ann", "any@notshop.example", false},
	    {"ann", "x@sub.shop.example", false},
	    {"ben", "any@shop.example", false},
	    {"ben", "both@village.example", false},
	};
	struct kit k = kit_open();
	struct users u;
	struct strings senders = {0};
	struct error err = ERROR_NONE;

	strings_add(&senders, "sales@village.example");
	strings_add(&senders, "*@shop.example");
	set(&k, "ann", "$hash", &senders);
	strings_release(&senders);
	cr_assert_eq(users_open(&u, NULL, k.path, USERS_READ, &err), OUTCOME_DONE);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		cr_expect_eq(users_may_send(&u, &k.config, &k.queue.mail, cases[i].user, cases[i].sender),
		    cases[i].may, "%s as %s", cases[i].user, cases[i].sender);
	users_close(&u);
	kit_close(&k);
}
