#include "relay/carrier.h"

#include "tests/unit/relay_kit.h"

#define TO_B "route \"*\" { via = \"neighbour:b\" }\n"

static struct net pair(void)
{
	struct net net = net_open();

	net_host(&net, "a", "b", TO_B);
	net_host(&net, "b", "a", "route \"*\" { via = \"neighbour:a\" }\n");
	return net;
}

static char *on_stick(const struct net *net, const char *path)
{
	return mem_format("%s/stick/%s", net->root, path);
}

static bool stands(const struct net *net, const char *path)
{
	char *full = on_stick(net, path);
	bool there = access(full, F_OK) == 0;

	free(full);
	return there;
}

Test(carrier, addresses)
{
	cr_expect_str_eq(carrier_path("dir:/media/stick"), "/media/stick");
	cr_expect_str_eq(carrier_path("dir:relative"), "relative");
	cr_expect_null(carrier_path("tcp:host:5400"));
	cr_expect_null(carrier_path("exec:ssh host"));
	cr_expect_null(carrier_path("directory:/x"));
}

Test(carrier, what_is_for_others_is_left_alone)
{
	static const char *const others[] = {"c/z.aaaaaaa.1.pb", "c/a.aaaaaaa.1.pb", "b/z.aaaaaaa.1.pb",
	    "b/a.aaaaaaa.1.pb.part", "b/photo.jpg", "b/ab.aaaaaaa.1.pb", "readme.txt", "a/photo.jpg",
	    "a/z.aaaaaaa.1.pb"};
	struct net net = pair();
	char *dirs[] = {on_stick(&net, "a"), on_stick(&net, "b"), on_stick(&net, "c")};

	for (size_t i = 0; i < 3; i++) {
		mkdir(dirs[i], 0700);
		free(dirs[i]);
	}
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
		char *name = mem_format("stick/%s", others[i]);

		kit_put(net.root, name, "somebody else's");
		free(name);
	}
	net_send(&net, "a", "joe@a.example.org", "joe@b.example.org");
	for (int i = 0; i < 3; i++) {
		net_pass(&net, "a");
		net_pass(&net, "b");
	}
	net_expect_mails(&net, "b", "joe", 1);
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		cr_expect(stands(&net, others[i]), "%s", others[i]);
	cr_expect_eq(net_log(&net, "a", "no neighbours"), 1, "said once");
	net_expect(&net, "a", "corrupt", 0);
	net_expect(&net, "b", "corrupt", 0);
	net_close(&net);
}

/* Our own leftovers of another incarnation, and what is acknowledged, go. */
Test(carrier, own_leftovers_are_tidied)
{
	struct net net = pair();
	char *dir = on_stick(&net, "b");

	mkdir(dir, 0700);
	free(dir);
	kit_put(net.root, "stick/b/a.aaaaaaa.7.pb", "old");
	net_pass(&net, "a");
	cr_expect_not(stands(&net, "b/a.aaaaaaa.7.pb"));
	net_close(&net);
}

Test(carrier, the_wrong_stick_is_told_once)
{
	struct net net = pair();
	char *dir = on_stick(&net, "c");

	mkdir(dir, 0700);
	free(dir);
	kit_put(net.root, "stick/c/z.aaaaaaa.1.pb", "x");
	for (int i = 0; i < 3; i++)
		net_pass(&net, "a");
	cr_expect_eq(net_log(&net, "a", "holds nothing for a, but 1 for c"), 1, "%zu",
	    net_log(&net, "a", "holds nothing for a, but 1 for c"));
	net_close(&net);
}

Test(carrier, a_host_whose_name_goes_on_is_another)
{
	struct net net = pair();
	char *dir = on_stick(&net, "c");

	mkdir(dir, 0700);
	free(dir);
	kit_put(net.root, "stick/c/a.aaaaaaa.1.pb", "x");
	net_pass(&net, "a");
	cr_expect_eq(net_log(&net, "a", " notice "), 0, "what it has left there itself");
	kit_put(net.root, "stick/c/a2.aaaaaaa.1.pb", "x");
	net_pass(&net, "a");
	cr_expect_eq(net_log(&net, "a", "holds nothing for a, but 1 for c"), 1);
	net_close(&net);
}

/* ---- sticks that come and go ----------------------------------------------------------------------------------- */

static void swap(const struct net *net)
{
	char *one = mem_format("%s/stick", net->root);
	char *two = mem_format("%s/other", net->root);
	char *three = mem_format("%s/third", net->root);

	mkdir(two, 0700);
	cr_assert_eq(rename(one, three), 0);
	cr_assert_eq(rename(two, one), 0);
	cr_assert_eq(rename(three, two), 0);
	free(one);
	free(two);
	free(three);
}

Test(carrier, a_second_stick_gets_everything_too)
{
	struct net net = pair();

	net_send(&net, "a", "joe@a.example.org", "joe@b.example.org");
	net_pass(&net, "a");
	swap(&net);
	net_pass(&net, "a");
	cr_expect_eq(net_stick(&net, "b", NULL), 1, "the second stick");
	net_pass(&net, "b");
	swap(&net);
	cr_expect_eq(net_stick(&net, "b", NULL), 1, "the first stick");
	net_pass(&net, "b");
	net_expect_mails(&net, "b", "joe", 1);
	net_pass(&net, "a");
	net_expect_idle(&net, "a");
	net_close(&net);
}

static void shift_clock(int64_t seconds)
{
	char *text = mem_format("%lld", (long long)seconds);

	cr_assert_eq(setenv("PACKETBOAT_CLOCK_OFFSET", text, 1), 0);
	free(text);
}

/* Taken away on the same stick, without a word from the other side: again after the time to resend. */
Test(carrier, sent_again_when_nobody_answers)
{
	struct net net = pair();
	char *file;

	net_send(&net, "a", "joe@a.example.org", "joe@b.example.org");
	net_pass(&net, "a");
	cr_assert_eq(net_stick(&net, "b", &file), 1);
	cr_assert_eq(unlink(file), 0);
	net_pass(&net, "a");
	cr_expect_eq(net_stick(&net, "b", NULL), 0, "not yet");
	shift_clock(86400 + 60);
	net_pass(&net, "a");
	cr_expect_eq(net_stick(&net, "b", NULL), 1, "after a day");
	net_pass(&net, "b");
	net_expect_mails(&net, "b", "joe", 1);
	free(file);
	net_close(&net);
}

/* The other side is there, and did not say that it has it: at once. */
Test(carrier, sent_again_when_the_neighbour_is_heard)
{
	struct net net = pair();
	char *file;

	net_send(&net, "a", "joe@a.example.org", "joe@b.example.org");
	net_pass(&net, "a");
	cr_assert_eq(net_stick(&net, "b", &file), 1);
	cr_assert_eq(unlink(file), 0);
	net_send(&net, "b", "joe@b.example.org", "joe@a.example.org");
	net_pass(&net, "b");
	net_pass(&net, "a");
	cr_expect_eq(net_stick(&net, "b", NULL), 2, "the batch, and the acknowledgement of the other's");
	net_pass(&net, "b");
	net_expect_mails(&net, "b", "joe", 1);
	net_expect_mails(&net, "a", "joe", 1);
	free(file);
	net_close(&net);
}

/* Damage is seen when the file has lain there for the time to resend; before that, when it is read. */
Test(carrier, a_damaged_file_is_written_anew)
{
	for (int where = 0; where < 4; where++) {
		struct net net = pair();
		struct envelope e = kit_envelope("joe@a.example.org", "joe@b.example.org");
		struct buf noise;
		struct stat st;
		char *file;
		int fd;

		buf_init(&noise, 100000);
		for (uint32_t i = 0, x = 1; i < 60000; i++, x = x * 1103515245 + 12345)
			buf_byte(&noise, (uint8_t)('!' + (x >> 16) % 90));
		buf_text(&noise, "\r\n");
		net_hand(&net, "a", &e, buf_string(&noise));
		net_pass(&net, "a");
		cr_assert_eq(net_stick(&net, "b", &file), 1);
		cr_assert_eq(stat(file, &st), 0);
		cr_assert_gt(st.st_size, 20000);
		fd = open(file, O_WRONLY);
		cr_assert_eq(pwrite(fd, "XYZ", 3,
				 where == 0   ? 20
				 : where == 1 ? st.st_size - 10
					      : st.st_size / 2),
		    3);
		close(fd);
		if (where < 3) {
			shift_clock(86400 + 60);
			net_pass(&net, "a");
		}
		net_try(&net, "b");
		net_expect_mails(&net, "b", "joe", where < 3 ? 1 : 0);
		net_pass(&net, "a");
		net_try(&net, "b");
		net_expect_mails(&net, "b", "joe", 1);
		net_pass(&net, "a");
		net_expect_idle(&net, "a");
		net_expect(&net, "b", "corrupt", where < 3 ? 0 : 2);
		free(file);
		buf_release(&noise);
		envelope_release(&e);
		shift_clock(0);
		net_close(&net);
	}
}

/* ---- media that do not work ------------------------------------------------------------------------------------ */

Test(carrier, a_missing_stick_is_later_and_said_once)
{
	struct net net = pair();
	char *one = mem_format("%s/stick", net.root);
	char *two = mem_format("%s/pulled", net.root);

	net_send(&net, "a", "joe@a.example.org", "joe@b.example.org");
	cr_assert_eq(rename(one, two), 0);
	cr_expect_eq(net_try(&net, "a") == OUTCOME_DONE, false);
	cr_expect_not_null(strstr(net.err.text, "stick"), "%s", net.err.text);
	net_expect(&net, "a", "out", 1);
	cr_expect_eq(net_try(&net, "a"), OUTCOME_DONE, "nothing new: %s", net.err.text);
	cr_expect_not(access(one, F_OK) == 0, "the mount point is not made");
	cr_assert_eq(rename(two, one), 0);
	net_pass(&net, "a");
	net_pass(&net, "b");
	net_expect_mails(&net, "b", "joe", 1);
	free(one);
	free(two);
	net_close(&net);
}

/* Where a file should be made stands a directory: as good as read-only, also for root. */
Test(carrier, what_cannot_be_written_is_later)
{
	struct net net = pair();
	char *path;

	net_send(&net, "a", "joe@a.example.org", "joe@b.example.org");
	path = on_stick(&net, "b");
	kit_put(net.root, "stick/b", "a file in the way");
	cr_expect_neq(net_try(&net, "a"), OUTCOME_DONE);
	net_expect(&net, "a", "out", 1);
	net_expect(&net, "a", "queue/neighbour-b", 1);
	net_expect(&net, "a", "tmp", 0);
	cr_assert_eq(unlink(path), 0);
	net_pass(&net, "a");
	net_pass(&net, "b");
	net_expect_mails(&net, "b", "joe", 1);
	free(path);
	net_close(&net);
}

/* The receiver cannot take the file away: next time it is a duplicate, and so on. */
Test(carrier, a_stick_that_keeps_everything)
{
	struct net net = pair();

	net_send(&net, "a", "joe@a.example.org", "joe@b.example.org");
	net_pass(&net, "a");
	net_copy(&net, "stick", "kept");
	for (int i = 0; i < 4; i++) {
		net_pass(&net, "b");
		net_copy(&net, "kept/.", "stick");
	}
	net_expect_mails(&net, "b", "joe", 1);
	net_expect(&net, "b", "corrupt", 0);
	net_expect_idle(&net, "b");
	net_close(&net);
}

/* A stick id that somebody emptied. */
Test(carrier, two_sticks_with_empty_ids_are_two_sticks)
{
	struct net net = pair();

	kit_put(net.root, "stick/packetboat.id", "");
	net_send(&net, "a", "joe@a.example.org", "joe@b.example.org");
	net_pass(&net, "a");
	swap(&net);
	kit_put(net.root, "stick/packetboat.id", "");
	net_pass(&net, "a");
	cr_expect_eq(net_stick(&net, "b", NULL), 1);
	net_close(&net);
}

Test(carrier, names_on_the_stick_are_fit_for_fat)
{
	struct net net = pair();
	char *file;

	net_send(&net, "a", "joe@a.example.org", "joe@b.example.org");
	net_pass(&net, "a");
	cr_assert_eq(net_stick(&net, "b", &file), 1);
	for (const char *c = strrchr(file, '/') + 1; *c != '\0'; c++)
		cr_expect(strchr("abcdefghijklmnopqrstuvwxyz0123456789-.", *c) != NULL, "%s", file);
	cr_expect_leq(strlen(strrchr(file, '/') + 1), 64);
	cr_expect_null(strstr(file, ".new"));
	free(file);
	net_close(&net);
}

/* ---- by hand ------------------------------------------------------------------------------------------------------ */

Test(carrier, export_and_import)
{
	struct net net = pair();
	struct relay r;
	char *dir = mem_format("%s/hand", net.root);

	mkdir(dir, 0700);
	net_send(&net, "a", "joe@a.example.org", "joe@b.example.org");
	net_done(&net, net_relay(&net, "a", &r));
	net_done(&net, pass_export(&r, "b", dir, &net.err));
	cr_expect_neq(pass_export(&r, "nobody", dir, &net.err), OUTCOME_DONE);
	relay_close(&r);
	net_done(&net, net_relay(&net, "b", &r));
	net_done(&net, pass_import(&r, dir, &net.err));
	relay_close(&r);
	net_expect_mails(&net, "b", "joe", 1);
	net_done(&net, net_relay(&net, "b", &r));
	cr_expect_neq(pass_import(&r, dir, &net.err), OUTCOME_DONE, "nothing there any more");
	cr_expect_eq(net.err.code, EX_NOINPUT);
	relay_close(&r);
	free(dir);
	net_close(&net);
}
