/*
 * The command line of link.c.
 */
#ifndef TESTS_SUPPORT_LINK_SETTINGS_H
#define TESTS_SUPPORT_LINK_SETTINGS_H

#include <err.h>
#include <getopt.h>
#include <sysexits.h>

#include "lib/text.h"
#include "tests/support/link_line.h"

#define LEAST_BUFFER	256
#define MOST_BUFFER	((size_t)4 << 20)
#define FREE_BUFFER	((size_t)256 << 10) /* of a line without a rate */
#define FREE_FLIGHT	((size_t)64 << 20)  /* and what may be on its way, when it has a delay */
#define FLIGHT_SLACK	64		    /* octets beyond what a line with a rate has on its way */
#define MOST_RATE	UINT64_C(1000000000000)
#define MOST_OCTETS	((uint64_t)1 << 40)
#define MOST_MS		1e9
#define MOST_SPEED	1e4
#define PIECES_A_SECOND 1000 /* of real time: how often a busy line wakes up */
#define KERNEL_SHARE	20   /* the kernel may hold so much of a second (real time) of a line with a rate */

/* A number of octets delivered, of one direction or (WAYS) of both together; 0 octets: never. */
struct mark {
	int way;
	uint64_t octets;
};

struct settings {
	uint64_t rates[WAYS]; /* bits a second */
	size_t buffers[WAYS];
	int64_t delay, turn, quiet, hold, cut_time; /* nanoseconds of simulated time; cut_time NEVER */
	bool half_duplex;
	double speed;
	struct mark cut, stall, corrupt;
	uint64_t random_seed, random_mean; /* mean 0: no random cuts */
	bool cut_with_fin, keep_tail, one_at_a_time;
	const char *report, *log;
	const char *near;
	const char *far; /* the address, or null: */
	char **program;
};

/* Those of this process. */
static struct settings settings;

static const char *const usage_text =
    "usage: link [--rate BITS] [--rate-back BITS] [--buffer OCTETS] [--delay MS]\n"
    "	[--half-duplex] [--turn MS] [--quiet MS] [--hold MS] [--speed FACTOR]\n"
    "	[--cut-after [forth:|back:]N] [--cut-random SEED,MEAN] [--cut-time MS] [--cut-with rst|fin]\n"
    "	[--drop-tail|--keep-tail] [--stall-after [forth:|back:]N] [--corrupt [forth:|back:]N]\n"
    "	[--one-at-a-time] [--report FILE] [--log FILE]\n"
    "	0|HOST:PORT|PATH|- HOST:PORT|PATH|exec:PROGRAM [ARG...]";

enum option_code {
	OPTION_RATE = 1,
	OPTION_RATE_BACK,
	OPTION_BUFFER,
	OPTION_DELAY,
	OPTION_HALF_DUPLEX,
	OPTION_TURN,
	OPTION_QUIET,
	OPTION_HOLD,
	OPTION_SPEED,
	OPTION_CUT_AFTER,
	OPTION_CUT_RANDOM,
	OPTION_CUT_TIME,
	OPTION_CUT_WITH,
	OPTION_DROP_TAIL,
	OPTION_KEEP_TAIL,
	OPTION_STALL_AFTER,
	OPTION_CORRUPT,
	OPTION_ONE_AT_A_TIME,
	OPTION_REPORT,
	OPTION_LOG,
};

static const struct option long_options[] = {
    {"rate", required_argument, NULL, OPTION_RATE},
    {"rate-back", required_argument, NULL, OPTION_RATE_BACK},
    {"buffer", required_argument, NULL, OPTION_BUFFER},
    {"delay", required_argument, NULL, OPTION_DELAY},
    {"half-duplex", no_argument, NULL, OPTION_HALF_DUPLEX},
    {"turn", required_argument, NULL, OPTION_TURN},
    {"quiet", required_argument, NULL, OPTION_QUIET},
    {"hold", required_argument, NULL, OPTION_HOLD},
    {"speed", required_argument, NULL, OPTION_SPEED},
    {"cut-after", required_argument, NULL, OPTION_CUT_AFTER},
    {"cut-random", required_argument, NULL, OPTION_CUT_RANDOM},
    {"cut-time", required_argument, NULL, OPTION_CUT_TIME},
    {"cut-with", required_argument, NULL, OPTION_CUT_WITH},
    {"drop-tail", no_argument, NULL, OPTION_DROP_TAIL},
    {"keep-tail", no_argument, NULL, OPTION_KEEP_TAIL},
    {"stall-after", required_argument, NULL, OPTION_STALL_AFTER},
    {"corrupt", required_argument, NULL, OPTION_CORRUPT},
    {"one-at-a-time", no_argument, NULL, OPTION_ONE_AT_A_TIME},
    {"report", required_argument, NULL, OPTION_REPORT},
    {"log", required_argument, NULL, OPTION_LOG},
    {0},
};

static _Noreturn void usage(void)
{
	errx(EX_USAGE, "%s", usage_text);
}

static uint64_t option_number(struct view v, uint64_t least, uint64_t most)
{
	uint64_t number = 0;

	if (!number_parse(v, most, &number) || number < least)
		errx(EX_USAGE, "%.*s is no number from %llu to %llu", (int)v.length, (const char *)v.bytes,
		    (unsigned long long)least, (unsigned long long)most);
	return number;
}

static double option_decimal(const char *text, double most)
{
	char *end;
	double number = strtod(text, &end);

	if (end == text || *end != '\0' || !(number >= 0 && number <= most))
		errx(EX_USAGE, "%s is no number from 0 to %g", text, most);
	return number;
}

static int64_t option_ms(const char *text)
{
	return (int64_t)(option_decimal(text, MOST_MS) * 1e6);
}

static struct mark option_mark(const char *text)
{
	struct view v = view_text(text);
	struct mark m = {.way = WAYS};

	if (text_starts(text, "forth:"))
		m.way = FORTH;
	else if (text_starts(text, "back:"))
		m.way = BACK;
	if (m.way != WAYS)
		v = view_text(strchr(text, ':') + 1);
	m.octets = option_number(v, 1, MOST_OCTETS);
	return m;
}

static void option_random(const char *text, struct settings *s)
{
	const char *comma = strchr(text, ',');

	if (comma != NULL) {
		s->random_seed = option_number(view_of(text, (size_t)(comma - text)), 0, UINT64_MAX);
		s->random_mean = option_number(view_text(comma + 1), 1, MOST_OCTETS);
	} else {
		usage();
	}
}

static void settings_take_time(struct settings *s, enum option_code code, const char *value)
{
	switch (code) {
	case OPTION_DELAY:
		s->delay = option_ms(value);
		break;
	case OPTION_TURN:
		s->turn = option_ms(value);
		break;
	case OPTION_QUIET:
		s->quiet = option_ms(value);
		break;
	case OPTION_HOLD:
		s->hold = option_ms(value);
		break;
	case OPTION_CUT_TIME:
		s->cut_time = option_ms(value);
		break;
	default:
		usage();
	}
}

static void settings_take_harm(struct settings *s, enum option_code code, const char *value)
{
	switch (code) {
	case OPTION_CUT_AFTER:
		s->cut = option_mark(value);
		break;
	case OPTION_CUT_RANDOM:
		option_random(value, s);
		break;
	case OPTION_CUT_WITH:
		s->cut_with_fin = strcmp(value, "fin") == 0;
		if (!s->cut_with_fin && strcmp(value, "rst") != 0)
			usage();
		break;
	case OPTION_DROP_TAIL:
	case OPTION_KEEP_TAIL:
		s->keep_tail = code == OPTION_KEEP_TAIL;
		break;
	case OPTION_STALL_AFTER:
		s->stall = option_mark(value);
		break;
	case OPTION_CORRUPT:
		s->corrupt = option_mark(value);
		break;
	default:
		settings_take_time(s, code, value);
	}
}

static void settings_take(struct settings *s, enum option_code code, const char *value)
{
	switch (code) {
	case OPTION_RATE:
		s->rates[FORTH] = option_number(view_text(value), 1, MOST_RATE);
		break;
	case OPTION_RATE_BACK:
		s->rates[BACK] = option_number(view_text(value), 1, MOST_RATE);
		break;
	case OPTION_BUFFER:
		s->buffers[FORTH] = s->buffers[BACK] = (size_t)option_number(view_text(value), 1, FREE_FLIGHT);
		break;
	case OPTION_HALF_DUPLEX:
		s->half_duplex = true;
		break;
	case OPTION_SPEED:
		s->speed = option_decimal(value, MOST_SPEED);
		if (s->speed <= 0)
			usage();
		break;
	case OPTION_ONE_AT_A_TIME:
		s->one_at_a_time = true;
		break;
	case OPTION_REPORT:
		s->report = value;
		break;
	case OPTION_LOG:
		s->log = value;
		break;
	default:
		settings_take_harm(s, code, value);
	}
}

/* One second of the line. */
static size_t default_buffer(uint64_t rate)
{
	uint64_t second = rate / OCTET;

	if (rate == 0)
		return FREE_BUFFER;
	if (second < LEAST_BUFFER)
		return LEAST_BUFFER;
	return second < MOST_BUFFER ? (size_t)second : MOST_BUFFER;
}

static void settings_parse(struct settings *s, int argc, char **argv)
{
	int code;

	*s = (struct settings){.speed = 1, .quiet = -1, .cut_time = NEVER};
	/* What comes behind the addresses is the program's. */
	while ((code = getopt_long(argc, argv, "+", long_options, NULL)) != -1) {
		if (code == '?')
			usage();
		settings_take(s, (enum option_code)code, optarg);
	}
	if (s->rates[BACK] == 0)
		s->rates[BACK] = s->rates[FORTH];
	for (int i = 0; i < WAYS; i++) {
		if (s->buffers[i] == 0)
			s->buffers[i] = default_buffer(s->rates[i]);
	}
	if (s->quiet < 0)
		s->quiet = s->turn / 10;
	if (argc - optind < 2)
		usage();
	s->near = argv[optind++];
	if (text_starts(argv[optind], "exec:")) {
		s->program = argv + optind;
		s->program[0] += strlen("exec:");
	} else if (argc - optind == 1) {
		s->far = argv[optind];
	} else {
		usage();
	}
}

/* Octets of way I that the line carries in a second of real time; 0: without limit. */
static double settings_real_rate(const struct settings *s, int i)
{
	return (double)s->rates[i] / OCTET * s->speed;
}

/* Sets up the line of a new connection. */
static void settings_line(const struct settings *s, struct line *l)
{
	*l = (struct line){
	    .half_duplex = s->half_duplex,
	    .turn = s->turn,
	    .quiet = s->quiet,
	    .hold = s->hold,
	    .owner = NOBODY,
	};
	for (int i = 0; i < WAYS; i++) {
		struct way *w = &l->ways[i];
		size_t at_once = (size_t)(settings_real_rate(s, i) / PIECES_A_SECOND) + 1;
		double on_its_way = (double)s->rates[i] / OCTET * ((double)s->delay / SECOND);

		w->rate = s->rates[i];
		w->delay = s->delay;
		w->buffer = s->buffers[i];
		if (w->rate == 0)
			way_init(w, SIZE_MAX, s->delay == 0 ? w->buffer : FREE_FLIGHT);
		else
			way_init(w, at_once, (size_t)on_its_way + 2 * at_once + FLIGHT_SLACK);
	}
}

#endif
