/*
 * The POP3 client's machine: what it says to all kinds of servers, and what it tells, however the server's words are cut.
 */
#include <criterion/criterion.h>

#include "bridge-pop3/pop3_client.h"
#include "lib/alloc.h"
#include "lib/text.h"

/*
 * What the driver does at READY: "r0 t1 d0 p1 l q" retrieves the first, asks TOP of the second, deletes the first, probes the
 * second, ends pipelining, quits; and what stands behind "/" when a message is whole.
 */
struct play {
	const char *name;
	struct pop3_client_options options;
	const char *requests;
	const char *server;
	const char *said; /* by the client, CRLF as | */
	const char *told; /* events, each with a blank behind it */
};

struct run {
	struct pop3_client client;
	const struct play *play;
	struct buf said;
	struct buf told;
	char last; /* kind of the last event, to join texts */
};

static void act(struct run *r, const char *requests)
{
	for (const char *c = requests; *c != '\0' && *c != '/'; c++) {
		size_t number = strchr("rtdp", c[0]) == NULL ? 0 : (size_t)(c[1] - '0');

		if (*c == 'r')
			pop3_client_retrieve(&r->client, number);
		else if (*c == 't')
			pop3_client_top(&r->client, number, 0);
		else if (*c == 'd')
			pop3_client_delete(&r->client, number);
		else if (*c == 'p')
			pop3_client_probe(&r->client, number);
		else if (*c == 'q')
			pop3_client_quit(&r->client);
	}
}

static void show(struct buf *out, struct view v)
{
	for (size_t i = 0; i < v.length; i++)
		if (v.bytes[i] == '\n')
			buf_byte(out, '|');
		else if (v.bytes[i] != '\r')
			buf_byte(out, v.bytes[i]);
}

static void tell_ready(struct run *r)
{
	buf_format(&r->told, "ready%s%s", r->client.named ? "" : "-unnamed", r->client.complete ? "" : "-incomplete");
	for (size_t i = 0; i < r->client.count; i++)
		buf_format(&r->told, ",%llu:%s", (unsigned long long)pop3_client_octets(&r->client, i),
		    pop3_client_uid(&r->client, i) == NULL ? "-" : pop3_client_uid(&r->client, i));
	buf_byte(&r->told, ' ');
}

static void tell(struct run *r, const struct pop3_client_event *e)
{
	static const char *const words[] = {[POP3_CLIENT_STLS] = "stls",
	    [POP3_CLIENT_RETRIEVED] = "retrieved",
	    [POP3_CLIENT_TOPPED] = "topped",
	    [POP3_CLIENT_REFUSED] = "refused",
	    [POP3_CLIENT_DELETED] = "deleted",
	    [POP3_CLIENT_PROBED] = "probed",
	    [POP3_CLIENT_FAILED] = "failed",
	    [POP3_CLIENT_CLOSED] = "closed"};

	if (r->last == POP3_CLIENT_TEXT && e->kind != POP3_CLIENT_TEXT)
		buf_text(&r->told, "\" ");
	switch (e->kind) {
	case POP3_CLIENT_READY:
		tell_ready(r);
		act(r, r->play->requests);
		break;
	case POP3_CLIENT_TEXT:
		if (r->last != POP3_CLIENT_TEXT)
			buf_byte(&r->told, '"');
		show(&r->told, e->bytes);
		break;
	case POP3_CLIENT_STLS:
		buf_text(&r->told, "stls ");
		break;
	case POP3_CLIENT_FAILED:
	case POP3_CLIENT_CLOSED:
		buf_format(
		    &r->told, "%s%s[%s](%s) ", words[e->kind], e->committed ? "-committed" : "", e->code, e->text);
		break;
	default:
		buf_format(&r->told, "%s%zu ", words[e->kind], e->number);
	}
	if (e->kind == POP3_CLIENT_RETRIEVED && strchr(r->play->requests, '/') != NULL)
		act(r, strchr(r->play->requests, '/') + 1);
	r->last = (char)e->kind;
}

static void work(struct run *r)
{
	struct pop3_client_event event;

	while (pop3_client_next(&r->client, &event)) {
		show(&r->said, view_buf(&r->client.output));
		buf_clear(&r->client.output);
		tell(r, &event);
	}
	show(&r->said, view_buf(&r->client.output));
	buf_clear(&r->client.output);
}

/* "~" in the server's words: TLS stands now; "#": the connection is lost. */
static void feed(struct run *r, const char *words, size_t length)
{
	while (length > 0) {
		size_t plain = 0;

		while (plain < length && words[plain] != '~' && words[plain] != '#')
			plain++;
		if (plain > 0)
			pop3_client_feed(&r->client, view_of(words, plain));
		work(r);
		if (plain < length && words[plain] == '~')
			pop3_client_secured(&r->client);
		else if (plain < length)
			pop3_client_lost(&r->client, "lost");
		work(r);
		plain += plain < length;
		words += plain;
		length -= plain;
	}
}

/* STEP octets at a time; 0: any number. */
static void play(const struct play *p, size_t step)
{
	struct run r = {.play = p, .last = -1};
	size_t length = strlen(p->server);
	uint32_t seed = 7;

	buf_init(&r.said, SIZE_MAX);
	buf_init(&r.told, SIZE_MAX);
	pop3_client_init(&r.client, &p->options);
	for (size_t at = 0; at < length;) {
		size_t piece = step > 0 ? step : 1 + (seed = seed * 1103515245 + 12345) / 65536 % 40;

		piece = piece < length - at ? piece : length - at;
		feed(&r, p->server + at, piece);
		at += piece;
	}
	cr_assert_str_eq(buf_string(&r.said), p->said, "%s: said %s", p->name, buf_string(&r.said));
	cr_assert_str_eq(buf_string(&r.told), p->told, "%s: told %s", p->name, buf_string(&r.told));
	pop3_client_release(&r.client);
	buf_release(&r.said);
	buf_release(&r.told);
}

#define CLEAR                                                                                                        \
	{                                                                                                            \
		.tls = POP3_TLS_NEVER, .clear = true, .user = "ann", .password = "a pass"                            \
	}
#define IMPLICIT                                                                                                     \
	{                                                                                                            \
		.tls = POP3_TLS_NEEDED, .secured = true, .user = "ann", .password = "pw"                             \
	}
#define NEEDED                                                                                                       \
	{                                                                                                            \
		.tls = POP3_TLS_NEEDED, .user = "ann", .password = "pw"                                              \
	}
#define OFFERED                                                                                                      \
	{                                                                                                            \
		.tls = POP3_TLS_OFFERED, .clear = true, .user = "ann", .password = "pw"                              \
	}
#define CAPA	"+OK hi\r\n+OK\r\nTOP\r\nUIDL\r\nPIPELINING\r\nSASL LOGIN PLAIN\r\n.\r\n"
#define LISTING "+OK 2 30\r\n+OK\r\n1 10\r\n2 20\r\n.\r\n+OK\r\n1 aa\r\n2 bb\r\n.\r\n"

static const struct play plays[] = {
    {"a whole session, pipelined", IMPLICIT, "r0 r1 d0 d1 q",
	CAPA "+OK in\r\n" LISTING "+OK\r\nA: b\r\n\r\n..dot\r\n.\r\n+OK\r\n.\r\n+OK\r\n+OK\r\n+OK bye\r\n",
	"CAPA|AUTH PLAIN AGFubgBwdw==|STAT|LIST|UIDL|RETR 1|RETR 2|DELE 1|DELE 2|QUIT|",
	"ready,10:aa,20:bb \"A: b||.dot|\" retrieved0 retrieved1 deleted0 deleted1 closed-committed[](done: bye) "},
    {"nothing but RFC 1939's least", CLEAR, "r0 t0 d0 q",
	"+OK\r\n-ERR what\r\n+OK\r\n+OK\r\n+OK 1 5\r\n+OK\r\n1 5\r\n.\r\n-ERR no\r\n+OK\r\nx\r\n.\r\n-ERR "
	"no\r\n+OK\r\n"
	"+OK\r\n",
	"CAPA|USER ann|PASS a pass|STAT|LIST|UIDL|RETR 1|TOP 1 0|DELE 1|QUIT|",
	"ready-unnamed,5:- \"x|\" retrieved0 refused0 deleted0 closed-committed[](done: the server gives no "
	"reason) "},
    {"STLS, then all anew", NEEDED, "q",
	"+OK\r\n+OK\r\nSTLS\r\nSASL PLAIN\r\n.\r\n+OK go\r\n~+OK\r\nTOP\r\n.\r\n+OK\r\n+OK\r\n" LISTING "+OK\r\n",
	"CAPA|STLS|CAPA|USER ann|PASS pw|STAT|LIST|UIDL|QUIT|",
	"stls ready,10:aa,20:bb closed-committed[](done: the server gives no reason) "},
    {"STLS is not offered", NEEDED, "", "+OK\r\n+OK\r\nTOP\r\n.\r\n", "CAPA|",
	"failed[](the server does not offer TLS (STLS), which is asked for) "},
    {"STLS is refused", NEEDED, "", "+OK\r\n-ERR\r\n-ERR never heard\r\n", "CAPA|STLS|",
	"failed[](the server refuses STLS: never heard) "},
    {"STLS where it is offered", OFFERED, "", "+OK\r\n+OK\r\nSTLS\r\n.\r\n+OK\r\n", "CAPA|STLS|", "stls "},
    {"in clear where it is not", OFFERED, "", "+OK\r\n+OK\r\n.\r\n", "CAPA|USER ann|", ""},
    {"a password is not sent in clear", {.tls = POP3_TLS_OFFERED, .user = "ann", .password = "pw"}, "",
	"+OK\r\n+OK\r\n.\r\n", "CAPA|",
	"failed[](the password is not sent without TLS, which the server does not offer) "},
    {"a password with a line end", {.secured = true, .user = "ann", .password = "a\r\nDELE 1"}, "", "+OK\r\n-ERR\r\n",
	"CAPA|", "failed[](user or password is empty, or holds a line end) "},
    {"the greeting refuses", IMPLICIT, "", "-ERR [SYS/TEMP] later\r\n", "",
	"failed[SYS/TEMP](the server turns us away: [SYS/TEMP] later) "},
    {"the login is refused", IMPLICIT, "", CAPA "-ERR [AUTH] wrong\r\n", "CAPA|AUTH PLAIN AGFubgBwdw==|",
	"failed[AUTH](the server refuses the login: [AUTH] wrong) "},
    {"the box is in use", CLEAR, "", "+OK\r\n-ERR\r\n+OK\r\n-ERR [in-use] busy\r\n", "CAPA|USER ann|PASS a pass|",
	"failed[in-use](the server refuses the login: [in-use] busy) "},
    {"no POP3 at all", CLEAR, "", "220 smtp\r\n", "", "failed[](the server's answer is none: 220 smtp) "},
    {"one at a time without PIPELINING", CLEAR, "r0 r1 q",
	"+OK\r\n-ERR\r\n+OK\r\n+OK\r\n" LISTING "+OK\r\na\r\n.\r\n",
	"CAPA|USER ann|PASS a pass|STAT|LIST|UIDL|RETR 1|RETR 2|", "ready,10:aa,20:bb \"a|\" retrieved0 "},
    {"LF alone ends a line of status and of listing", CLEAR, "r0 q",
	"+OK\n-ERR\n+OK\n+OK\n+OK 1 5\n+OK\n1 5\n.\n+OK\n1 aa\n.\n+OK\nx\ny\r\n.\r\n+OK\n",
	"CAPA|USER ann|PASS a pass|STAT|LIST|UIDL|RETR 1|QUIT|",
	"ready,5:aa \"x|y|\" retrieved0 closed-committed[](done: the server gives no reason) "},
    {"listings of all kinds", CLEAR, "",
	"+OK\r\n-ERR\r\n+OK\r\n+OK\r\n+OK 9 99\r\n+OK\r\n0 1\r\n1 007 x\r\n1 8\r\nx 9\r\n5 50\r\n4 40\r\n7 "
	"-1\r\n99999999999 1\r\n"
	"8 80\r\n\r\n.\r\n+OK\r\n8 eight\r\n5 a b\r\n1 \x01\r\n3 three\r\n1 one \r\n5 \r\n.\r\n",
	"CAPA|USER ann|PASS a pass|STAT|LIST|UIDL|", "ready-incomplete,7:one,40:-,50:-,80:eight "},
    {"a listing in no order", CLEAR, "r0 r1 r2",
	"+OK\r\n-ERR\r\n+OK\r\n+OK\r\n+OK 3 60\r\n+OK\r\n12 30\r\n1 10\r\n3 20\r\n.\r\n+OK\r\n3 three\r\n12 "
	"twelve\r\n1 one\r\n.\r\n+OK\r\n.\r\n+OK\r\n.\r\n",
	"CAPA|USER ann|PASS a pass|STAT|LIST|UIDL|RETR 1|RETR 3|RETR 12|",
	"ready,10:one,20:three,30:twelve retrieved0 retrieved1 "},
    {"blanks in a listing", CLEAR, "",
	"+OK\r\n-ERR\r\n+OK\r\n+OK\r\n+OK 4 100\r\n+OK\r\n  1 \t 10\r\n\t2\t20\r\n3   30 \t\r\n4 40\twords\r\n.\r\n"
	"+OK\r\n\t1\tone\t\r\n  2   two  \r\n3 \tthree\r\n4 a\tb\r\n.\r\n",
	"CAPA|USER ann|PASS a pass|STAT|LIST|UIDL|", "ready,10:one,20:two,30:three,40:- "},
    {"the connection is lost", CLEAR, "r0", "+OK\r\n-ERR\r\n+OK\r\n+OK\r\n" LISTING "+OK\r\nhalf\r\n#+OK\r\n",
	"CAPA|USER ann|PASS a pass|STAT|LIST|UIDL|RETR 1|", "ready,10:aa,20:bb \"half|\" closed[](lost) "},
    {"QUIT is refused", CLEAR, "d0 q", "+OK\r\n-ERR\r\n+OK\r\n+OK\r\n" LISTING "+OK\r\n-ERR some not deleted\r\n",
	"CAPA|USER ann|PASS a pass|STAT|LIST|UIDL|DELE 1|QUIT|",
	"ready,10:aa,20:bb deleted0 closed[](not all was deleted: some not deleted) "},
    {"a word too many", CLEAR, "", "+OK\r\n-ERR\r\n+OK\r\n+OK\r\n" LISTING "+OK what\r\n",
	"CAPA|USER ann|PASS a pass|STAT|LIST|UIDL|",
	"ready,10:aa,20:bb closed[](the server speaks without being asked: what) "},
};

Test(pop3_client, servers_of_all_kinds_however_cut)
{
	for (size_t i = 0; i < sizeof plays / sizeof plays[0]; i++) {
		play(&plays[i], 1);
		play(&plays[i], SIZE_MAX);
		play(&plays[i], 0);
		play(&plays[i], 7);
	}
}

#define HELLO "CAPA|AUTH PLAIN AGFubgBwdw==|STAT|LIST|UIDL|"
#define MISFIT                                                                                                       \
	"closed[](the server's answers do not fit the questions: a message ended before its text did (are dots at "  \
	"the beginning of lines not doubled?); LIST "

/* Server's numbers 3 and 7. */
#define GAPS_LISTING "+OK in\r\n+OK 2 30\r\n+OK\r\n3 10\r\n7 20\r\n.\r\n+OK\r\n3 aa\r\n7 bb\r\n.\r\n"
#define GAPS	     CAPA GAPS_LISTING
/* The same where commands are said one at a time. */
#define GAPS_ALONE "+OK hi\r\n+OK\r\nTOP\r\nUIDL\r\nSASL PLAIN\r\n.\r\n" GAPS_LISTING

static const struct play probes[] = {
    {"a probe behind each message, before what waits", IMPLICIT, "r0 r1 d0 q / p1",
	GAPS_ALONE "+OK\r\nA\r\n.\r\n+OK 7 20\r\n+OK\r\nB\r\n.\r\n+OK 7 20\r\n+OK\r\n+OK bye\r\n",
	HELLO "RETR 3|LIST 7|RETR 7|LIST 7|DELE 3|QUIT|",
	"ready,10:aa,20:bb \"A|\" retrieved0 probed1 \"B|\" retrieved1 probed1 deleted0 closed-committed[](done: "
	"bye) "},
    {"a probe before QUIT", IMPLICIT, "r0 q / p0 p1",
	GAPS "+OK\r\nA\r\n.\r\n+OK 3 10\r\n+ok 07\t020 words \r\n+OK bye\r\n", HELLO "RETR 3|LIST 3|LIST 7|QUIT|",
	"ready,10:aa,20:bb \"A|\" retrieved0 probed0 probed1 closed-committed[](done: bye) "},
    {"probes without messages, blanks in the answer", IMPLICIT, "d0 p1 p0",
	GAPS_ALONE "+OK  \t7 \t 20\r\n+OK 3 10\r\n+OK\r\n", HELLO "LIST 7|LIST 3|DELE 3|",
	"ready,10:aa,20:bb probed1 probed0 deleted0 "},
    {"probes in a pipeline", IMPLICIT, "r0 p1 d1 q", GAPS "+OK 7 20\r\n+OK\r\n.\r\n+OK\r\n+OK bye\r\n",
	HELLO "LIST 7|RETR 3|DELE 7|QUIT|",
	"ready,10:aa,20:bb probed1 retrieved0 deleted1 closed-committed[](done: bye) "},
    {"a dot that was not doubled", IMPLICIT, "r0 r1 d0 q / p0", GAPS_ALONE "+OK\r\nA\r\n.\r\nB\r\n.\r\n+OK 3 10\r\n",
	HELLO "RETR 3|LIST 3|", "ready,10:aa,20:bb \"A|\" retrieved0 " MISFIT "3 was answered by \"B\") "},
    {"an answer that was forged", IMPLICIT, "r0 r1 d0 q / p0",
	GAPS_ALONE "+OK\r\nA\r\n.\r\n+OK [AUTH] 3 10\r\n+OK\r\n.\r\n+OK 3 10\r\n", HELLO "RETR 3|LIST 3|",
	"ready,10:aa,20:bb \"A|\" retrieved0 " MISFIT "3 was answered by \"+OK [AUTH] 3 10\") "},
};

Test(pop3_client, a_probe_goes_before_what_waits_however_cut)
{
	for (size_t i = 0; i < sizeof probes / sizeof probes[0]; i++) {
		play(&probes[i], 1);
		play(&probes[i], SIZE_MAX);
		play(&probes[i], 0);
		play(&probes[i], 7);
	}
}

Test(pop3_client, an_answer_that_does_not_fit_a_probe_ends_the_session)
{
	static const char *const answers[] = {"-ERR no", "-ERR [IN-USE] no", "+OK", "+OK 7", "+OK 7 21", "+OK 7 200",
	    "+OK 3 10", "+OK 8 20", "+OK 7 x20", "+OK 720", "+OK7 20", "+ 7 20", "7 20", "", ".", "+OK x 7 20",
	    "+OK 7 -20"};

	for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
		char *server = mem_format("%s%s\r\n+OK bye\r\n", GAPS_ALONE, answers[i]);
		char *told = mem_format("ready,10:aa,20:bb %s7 was answered by \"%s\") ", MISFIT, answers[i]);
		const struct play p = {answers[i], IMPLICIT, "p1 d0 q", server, HELLO "LIST 7|", told};

		play(&p, SIZE_MAX);
		play(&p, 1);
		play(&p, 0);
		free(server);
		free(told);
	}
}

/* What a stranger wrote is shown so that nothing else is cut off by it, nor a character in its middle. */
Test(pop3_client, a_long_answer_to_a_probe_is_shown_in_part)
{
	struct pop3_client c;
	struct pop3_client_options options = IMPLICIT;
	struct pop3_client_event event;

	pop3_client_init(&c, &options);
	pop3_client_feed(&c, view_text(GAPS));
	cr_assert(pop3_client_next(&c, &event));
	pop3_client_probe(&c, 1);
	for (int i = 0; i < 500; i++)
		pop3_client_feed(&c, view_text("\xc3\xa4"));
	pop3_client_feed(&c, view_text("\r\n"));
	cr_assert(pop3_client_next(&c, &event));
	cr_expect_eq(event.kind, POP3_CLIENT_CLOSED);
	cr_expect(!event.committed);
	cr_expect(utf8_valid(view_text(event.text)));
	cr_expect_eq(event.text[strlen(event.text) - 1], '"');
	cr_expect(!pop3_client_next(&c, &event));
	pop3_client_release(&c);
}

Test(pop3_client, what_is_under_way_is_known)
{
	struct pop3_client c;
	struct pop3_client_options options = IMPLICIT;
	struct pop3_client_event event;
	size_t number = 9;

	pop3_client_init(&c, &options);
	pop3_client_feed(&c, view_text(GAPS));
	cr_assert(pop3_client_next(&c, &event));
	pop3_client_delete(&c, 0);
	pop3_client_retrieve(&c, 1);
	cr_expect_eq(pop3_client_under_way(&c), 0);
	cr_expect_not(pop3_client_awaited(&c, &number));
	cr_assert(!pop3_client_next(&c, &event));
	cr_expect_eq(pop3_client_under_way(&c), 2);
	cr_expect(pop3_client_awaited(&c, &number) && number == 0);
	pop3_client_feed(&c, view_text("+OK\r\n"));
	cr_assert(pop3_client_next(&c, &event) && event.kind == POP3_CLIENT_DELETED);
	cr_expect_eq(pop3_client_under_way(&c), 1);
	cr_expect(pop3_client_awaited(&c, &number) && number == 1);
	pop3_client_lost(&c, "gone");
	cr_assert(pop3_client_next(&c, &event) && event.kind == POP3_CLIENT_CLOSED);
	cr_expect(pop3_client_awaited(&c, &number) && number == 1, "where it ended");
	pop3_client_release(&c);
}

/* What STAT promises and LIST lists, and whether that is all there is. */
Test(pop3_client, what_is_missing_from_a_listing_makes_it_incomplete)
{
	static const struct {
		const char *stat;
		const char *list;
		const char *told;
	} rows[] = {
	    {"+OK 2 30", "1 10\r\n2 20\r\n", "ready-unnamed,10:-,20:- "},
	    {"+OK 2 30 and more", "2 20\r\n1 10\r\n", "ready-unnamed,10:-,20:- "},
	    {"+OK 0 0", "", "ready-unnamed "},
	    {"+OK 3 30", "1 10\r\n2 20\r\n", "ready-unnamed-incomplete,10:-,20:- "},
	    {"+OK 1 30", "1 10\r\n2 20\r\n", "ready-unnamed-incomplete,10:-,20:- "},
	    {"+OK 0 0", "1 10\r\n", "ready-unnamed-incomplete,10:- "},
	    {"-ERR no", "1 10\r\n2 20\r\n", "ready-unnamed,10:-,20:- "},
	    {"+OK you have mail", "1 10\r\n", "ready-unnamed,10:- "},
	    {"+OK", "", "ready-unnamed "},
	    {"-ERR 7 no", "nothing\r\n", "ready-unnamed-incomplete "},
	    {"+OK 1 10", "1 10\r\n1 10\r\n", "ready-unnamed-incomplete,10:- "},
	    {"+OK 3 60", "3 30\r\n2 20\r\n2 22\r\n1 10\r\n2 21\r\n", "ready-unnamed-incomplete,10:-,20:-,30:- "},
	    {"+OK 1 10", "1 10\r\n2\r\n", "ready-unnamed-incomplete,10:- "},
	    {"+OK 1 10", "1 10\r\n2 -1\r\n", "ready-unnamed-incomplete,10:- "},
	    {"+OK 1 10", "1 10\r\n2 9999999999999999999\r\n", "ready-unnamed-incomplete,10:- "},
	    {"+OK 1 10", "4294967296 1\r\n1 10\r\n", "ready-unnamed-incomplete,10:- "},
	    {"+OK 1 10", "0 1\r\n1 10\r\n", "ready-unnamed-incomplete,10:- "},
	    {"+OK 1 10", "1 10\r\n\r\n", "ready-unnamed-incomplete,10:- "},
	    {"+OK 2 30", "2 20\r\n", "ready-unnamed-incomplete,20:- "},
	    {"+OK 2 30", "x\r\n",
		"failed[](the server has 2 messages, as it says, and lists none that could be told) "},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char *server = mem_format("%s+OK\r\n%s\r\n+OK\r\n%s.\r\n-ERR\r\n", CAPA, rows[i].stat, rows[i].list);
		bool failed = strncmp(rows[i].told, "failed", 6) == 0;
		const struct play p = {rows[i].list, IMPLICIT, "", server,
		    failed ? "CAPA|AUTH PLAIN AGFubgBwdw==|STAT|LIST|"
			   : "CAPA|AUTH PLAIN AGFubgBwdw==|STAT|LIST|UIDL|",
		    rows[i].told};

		play(&p, SIZE_MAX);
		play(&p, 1);
		play(&p, 0);
		free(server);
	}
}

/* A line that exceeds all measure may have listed a message. */
Test(pop3_client, a_line_too_long_makes_the_listing_incomplete)
{
	char words[2 * POP3_CLIENT_LINE];
	char *server;
	struct play p = {"long line", IMPLICIT, "", NULL, "CAPA|AUTH PLAIN AGFubgBwdw==|STAT|LIST|UIDL|",
	    "ready-incomplete,10:a "};

	memset(words, 'x', sizeof words - 1);
	words[sizeof words - 1] = '\0';
	server = mem_format("%s+OK\r\n+OK\r\n+OK\r\n1 10\r\n2 20 %s\r\n.\r\n+OK\r\n1 a\r\n.\r\n", CAPA, words);
	p.server = server;
	play(&p, SIZE_MAX);
	play(&p, 0);
	free(server);
}

/* What stands behind "+OK" of STLS came in clear, from whoever stands in between. */
Test(pop3_client, words_behind_STLS_end_the_session)
{
	const struct play together = {"injected", NEEDED, "", "+OK\r\n-ERR\r\n+OK\r\n+OK in\r\n", "CAPA|STLS|",
	    "failed[](the server spoke between STLS and TLS: somebody stands in between) "};
	const struct play apart = {"injected later", NEEDED, "", "+OK\r\n-ERR\r\n+OK\r\n+OK in\r\n~", "CAPA|STLS|",
	    "stls failed[](the server spoke between STLS and TLS: somebody stands in between) "};

	play(&together, SIZE_MAX);
	play(&apart, 1);
}

Test(pop3_client, a_long_password_is_sent_when_it_is_asked_for)
{
	char password[301];
	struct play p = {"long", {.secured = true, .user = "ann", .password = password}, "", CAPA "+ \r\n", NULL, ""};
	struct buf said;

	memset(password, 'x', 300);
	password[300] = '\0';
	buf_init(&said, SIZE_MAX);
	buf_text(&said, "CAPA|AUTH PLAIN|AGFubgB4");
	for (int i = 0; i < 99; i++)
		buf_text(&said, "eHh4");
	buf_text(&said, "eHg=|");
	p.said = buf_string(&said);
	play(&p, SIZE_MAX);
	buf_release(&said);
}

Test(pop3_client, a_listing_without_end_is_ended)
{
	struct pop3_client c;
	struct pop3_client_options options = IMPLICIT;
	struct pop3_client_event event;
	bool ended = false;

	pop3_client_init(&c, &options);
	pop3_client_feed(&c, view_text("+OK\r\n+OK\r\n"));
	for (int i = 0; i < 1000 && !ended; i++) {
		pop3_client_feed(&c, view_text("X\r\n"));
		while (pop3_client_next(&c, &event))
			ended |= event.kind == POP3_CLIENT_FAILED;
	}
	cr_assert(ended);
	pop3_client_release(&c);
}

/* Feeds C, which has logged in, the lines 1 to COUNT of a listing, each with WORDS behind it. */
static void feed_numbers(struct pop3_client *c, size_t count, const char *words)
{
	struct pop3_client_event event;
	struct buf lines;

	buf_init(&lines, SIZE_MAX);
	for (size_t i = 1; i <= count; i++) {
		buf_format(&lines, "%zu %s\r\n", i, words);
		if (lines.length < 32768 && i < count)
			continue;
		pop3_client_feed(c, view_buf(&lines));
		buf_clear(&lines);
		cr_assert(!pop3_client_next(c, &event));
	}
	buf_release(&lines);
}

Test(pop3_client, the_first_messages_of_a_large_box_are_listed)
{
	static const size_t counts[] = {POP3_CLIENT_MESSAGES, POP3_CLIENT_MESSAGES + 1, 2 * POP3_CLIENT_MESSAGES + 1};

	for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
		struct pop3_client c;
		struct pop3_client_options options = IMPLICIT;
		struct pop3_client_event event;
		char *stat = mem_format("%s+OK in\r\n+OK %zu 9\r\n+OK\r\n", CAPA, counts[i]);

		pop3_client_init(&c, &options);
		pop3_client_feed(&c, view_text(stat));
		feed_numbers(&c, counts[i], "7");
		pop3_client_feed(&c, view_text(".\r\n+OK\r\n"));
		feed_numbers(&c, counts[i], "u");
		pop3_client_feed(&c, view_text(".\r\n"));
		cr_assert(pop3_client_next(&c, &event));
		cr_assert_eq(event.kind, POP3_CLIENT_READY);
		cr_expect_eq(c.count, POP3_CLIENT_MESSAGES);
		cr_expect_eq(c.complete, i == 0);
		cr_expect_str_eq(pop3_client_uid(&c, c.count - 1), "u");
		pop3_client_release(&c);
		free(stat);
	}
}

Test(pop3_client, a_list_of_messages_without_end_is_ended)
{
	struct pop3_client c;
	struct pop3_client_options options = IMPLICIT;
	struct pop3_client_event event;
	char lines[20000];
	size_t fed = 0;
	bool ended = false;

	memset(lines, '\n', sizeof lines);
	pop3_client_init(&c, &options);
	pop3_client_feed(&c, view_text(CAPA "+OK in\r\n+OK\r\n+OK\r\n"));
	for (; fed < 2 * (size_t)POP3_CLIENT_LINES && !ended; fed += sizeof lines) {
		pop3_client_feed(&c, view_of(lines, sizeof lines));
		ended = pop3_client_next(&c, &event);
	}
	cr_assert(ended);
	cr_expect_eq(event.kind, POP3_CLIENT_FAILED);
	cr_expect_str_eq(event.text, "the server's listing does not end");
	cr_expect_gt(fed, POP3_CLIENT_LINES);
	cr_expect_leq(fed, POP3_CLIENT_LINES + sizeof lines);
	pop3_client_release(&c);
}

/* Whatever the server says before it, in the greeting or when a message is to come. */
Test(pop3_client, a_line_without_end_is_ended)
{
	static const char *const before[] = {"", CAPA "+OK in\r\n+OK 1 5\r\n+OK\r\n1 5\r\n.\r\n+OK\r\n1 a\r\n.\r\n"};
	char piece[1000];

	memset(piece, 'x', sizeof piece);
	for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
		struct pop3_client c;
		struct pop3_client_options options = IMPLICIT;
		struct pop3_client_event event;
		char *why = NULL;
		size_t pieces = 0;

		pop3_client_init(&c, &options);
		pop3_client_feed(&c, view_text(before[i]));
		while (pop3_client_next(&c, &event))
			if (event.kind == POP3_CLIENT_READY)
				pop3_client_retrieve(&c, 0);
		cr_expect_eq(c.stage == POP3_STAGE_READY, i > 0);
		for (; pieces < 1000 && why == NULL; pieces++) {
			pop3_client_feed(&c, view_of(piece, sizeof piece));
			while (pop3_client_next(&c, &event))
				why = mem_string(event.text);
		}
		cr_assert_not_null(why);
		cr_expect_str_eq(why, "the server's line does not end");
		cr_expect_lt(pieces, 100);
		free(why);
		pop3_client_release(&c);
	}
}

/* Ahead go as many commands as the window lets, and all in the end. */
Test(pop3_client, the_window_bounds_what_is_ahead)
{
	struct pop3_client c;
	struct pop3_client_options options = IMPLICIT;
	struct pop3_client_event event;
	size_t deleted = 0;
	size_t longest = 0;

	pop3_client_init(&c, &options);
	pop3_client_feed(&c, view_text(CAPA "+OK in\r\n+OK\r\n+OK\r\n"));
	for (int i = 1; i <= 500; i++) {
		char *line = mem_format("%d 10\r\n", i);

		pop3_client_feed(&c, view_text(line));
		free(line);
	}
	pop3_client_feed(&c, view_text(".\r\n-ERR\r\n"));
	while (pop3_client_next(&c, &event))
		if (event.kind == POP3_CLIENT_READY)
			for (size_t i = 0; i < 500; i++)
				pop3_client_delete(&c, i);
	buf_clear(&c.output);
	while (deleted < 500) {
		pop3_client_feed(&c, view_text("+OK\r\n"));
		while (pop3_client_next(&c, &event)) {
			cr_assert_eq(event.kind, POP3_CLIENT_DELETED);
			cr_assert_eq(event.number, deleted++);
		}
		longest = c.output.length > longest ? c.output.length : longest;
		buf_clear(&c.output);
	}
	cr_assert_leq(longest, POP3_CLIENT_WINDOW + 20);
	pop3_client_release(&c);
}
