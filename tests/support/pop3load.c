/*
 * pop3load MODE PORT SESSIONS USER PASSWORD MESSAGES [WINDOW [SECONDS]]: a mail program that only counts. SESSIONS sessions
 * are begun at once with a POP3 server on 127.0.0.1, as USER, or as USER1 to USERn when there are several; in each maildrop
 * MESSAGES are expected. One process, no threads.
 *
 *	open      logs in, STAT, LIST, UIDL, QUIT
 *	retrieve  the same with RETR of all before QUIT, WINDOW of them asked ahead (1: lock-step)
 *	delete    the same with DELE behind each RETR
 *	hold      logs in, STAT, and says "held=N" when N sessions rest there; then waits to be killed. WINDOW sessions log in
 *	          at a time
 *
 * Checked: that STAT, LIST and UIDL agree with MESSAGES and with one another, that no UID is there twice, that each message
 * has the octets that LIST told and CRLF at the end of each line, and that no "Subject: number N" comes twice in all.
 *
 * One line says how it went. "seconds": until the last session was served. Then of the slowest session: "login" from its
 * connection to the answer to PASS, "opening" from there to the end of UIDL, "fetching" from the first RETR to the last
 * answer (of delete: to that to QUIT); each with what this program itself took of a processor meanwhile, which says
 * something when there is one session. Status 1 unless all are served within SECONDS (60).
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include "lib/alloc.h"
#include "lib/lines.h"
#include "lib/text.h"

#define CHUNK	   ((size_t)262144)
#define COMPLAINTS 5
#define LINE	   1000
#define EVENTS	   64

enum mode { MODE_OPEN, MODE_RETRIEVE, MODE_DELETE, MODE_HOLD };
/* The command whose answer is awaited. */
enum step { STEP_GREETING, STEP_USER, STEP_PASS, STEP_STAT, STEP_LIST, STEP_UIDL, STEP_FETCH, STEP_QUIT, STEP_HELD };
/* Where in that answer. */
enum part { PART_FIRST, PART_ITEMS, PART_HEADER, PART_BODY };

/* What something took: on the clock, and of a processor for this program. */
struct span {
	double seconds;
	double cpu;
};

struct session {
	struct load *load;
	unsigned number;
	int fd; /* -1: over */
	enum step step;
	enum part part;
	struct line_reader reader;
	struct buf unsent;
	size_t listed;
	uint64_t octets; /* that STAT told, less those that LIST did */
	uint32_t *sizes;
	uint64_t *uids;
	size_t asked; /* commands that fetch */
	size_t answered;
	uint64_t got; /* octets of the message that comes */
	size_t line;  /* octets of the line of the body that comes, so far; the first of them; the last that came */
	uint8_t first;
	uint8_t last;
	bool bare; /* a line of the body had no CR */
	struct span mark;
	struct span login;
	struct span opening;
	struct span fetching;
};

struct load {
	enum mode mode;
	uint16_t port;
	unsigned count;
	unsigned crowd; /* sessions that may be on their way at once */
	unsigned started;
	const char *user;
	const char *password;
	size_t messages;
	size_t window;
	double seconds;
	int events;
	unsigned live;
	unsigned served;
	unsigned held;
	unsigned complaints;
	double begun;
	double last;
	struct span login;
	struct span opening;
	struct span fetching;
	uint64_t octets;
	size_t fetched;
	uint8_t *seen; /* numbers of messages */
	uint8_t *chunk;
	struct session *sessions;
};

static double clock_read(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct span mark(void)
{
	return (struct span){clock_read(CLOCK_MONOTONIC), clock_read(CLOCK_PROCESS_CPUTIME_ID)};
}

/* What it took since the last call; the next begins. */
static struct span lap(struct session *s)
{
	struct span before = s->mark;

	s->mark = mark();
	return (struct span){s->mark.seconds - before.seconds, s->mark.cpu - before.cpu};
}

static void keep_slowest(struct span *slowest, struct span one)
{
	if (one.seconds > slowest->seconds)
		*slowest = one;
}

/* ---- ends ------------------------------------------------------------------------------------------------ */

static void over(struct session *s)
{
	close(s->fd);
	s->fd = -1;
	s->load->live--;
	line_reader_release(&s->reader);
	buf_release(&s->unsent);
	free(s->sizes);
	free(s->uids);
}

__attribute__((format(printf, 2, 3))) static void fail(struct session *s, const char *format, ...)
{
	char text[200];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	if (s->load->complaints++ < COMPLAINTS)
		warnx("session %u, step %d, answer %zu: %s", s->number, (int)s->step, s->answered, text);
	over(s);
}

static void fail_line(struct session *s, const char *what, struct view line)
{
	fail(s, "%s: %.*s", what, (int)(line.length < 100 ? line.length : 100), (const char *)line.bytes);
}

static void session_served(struct session *s)
{
	struct load *l = s->load;

	if (l->mode == MODE_DELETE)
		s->fetching = lap(s);
	keep_slowest(&l->login, s->login);
	keep_slowest(&l->opening, s->opening);
	keep_slowest(&l->fetching, s->fetching);
	l->last = clock_read(CLOCK_MONOTONIC) - l->begun;
	l->served++;
	over(s);
}

/* ---- commands -------------------------------------------------------------------------------------------- */

static void watch(struct session *s, int operation)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};

	if (s->unsent.length > 0)
		event.events |= EPOLLOUT;
	if (epoll_ctl(s->load->events, operation, s->fd, &event) != 0)
		err(71, "epoll_ctl");
}

static void send_unsent(struct session *s)
{
	size_t length = s->unsent.length;
	ssize_t sent = send(s->fd, s->unsent.bytes, length, MSG_NOSIGNAL);

	if (sent < 0 && errno != EAGAIN) {
		fail(s, "nothing can be sent: %s", strerror(errno));
		return;
	}
	buf_consume(&s->unsent, sent < 0 ? 0 : (size_t)sent);
	if (s->unsent.length > 0)
		watch(s, EPOLL_CTL_MOD);
}

static void ask(struct session *s, enum step step, const char *command)
{
	s->step = step;
	s->part = PART_FIRST;
	buf_text(&s->unsent, command);
	buf_text(&s->unsent, "\r\n");
	send_unsent(s);
}

static void ask_user(struct session *s)
{
	char command[LINE];

	if (s->load->count == 1)
		snprintf(command, sizeof command, "USER %s", s->load->user);
	else
		snprintf(command, sizeof command, "USER %s%u", s->load->user, s->number);
	ask(s, STEP_USER, command);
}

static void ask_password(struct session *s)
{
	char command[LINE];

	snprintf(command, sizeof command, "PASS %s", s->load->password);
	ask(s, STEP_PASS, command);
}

/* Commands for each message. */
static size_t each(const struct load *l)
{
	return l->mode == MODE_DELETE ? 2 : 1;
}

static bool awaits_message(const struct session *s)
{
	return s->answered % each(s->load) == 0;
}

/* Asks for more when half of the window is free: not one call of the system for each command. */
static void ask_ahead(struct session *s)
{
	const struct load *l = s->load;
	size_t step = each(l);

	if (s->asked == step * l->messages || s->asked - s->answered > l->window / 2)
		return;
	for (; s->asked < step * l->messages && s->asked - s->answered < l->window; s->asked++) {
		buf_text(&s->unsent, s->asked % step == 0 ? "RETR " : "DELE ");
		buf_number(&s->unsent, s->asked / step + 1);
		buf_text(&s->unsent, "\r\n");
	}
	send_unsent(s);
}

/* ---- answers --------------------------------------------------------------------------------------------- */

static void take_stat(struct session *s, struct view line)
{
	struct load *l = s->load;
	struct view rest = view_from(line, 4);
	struct view word = line_word(&rest);
	uint64_t count;

	if (!number_parse(word, UINT64_MAX, &count) || count != l->messages ||
	    !number_parse(line_word(&rest), UINT64_MAX, &s->octets)) {
		fail_line(s, "another STAT was expected", line);
	} else if (l->mode == MODE_HOLD) {
		s->step = STEP_HELD;
		l->held++;
	} else {
		ask(s, STEP_LIST, "LIST");
	}
}

/* A line of LIST or UIDL. */
static void take_item(struct session *s, struct view line)
{
	static const uint8_t key[crypto_shorthash_KEYBYTES];
	struct view rest = line;
	uint64_t number;
	uint64_t size = 0;

	if (s->listed == s->load->messages || !number_parse(line_word(&rest), UINT64_MAX, &number) ||
	    number != s->listed + 1 || (s->step == STEP_LIST && !number_parse(rest, UINT32_MAX, &size))) {
		fail_line(s, "another item was expected", line);
		return;
	}
	if (s->step == STEP_LIST) {
		s->sizes[s->listed] = (uint32_t)size;
		s->octets -= size;
	} else {
		crypto_shorthash((uint8_t *)&s->uids[s->listed], rest.bytes, rest.length, key);
	}
	s->listed++;
}

static int compare_uids(const void *a, const void *b)
{
	const uint64_t *x = a;
	const uint64_t *y = b;

	return *x < *y ? -1 : *x > *y;
}

static bool uids_differ(const struct session *s)
{
	size_t count = s->load->messages;

	qsort(s->uids, count, sizeof s->uids[0], compare_uids);
	for (size_t i = 1; i < count; i++)
		if (s->uids[i] == s->uids[i - 1])
			return false;
	return true;
}

static void begin_fetching(struct session *s)
{
	s->opening = lap(s);
	if (!uids_differ(s)) {
		fail(s, "a UID is there twice");
	} else if (s->load->mode == MODE_OPEN || s->load->messages == 0) {
		ask(s, STEP_QUIT, "QUIT");
	} else {
		lap(s);
		s->step = STEP_FETCH;
		s->part = PART_FIRST;
		ask_ahead(s);
	}
}

static void list_over(struct session *s)
{
	size_t listed = s->listed;

	s->listed = 0;
	if (listed != s->load->messages)
		fail(s, "%zu items were told", listed);
	else if (s->step == STEP_UIDL)
		begin_fetching(s);
	else if (s->octets != 0)
		fail(s, "STAT and LIST differ by %" PRId64 " octets", (int64_t)s->octets);
	else
		ask(s, STEP_UIDL, "UIDL");
}

static void answered(struct session *s)
{
	s->part = PART_FIRST;
	s->answered++;
	if (s->answered < each(s->load) * s->load->messages) {
		ask_ahead(s);
		return;
	}
	if (s->load->mode != MODE_DELETE)
		s->fetching = lap(s);
	ask(s, STEP_QUIT, "QUIT");
}

static void message_over(struct session *s)
{
	uint32_t told = s->sizes[s->answered / each(s->load)];

	if (s->got != told || s->bare) {
		fail(s, "%" PRIu64 " octets%s; LIST told %" PRIu32, s->got, s->bare ? " and a bare LF" : "", told);
		return;
	}
	s->load->octets += s->got;
	s->load->fetched++;
	answered(s);
}

static void take_header(struct session *s, struct view line)
{
	static const char subject[] = "Subject: number ";
	struct view start = view_of(line.bytes, sizeof subject - 1);
	uint64_t number;

	if (view_is(line, ".")) {
		message_over(s);
		return;
	}
	s->got += line.length + 2 - (line.length > 0 && line.bytes[0] == '.');
	if (line.length == 0)
		s->part = PART_BODY;
	if (line.length < sizeof subject || !view_is(start, subject))
		return;
	if (!number_parse(view_from(line, start.length), s->load->messages * s->load->count - 1, &number) ||
	    s->load->seen[number]++ > 0)
		fail_line(s, "a message that is none of these, or came before", line);
}

/* The first line of an answer, which is good. */
static void take_first(struct session *s, struct view line)
{
	switch (s->step) {
	case STEP_GREETING:
		ask_user(s);
		break;
	case STEP_USER:
		ask_password(s);
		break;
	case STEP_PASS:
		s->login = lap(s);
		ask(s, STEP_STAT, "STAT");
		break;
	case STEP_STAT:
		take_stat(s, line);
		break;
	case STEP_LIST:
	case STEP_UIDL:
		s->part = PART_ITEMS;
		break;
	case STEP_FETCH:
		if (awaits_message(s)) {
			s->part = PART_HEADER;
			s->got = 0;
			s->bare = false;
		} else {
			answered(s);
		}
		break;
	case STEP_QUIT:
		session_served(s);
		break;
	case STEP_HELD:
		fail_line(s, "nothing was asked", line);
		break;
	}
}

static void take_line(struct session *s, struct view line)
{
	if (s->part == PART_HEADER)
		take_header(s, line);
	else if (s->part == PART_ITEMS && view_is(line, "."))
		list_over(s);
	else if (s->part == PART_ITEMS)
		take_item(s, line);
	else if (line.length >= 3 && memcmp(line.bytes, "+OK", 3) == 0)
		take_first(s, line);
	else
		fail_line(s, "+OK was expected", line);
}

/* ---- what comes ------------------------------------------------------------------------------------------ */

/* Takes the next line off the front of IN; one that is there as a whole is read in place. */
static void take_lines(struct session *s, struct view *in)
{
	struct line_reader *r = &s->reader;
	const uint8_t *lf = memchr(in->bytes, '\n', in->length);

	if (r->line.length == 0 && !r->after_cr && lf != NULL && lf > in->bytes && lf[-1] == '\r') {
		struct view line = view_of(in->bytes, (size_t)(lf - in->bytes) - 1);

		*in = view_from(*in, line.length + 2);
		take_line(s, line);
	} else if (line_reader_feed(r, in)) {
		if (r->fault != LINE_GOOD) {
			fail_line(s, "this line is faulty", view_buf(&r->line));
			return;
		}
		take_line(s, view_buf(&r->line));
		if (s->fd >= 0)
			line_reader_next(r);
	}
}

/* Takes the body of a message off the front of IN. */
static void take_body(struct session *s, struct view *in)
{
	while (in->length > 0) {
		const uint8_t *lf = memchr(in->bytes, '\n', in->length);
		size_t length = lf == NULL ? in->length : (size_t)(lf - in->bytes) + 1;
		uint8_t before_lf = length > 1 ? in->bytes[length - 2] : s->last;

		if (s->line == 0)
			s->first = in->bytes[0];
		s->line += length;
		s->last = in->bytes[length - 1];
		*in = view_from(*in, length);
		if (lf == NULL)
			return;
		s->bare |= before_lf != '\r';
		length = s->line;
		s->line = 0;
		if (length == 3 && s->first == '.') {
			message_over(s);
			return;
		}
		s->got += length - (s->first == '.');
	}
}

static void take(struct session *s, struct view in)
{
	while (in.length > 0 && s->fd >= 0) {
		if (s->part == PART_BODY)
			take_body(s, &in);
		else
			take_lines(s, &in);
	}
}

static void on_event(struct session *s, uint32_t events)
{
	ssize_t got;

	if ((events & EPOLLOUT) != 0) {
		send_unsent(s);
		if (s->fd >= 0 && s->unsent.length == 0)
			watch(s, EPOLL_CTL_MOD);
	}
	if (s->fd < 0 || (events & ~(uint32_t)EPOLLOUT) == 0)
		return;
	got = recv(s->fd, s->load->chunk, CHUNK, 0);
	if (got > 0)
		take(s, view_of(s->load->chunk, (size_t)got));
	else if (got == 0 || errno != EAGAIN)
		fail(s, "the connection is gone: %s", got == 0 ? "closed by the server" : strerror(errno));
}

/* ---- all of it ------------------------------------------------------------------------------------------- */

static void begin(struct load *l, struct session *s, unsigned number)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(l->port)};

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*s = (struct session){.load = l, .number = number, .mark = mark()};
	line_reader_init(&s->reader, LINE, NEWLINES_STRICT);
	buf_init(&s->unsent, SIZE_MAX);
	s->sizes = mem_array(l->messages + 1, sizeof *s->sizes);
	s->uids = mem_array(l->messages + 1, sizeof *s->uids);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		err(71, "socket");
	l->live++;
	if (connect(s->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)
		fail(s, "cannot connect: %s", strerror(errno));
	else
		watch(s, EPOLL_CTL_ADD);
}

static void begin_more(struct load *l)
{
	while (l->started < l->count && l->live - l->held < l->crowd) {
		struct session *s = &l->sessions[l->started++];

		begin(l, s, l->started);
	}
}

/* Until all sessions are over or held, or the time is. */
static void run(struct load *l)
{
	struct epoll_event events[EVENTS];
	double left = l->seconds;

	begin_more(l);
	while (l->live > l->held && left > 0) {
		int count = epoll_wait(l->events, events, EVENTS, (int)(left * 1000) + 1);

		for (int i = 0; i < count; i++)
			on_event(events[i].data.ptr, events[i].events);
		begin_more(l);
		left = l->begun + l->seconds - clock_read(CLOCK_MONOTONIC);
	}
}

static void report(const struct load *l)
{
	printf("served=%u of=%u seconds=%.6f cpu=%.6f messages=%zu octets=%" PRIu64, l->served, l->count, l->last,
	    clock_read(CLOCK_PROCESS_CPUTIME_ID), l->fetched, l->octets);
	printf(" login=%.6f login_cpu=%.6f opening=%.6f opening_cpu=%.6f fetching=%.6f fetching_cpu=%.6f\n",
	    l->login.seconds, l->login.cpu, l->opening.seconds, l->opening.cpu, l->fetching.seconds, l->fetching.cpu);
}

static enum mode mode_of(const char *text)
{
	static const char *const modes[] = {"open", "retrieve", "delete", "hold"};

	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
		if (strcmp(text, modes[i]) == 0)
			return (enum mode)i;
	errx(64, "there is no mode %s", text);
}

int main(int argc, char **argv)
{
	struct load l = {.window = 1, .seconds = 60};

	if (argc < 7)
		errx(64, "usage: pop3load MODE PORT SESSIONS USER PASSWORD MESSAGES [WINDOW [SECONDS]]");
	l.mode = mode_of(argv[1]);
	l.port = (uint16_t)strtoul(argv[2], NULL, 10);
	l.count = (unsigned)strtoul(argv[3], NULL, 10);
	l.user = argv[4];
	l.password = argv[5];
	l.messages = strtoul(argv[6], NULL, 10);
	if (argc > 7)
		l.window = strtoul(argv[7], NULL, 10);
	if (argc > 8)
		l.seconds = strtod(argv[8], NULL);
	l.seen = mem_array(l.messages * l.count + 1, 1);
	l.chunk = mem_alloc(CHUNK);
	l.sessions = mem_array(l.count, sizeof *l.sessions);
	l.events = epoll_create1(0);
	l.begun = clock_read(CLOCK_MONOTONIC);
	l.crowd = l.mode == MODE_HOLD ? (unsigned)l.window : l.count;
	run(&l);
	if (l.mode == MODE_HOLD) {
		printf("held=%u\n", l.held);
		fflush(stdout);
		pause();
	}
	report(&l);
	return l.served == l.count ? 0 : 1;
}
