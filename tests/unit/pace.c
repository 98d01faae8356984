#include "lib/pace.h"

#include <criterion/criterion.h>

Test(pace, nothing_is_measured_before_it_begins)
{
	struct pace p = {0};

	pace_count(&p, 1);
	cr_expect_not(pace_lags(&p, 1, UINT64_MAX));
	cr_expect_not(pace_lags(&p, 0, UINT64_MAX));
	pace_rest(&p, 1);
	cr_expect_not(pace_lags(&p, 1, UINT64_MAX));
}

Test(pace, an_answer_has_its_time_whatever_comes)
{
	struct pace p = {0};

	pace_begin(&p, 5000);
	cr_expect_not(pace_lags(&p, 2, 5000));
	cr_expect_not(pace_lags(&p, 2, 4000), "a clock that is not steady");
	cr_expect_not(pace_lags(&p, 2, 5000 + 20999));
	cr_expect(pace_lags(&p, 2, 5000 + 21000));
	pace_rest(&p, 26000);
	cr_expect_not(pace_lags(&p, 2, 26000));
}

Test(pace, after_that_it_must_come_on)
{
	struct pace p = {0};

	pace_begin(&p, 0);
	pace_count(&p, 1000);
	pace_count(&p, 1000);
	cr_expect_not(pace_lags(&p, 1, 100001));
	cr_expect(pace_lags(&p, 1, 101001));
	pace_count(&p, 20);
	cr_expect_not(pace_lags(&p, 1, 101001));
	/* A whole answer, and the next has its time again. */
	pace_begin(&p, 101001);
	cr_expect_not(pace_lags(&p, 1, 112000));
	cr_expect(pace_lags(&p, 1, 112001));
}
