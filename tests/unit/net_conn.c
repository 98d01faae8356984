#include "tests/unit/net_kit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "lib/listen.h"
#include "lib/pace.h"

static const struct conn_handlers deaf = {0};

Test(net_conn, carries_both_ways_and_tells_of_the_end)
{
	struct pair p;

	pair_open(&p);
	conn_write(p.a.conn, view_text("hello "));
	conn_write(p.a.conn, view_text("you\r\n"));
	cr_assert_eq(p.a.drained, 0, "no handler from within a call");
	p.b.echo = true;
	p.a.until = "you";
	cr_assert(run_until(p.base, p.a.got.length == 11));
	cr_assert_str_eq(buf_string(&p.a.got), "hello you\r\n");
	cr_assert_geq(p.a.drained, 1);
	cr_assert_eq(conn_unsent(p.a.conn), 0);
	cr_assert_str_eq(conn_peer(p.a.conn), "local");
	cr_assert_null(conn_tls_text(p.a.conn));
	conn_finish(p.a.conn, 5);
	p.a.conn = NULL;
	cr_assert(run_until(p.base, p.b.closed == 1));
	cr_assert_eq(p.b.why.code, EX_OK);
	cr_assert_str_eq(p.b.why.text, "");
	cr_assert_eq(p.a.closed, 0, "not for the owner that finished");
	pair_close(&p);
}

Test(net_conn, input_is_bounded_and_waits)
{
	struct pair p;
	static uint8_t much[3 * CONN_INPUT_MAX];

	memset(much, 'x', sizeof much);
	pair_open(&p);
	p.b.leave = true;
	conn_write(p.a.conn, view_of(much, sizeof much));
	run_for(p.base, 50);
	cr_assert_eq(conn_input(p.b.conn).length, CONN_INPUT_MAX);
	conn_take(p.b.conn, 100);
	run_for(p.base, 50);
	cr_assert_eq(conn_input(p.b.conn).length, CONN_INPUT_MAX, "the room is filled again");
	p.b.leave = false;
	conn_again(p.b.conn);
	cr_assert(run_until(p.base, p.b.got.length == sizeof much - 100));
	pair_close(&p);
}

Test(net_conn, a_pause_holds_input_and_the_end_back)
{
	struct pair p;

	pair_open(&p);
	conn_pause(p.b.conn);
	conn_write(p.a.conn, view_text("x"));
	conn_free(p.a.conn);
	p.a.conn = NULL;
	run_for(p.base, 50);
	cr_assert_eq(p.b.inputs, 0);
	cr_assert_eq(p.b.closed, 0);
	conn_resume(p.b.conn);
	cr_assert(run_until(p.base, p.b.closed == 1));
	cr_assert_str_eq(buf_string(&p.b.got), "x", "before the end");
	pair_close(&p);
}

Test(net_conn, again_calls_without_new_input)
{
	struct pair p;

	pair_open(&p);
	p.b.leave = true;
	conn_write(p.a.conn, view_text("x"));
	cr_assert(run_until(p.base, p.b.inputs == 1));
	run_for(p.base, 30);
	cr_assert_eq(p.b.inputs, 1);
	conn_again(p.b.conn);
	cr_assert_eq(p.b.inputs, 1, "not from within");
	cr_assert(run_until(p.base, p.b.inputs == 2));
	pair_close(&p);
}

static void restless(void *context)
{
	struct end *e = context;

	e->inputs++;
	conn_again(e->conn);
}

Test(net_conn, one_that_always_asks_again_starves_nobody)
{
	static const struct conn_handlers handlers = {.input = restless};
	struct pair p;
	struct pair other;
	int fds[2];

	pair_open(&p);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	end_init(&other.a, p.base);
	other.a.conn = conn_pipes(p.base, fds[0], fds[0], &handlers, &other.a);
	cr_assert_eq(write(fds[1], "x", 1), 1);
	conn_write(p.a.conn, view_text("quiet"));
	cr_assert(run_until(p.base, p.b.got.length == 5));
	cr_assert_gt(other.a.inputs, 1);
	end_release(&other.a);
	close(fds[1]);
	pair_close(&p);
}

Test(net_conn, a_megabyte_to_a_slow_reader)
{
	struct pair p;
	size_t size = (size_t)1 << 20;
	uint8_t *bytes = mem_alloc(size);

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	pair_open(&p);
	conn_pause(p.b.conn);
	conn_write(p.a.conn, view_of(bytes, size));
	run_for(p.base, 30);
	cr_assert_gt(conn_unsent(p.a.conn), 0);
	cr_assert_eq(p.a.drained, 0);
	while (p.b.got.length < size) {
		size_t before = p.b.got.length;

		conn_resume(p.b.conn);
		cr_assert(run_until(p.base, p.b.got.length > before));
		conn_pause(p.b.conn);
	}
	cr_assert(view_equal(view_buf(&p.b.got), view_of(bytes, size)));
	cr_assert(run_until(p.base, p.a.drained > 0));
	cr_assert_eq(conn_unsent(p.a.conn), 0);
	free(bytes);
	pair_close(&p);
}

/* The owner may end the conn in any of its handlers. */
static void free_in_handler(void *context)
{
	struct end *e = context;

	conn_free(e->conn);
	e->conn = NULL;
	e->closed++;
}
static void finish_in_handler(void *context)
{
	struct end *e = context;

	conn_write(e->conn, view_text("bye"));
	conn_finish(e->conn, 5);
	e->conn = NULL;
	e->closed++;
}
static void free_when_closed(void *context, const struct error *why)
{
	(void)why;
	free_in_handler(context);
}
static void finish_when_closed(void *context, const struct error *why)
{
	(void)why;
	finish_in_handler(context);
}

Test(net_conn, may_be_ended_in_every_handler)
{
	static const struct conn_handlers tries[] = {
	    {.input = free_in_handler},
	    {.drained = free_in_handler},
	    {.closed = free_when_closed},
	    {.input = finish_in_handler},
	    {.drained = finish_in_handler},
	    {.closed = finish_when_closed},
	};

	for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
		struct pair p;
		int fds[2];
		char got[8] = "";

		pair_open(&p);
		conn_free(p.a.conn);
		cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		p.a.conn = conn_pipes(p.base, fds[0], fds[0], &tries[i], &p.a);
		conn_write(p.a.conn, view_text("x"));
		cr_assert_eq(write(fds[1], "x", 1), 1);
		cr_assert_eq(shutdown(fds[1], SHUT_WR), 0);
		cr_assert(run_until(p.base, p.a.closed > 0), "%zu", i);
		run_for(p.base, 20);
		cr_assert_eq(p.a.closed, 1, "%zu: no handler after the end", i);
		cr_assert_null(p.a.conn);
		cr_assert_eq(recv(fds[1], got, sizeof got, MSG_WAITALL), i < 3 ? 1 : 4, "%zu", i);
		close(fds[1]);
		pair_close(&p);
	}
}

Test(net_conn, silence_and_slow_readers_time_out_but_progress_does_not)
{
	struct pair p;
	static uint8_t much[4 << 20];
	double begun;

	pair_open(&p);
	/* Nothing arrives. */
	conn_timeout(p.a.conn, 1);
	begun = seconds_now();
	cr_assert(run_until(p.base, p.a.closed == 1));
	cr_assert_geq(seconds_now() - begun, 0.95);
	cr_assert_eq(p.a.why.code, EX_UNAVAILABLE);
	cr_assert_str_eq(p.a.why.text, "local sent nothing for 1 seconds");
	conn_write(p.a.conn, view_text("421 bye"));
	cr_assert(run_until(p.base, p.b.got.length == 7), "it can still be told");
	pair_close(&p);

	/* It is not waited for while the owner is at work. */
	pair_open(&p);
	conn_timeout(p.a.conn, 1);
	conn_pause(p.a.conn);
	run_for(p.base, 1300);
	cr_assert_eq(p.a.closed, 0);
	conn_resume(p.a.conn);
	run_for(p.base, 500);
	cr_assert_eq(p.a.closed, 0, "counted from the resuming");
	/* Little by little, longer than the timeout in all. */
	for (int i = 0; i < 4; i++) {
		conn_write(p.b.conn, view_text("x"));
		run_for(p.base, 400);
		cr_assert_eq(p.a.closed, 0);
	}
	/* The peer reads nothing. */
	conn_pause(p.b.conn);
	conn_write(p.a.conn, view_of(much, sizeof much));
	for (int i = 0; i < 5 && p.a.closed == 0; i++) {
		conn_write(p.b.conn, view_text("x"));
		run_for(p.base, 400);
	}
	cr_assert_eq(p.a.closed, 1, "what the peer sends is no excuse");
	cr_assert_str_eq(p.a.why.text, "local took nothing for 1 seconds");
	pair_close(&p);
}

/* A peer that is never silent for as long as the timeout, and never done. */
Test(net_conn, a_drip_is_no_answer)
{
	double begun;
	struct pair p;

	pair_open(&p);
	conn_timeout(p.a.conn, 1);
	conn_answered(p.a.conn);
	begun = seconds_now();
	while (p.a.closed == 0 && seconds_now() - begun < 30) {
		conn_write(p.b.conn, view_text("x"));
		run_for(p.base, 700);
	}
	cr_assert_eq(p.a.closed, 1);
	cr_assert_geq(seconds_now() - begun, PACE_TIMEOUTS * 0.95);
	cr_assert_eq(p.a.why.code, EX_UNAVAILABLE);
	cr_assert_not_null(strstr(p.a.why.text, "local is too slow: "), "%s", p.a.why.text);
	pair_close(&p);
}

/* One that is slow in what it reads and writes, and one that answers now and then. */
Test(net_conn, who_is_slow_goes_on)
{
	double begun = seconds_now();
	struct pair reads, writes, answers;

	pair_open(&reads);
	pair_open(&writes);
	pair_open(&answers);
	conn_timeout(reads.a.conn, 1);
	conn_timeout(writes.a.conn, 1);
	conn_timeout(answers.a.conn, 1);
	conn_answered(reads.a.conn);
	conn_answered(writes.a.conn);
	while (seconds_now() - begun < PACE_TIMEOUTS + 3) {
		conn_write(reads.a.conn, view_text("four"));
		conn_write(writes.b.conn, view_text("four"));
		conn_write(answers.b.conn, view_text("x"));
		if (seconds_now() - begun < 4)
			conn_answered(answers.a.conn);
		run_for(reads.base, 200);
		run_for(writes.base, 200);
		run_for(answers.base, 200);
	}
	cr_expect_eq(reads.a.closed, 0, "%s", reads.a.why.text);
	cr_expect_eq(writes.a.closed, 0, "%s", writes.a.why.text);
	cr_expect_eq(answers.a.closed, 0, "%s", answers.a.why.text);
	pair_close(&reads);
	pair_close(&writes);
	pair_close(&answers);
}

/* A listener on a free port of loopback. */
static int listener(struct sockaddr_in *address)
{
	socklen_t length = sizeof *address;
	struct error err = ERROR_NONE;
	int fds[2];
	size_t count;

	cr_assert_eq(listen_open("127.0.0.1:0", 0, fds, 2, &count, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(count, 1);
	cr_assert_eq(getsockname(fds[0], (struct sockaddr *)address, &length), 0);
	return fds[0];
}

Test(net_conn, connects_over_tcp)
{
	struct pair p;
	struct sockaddr_in address;
	int fd = listener(&address);
	int accepted;
	struct end c;

	pair_open(&p);
	end_init(&c, p.base);
	c.conn = conn_connect(p.base, (struct sockaddr *)&address, sizeof address, 5, &end_handlers, &c);
	conn_write(c.conn, view_text("early"));
	cr_assert_eq(c.connected, 0);
	cr_assert(run_until(p.base, c.connected == 1));
	cr_assert_str_eq(conn_peer(c.conn), "127.0.0.1");
	accepted = accept(fd, NULL, NULL);
	cr_assert_geq(accepted, 0);
	conn_free(p.a.conn);
	p.a.conn = conn_pipes(p.base, accepted, accepted, &end_handlers, &p.a);
	cr_assert_str_eq(conn_peer(p.a.conn), "127.0.0.1");
	cr_assert(run_until(p.base, p.a.got.length == 5));
	end_release(&c);
	cr_assert(run_until(p.base, p.a.closed == 1));
	close(fd);
	/* Nobody listens any more. */
	end_init(&c, p.base);
	c.conn = conn_connect(p.base, (struct sockaddr *)&address, sizeof address, 5, &end_handlers, &c);
	cr_assert_eq(c.closed, 0, "not from within");
	cr_assert(run_until(p.base, c.closed == 1));
	cr_assert_eq(c.connected, 0);
	cr_assert_eq(c.why.code, EX_TEMPFAIL);
	cr_assert_str_eq(c.why.text, "cannot connect to 127.0.0.1: Connection refused");
	end_release(&c);
	pair_close(&p);
}

/* Who is gone before anybody asked who he is: his words are there, and he must not pass for a program of this machine. */
Test(net_conn, who_reset_the_connection_before_it_was_accepted_is_not_local)
{
	struct linger at_once = {.l_onoff = 1, .l_linger = 0};
	struct pair p;
	struct sockaddr_in address;
	int fd = listener(&address);
	int client = socket(AF_INET, SOCK_STREAM, 0);
	int accepted;

	pair_open(&p);
	cr_assert_eq(connect(client, (struct sockaddr *)&address, sizeof address), 0);
	cr_assert_eq(write(client, "words", 5), 5);
	cr_assert_eq(setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
	close(client);
	accepted = accept(fd, NULL, NULL);
	cr_assert_geq(accepted, 0);
	conn_free(p.a.conn);
	p.a.conn = conn_pipes(p.base, accepted, accepted, &end_handlers, &p.a);
	cr_assert_str_eq(conn_peer(p.a.conn), "unknown");
	cr_assert(run_until(p.base, p.a.closed == 1));
	cr_assert_str_eq(buf_string(&p.a.got), "words");
	close(fd);
	pair_close(&p);
}

Test(net_conn, connecting_has_an_end)
{
	enum { TRIES = 6 };
	struct pair p;
	struct end c[TRIES];
	struct sockaddr_in address;
	int fd = listener(&address);
	unsigned late = 0;

	pair_open(&p);
	/* Whose line is full does not answer. */
	cr_assert_eq(listen(fd, 0), 0);
	for (int i = 0; i < TRIES; i++) {
		end_init(&c[i], p.base);
		c[i].conn =
		    conn_connect(p.base, (struct sockaddr *)&address, sizeof address, 1, &end_handlers, &c[i]);
		conn_timeout(c[i].conn, 30);
	}
	run_for(p.base, 1500);
	for (int i = 0; i < TRIES; i++) {
		cr_assert_eq(c[i].connected + c[i].closed, 1, "%d", i);
		late += c[i].closed;
		if (c[i].closed > 0)
			cr_assert_str_eq(c[i].why.text, "cannot connect to 127.0.0.1: no answer in time");
		end_release(&c[i]);
	}
	cr_assert_gt(late, 0);
	close(fd);
	pair_close(&p);
}

/* A way that there is not is told at once, and from the loop. */
Test(net_conn, a_socket_at_no_path_is_told)
{
	struct pair p;
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/nowhere/socket"};
	struct end c;

	pair_open(&p);
	end_init(&c, p.base);
	c.conn = conn_connect(p.base, (struct sockaddr *)&address, sizeof address, 1, &end_handlers, &c);
	conn_write(c.conn, view_text("x"));
	cr_assert_eq(c.closed, 0);
	cr_assert(run_until(p.base, c.closed == 1));
	cr_assert_str_eq(c.why.text, "cannot connect to local: No such file or directory");
	end_release(&c);
	pair_close(&p);
}

/* The last words reach a peer that goes on sending, which a reset would prevent. */
Test(net_conn, finish_lets_a_talking_peer_hear_the_end)
{
	struct pair p;
	struct sockaddr_in address;
	int fd = listener(&address);
	int client = socket(AF_INET, SOCK_STREAM, 0);
	char got[64] = "";
	size_t length = 0;
	int accepted;
	double begun;

	pair_open(&p);
	cr_assert_eq(connect(client, (struct sockaddr *)&address, sizeof address), 0);
	conn_free(p.a.conn);
	accepted = accept(fd, NULL, NULL);
	p.a.conn = conn_pipes(p.base, accepted, accepted, &end_handlers, &p.a);
	conn_pause(p.a.conn);
	for (int i = 0; i < 20; i++)
		cr_assert_eq(write(client, got, sizeof got), (ssize_t)sizeof got);
	conn_write(p.a.conn, view_text("421 enough"));
	conn_finish(p.a.conn, 5);
	p.a.conn = NULL;
	for (int i = 0; i < 20; i++) {
		cr_assert_eq(send(client, got, sizeof got, MSG_NOSIGNAL), (ssize_t)sizeof got, "no reset");
		run_for(p.base, 5);
	}
	while (length < sizeof got - 1) {
		ssize_t count = recv(client, got + length, sizeof got - 1 - length, 0);

		cr_assert_geq(count, 0, "no reset");
		if (count == 0)
			break;
		length += (size_t)count;
	}
	cr_assert_str_eq(got, "421 enough");
	/* But not for ever. */
	begun = seconds_now();
	while (send(client, got, 1, MSG_NOSIGNAL) == 1 && seconds_now() - begun < 10)
		run_for(p.base, 20);
	cr_assert_lt(seconds_now() - begun, 5);
	close(client);
	close(fd);
	pair_close(&p);
}

Test(net_conn, finish_writes_out_and_gives_up_in_time)
{
	struct pair p;
	static uint8_t much[2 << 20];
	char byte;
	int fds[2];
	double begun;

	pair_open(&p);
	conn_pause(p.b.conn);
	conn_write(p.a.conn, view_of(much, sizeof much));
	conn_finish(p.a.conn, 5);
	p.a.conn = NULL;
	conn_resume(p.b.conn);
	cr_assert(run_until(p.base, p.b.closed == 1));
	cr_assert_eq(p.b.got.length, sizeof much);
	/* Nobody reads. */
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	p.a.conn = conn_pipes(p.base, fds[0], fds[0], &deaf, NULL);
	conn_write(p.a.conn, view_of(much, sizeof much));
	conn_finish(p.a.conn, 1);
	p.a.conn = NULL;
	begun = seconds_now();
	cr_assert(run_until(p.base, send(fds[1], "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EPIPE));
	cr_assert_lt(seconds_now() - begun, 3);
	while (recv(fds[1], &byte, 1, MSG_DONTWAIT) == 1)
		;
	close(fds[1]);
	pair_close(&p);
}

Test(net_conn, a_broken_peer_is_told_once_behind_its_last_words)
{
	struct pair p;
	int fds[2];

	pair_open(&p);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	conn_free(p.a.conn);
	p.a.conn = conn_pipes(p.base, fds[0], fds[0], &end_handlers, &p.a);
	cr_assert_eq(write(fds[1], "554 go away", 11), 11);
	close(fds[1]);
	conn_write(p.a.conn, view_text("EHLO a.example\r\n"));
	conn_write(p.a.conn, view_text("EHLO a.example\r\n"));
	cr_assert_eq(p.a.closed, 0, "not from within");
	cr_assert(run_until(p.base, p.a.closed == 1));
	cr_assert_str_eq(buf_string(&p.a.got), "554 go away");
	cr_assert_eq(p.a.why.code, EX_TEMPFAIL);
	cr_assert_str_eq(p.a.why.text, "the connection with local broke while writing: Broken pipe");
	run_for(p.base, 20);
	cr_assert_eq(p.a.closed, 1);
	pair_close(&p);
}

/* Pipes, and files, which no loop can wait for. */
Test(net_conn, standard_input_may_be_a_pipe_or_a_file)
{
	for (int file = 0; file < 2; file++) {
		struct dir d = scratch_open();
		struct pair p;
		struct error err = ERROR_NONE;
		struct buf text;
		int in[2];
		int out[2];
		char got[16] = "";

		pair_open(&p);
		conn_free(p.a.conn);
		buf_init(&text, 1 << 20);
		for (int i = 0; i < 5000; i++)
			buf_format(&text, "line %d\r\n", i);
		cr_assert_eq(file_commit(&d, &d, "in", view_buf(&text), &err), OUTCOME_DONE, "%s", err.text);
		cr_assert_eq(pipe(in), 0);
		cr_assert_eq(pipe(out), 0);
		if (file) {
			close(in[0]);
			close(in[1]);
			cr_assert_eq(file_open(&d, "in", &in[0], &err), OUTCOME_DONE, "%s", err.text);
		} else {
			cr_assert_eq(write(in[1], text.bytes, 60000), 60000);
			text.length = 60000;
			close(in[1]);
		}
		p.a.conn = conn_pipes(p.base, in[0], out[1], &end_handlers, &p.a);
		cr_assert(run_until(p.base, p.a.closed == 1), "%d", file);
		cr_assert_eq(p.a.why.code, EX_OK);
		cr_assert(view_equal(view_buf(&p.a.got), view_buf(&text)), "%d", file);
		conn_write(p.a.conn, view_text("250 ok"));
		conn_finish(p.a.conn, 2);
		p.a.conn = NULL;
		cr_assert_eq(read(out[0], got, sizeof got), 6);
		cr_assert(run_until(p.base, read(out[0], got, sizeof got) == 0), "closed");
		close(out[0]);
		buf_release(&text);
		pair_close(&p);
		scratch_close(&d);
	}
}

Test(net_conn, output_may_be_a_file)
{
	struct dir d = scratch_open();
	struct pair p;
	struct error err = ERROR_NONE;
	struct buf text;
	int null;
	int out;

	pair_open(&p);
	conn_free(p.a.conn);
	cr_assert_eq(file_open_null(&null, &err), OUTCOME_DONE);
	cr_assert_eq(file_create(&d, "out", &out, &err), OUTCOME_DONE);
	p.a.conn = conn_pipes(p.base, null, out, &end_handlers, &p.a);
	conn_write(p.a.conn, view_text("220 hello\r\n"));
	cr_assert(run_until(p.base, p.a.closed == 1), "/dev/null ends at once");
	conn_finish(p.a.conn, 1);
	p.a.conn = NULL;
	run_for(p.base, 10);
	buf_init(&text, 100);
	cr_assert_eq(file_read(&d, "out", &text, &err), OUTCOME_DONE);
	cr_assert_str_eq(buf_string(&text), "220 hello\r\n");
	buf_release(&text);
	pair_close(&p);
	scratch_close(&d);
}

/* ---- what a server knows --------------------------------------------------------------------------------- */

Test(net_conn, the_peer_is_whom_accept_named)
{
	static const struct {
		int family;
		const char *address;
		const char *peer;
	} cases[] = {
	    {AF_INET, "192.0.2.1", "192.0.2.1"},
	    {AF_INET6, "2001:db8::1", "2001:db8::1"},
	    {AF_INET6, "::ffff:192.0.2.7", "192.0.2.7"},
	    {AF_UNIX, NULL, "local"},
	    {AF_UNSPEC, NULL, "unknown"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct sockaddr_storage address = {.ss_family = (sa_family_t)cases[i].family};
		struct sockaddr_in *four = (struct sockaddr_in *)&address;
		struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address;
		struct pair p;
		int fds[2];
		struct conn *c;

		pair_open(&p);
		cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
		if (cases[i].address != NULL)
			cr_assert_eq(
			    inet_pton(cases[i].family, cases[i].address,
				cases[i].family == AF_INET ? (void *)&four->sin_addr : (void *)&six->sin6_addr),
			    1);
		c = conn_served(p.base, fds[0], (struct sockaddr *)&address, sizeof address, &end_handlers, &p.a);
		cr_expect_str_eq(conn_peer(c), cases[i].peer);
		conn_free(c);
		close(fds[1]);
		pair_close(&p);
	}
}

/* Over TCP, where the system may hold them back. */
Test(net_conn, last_words_arrive_with_the_end)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof address;
	int listening = socket(AF_INET, SOCK_STREAM, 0);
	struct pair p;
	double begun;

	pair_open(&p);
	conn_free(p.a.conn);
	conn_free(p.b.conn);
	cr_assert_eq(bind(listening, (struct sockaddr *)&address, length), 0);
	cr_assert_eq(listen(listening, 1), 0);
	cr_assert_eq(getsockname(listening, (struct sockaddr *)&address, &length), 0);
	p.b.conn = conn_connect(p.base, (struct sockaddr *)&address, length, 10, &end_handlers, &p.b);
	p.a.conn = conn_served(p.base, accept4(listening, NULL, NULL, SOCK_NONBLOCK), (struct sockaddr *)&address,
	    length, &end_handlers, &p.a);
	cr_assert(run_until(p.base, p.b.connected == 1));
	begun = seconds_now();
	conn_write_last(p.a.conn, view_text("221 bye\r\n"));
	conn_finish(p.a.conn, 5);
	p.a.conn = NULL;
	cr_assert(run_until(p.base, p.b.closed == 1));
	cr_expect_lt(seconds_now() - begun, 0.15, "held back: %g", seconds_now() - begun);
	cr_expect_str_eq(buf_string(&p.b.got), "221 bye\r\n");
	cr_expect_eq(p.b.why.code, EX_OK);
	close(listening);
	pair_close(&p);
}
