#include "lib/pace.h"

#include <criterion/criterion.h>

Test(pace, nothing_is_measured_before_it_begins)
{
	struct pace p = {0};

	pace_count(&p, 1);
	cr_expect_not(pace_lags(&p, 1, UINT64_MAX));
	cr_expect_not(pace_lags(&p, 0, UINT64_MAX));
}

Test(pace, an_answer_has_its_time_whatever_comes)
{
	struct pace p = {0};

	pace_begin(&p, 5000);
	cr_expect_not(pace_lags(&p, 2, 5000));
	cr_expect_not(pace_lags(&p, 2, 4000), "a clock that is not steady");
	cr_expect_not(pace_lags(&p, 2, 5000 + 20999));
	cr_expect(pace_lags(&p, 2, 5000 + 21000));
}

Test(pace, a_whole_answer_and_the_next_has_its_time)
{
	struct pace p = {0};

	for (uint64_t now = 0; now < 200000; now += 10000) {
		pace_begin(&p, now);
		pace_count(&p, 1);
		cr_expect_not(pace_lags(&p, 1, now + 10999));
	}
	cr_expect(pace_lags(&p, 1, 201000));
}

Test(pace, one_that_takes_longer_must_come_on)
{
	struct pace p = {0};

	pace_begin(&p, 0);
	for (uint64_t now = 1000; now < 200000; now += 1000) {
		pace_count(&p, 2);
		cr_expect_not(pace_lags(&p, 1, now), "%llu", (unsigned long long)now);
	}
	pace_begin(&p, 0);
	pace_count(&p, 21);
	cr_expect(pace_lags(&p, 1, 12000));
}

Test(pace, a_burst_excuses_no_drip)
{
	struct pace p = {0};

	pace_begin(&p, 0);
	pace_count(&p, 100000000);
	cr_expect_not(pace_lags(&p, 1, 12000));
	pace_count(&p, 3);
	cr_expect_not(pace_lags(&p, 1, 22000));
	cr_expect(pace_lags(&p, 1, 23000));
}
