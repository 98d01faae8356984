#include "tests/unit/batch_kit.h"

#include "lib/text.h"

static const struct {
	const char *host;
	uint8_t first;
} hosts[] = {{"a", 0}, {"village", 1}, {"x234567890-234567890-2345678901z", 99}};

Test(keys, line_round_trip)
{
	for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
		struct host_keys keys = kit_keys(hosts[i].host, hosts[i].first);
		struct error err = ERROR_NONE;
		struct public_keys back;
		char line[KEY_LINE_TEXT];
		char again[KEY_LINE_TEXT];

		key_line_print(&keys.public, line);
		cr_assert(text_starts(line, "pb1."));
		cr_assert_eq(key_line_parse(line, &back, &err), OUTCOME_DONE, "%s", err.text);
		cr_assert_str_eq(back.host, hosts[i].host);
		cr_assert_arr_eq(back.sign, keys.public.sign, sizeof back.sign);
		cr_assert_arr_eq(back.seal, keys.public.seal, sizeof back.seal);
		key_line_print(&back, again);
		cr_assert_str_eq(line, again);
		keys_release(&keys);
	}
}

Test(keys, line_as_people_paste_it)
{
	struct host_keys keys = kit_keys("village", 0);
	struct error err = ERROR_NONE;
	struct public_keys back;
	char line[KEY_LINE_TEXT];
	char pasted[KEY_LINE_TEXT + 8];

	key_line_print(&keys.public, line);
	snprintf(pasted, sizeof pasted, " \t%s\r\n", line);
	cr_assert_eq(key_line_parse(pasted, &back, &err), OUTCOME_DONE, "%s", err.text);
	for (char *c = pasted; *c != '\0'; c++)
		if (*c >= 'a' && *c <= 'z')
			*c = (char)(*c - 'a' + 'A');
	cr_assert_eq(key_line_parse(pasted, &back, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_str_eq(back.host, "village");
	cr_assert_arr_eq(back.sign, keys.public.sign, sizeof back.sign);
	keys_release(&keys);
}

/* Every letter replaced by any other, and every two neighbours swapped. */
Test(keys, typing_errors_are_found)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-._ ";
	struct host_keys keys = kit_keys("village", 0);
	struct public_keys back;
	char line[KEY_LINE_TEXT];
	size_t length;

	key_line_print(&keys.public, line);
	length = strlen(line);
	for (size_t i = 0; i < length; i++) {
		char good = line[i];

		for (const char *c = letters; *c != '\0'; c++) {
			struct error err = ERROR_NONE;

			if (*c == good)
				continue;
			line[i] = *c;
			cr_assert_eq(key_line_parse(line, &back, &err), OUTCOME_NEVER, "%s", line);
			cr_assert_eq(err.code, EX_DATAERR);
			cr_assert(err.text[0] != '\0');
		}
		line[i] = good;
		if (i + 1 < length && line[i + 1] != good) {
			line[i] = line[i + 1];
			line[i + 1] = good;
			cr_assert_eq(key_line_parse(line, &back, NULL), OUTCOME_NEVER, "%s", line);
			line[i + 1] = line[i];
			line[i] = good;
		}
	}
	for (size_t i = 0; i < length; i++) {
		line[i] = '\0';
		cr_assert_eq(key_line_parse(line, &back, NULL), OUTCOME_NEVER, "%s", line);
		line[i] = 'x';
	}
	keys_release(&keys);
}

Test(keys, line_errors_say_what_is_wrong)
{
	struct host_keys keys = kit_keys("village", 0);
	char line[KEY_LINE_TEXT];
	char longer[KEY_LINE_TEXT + 1];
	char wrong[KEY_LINE_TEXT];
	char foreign[KEY_LINE_TEXT];
	char renamed[KEY_LINE_TEXT];

	key_line_print(&keys.public, line);
	snprintf(longer, sizeof longer, "%sa", line);
	snprintf(wrong, sizeof wrong, "%s", line);
	wrong[60] = wrong[60] == 'a' ? 'b' : 'a';
	snprintf(foreign, sizeof foreign, "%s", line);
	foreign[60] = '1';
	snprintf(renamed, sizeof renamed, "pb1.villagf%s", line + strlen("pb1.village"));
	{
		const struct {
			const char *line;
			const char *says;
		} cases[] = {
		    {"", "not a key line"},
		    {"ssh-ed25519 AAAA", "not a key line"},
		    {"pb2.village.aaaa", "not a key line"},
		    {"pbsecret1.village.aaaa", "not a key line"},
		    {"pb1.", "host name"},
		    {"pb1..aaaa", "host name"},
		    {"pb1.-x.aaaa", "host name"},
		    {"pb1.x234567890123456789012345678901234567890.aaaa", "host name"},
		    {"pb1.village", "too short"},
		    {"pb1.village.aaaa", "too short"},
		    {longer, "too long"},
		    {foreign, "character"},
		    {wrong, "typing error"},
		    {renamed, "typing error"},
		};

		for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
			struct error err = ERROR_NONE;
			struct public_keys back;

			cr_assert_eq(key_line_parse(cases[i].line, &back, &err), OUTCOME_NEVER, "%s", cases[i].line);
			cr_assert_eq(err.code, EX_DATAERR);
			cr_assert(strstr(err.text, cases[i].says) != NULL, "%s: %s", cases[i].line, err.text);
			cr_assert_str_empty(back.host, "nothing is handed out");
		}
	}
	keys_release(&keys);
}

Test(keys, fingerprint_is_eight_groups_of_four)
{
	struct host_keys keys = kit_keys("village", 0);
	char text[KEY_FINGERPRINT_TEXT];
	char other[KEY_FINGERPRINT_TEXT];

	key_fingerprint(&keys.public, text);
	cr_assert_eq(strlen(text), 8 * 4 + 7);
	for (size_t i = 0; text[i] != '\0'; i++)
		cr_assert(i % 5 == 4 ? text[i] == '-'
				     : (text[i] >= 'a' && text[i] <= 'z') || text_is_digit((uint8_t)text[i]));
	keys.public.seal[31] ^= 1;
	key_fingerprint(&keys.public, other);
	cr_assert_str_neq(text, other, "the sealing key counts");
	keys.public.seal[31] ^= 1;
	keys.public.host[0] = 'w';
	key_fingerprint(&keys.public, other);
	cr_assert_str_neq(text, other, "the name counts");
	keys_release(&keys);
}

Test(keys, create_and_load)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct host_keys keys;
	struct host_keys again;
	struct buf text;
	char line[KEY_LINE_TEXT];
	struct stat st;
	struct names names;
	uint8_t signature[crypto_sign_BYTES];

	cr_assert_eq(keys_create(&d, "village", &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(keys_load(&keys, &d, "village", &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(keys_load(&again, &d, "village", &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_arr_eq(keys.public.sign, again.public.sign, sizeof keys.public.sign);
	crypto_sign_detached(signature, NULL, (const uint8_t *)"x", 1, keys.sign_secret);
	cr_assert_eq(crypto_sign_verify_detached(signature, (const uint8_t *)"x", 1, keys.public.sign), 0);
	cr_assert_eq(fstatat(d.fd, "secret", &st, 0), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
	cr_assert_eq(dir_names(&d, &names, &err), OUTCOME_DONE);
	cr_assert_eq(names.count, 2, "nothing else is left behind");
	names_release(&names);

	buf_init(&text, 4096);
	cr_assert_eq(file_read(&d, "public", &text, &err), OUTCOME_DONE);
	key_line_print(&keys.public, line);
	buf_text(&text, "");
	cr_assert_eq(text.length, strlen(line) + 1);
	cr_assert_eq(memcmp(text.bytes, line, strlen(line)), 0);
	buf_release(&text);

	cr_assert_neq(keys_create(&d, "village", &err), OUTCOME_DONE);
	cr_assert_eq(err.code, EX_CANTCREAT);
	keys_release(&again);
	cr_assert_eq(keys_load(&again, &d, "village", &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_arr_eq(keys.public.sign, again.public.sign, sizeof keys.public.sign, "the old ones are kept");
	keys_release(&again);
	keys_release(&again);
	keys_release(&keys);
	scratch_close(&d);
}

Test(keys, two_hosts_get_different_keys)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct dir sub[2];
	struct host_keys keys[2];

	for (int i = 0; i < 2; i++) {
		cr_assert_eq(dir_make(&sub[i], &d, i == 0 ? "a" : "b", 0700, &err), OUTCOME_DONE);
		cr_assert_eq(keys_create(&sub[i], "village", &err), OUTCOME_DONE, "%s", err.text);
		cr_assert_eq(keys_load(&keys[i], &sub[i], "village", &err), OUTCOME_DONE, "%s", err.text);
	}
	cr_assert_arr_neq(keys[0].public.sign, keys[1].public.sign, sizeof keys[0].public.sign);
	cr_assert_arr_neq(keys[0].public.seal, keys[1].public.seal, sizeof keys[0].public.seal);
	cr_assert_arr_neq(keys[0].seal_secret, keys[0].sign_secret, crypto_box_SECRETKEYBYTES);
	for (int i = 0; i < 2; i++) {
		keys_release(&keys[i]);
		dir_close(&sub[i]);
	}
	scratch_close(&d);
}

Test(keys, create_refuses_bad_names)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;

	cr_assert_eq(keys_create(&d, "No Good", &err), OUTCOME_NEVER);
	cr_assert_eq(err.code, EX_DATAERR);
	cr_assert(dir_empty(&d));
	scratch_close(&d);
}

static void replace(struct dir *d, const char *name, const char *text)
{
	struct error err = ERROR_NONE;

	cr_assert_eq(file_replace(d, d, name, view_text(text), &err), OUTCOME_DONE, "%s", err.text);
}

static void expect_config(struct dir *d, const char *host, const char *says)
{
	struct error err = ERROR_NONE;
	struct host_keys keys;

	cr_assert_neq(keys_load(&keys, d, host, &err), OUTCOME_DONE);
	cr_assert_eq(err.code, EX_CONFIG, "%s", err.text);
	cr_assert(strstr(err.text, says) != NULL, "%s", err.text);
	cr_assert_null(keys.sign_secret);
	cr_assert_null(keys.seal_secret);
}

Test(keys, load_refuses_what_is_not_right)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct host_keys keys;
	struct buf secret;

	expect_config(&d, "village", "backup");
	cr_assert_eq(keys_create(&d, "village", &err), OUTCOME_DONE);
	expect_config(&d, "city", "of the host village");

	buf_init(&secret, 4096);
	cr_assert_eq(file_read(&d, "secret", &secret, &err), OUTCOME_DONE);
	secret.bytes[40] = secret.bytes[40] == 'a' ? 'b' : 'a';
	replace(&d, "secret", buf_string(&secret));
	expect_config(&d, "village", "checksum");
	replace(&d, "secret", "");
	expect_config(&d, "village", "not a secret key");

	cr_assert_eq(file_remove(&d, "secret", &err), OUTCOME_DONE);
	expect_config(&d, "village", "backup");
	cr_assert_eq(file_remove(&d, "public", &err), OUTCOME_DONE);
	cr_assert_eq(keys_create(&d, "village", &err), OUTCOME_DONE);
	replace(&d, "public", "pb1.somebody.else\n");
	expect_config(&d, "village", "does not belong");
	cr_assert_eq(file_remove(&d, "public", &err), OUTCOME_DONE);
	cr_assert_eq(keys_load(&keys, &d, "village", &err), OUTCOME_DONE, "the secret file is enough");
	keys_release(&keys);
	buf_release(&secret);
	scratch_close(&d);
}

Test(keys, loose_permissions_are_told)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;

	cr_assert_eq(keys_create(&d, "village", &err), OUTCOME_DONE);
	cr_assert_eq(keys_check_mode(&d, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(fchmodat(d.fd, "secret", 0640, 0), 0);
	cr_assert_neq(keys_check_mode(&d, &err), OUTCOME_DONE);
	cr_assert_eq(err.code, EX_NOPERM);
	cr_assert(strstr(err.text, "chmod 600") != NULL);
	cr_assert_eq(fchmodat(d.fd, "secret", 0600, 0), 0);
	cr_assert_eq(fchmod(d.fd, 0755), 0);
	cr_assert_neq(keys_check_mode(&d, &err), OUTCOME_DONE);
	cr_assert_eq(err.code, EX_NOPERM);
	cr_assert(strstr(err.text, "chmod 700") != NULL);
	scratch_close(&d);
}
