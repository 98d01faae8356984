/*
 * The POP3 client against a server that says anything. The first octets choose what the driver does; the rest is the
 * server's: octets from 0x80 on stand for whole lines that servers say, 0xff for TLS that stands now, others for themselves.
 *
 * Laws: however the server's words are cut, the client says and tells the same; what it says are command lines; each request
 * has one end, in order; the last event comes once, and nothing behind it; no password goes in clear where it may not, and
 * nothing is asked for before the listing stands.
 */
#include "bridge-pop3/pop3_client.h"
#include "lib/alloc.h"
#include "lib/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool law)
{
	if (!law)
		abort();
}

static const char *const lines[] = {"+OK\r\n", "+OK 2 30\r\n", "-ERR no\r\n", "-ERR [AUTH] no\r\n",
    "-ERR [IN-USE] x\r\n", ".\r\n", "+ \r\n", "TOP\r\n", "UIDL\r\n", "STLS\r\n", "SASL PLAIN\r\n", "PIPELINING\r\n",
    "1 10\r\n", "2 20\r\n", "3 4000000000\r\n", "1 aa\r\n", "2 bb\r\n", "3 aa\r\n", "..x\r\n", "Subject: x\r\n",
    "\r\n", "x\n", ".\n", "x\r", "+OK\n", "\t1 \t10\r\n", "+OK 1 10\r\n", "+OK 2\t20 x\r\n"};

#define REQUESTS 6

struct choices {
	uint8_t session;
	uint8_t requests[REQUESTS];
};

struct run {
	struct pop3_client client;
	struct pop3_client_options options;
	const struct choices *choices;
	struct buf said;
	struct buf told;
	size_t asked;
	size_t ended;
	bool ready;
	bool last;
	bool secured;
	bool in_text;
	bool probe_due; /* next, before all else */
};

static void take_commands(struct run *r)
{
	static const char *const verbs[] = {"CAPA\r", "STLS\r", "AUTH PLAIN", "USER ann\r", "PASS pw\r", "STAT\r",
	    "LIST\r", "UIDL\r", "RETR ", "TOP ", "DELE ", "QUIT\r", "AGFubgBwdw==\r", "LIST "};
	struct view said = view_buf(&r->client.output);
	struct view line;

	buf_view(&r->said, said);
	while (view_line(&said, &line)) {
		size_t i = 0;

		require(line.length > 1 && line.bytes[line.length - 1] == '\r');
		while (i < sizeof verbs / sizeof verbs[0] &&
		       (line.length < strlen(verbs[i]) || memcmp(line.bytes, verbs[i], strlen(verbs[i])) != 0))
			i++;
		require(i < sizeof verbs / sizeof verbs[0]);
		if (i == 2 || i == 3 || i == 4 || i == 12)
			require(r->secured || r->options.clear);
		if ((i >= 8 && i <= 11) || i == 13)
			require(r->ready);
	}
	require(said.length == 0);
	buf_clear(&r->client.output);
}

static void act(struct run *r)
{
	for (size_t i = 0; i < REQUESTS && r->client.count > 0; i++) {
		size_t number = r->choices->requests[i] / 4 % r->client.count;

		r->asked++;
		if (r->choices->requests[i] % 4 == 0)
			pop3_client_retrieve(&r->client, number);
		else if (r->choices->requests[i] % 4 == 1)
			pop3_client_top(&r->client, number, 3);
		else if (r->choices->requests[i] % 4 == 2)
			pop3_client_delete(&r->client, number);
		else if (r->choices->requests[i] & 64)
			pop3_client_probe(&r->client, number);
		else
			r->asked--;
	}
	if (r->choices->session & 16)
		pop3_client_quit(&r->client);
}

/* In some sessions each message is probed that has come alone. */
static void probe_again(struct run *r, const struct pop3_client_event *e)
{
	if (!(r->choices->session & 32) || e->kind != POP3_CLIENT_RETRIEVED || pop3_client_under_way(&r->client) > 0)
		return;
	pop3_client_probe(&r->client, e->number);
	r->asked++;
	r->probe_due = true;
}

static void tell(struct run *r, const struct pop3_client_event *e)
{
	require(!r->last);
	require(!r->probe_due || e->kind == POP3_CLIENT_PROBED || e->kind == POP3_CLIENT_CLOSED);
	r->probe_due = false;
	if (e->kind != POP3_CLIENT_TEXT || !r->in_text)
		buf_format(&r->told, "|%d %zu ", (int)e->kind, e->number);
	r->in_text = e->kind == POP3_CLIENT_TEXT;
	if (e->kind == POP3_CLIENT_TEXT) {
		require(r->ready && r->ended < r->asked);
		buf_view(&r->told, e->bytes);
	} else if (e->kind == POP3_CLIENT_READY) {
		require(!r->ready);
		r->ready = true;
		buf_text(&r->told, r->client.complete ? "complete " : "");
		for (size_t i = 0; i < r->client.count; i++)
			buf_format(&r->told, "%llu:%s,", (unsigned long long)pop3_client_octets(&r->client, i),
			    pop3_client_uid(&r->client, i) == NULL ? "-" : pop3_client_uid(&r->client, i));
		act(r);
	} else if (e->kind == POP3_CLIENT_FAILED || e->kind == POP3_CLIENT_CLOSED) {
		require(r->ready == (e->kind == POP3_CLIENT_CLOSED));
		require(!text_has_control(view_text(e->text)) && utf8_valid(view_text(e->text)));
		buf_text(&r->told, e->text);
		r->last = true;
	} else if (e->kind != POP3_CLIENT_STLS) {
		require(r->ready && ++r->ended <= r->asked);
		probe_again(r, e);
	}
	require(pop3_client_under_way(&r->client) <= r->asked - r->ended);
}

static void work(struct run *r)
{
	struct pop3_client_event event;

	while (pop3_client_next(&r->client, &event)) {
		take_commands(r);
		tell(r, &event);
	}
	take_commands(r);
}

static void feed(struct run *r, const char *bytes, size_t length, size_t step)
{
	for (size_t at = 0; at < length; at += step < length ? step : length) {
		pop3_client_feed(&r->client, view_of(bytes + at, length - at < step ? length - at : step));
		work(r);
	}
}

static void run(struct run *r, const struct choices *choices, const uint8_t *data, size_t size, size_t step)
{
	*r = (struct run){.choices = choices};
	buf_init(&r->said, SIZE_MAX);
	buf_init(&r->told, SIZE_MAX);
	r->options = (struct pop3_client_options){.tls = (enum pop3_client_tls)(choices->session % 3),
	    .secured = (choices->session & 4) != 0,
	    .clear = (choices->session & 8) != 0,
	    .user = "ann",
	    .password = "pw"};
	r->secured = r->options.secured;
	pop3_client_init(&r->client, &r->options);
	for (size_t i = 0; i < size; i++) {
		if (data[i] == 0xff && r->client.stage == POP3_STAGE_TLS) {
			r->secured = true;
			pop3_client_secured(&r->client);
			work(r);
		} else if (data[i] >= 0x80) {
			const char *line = lines[(data[i] - 0x80) % (sizeof lines / sizeof lines[0])];

			feed(r, line, strlen(line), step);
		} else {
			feed(r, (const char *)&data[i], 1, 1);
		}
	}
	pop3_client_lost(&r->client, "lost");
	work(r);
	require(r->last);
	pop3_client_release(&r->client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct choices choices;
	struct run whole;
	struct run cut;

	if (size < sizeof choices)
		return 0;
	memcpy(&choices, data, sizeof choices);
	run(&whole, &choices, data + sizeof choices, size - sizeof choices, SIZE_MAX);
	run(&cut, &choices, data + sizeof choices, size - sizeof choices, 1);
	require(view_equal(view_buf(&whole.said), view_buf(&cut.said)));
	require(view_equal(view_buf(&whole.told), view_buf(&cut.told)));
	buf_release(&whole.said);
	buf_release(&whole.told);
	buf_release(&cut.said);
	buf_release(&cut.told);
	return 0;
}
