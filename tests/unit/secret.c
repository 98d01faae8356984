#include "lib/secret.h"

#include "tests/unit/scratch.h"

static enum outcome read_back(const char *text, mode_t mode, char **secret, struct error *err)
{
	struct dir d = scratch_open();
	char *path = mem_format("%s/password", d.path);
	FILE *file = text == NULL ? NULL : fopen(path, "w");
	enum outcome outcome;

	if (file != NULL) {
		fputs(text, file);
		fclose(file);
		chmod(path, mode);
	}
	*err = ERROR_NONE;
	outcome = secret_read(path, secret, err);
	free(path);
	scratch_close(&d);
	return outcome;
}

Test(secret, the_first_line_is_it)
{
	static const char *const texts[] = {"a b c", "a b c\n", "a b c\r\nmore\n"};
	struct error err;
	char *secret;

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		cr_assert_eq(read_back(texts[i], 0600, &secret, &err), OUTCOME_DONE, "%s", err.text);
		cr_expect_str_eq(secret, "a b c");
		secret_free(secret);
	}
}

Test(secret, what_is_missing_open_or_empty_is_told)
{
	static const struct {
		const char *text;
		mode_t mode;
		int code;
		const char *words;
	} rows[] = {
	    {NULL, 0, EX_NOINPUT, "password"},
	    {"x\n", 0640, EX_CONFIG, "chmod 600"},
	    {"x\n", 0604, EX_CONFIG, "chmod 600"},
	    {"", 0600, EX_CONFIG, "no password"},
	    {"\nx\n", 0600, EX_CONFIG, "no password"},
	};
	struct error err;
	char *secret;

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		cr_expect_neq(read_back(rows[i].text, rows[i].mode, &secret, &err), OUTCOME_DONE);
		cr_expect_null(secret);
		cr_expect_eq(err.code, rows[i].code, "row %zu: %s", i, err.text);
		cr_expect_not_null(strstr(err.text, rows[i].words), "%s", err.text);
	}
	secret_free(NULL);
}
