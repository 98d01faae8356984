#include "bridge-pop3/pop3_server_own.h"
#include "lib/alloc.h"
#include "lib/text.h"

/* ---- what stands in the way ------------------------------------------------------------------------------ */

static void log_in(struct pop3_server *s, struct view arguments)
{
	(void)arguments;
	pop3_bad(s, "Log in first");
}

static void too_late(struct pop3_server *s, struct view arguments)
{
	(void)arguments;
	pop3_bad(s, "This comes before the login");
}

static void no_name(struct pop3_server *s, struct view arguments)
{
	(void)arguments;
	pop3_bad(s, "USER comes first");
}

static bool no_arguments(struct pop3_server *s, struct view arguments)
{
	if (arguments.length > 0)
		pop3_bad(s, "Nothing follows this command");
	return arguments.length == 0;
}

/* ---- numbers --------------------------------------------------------------------------------------------- */

/* A number of any length: what does not fit is UINT64_MAX. */
static bool take_number(struct view word, uint64_t *number)
{
	for (size_t i = 0; i < word.length; i++)
		if (!text_is_digit(word.bytes[i]))
			return false;
	if (!number_parse(word, UINT64_MAX, number))
		*number = UINT64_MAX;
	return word.length > 0;
}

/* Sets NUMBER, from 0, to the message that WORD names. What is asked for but is not there counts as no error. */
static bool take_message(struct pop3_server *s, struct view word, size_t *number)
{
	uint64_t said;

	if (!take_number(word, &said)) {
		pop3_bad(s, "The number of a message is missing");
		return false;
	}
	if (said == 0 || said > s->own->listing->count) {
		pop3_error(s, NULL, "There is no such message");
		return false;
	}
	*number = (size_t)said - 1;
	if (pop3_server_marked(s, *number)) {
		pop3_error(s, NULL, "This message is marked as deleted");
		return false;
	}
	return true;
}

/* The same for a command that takes this number and nothing else. */
static bool take_only_message(struct pop3_server *s, struct view arguments, size_t *number)
{
	struct view word = line_word(&arguments);

	return no_arguments(s, arguments) && take_message(s, word, number);
}

/* ---- before the login ------------------------------------------------------------------------------------ */

/*
 * RFC 2449 5: what is there before the login is told behind it too. STLS is told only where it may be said (RFC 2595 10);
 * what runs here (6.9 there) only to its users, and no version to anybody.
 */
static void do_capa(struct pop3_server *s, struct view arguments)
{
	struct buf *out = &s->output;
	bool login = pop3_login_offered(s);

	if (!no_arguments(s, arguments))
		return;
	buf_text(out, "+OK\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\n");
	buf_text(out, login ? "UTF8 USER\r\nUSER\r\nSASL PLAIN\r\n" : "UTF8\r\n");
	if (s->own->state == POP3_STATE_TRANSACTION)
		buf_text(out, "IMPLEMENTATION packetboat\r\n");
	else if (s->options->stls && !s->secured)
		buf_text(out, "STLS\r\n");
	buf_text(out, ".\r\n");
}

static void do_stls(struct pop3_server *s, struct view arguments)
{
	if (s->secured) {
		pop3_bad(s, "TLS is there already");
	} else if (!s->options->stls) {
		pop3_bad(s, "TLS is not offered here");
	} else if (no_arguments(s, arguments)) {
		pop3_good(s);
		pop3_login_over(s);
		s->own->state = POP3_STATE_TLS;
		pop3_raise(s, (struct pop3_event){.kind = POP3_EVENT_STLS});
	}
}

static void do_utf8(struct pop3_server *s, struct view arguments)
{
	if (!no_arguments(s, arguments))
		return;
	s->own->utf8 = true;
	pop3_good(s);
}

static void do_quit(struct pop3_server *s, struct view arguments)
{
	if (!no_arguments(s, arguments))
		return;
	pop3_good(s);
	pop3_close(s, "QUIT");
}

/* ---- the maildrop ---------------------------------------------------------------------------------------- */

static void do_stat(struct pop3_server *s, struct view arguments)
{
	const struct pop3_server_own *own = s->own;

	if (!no_arguments(s, arguments))
		return;
	buf_format(&s->output, "+OK %zu %llu\r\n", own->listing->count - own->marked,
	    (unsigned long long)(own->octets - own->marked_octets));
}

/* "NUMBER OCTETS" or "NUMBER UID". */
static void put_item(struct pop3_server *s, enum pop3_list list, size_t number)
{
	const struct pop3_listing *listing = s->own->listing;
	struct buf *out = &s->output;

	buf_number(out, number + 1);
	buf_byte(out, ' ');
	if (list == POP3_LIST_OCTETS)
		buf_number(out, listing->octets(listing, number));
	else
		listing->uid(listing, number, out);
	buf_append(out, "\r\n", 2);
}

static void begin_list(struct pop3_server *s, struct view arguments, enum pop3_list list)
{
	size_t number;

	if (arguments.length == 0) {
		pop3_good(s);
		s->own->list = list;
		s->own->list_at = 0;
	} else if (take_only_message(s, arguments, &number)) {
		buf_text(&s->output, "+OK ");
		put_item(s, list, number);
	}
}

void pop3_list_step(struct pop3_server *s)
{
	struct pop3_server_own *own = s->own;

	for (; own->list_at < own->listing->count; own->list_at++) {
		if (s->output.length > POP3_OUTPUT_MAX)
			return;
		if (!pop3_server_marked(s, own->list_at))
			put_item(s, own->list, own->list_at);
	}
	own->list = POP3_LIST_NONE;
	buf_text(&s->output, ".\r\n");
}

static void do_list(struct pop3_server *s, struct view arguments)
{
	begin_list(s, arguments, POP3_LIST_OCTETS);
}

static void do_uidl(struct pop3_server *s, struct view arguments)
{
	begin_list(s, arguments, POP3_LIST_UIDS);
}

static void do_retr(struct pop3_server *s, struct view arguments)
{
	size_t number;

	if (take_only_message(s, arguments, &number))
		pop3_raise(s, (struct pop3_event){.kind = POP3_EVENT_RETRIEVE, .number = number});
}

static void do_top(struct pop3_server *s, struct view arguments)
{
	struct view word = line_word(&arguments);
	uint64_t lines;
	size_t number;

	if (!take_number(arguments, &lines))
		pop3_bad(s, "TOP, the number of a message, and how many lines");
	else if (take_message(s, word, &number))
		pop3_raise(s,
		    (struct pop3_event){.kind = POP3_EVENT_RETRIEVE, .number = number, .top = true, .lines = lines});
}

bool pop3_server_marked(const struct pop3_server *s, size_t number)
{
	const struct pop3_server_own *own = s->own;

	return own->marks != NULL && number < own->listing->count && (own->marks[number / 8] >> number % 8 & 1) != 0;
}

static void do_dele(struct pop3_server *s, struct view arguments)
{
	struct pop3_server_own *own = s->own;
	size_t number;

	if (!take_only_message(s, arguments, &number))
		return;
	if (own->marks == NULL)
		own->marks = mem_alloc(own->listing->count / 8 + 1);
	own->marks[number / 8] = (uint8_t)(own->marks[number / 8] | 1u << number % 8);
	own->marked++;
	own->marked_octets += own->listing->octets(own->listing, number);
	pop3_good(s);
}

static void do_rset(struct pop3_server *s, struct view arguments)
{
	struct pop3_server_own *own = s->own;

	if (!no_arguments(s, arguments))
		return;
	free(own->marks);
	own->marks = NULL;
	own->marked = 0;
	own->marked_octets = 0;
	pop3_good(s);
}

static void do_noop(struct pop3_server *s, struct view arguments)
{
	if (no_arguments(s, arguments))
		pop3_good(s);
}

static void do_update(struct pop3_server *s, struct view arguments)
{
	if (no_arguments(s, arguments))
		pop3_raise(s, (struct pop3_event){.kind = POP3_EVENT_UPDATE, .marked = s->own->marked});
}

/* A browser was led here, perhaps with commands in what it posts: nothing of it is read. */
static void web(struct pop3_server *s, struct view arguments)
{
	(void)arguments;
	pop3_error(s, NULL, "This is a mail server");
	pop3_close(s, "HTTP was spoken");
}

/* ---- the protocol ---------------------------------------------------------------------------------------- */

#define STATES 3

/* Every command in every state that takes one; the others are left by the driver, or by the end of the exchange of AUTH. */
static const struct command {
	const char *verb;
	pop3_handler *in[STATES];
} commands[] = {
    /* clang-format off */
    /* verb       GREETED       NAMED         TRANSACTION */
    {"RETR",     {log_in,       log_in,       do_retr}},
    {"DELE",     {log_in,       log_in,       do_dele}},
    {"TOP",      {log_in,       log_in,       do_top}},
    {"LIST",     {log_in,       log_in,       do_list}},
    {"UIDL",     {log_in,       log_in,       do_uidl}},
    {"STAT",     {log_in,       log_in,       do_stat}},
    {"NOOP",     {log_in,       log_in,       do_noop}},
    {"RSET",     {log_in,       log_in,       do_rset}},
    {"QUIT",     {do_quit,      do_quit,      do_update}},
    {"CAPA",     {do_capa,      do_capa,      do_capa}},
    {"STLS",     {do_stls,      do_stls,      too_late}},
    {"UTF8",     {do_utf8,      do_utf8,      too_late}},
    {"USER",     {pop3_do_user, pop3_do_user, too_late}},
    {"PASS",     {no_name,      pop3_do_pass, too_late}},
    {"AUTH",     {pop3_do_auth, pop3_do_auth, too_late}},
    {"GET",      {web,          web,          web}},
    {"HEAD",     {web,          web,          web}},
    {"POST",     {web,          web,          web}},
    {"PUT",      {web,          web,          web}},
    {"OPTIONS",  {web,          web,          web}},
    {"CONNECT",  {web,          web,          web}},
    /* clang-format on */
};

#define COMMANDS (sizeof commands / sizeof commands[0])

void pop3_command(struct pop3_server *s, struct view line)
{
	static const size_t columns[] = {
	    [POP3_STATE_GREETED] = 0,
	    [POP3_STATE_NAMED] = 1,
	    [POP3_STATE_TRANSACTION] = 2,
	};
	struct view arguments = line_trimmed(line);
	struct view verb = line_word(&arguments);

	for (size_t i = 0; i < COMMANDS; i++) {
		if (view_same(verb, view_text(commands[i].verb))) {
			commands[i].in[columns[s->own->state]](s, arguments);
			return;
		}
	}
	pop3_bad(s, verb.length == 0 ? "A line begins with a command" : "This command is not known here");
}
