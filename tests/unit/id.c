#include <criterion/criterion.h>

#include "lib/id.h"

#define LONGEST "abcdefghijklmnopqrstuvwxyz012345"

Test(id, print_and_parse_are_inverse)
{
	static const struct {
		struct id id;
		const char *text;
	} rows[] = {
	    {{"village", 0, 0}, "village.aaaaaaa.0"},
	    {{"village", 0, 12}, "village.aaaaaaa.12"},
	    {{"a", 1, 1}, "a.aaaaaai.1"},
	    {{"b-2", 0x12345678u, 9}, "b-2.ci2fm6a.9"},
	    {{LONGEST, UINT32_MAX, UINT64_MAX}, LONGEST ".777777y.18446744073709551615"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char text[LIMIT_ID];
		struct id back;

		id_print(&rows[i].id, text);
		cr_assert_str_eq(text, rows[i].text);
		cr_assert(id_parse(view_text(text), &back));
		cr_assert(id_equal(&back, &rows[i].id));
		cr_assert_leq(strlen(text), 64, "a name on FAT media");
	}
}

Test(id, parse_refuses_other_spellings)
{
	static const char *const rows[] = {"", ".", "..", "village", "village.", "village.aaaaaaa",
	    "village.aaaaaaa.", "village.aaaaaaa.01", "village.aaaaaaa.00", "village.aaaaaaa.+1",
	    "village.aaaaaaa.-1", "village.aaaaaaa. 1", "village.aaaaaaa.1 ", "village.aaaaaaa.1\n",
	    "village.aaaaaaa.1.pb", "village.aaaaaaa.18446744073709551616", "village.aaaaaaa.1x", "village.aaaaaa.1",
	    "village.aaaaaaaa.1", "village.aaaaaab.1", "village.AAAAAAA.1", "village.aaaaaa1.1", "Village.aaaaaaa.1",
	    "1village.aaaaaaa.1", "village-.aaaaaaa.1", "-a.aaaaaaa.1", ".aaaaaaa.1", "../x.aaaaaaa.1",
	    "vil/lage.aaaaaaa.1", LONGEST "6.aaaaaaa.1", "village.aaaaaaa..1"};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct id id;

		cr_assert_not(id_parse(view_text(rows[i]), &id), "\"%s\"", rows[i]);
	}
	struct id id;

	cr_assert_not(id_parse(view_of("vill\0age.aaaaaaa.1", 18), &id));
	cr_assert_not(id_parse(view_of("village.aaaaaaa.1\0", 18), &id));
	cr_assert_not(id_parse(view_of(NULL, 0), &id));
}

Test(id, every_incarnation_has_one_spelling)
{
	for (unsigned bit = 0; bit < 32; bit++) {
		uint32_t number = UINT32_C(1) << bit | UINT32_C(0x80000001) >> bit;
		char text[INCARNATION_TEXT];
		uint32_t back = 0;
		unsigned spellings = 0;

		incarnation_print(number, text);
		cr_assert_eq(strlen(text), INCARNATION_TEXT - 1);
		cr_assert(incarnation_parse(view_text(text), &back));
		cr_assert_eq(back, number);
		/* Only one of the last characters fits: the bits behind the number are zero. */
		for (const char *c = "abcdefghijklmnopqrstuvwxyz234567"; *c != '\0'; c++) {
			text[INCARNATION_TEXT - 2] = *c;
			spellings += incarnation_parse(view_text(text), &back);
		}
		cr_assert_eq(spellings, 4, "of 32 by two bits of the number");
	}
	uint32_t unused;

	cr_assert_not(incarnation_parse(view_text("aaaaaa"), &unused));
	cr_assert_not(incarnation_parse(view_text("aaaaaaaa"), &unused));
	cr_assert_not(incarnation_parse(view_text(""), &unused));
}

Test(id, equality_looks_at_everything)
{
	struct id a = {"village", 1, 2};
	struct id b = a;

	cr_assert(id_equal(&a, &b));
	b.sequence = 3;
	cr_assert_not(id_equal(&a, &b));
	b = a;
	b.incarnation = 3;
	cr_assert_not(id_equal(&a, &b));
	b = a;
	b.host[0] = 'w';
	cr_assert_not(id_equal(&a, &b));
}

Test(id, set_host)
{
	struct id id = {"village", 1, 2};

	cr_assert(id_set_host(&id, LONGEST));
	cr_assert_str_eq(id.host, LONGEST);
	cr_assert(id_set_host(&id, "b"));
	cr_assert_str_eq(id.host, "b");
	cr_assert_not(id_set_host(&id, LONGEST "6"));
	cr_assert_not(id_set_host(&id, ""));
	cr_assert_not(id_set_host(&id, "a.b"));
	cr_assert_str_eq(id.host, "b", "unchanged");
	cr_assert_eq(id.sequence, 2);
}
