#include <criterion/criterion.h>

#include "lib/sasl.h"

#define BYTES(text) (text), sizeof(text) - 1

Test(sasl, base64_is_judged_strictly)
{
	static const struct {
		const char *text;
		bool good;
		const char *said;
		size_t length;
	} cases[] = {
	    {"", true, BYTES("")},
	    {"AGEA", true, BYTES("\0a\0")},
	    {"YQ==", true, BYTES("a")},
	    {"YWI=", true, BYTES("ab")},
	    {"YQ=", false, BYTES("")},
	    {"YQ", false, BYTES("")},
	    {"YR==", false, BYTES("")},
	    {"YQ== ", false, BYTES("")},
	    {" YQ==", false, BYTES("")},
	    {"Y Q==", false, BYTES("")},
	    {"YQ==YQ==", false, BYTES("")},
	    {"-_-_", false, BYTES("")},
	    {"*", false, BYTES("")},
	};
	struct buf out;

	buf_init(&out, 100);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		cr_expect_eq(sasl_decode(view_text(cases[i].text), &out), cases[i].good, "%s", cases[i].text);
		if (cases[i].good)
			cr_expect(view_equal(view_buf(&out), view_of(cases[i].said, cases[i].length)));
	}
	buf_release(&out);
}

Test(sasl, a_claim_longer_than_its_buffer_is_none)
{
	struct buf out;

	buf_init(&out, 8);
	cr_expect_not(sasl_decode(view_text("YWFhYWFhYWFh"), &out));
	buf_release(&out);
}

Test(sasl, plain_is_taken_apart)
{
	static const struct {
		const char *text;
		enum sasl_claim claim;
	} cases[] = {
	    {"AGFubgBzZWNyZXQ=", SASL_CLAIM},
	    {"YW5uAGFubgBzZWNyZXQ=", SASL_CLAIM},
	    {"", SASL_MALFORMED},
	    {"YW5u", SASL_MALFORMED},
	    {"YW5uAHNlY3JldA==", SASL_MALFORMED},
	    {"AGFubgBzZWNyZXQA", SASL_MALFORMED},
	    {"AAAAAAAA", SASL_MALFORMED},
	    {"YW5uAGJvYgBzZWNyZXQ=", SASL_FOR_ANOTHER},
	    {"AABzZWNyZXQ=", SASL_WRONG},
	    {"AGFubgA=", SASL_WRONG},
	    {"AGFuCm4Ac2VjcmV0", SASL_WRONG},
	    {"AP8AcA==", SASL_WRONG},
	    {"AGFubgBzZWNyZXQ", SASL_NOT_BASE64},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct buf user;
		struct buf password;

		buf_init(&user, SIZE_MAX);
		buf_init(&password, SIZE_MAX);
		cr_expect_eq(
		    sasl_plain(view_text(cases[i].text), &user, &password), cases[i].claim, "%s", cases[i].text);
		if (cases[i].claim == SASL_CLAIM) {
			cr_expect_str_eq(buf_string(&user), "ann");
			cr_expect_str_eq(buf_string(&password), "secret");
		}
		buf_wipe(&user);
		buf_wipe(&password);
		cr_expect_null(password.bytes);
	}
}
