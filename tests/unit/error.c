#include <criterion/criterion.h>
#include <errno.h>

#include "lib/error.h"

Test(error, codes_and_outcomes)
{
	static const struct {
		int code;
		enum outcome outcome;
	} rows[] = {
	    {EX_OK, OUTCOME_DONE},
	    {EX_TEMPFAIL, OUTCOME_LATER},
	    {EX_IOERR, OUTCOME_LATER},
	    {EX_OSERR, OUTCOME_LATER},
	    {EX_CANTCREAT, OUTCOME_LATER},
	    {EX_NOPERM, OUTCOME_LATER},
	    {EX_CONFIG, OUTCOME_LATER},
	    {EX_DATAERR, OUTCOME_NEVER},
	    {EX_NOUSER, OUTCOME_NEVER},
	    {EX_NOHOST, OUTCOME_NEVER},
	    {EX_USAGE, OUTCOME_NEVER},
	    {EX_NOINPUT, OUTCOME_NEVER},
	    {EX_PROTOCOL, OUTCOME_NEVER},
	    {EX_SOFTWARE, OUTCOME_NEVER},
	    {1, OUTCOME_NEVER},
	    {-1, OUTCOME_NEVER},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct error err = ERROR_NONE;

		cr_assert_eq(outcome_of_exit(rows[i].code), rows[i].outcome, "code %d", rows[i].code);
		cr_assert_eq(error_set(&err, rows[i].code, "x"), rows[i].outcome);
		cr_assert_eq(err.outcome, rows[i].outcome);
		cr_assert_eq(err.code, rows[i].code);
		cr_assert_eq(error_set(NULL, rows[i].code, "x"), rows[i].outcome);
	}
}

Test(error, errnos)
{
	static const struct {
		int errnum;
		int code;
		enum outcome outcome;
	} rows[] = {
	    {0, EX_OK, OUTCOME_DONE},
	    {ENOSPC, EX_TEMPFAIL, OUTCOME_LATER},
	    {EDQUOT, EX_TEMPFAIL, OUTCOME_LATER},
	    {EROFS, EX_TEMPFAIL, OUTCOME_LATER},
	    {EIO, EX_TEMPFAIL, OUTCOME_LATER},
	    {EMFILE, EX_TEMPFAIL, OUTCOME_LATER},
	    {ESTALE, EX_TEMPFAIL, OUTCOME_LATER},
	    {EACCES, EX_NOPERM, OUTCOME_LATER},
	    {EPERM, EX_NOPERM, OUTCOME_LATER},
	    {EEXIST, EX_CANTCREAT, OUTCOME_LATER},
	    {ENOENT, EX_NOINPUT, OUTCOME_NEVER},
	    {ENOTDIR, EX_NOINPUT, OUTCOME_NEVER},
	    {ELOOP, EX_DATAERR, OUTCOME_NEVER},
	    {ENAMETOOLONG, EX_DATAERR, OUTCOME_NEVER},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct error err = ERROR_NONE;

		cr_assert_eq(exit_of_errno(rows[i].errnum), rows[i].code, "errno %d", rows[i].errnum);
		cr_assert_eq(outcome_of_errno(rows[i].errnum), rows[i].outcome, "errno %d", rows[i].errnum);
		cr_assert_eq(error_errno(&err, rows[i].errnum, "cannot %s", "x"), rows[i].outcome);
		cr_assert_eq(err.code, rows[i].code);
		cr_assert_eq(err.outcome, rows[i].outcome);
		cr_assert_eq(error_errno(NULL, rows[i].errnum, "x"), rows[i].outcome);
	}
}

Test(error, sentences)
{
	struct error err = ERROR_NONE;

	error_errno(&err, ENOSPC, "cannot write %s", "a/b");
	cr_assert_str_eq(err.text, "cannot write a/b: No space left on device");
	cr_assert_eq(error_context(&err, "message %d", 7), OUTCOME_LATER);
	cr_assert_str_eq(err.text, "message 7: cannot write a/b: No space left on device");
	cr_assert_eq(err.code, EX_TEMPFAIL);
	error_set(&err, EX_DATAERR, "%s", "new");
	cr_assert_str_eq(err.text, "new", "replaced, not added");
	cr_assert_eq(error_context(&err, "on the way"), OUTCOME_NEVER);
	error_context(NULL, "x");
	cr_assert_str_eq(outcome_name(OUTCOME_DONE), "done");
	cr_assert_str_eq(outcome_name(OUTCOME_LATER), "later");
	cr_assert_str_eq(outcome_name(OUTCOME_NEVER), "never");
}

Test(error, long_sentences_are_cut)
{
	char large[3000];
	struct error err = ERROR_NONE;

	memset(large, 'x', sizeof large - 1);
	large[sizeof large - 1] = '\0';
	error_set(&err, EX_DATAERR, "%s", large);
	cr_assert_eq(strlen(err.text), sizeof err.text - 1);
	error_errno(&err, EIO, "%s", large);
	cr_assert_eq(strlen(err.text), sizeof err.text - 1);
	for (int i = 0; i < 100; i++)
		error_context(&err, "%.20s", large);
	cr_assert_eq(strlen(err.text), sizeof err.text - 1);
	cr_assert_eq(err.code, EX_TEMPFAIL);
}
