#include <criterion/criterion.h>

#include "lib/text.h"
#include "tools/command.h"
#include "tools/command_route.h"
#include "tools/dropin.h"
#include "tools/fsck.h"
#include "tools/health.h"

static const struct command command = {"list", NULL, NULL, "[--json]", "lists", ""};

struct parsed {
	struct tool tool;
	bool json;
	const char *hop;
	struct strings calls;
	uint64_t older;
	bool follow;
	const char *lines;
	struct error err;
	enum outcome outcome;
};

/* Parses WORDS (separated by spaces) as the operands of a command with one option of each kind. */
static struct parsed parse(const char *words, int least, int most)
{
	static char text[10][400];
	static char *argv[40];
	static int turn;
	struct parsed p = {.tool = {.command = &command}, .err = ERROR_NONE};
	const struct tool_option options[] = {{"json", OPTION_FLAG, &p.json}, {"hop", OPTION_TEXT, &p.hop},
	    {"call", OPTION_TEXTS, &p.calls}, {"older", OPTION_TIME, &p.older}, {"f", OPTION_FLAG, &p.follow},
	    {"n", OPTION_TEXT, &p.lines}};
	char *copy = text[turn++ % 10];
	char *rest;

	snprintf(copy, sizeof text[0], "list %s", words);
	for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
		argv[p.tool.count++] = word;
	argv[p.tool.count] = NULL;
	p.tool.words = argv;
	p.outcome = tool_options(&p.tool, options, 6, least, most, "an id", &p.err);
	return p;
}

Test(command_words, options_may_stand_anywhere)
{
	struct parsed p =
	    parse("one --json two --hop city -v --call a --call=b --older 2h - -c x.conf -f -n 5", 0, -1);

	cr_assert_eq(p.outcome, OUTCOME_DONE, "%s", p.err.text);
	cr_expect(p.json && p.follow && p.tool.verbose);
	cr_expect_str_eq(p.hop, "city");
	cr_expect_eq(p.older, 7200);
	cr_assert_eq(p.calls.count, 2);
	cr_expect_str_eq(p.calls.items[1], "b");
	cr_expect_str_eq(p.tool.given, "x.conf");
	/* A command's own -n goes before the general one. */
	cr_expect_str_eq(p.lines, "5");
	cr_expect_not(p.tool.dry_run);
	cr_assert_eq(p.tool.count, 3);
	cr_expect_str_eq(p.tool.words[0], "one");
	cr_expect_str_eq(p.tool.words[2], "-");
	strings_release(&p.calls);
}

Test(command_words, faults_are_usage_with_one_sentence)
{
	static const struct {
		const char *words;
		const char *says;
	} table[] = {
	    {"--frobnicate", "--frobnicate"},
	    {"-z", "-z"},
	    {"--hop", "--hop"},
	    {"one --older soon", "soon"},
	    {"", "an id"},
	    {"one two three", "three"},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct parsed p = parse(table[i].words, 1, 2);

		cr_expect_neq(p.outcome, OUTCOME_DONE, "%s", table[i].words);
		cr_expect_eq(p.err.code, EX_USAGE);
		cr_expect_not_null(strstr(p.err.text, table[i].says), "%s", p.err.text);
		cr_expect_not_null(strstr(p.err.text, "usage: packetboat list"), "%s", p.err.text);
		cr_expect_null(strchr(p.err.text, '\n'));
	}
}

Test(command_words, help_is_no_fault)
{
	struct parsed p = parse("-h", 1, 1);

	cr_expect_neq(p.outcome, OUTCOME_DONE);
	cr_expect(p.tool.help);
	cr_expect_eq(p.err.outcome, OUTCOME_DONE);
}

Test(command_words, a_typing_error_finds_its_word)
{
	static const char *const names[] = {"list", "neighbour", "release", "remove", "run", "status"};
	static const struct {
		const char *word;
		const char *meant;
	} table[] = {
	    {"lst", "list"},
	    {"lsit", "list"},
	    {"neigbor", "neighbour"},
	    {"stauts", "status"},
	    {"relese", "release"},
	    {"fly", NULL},
	    {"", NULL},
	    {"a-very-long-word-that-is-no-command-at-all", NULL},
	    {"rn", "run"},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		const char *near = tool_nearest(table[i].word, names, sizeof names / sizeof names[0]);

		if (table[i].meant == NULL)
			cr_expect_null(near, "%s", table[i].word);
		else
			cr_expect(near != NULL && strcmp(near, table[i].meant) == 0, "%s", table[i].word);
	}
}

Test(command_words, directories_of_batches)
{
	static const char *const bad[] = {"", "due-4", "batch-", "batch-4", "batch-abcdefa", "batch-abcdefa-",
	    "batch-abcdefa-x", "batch-ABCDEFA-1", "batch-abcdefa.1"};
	uint32_t incarnation;
	uint64_t sequence;

	cr_assert(within_batch("batch-abcdefa-4", &incarnation, &sequence));
	cr_expect_eq(sequence, 4);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_expect_not(within_batch(bad[i], &incarnation, &sequence), "%s", bad[i]);
	cr_expect_str_eq(hop_neighbour("neighbour-city"), "city");
	cr_expect_null(hop_neighbour("local"));
}

Test(command_words, routes_stand_in_the_order_of_asking)
{
	char host[] = "village";
	char home[] = "v.example";
	char *domains[] = {home};
	char patterns[5][20] = {"*", "*.b", "x@v.example", "*.a.b", "a.b"};
	char name[] = "city";
	char where[] = "f:1";
	struct config_route routes[5];
	struct config_neighbour neighbour = {.name = name, .where = where};
	struct config c = {
	    .host = host, .routes = routes, .route_count = 5, .neighbours = &neighbour, .neighbour_count = 1};
	static const char *const wanted[] = {
	    "x@v.example", "a.b", "v.example", "village", "city", "*.a.b", "*.b", "*"};
	struct route_lines lines;

	c.domains = (struct strings){domains, 1, 1};
	for (size_t i = 0; i < 5; i++)
		routes[i] = (struct config_route){.pattern = patterns[i], .via = VIA_SMTP, .where = where};
	route_lines_make(&c, &lines);
	cr_assert_eq(lines.count, sizeof wanted / sizeof wanted[0]);
	for (size_t i = 0; i < lines.count; i++)
		cr_expect_str_eq(lines.items[i].pattern, wanted[i]);
	route_lines_release(&lines);
}

Test(command_words, a_written_route_takes_the_place_of_our_own)
{
	char host[] = "village";
	char home[] = "v.example";
	char pattern[] = "V.Example";
	char where[] = "f:1";
	char *domains[] = {home};
	struct config_route route = {.pattern = pattern, .via = VIA_SMTP, .where = where};
	struct config c = {.host = host, .routes = &route, .route_count = 1};
	struct route_lines lines;

	c.domains = (struct strings){domains, 1, 1};
	route_lines_make(&c, &lines);
	cr_assert_eq(lines.count, 2); /* the route and the host's name */
	cr_expect_str_eq(lines.items[0].pattern, "V.Example");
	route_lines_release(&lines);
}

Test(command_words, drop_in_files_have_safe_names_and_quotes)
{
	static const struct {
		const char *pattern;
		const char *file;
	} table[] = {{"*", "route-any.conf"}, {"*.Example.org", "route-any.example.org.conf"},
	    {"a@b.c", "route-a_40b.c.conf"}, {"../x", "route-.._2fx.conf"}};
	struct buf out;

	buf_init(&out, 1000);
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		buf_clear(&out);
		dropin_name("route", table[i].pattern, &out);
		cr_expect_str_eq(buf_string(&out), table[i].file);
	}
	buf_clear(&out);
	dropin_quote(&out, "it's ${HOME} \\ \"x\"");
	cr_expect_str_eq(buf_string(&out), "'it\\'s ${HOME} \\\\ \"x\"'");
	buf_release(&out);
}

Test(command_words, a_recipient_in_two_records_is_found)
{
	uint32_t first[] = {0, 4};
	uint32_t second[] = {1, 2};
	uint32_t third[] = {3, 2};
	struct fsck_record records[] = {{.waits = true, .indices = first, .count = 2},
	    {.waits = true, .indices = second, .count = 2}, {.waits = false, .indices = third, .count = 2}};
	uint32_t index = 99;

	cr_expect_not(fsck_doubled(records, 3, &index), "what does not count is no double");
	records[2].waits = true;
	cr_assert(fsck_doubled(records, 3, &index));
	cr_expect_eq(index, 2);
	cr_expect_not(fsck_doubled(records, 0, &index));
}

static void hear(void *context, enum health_level level, const char *sentence)
{
	struct buf *all = context;

	buf_format(all, "%d %s\n", (int)level, sentence);
}

Test(command_words, clocks)
{
	struct age good = {.wall = 1795402279};
	struct age old = {.wall = 315619200};
	struct age jumped = {.wall = 1795402279, .jumped = -7200, .jumped_at = 1795402000};
	struct age long_ago = {.wall = 1795402279, .jumped = -7200, .jumped_at = 1790000000};
	struct buf all;
	char *text;

	buf_init(&all, 10000);
	health_clock(&good, hear, &all);
	health_clock(&long_ago, hear, &all);
	cr_expect_eq(all.length, 0, "%s", buf_string(&all));
	health_clock(&old, hear, &all);
	cr_expect_not_null(strstr(buf_string(&all), "1980"));
	buf_clear(&all);
	health_clock(&jumped, hear, &all);
	cr_expect_not_null(strstr(buf_string(&all), "jumped back by 2h"), "%s", buf_string(&all));
	cr_expect_not_null(
	    strstr(buf_string(&all), "and this is said until 2026-11-30T02:46:40Z"), "%s", buf_string(&all));
	buf_release(&all);
	cr_expect_null(clock_apart_text(3599));
	cr_expect_null(clock_apart_text(-3599));
	text = clock_apart_text(INT64_MIN);
	cr_expect_not_null(text);
	free(text);
	text = clock_apart_text(7200);
	cr_expect_str_eq(text, "2h ahead of ours");
	free(text);
}
