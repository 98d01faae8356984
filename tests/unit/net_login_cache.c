#include <criterion/criterion.h>

#include <sodium.h>

#include "lib/net_login_cache.h"

static struct login_digest digest_of(
    const struct login_cache *c, const char *path, const char *user, const char *password, const char *stands)
{
	struct login_digest digest;

	login_cache_digest(c, path, user, password, view_text(stands), &digest);
	return digest;
}

static struct login_cache *cache_make(void)
{
	cr_assert_geq(sodium_init(), 0);
	return login_cache_make();
}

Test(net_login_cache, only_the_very_same_login_is_known)
{
	static const char *const others[][4] = {
	    {"/users2", "ann", "secret", "$hash"},
	    {"/users", "anna", "secret", "$hash"},
	    {"/users", "ann", "Secret", "$hash"},
	    {"/users", "ann", "secret", "$hash2"},
	    {"/users", "annsecret", "", "$hash"},
	    {"/users", "ann", "secret$hash", ""},
	    {"/user", "sann", "secret", "$hash"},
	};
	struct login_cache *c = cache_make();
	struct login_digest digest = digest_of(c, "/users", "ann", "secret", "$hash");

	cr_expect_not(login_cache_has(c, &digest, 1000));
	login_cache_add(c, &digest, 1000);
	digest = digest_of(c, "/users", "ann", "secret", "$hash");
	cr_expect(login_cache_has(c, &digest, 1000));
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
		digest = digest_of(c, others[i][0], others[i][1], others[i][2], others[i][3]);
		cr_expect_not(login_cache_has(c, &digest, 1000), "%zu", i);
	}
	login_cache_free(c);
}

Test(net_login_cache, every_process_has_a_key_of_its_own)
{
	struct login_cache *a = cache_make();
	struct login_cache *b = cache_make();
	struct login_digest one = digest_of(a, "/users", "ann", "secret", "$hash");
	struct login_digest other = digest_of(b, "/users", "ann", "secret", "$hash");

	cr_expect_neq(memcmp(&one, &other, sizeof one), 0);
	login_cache_free(a);
	login_cache_free(b);
}

Test(net_login_cache, it_is_forgotten_in_time)
{
	struct login_cache *c = cache_make();
	struct login_digest digest = digest_of(c, "/users", "ann", "secret", "$hash");

	login_cache_add(c, &digest, 1000);
	cr_expect(login_cache_has(c, &digest, 1000 + LOGIN_CACHE_MEMORY - 1));
	cr_expect_not(login_cache_has(c, &digest, 1000 + LOGIN_CACHE_MEMORY));
	login_cache_add(c, &digest, 1000 + LOGIN_CACHE_MEMORY);
	cr_expect(login_cache_has(c, &digest, 1000 + LOGIN_CACHE_MEMORY));
	login_cache_free(c);
}

Test(net_login_cache, the_oldest_makes_room)
{
	struct login_cache *c = cache_make();
	struct login_digest first = digest_of(c, "/users", "first", "secret", "$hash");
	struct login_digest second = digest_of(c, "/users", "second", "secret", "$hash");
	char user[32];

	login_cache_add(c, &first, 1000);
	login_cache_add(c, &second, 1001);
	/* The same once more takes no other's place. */
	for (size_t i = 0; i < LOGIN_CACHE_MAX; i++)
		login_cache_add(c, &second, 1001);
	for (size_t i = 2; i < LOGIN_CACHE_MAX; i++) {
		struct login_digest digest;

		snprintf(user, sizeof user, "user-%zu", i);
		digest = digest_of(c, "/users", user, "secret", "$hash");
		login_cache_add(c, &digest, 1002);
	}
	cr_expect(login_cache_has(c, &first, 1002), "there is room for all of them");
	first = digest_of(c, "/users", "one more", "secret", "$hash");
	login_cache_add(c, &first, 1002);
	cr_expect(login_cache_has(c, &first, 1002));
	first = digest_of(c, "/users", "first", "secret", "$hash");
	cr_expect_not(login_cache_has(c, &first, 1002));
	cr_expect(login_cache_has(c, &second, 1002));
	login_cache_free(c);
}
