#include "tests/unit/net_kit.h"

#include <sys/wait.h>

/* A directory with a certificate for "mail.example", a server's context from it and clients' contexts. */
struct ground {
	struct dir dir;
	char *certificate;
	char *key;
	struct tls *server;
	struct tls *checking; /* believes in that certificate */
	struct tls *blind;    /* believes everybody */
};

static void ground_open(struct ground *g)
{
	struct error err = ERROR_NONE;

	g->dir = scratch_open();
	g->certificate = mem_format("%s/cert.pem", g->dir.path);
	g->key = mem_format("%s/key.pem", g->dir.path);
	cr_assert_eq(
	    tls_make_self_signed(&g->dir, "cert.pem", "key.pem", "mail.example", &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(tls_server(&g->server, g->certificate, g->key, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(tls_client(&g->checking, TLS_CHECK_NAME, g->certificate, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(tls_client(&g->blind, TLS_CHECK_NONE, NULL, &err), OUTCOME_DONE, "%s", err.text);
}

static void ground_close(struct ground *g)
{
	tls_drop(g->server);
	tls_drop(g->checking);
	tls_drop(g->blind);
	free(g->certificate);
	free(g->key);
	scratch_close(&g->dir);
}

/* ---- sessions -------------------------------------------------------------------------------------------- */

Test(net_tls, carries_what_is_written_before_and_after_the_handshake)
{
	struct ground g;
	struct pair p;

	ground_open(&g);
	pair_open(&p);
	conn_write(p.a.conn, view_text("220 ready\r\n"));
	cr_assert(conn_start_tls(p.a.conn, g.server, NULL));
	conn_write(p.a.conn, view_text("250 sealed\r\n"));
	cr_assert(run_until(p.base, p.b.got.length == 11));
	cr_assert_str_eq(buf_string(&p.b.got), "220 ready\r\n", "in clear; what follows is not");
	cr_assert_eq(p.a.secured, 0);
	cr_assert(conn_start_tls(p.b.conn, g.checking, "mail.example"));
	conn_write(p.b.conn, view_text("EHLO\r\n"));
	cr_assert_eq(p.b.secured, 0, "not from within");
	cr_assert(run_until(p.base, p.a.got.length == 6 && p.b.got.length == 23), "%s", p.b.why.text);
	cr_assert_str_eq(buf_string(&p.b.got), "220 ready\r\n250 sealed\r\n");
	cr_assert_eq(p.a.secured, 1);
	cr_assert_eq(p.b.secured, 1);
	cr_assert_not_null(strstr(conn_tls_text(p.a.conn), "TLSv1.3 TLS_"), "%s", conn_tls_text(p.a.conn));
	cr_assert_str_eq(conn_tls_text(p.a.conn), conn_tls_text(p.b.conn));
	conn_finish(p.a.conn, 2);
	p.a.conn = NULL;
	cr_assert(run_until(p.base, p.b.closed == 1));
	cr_assert_eq(p.b.why.code, EX_OK, "%s", p.b.why.text);
	pair_close(&p);
	ground_close(&g);
}

Test(net_tls, checks_the_name)
{
	static const struct {
		const char *name;
		bool good;
	} cases[] = {
	    {"mail.example", true},
	    {"MAIL.example.", true},
	    {"localhost", true},
	    {"127.0.0.1", true},
	    {"::1", true},
	    {"other.example", false},
	    {"sub.mail.example", false},
	    {"127.0.0.2", false},
	    {"", false},
	};
	struct ground g;

	ground_open(&g);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct pair p;

		pair_open(&p);
		cr_assert(conn_start_tls(p.a.conn, g.server, NULL));
		cr_assert(conn_start_tls(p.b.conn, g.checking, cases[i].name));
		cr_assert(run_until(p.base, p.b.secured + p.b.closed == 1));
		cr_assert_eq(p.b.secured == 1, cases[i].good, "%s: %s", cases[i].name, p.b.why.text);
		if (!cases[i].good) {
			cr_assert_eq(p.b.why.code, EX_PROTOCOL);
			conn_free(p.b.conn);
			p.b.conn = NULL;
			cr_assert(run_until(p.base, p.a.closed == 1));
			cr_assert_eq(p.a.secured, 0);
			cr_assert_eq(p.a.why.code, EX_PROTOCOL, "%s", p.a.why.text);
		}
		pair_close(&p);
	}
	ground_close(&g);
}

Test(net_tls, says_what_is_wrong_with_a_certificate)
{
	struct ground g;
	struct ground other;
	struct pair p;

	ground_open(&g);
	ground_open(&other);
	pair_open(&p);
	cr_assert(conn_start_tls(p.a.conn, g.server, NULL));
	cr_assert(conn_start_tls(p.b.conn, g.checking, "other.example"));
	cr_assert(run_until(p.base, p.b.closed == 1));
	cr_assert_str_eq(p.b.why.text, "the TLS handshake with local failed: hostname mismatch");
	pair_close(&p);
	pair_open(&p);
	cr_assert(conn_start_tls(p.a.conn, g.server, NULL));
	cr_assert(conn_start_tls(p.b.conn, other.checking, "mail.example"));
	cr_assert(run_until(p.base, p.b.closed == 1));
	cr_assert_not_null(
	    strstr(p.b.why.text, "self-signed certificate; who is to be believed is said by the option "
				 "authorities"),
	    "%s", p.b.why.text);
	pair_close(&p);
	pair_open(&p);
	cr_assert(conn_start_tls(p.a.conn, g.server, NULL));
	cr_assert(conn_start_tls(p.b.conn, other.blind, "other.example"));
	cr_assert(run_until(p.base, p.b.secured == 1), "without a check");
	pair_close(&p);
	ground_close(&other);
	ground_close(&g);
}

/* RFC 3207 4.2: what came in clear behind STARTTLS must not be taken for a part of the session. */
Test(net_tls, injected_text_ends_the_session)
{
	struct ground g;
	struct pair p;

	ground_open(&g);
	pair_open(&p);
	p.a.leave = true;
	conn_write(p.b.conn, view_text("MAIL FROM:<x@example.org>\r\n"));
	cr_assert(run_until(p.base, conn_input(p.a.conn).length > 0));
	cr_assert_not(conn_start_tls(p.a.conn, g.server, NULL));
	cr_assert_eq(conn_input(p.a.conn).length, 0, "thrown away");
	run_for(p.base, 30);
	cr_assert_eq(p.a.secured + p.a.closed, 0);
	cr_assert_null(conn_tls_text(p.a.conn));
	pair_close(&p);
	/* The same when the system still has it: no handshake begins like that. */
	pair_open(&p);
	conn_write(p.b.conn, view_text("MAIL FROM:<x@example.org>\r\n"));
	cr_assert(conn_start_tls(p.a.conn, g.server, NULL));
	cr_assert(run_until(p.base, p.a.closed == 1));
	cr_assert_eq(p.a.why.code, EX_PROTOCOL);
	cr_assert_eq(p.a.got.length, 0);
	pair_close(&p);
	ground_close(&g);
}

Test(net_tls, a_peer_that_just_closes_has_closed)
{
	struct ground g;
	struct pair p;

	ground_open(&g);
	pair_open(&p);
	/* In the middle of the handshake it is a failure. */
	cr_assert(conn_start_tls(p.a.conn, g.server, NULL));
	conn_free(p.b.conn);
	p.b.conn = NULL;
	cr_assert(run_until(p.base, p.a.closed == 1));
	cr_assert_eq(p.a.why.code, EX_PROTOCOL);
	cr_assert_not_null(strstr(p.a.why.text, "handshake"), "%s", p.a.why.text);
	pair_close(&p);
	pair_open(&p);
	cr_assert(conn_start_tls(p.a.conn, g.server, NULL));
	cr_assert(conn_start_tls(p.b.conn, g.blind, "mail.example"));
	cr_assert(run_until(p.base, p.a.secured == 1 && p.b.secured == 1));
	run_for(p.base, 20);
	conn_free(p.b.conn);
	p.b.conn = NULL;
	cr_assert(run_until(p.base, p.a.closed == 1));
	cr_assert_eq(p.a.why.code, EX_OK, "%s", p.a.why.text);
	pair_close(&p);
	ground_close(&g);
}

Test(net_tls, a_handshake_has_an_end)
{
	struct ground g;
	struct pair p;

	ground_open(&g);
	pair_open(&p);
	conn_timeout(p.a.conn, 1);
	conn_pause(p.a.conn);
	cr_assert(conn_start_tls(p.a.conn, g.server, NULL));
	cr_assert(run_until(p.base, p.a.closed == 1));
	cr_assert_str_eq(p.a.why.text, "local did not come to an end with TLS for 1 seconds");
	pair_close(&p);
	ground_close(&g);
}

Test(net_tls, a_megabyte_both_ways_with_pauses)
{
	struct ground g;
	struct pair p;
	size_t size = (size_t)1 << 20;
	uint8_t *bytes = mem_alloc(size);

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i * 11 + i / 509);
	ground_open(&g);
	pair_open(&p);
	cr_assert(conn_start_tls(p.a.conn, g.server, NULL));
	cr_assert(conn_start_tls(p.b.conn, g.checking, "mail.example"));
	conn_pause(p.b.conn);
	conn_write(p.a.conn, view_of(bytes, size));
	conn_write(p.b.conn, view_of(bytes, size));
	cr_assert(run_until(p.base, p.a.got.length == size));
	cr_assert_eq(p.b.secured, 1, "a pause does not stop the handshake");
	cr_assert_eq(p.b.got.length, 0);
	while (p.b.got.length < size) {
		size_t before = p.b.got.length;

		conn_resume(p.b.conn);
		cr_assert(run_until(p.base, p.b.got.length > before));
		conn_pause(p.b.conn);
	}
	cr_assert(view_equal(view_buf(&p.a.got), view_of(bytes, size)));
	cr_assert(view_equal(view_buf(&p.b.got), view_of(bytes, size)));
	cr_assert(run_until(p.base, p.a.drained > 0 && conn_unsent(p.a.conn) == 0));
	free(bytes);
	pair_close(&p);
	ground_close(&g);
}

/* A bound full of input leaves the rest inside OpenSSL, where no descriptor tells of it. */
Test(net_tls, what_openssl_holds_comes_when_there_is_room)
{
	struct ground g;
	struct pair p;
	static uint8_t much[CONN_INPUT_MAX + 1000];

	ground_open(&g);
	pair_open(&p);
	cr_assert(conn_start_tls(p.a.conn, g.server, NULL));
	cr_assert(conn_start_tls(p.b.conn, g.checking, "mail.example"));
	p.b.leave = true;
	conn_write(p.a.conn, view_of(much, sizeof much));
	cr_assert(run_until(p.base, conn_input(p.b.conn).length == CONN_INPUT_MAX));
	run_for(p.base, 20);
	conn_take(p.b.conn, CONN_INPUT_MAX);
	cr_assert(run_until(p.base, conn_input(p.b.conn).length == 1000));
	pair_close(&p);
	ground_close(&g);
}

/* The good-bye may come in one piece with the last words. */
Test(net_tls, a_pause_holds_the_end_back)
{
	struct ground g;
	struct pair p;

	ground_open(&g);
	pair_open(&p);
	cr_assert(conn_start_tls(p.a.conn, g.server, NULL));
	cr_assert(conn_start_tls(p.b.conn, g.checking, "mail.example"));
	cr_assert(run_until(p.base, p.a.secured == 1 && p.b.secured == 1));
	p.a.pause = true;
	conn_write(p.b.conn, view_text("QUIT\r\n"));
	conn_finish(p.b.conn, 2);
	p.b.conn = NULL;
	run_for(p.base, 50);
	cr_assert_eq(p.a.got.length, 6);
	cr_assert_eq(p.a.closed, 0);
	conn_resume(p.a.conn);
	cr_assert(run_until(p.base, p.a.closed == 1));
	cr_assert_eq(p.a.why.code, EX_OK, "%s", p.a.why.text);
	pair_close(&p);
	ground_close(&g);
}

Test(net_tls, finish_says_good_bye_behind_everything)
{
	struct ground g;
	struct pair p;
	static uint8_t much[2 << 20];

	ground_open(&g);
	pair_open(&p);
	cr_assert(conn_start_tls(p.a.conn, g.server, NULL));
	conn_write(p.a.conn, view_of(much, sizeof much));
	/* Before the handshake has begun. */
	conn_finish(p.a.conn, 10);
	p.a.conn = NULL;
	cr_assert(conn_start_tls(p.b.conn, g.checking, "mail.example"));
	cr_assert(run_until(p.base, p.b.closed == 1));
	cr_assert_eq(p.b.why.code, EX_OK, "%s", p.b.why.text);
	cr_assert_eq(p.b.got.length, sizeof much);
	pair_close(&p);
	ground_close(&g);
}

/* ---- certificates ---------------------------------------------------------------------------------------- */

Test(net_tls, mistakes_are_told_with_the_file)
{
	struct ground g;
	struct ground other;
	struct error err = ERROR_NONE;
	struct tls *tls;
	char *nothing;
	char *locked;
	static const char encrypted[] = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
					"MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAh2zLjmD6nKIQICCAAw\n"
					"-----END ENCRYPTED PRIVATE KEY-----\n";

	ground_open(&g);
	ground_open(&other);
	nothing = mem_format("%s/nothing", g.dir.path);
	cr_assert_neq(tls_server(&tls, nothing, g.key, &err), OUTCOME_DONE);
	cr_assert_null(tls);
	cr_assert_eq(err.code, EX_CONFIG);
	cr_assert_not_null(strstr(err.text, "cannot read the certificate /"), "%s", err.text);
	cr_assert_not_null(strstr(err.text, "/nothing: No such file or directory"), "%s", err.text);
	cr_assert_neq(tls_server(&tls, g.certificate, nothing, &err), OUTCOME_DONE);
	cr_assert_not_null(strstr(err.text, "cannot read the private key /"), "%s", err.text);
	cr_assert_not_null(strstr(err.text, "/nothing: No such file or directory"), "%s", err.text);
	cr_assert_neq(tls_server(&tls, g.certificate, other.key, &err), OUTCOME_DONE);
	cr_assert_not_null(strstr(err.text, "does not belong to the certificate"), "%s", err.text);
	cr_assert_eq(err.code, EX_CONFIG);
	cr_assert_neq(tls_server(&tls, g.key, g.key, &err), OUTCOME_DONE);
	cr_assert_not_null(strstr(err.text, "key.pem holds no certificate in PEM form"), "%s", err.text);
	cr_assert_neq(tls_server(&tls, g.certificate, g.certificate, &err), OUTCOME_DONE);
	cr_assert_not_null(strstr(err.text, "cert.pem holds no private key in PEM form"), "%s", err.text);
	cr_assert_eq(file_commit(&g.dir, &g.dir, "locked", view_text(encrypted), &err), OUTCOME_DONE);
	locked = mem_format("%s/locked", g.dir.path);
	cr_assert_neq(tls_server(&tls, g.certificate, locked, &err), OUTCOME_DONE);
	cr_assert_not_null(strstr(err.text, "locked"), "%s", err.text);
	cr_assert_neq(tls_client(&tls, TLS_CHECK_NAME, nothing, &err), OUTCOME_DONE);
	cr_assert_not_null(strstr(err.text, "/nothing: No such file or directory"), "%s", err.text);
	cr_assert_neq(tls_client(&tls, TLS_CHECK_NAME, g.key, &err), OUTCOME_DONE);
	cr_assert_null(tls);
	free(nothing);
	free(locked);
	ground_close(&other);
	ground_close(&g);
}

static struct buf content(const struct dir *d, const char *name)
{
	struct buf b;
	struct error err = ERROR_NONE;

	buf_init(&b, 65536);
	cr_assert_eq(file_read(d, name, &b, &err), OUTCOME_DONE, "%s", err.text);
	return b;
}

Test(net_tls, what_stands_is_kept)
{
	struct ground g;
	struct error err = ERROR_NONE;
	struct buf key, certificate, again;
	struct stat st;
	struct tls *tls;

	ground_open(&g);
	cr_assert_eq(stat(g.key, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0600);
	key = content(&g.dir, "key.pem");
	certificate = content(&g.dir, "cert.pem");
	cr_assert_eq(tls_make_self_signed(&g.dir, "cert.pem", "key.pem", "new.example", &err), OUTCOME_DONE);
	again = content(&g.dir, "cert.pem");
	cr_assert(view_equal(view_buf(&again), view_buf(&certificate)));
	buf_release(&again);
	/* A key alone, as after a crash between the two. */
	cr_assert_eq(file_remove(&g.dir, "cert.pem", &err), OUTCOME_DONE);
	cr_assert_eq(
	    tls_make_self_signed(&g.dir, "cert.pem", "key.pem", "new.example", &err), OUTCOME_DONE, "%s", err.text);
	again = content(&g.dir, "key.pem");
	cr_assert(view_equal(view_buf(&again), view_buf(&key)));
	buf_release(&again);
	cr_assert_eq(tls_server(&tls, g.certificate, g.key, &err), OUTCOME_DONE, "%s", err.text);
	tls_drop(tls);
	/* A certificate alone is somebody's. */
	cr_assert_eq(file_remove(&g.dir, "key.pem", &err), OUTCOME_DONE);
	cr_assert_neq(tls_make_self_signed(&g.dir, "cert.pem", "key.pem", "new.example", &err), OUTCOME_DONE);
	cr_assert_eq(err.code, EX_CONFIG);
	cr_assert_not_null(strstr(err.text, "not its key"), "%s", err.text);
	/* Links that lead nowhere are somebody's too. */
	cr_assert_eq(file_remove(&g.dir, "cert.pem", &err), OUTCOME_DONE);
	cr_assert_eq(symlink("/nowhere/key", g.key), 0);
	cr_assert_neq(tls_make_self_signed(&g.dir, "cert.pem", "key.pem", "new.example", &err), OUTCOME_DONE);
	buf_release(&key);
	buf_release(&certificate);
	ground_close(&g);
}

/* As servers do that are started together: all live by the same pair. */
Test(net_tls, makers_at_once_make_one_pair)
{
	enum { ROUNDS = 10, MAKERS = 6 };

	for (int round = 0; round < ROUNDS; round++) {
		struct dir d = scratch_open();
		const struct tls_source source = {.keys = d.path, .name = "mail.example"};
		pid_t makers[MAKERS];

		for (int i = 0; i < MAKERS; i++) {
			makers[i] = fork();
			if (makers[i] == 0) {
				struct error err = ERROR_NONE;
				struct tls *tls;

				_exit(tls_server_from(&tls, &source, &err) == OUTCOME_DONE ? 0 : 1);
			}
		}
		for (int i = 0; i < MAKERS; i++) {
			int status;

			cr_assert_eq(waitpid(makers[i], &status, 0), makers[i]);
			cr_expect_eq(status, 0, "round %d", round);
		}
		scratch_close(&d);
	}
}

Test(net_tls, a_pair_of_our_own_that_does_not_belong_together_is_easily_mended)
{
	struct dir d = scratch_open();
	const struct tls_source source = {.keys = d.path, .name = "mail.example"};
	struct error err = ERROR_NONE;
	struct tls *tls;

	cr_assert_eq(tls_make_self_signed(&d, "tls-certificate.pem", "other.pem", "a", &err), OUTCOME_DONE);
	cr_assert_eq(tls_make_self_signed(&d, "another.pem", "tls-key.pem", "a", &err), OUTCOME_DONE);
	cr_assert_neq(tls_server_from(&tls, &source, &err), OUTCOME_DONE);
	cr_assert_eq(err.code, EX_CONFIG);
	cr_assert_not_null(strstr(err.text, "does not belong to the certificate"), "%s", err.text);
	cr_assert_not_null(strstr(err.text, "; remove both, and they are made anew"), "%s", err.text);
	scratch_close(&d);
}

Test(net_tls, a_long_name_is_told_by_the_alternative_name_alone)
{
	static const char name[] =
	    "a-rather-long-label-that-goes-on-and-on.and-another-one-as-long-as-that.example.org";
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct tls *server, *client;
	char *certificate = mem_format("%s/c", d.path);
	char *key = mem_format("%s/k", d.path);
	struct pair p;

	cr_assert_eq(tls_make_self_signed(&d, "c", "k", name, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(tls_server(&server, certificate, key, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(tls_client(&client, TLS_CHECK_NAME, certificate, &err), OUTCOME_DONE, "%s", err.text);
	pair_open(&p);
	cr_assert(conn_start_tls(p.a.conn, server, NULL));
	cr_assert(conn_start_tls(p.b.conn, client, name));
	/* The conns hold their contexts. */
	tls_drop(server);
	tls_drop(client);
	tls_drop(NULL);
	cr_assert(run_until(p.base, p.b.secured + p.b.closed == 1));
	cr_assert_eq(p.b.secured, 1, "%s", p.b.why.text);
	pair_close(&p);
	free(certificate);
	free(key);
	scratch_close(&d);
}

Test(net_tls, a_server_without_a_certificate_gets_one_of_its_own_and_keeps_it)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct tls_source source = {.keys = d.path, .name = "mail.example"};
	char *certificate = mem_format("%s/tls-certificate.pem", d.path);
	struct buf first, second;
	struct tls *tls;

	buf_init(&first, 10000);
	buf_init(&second, 10000);
	cr_assert_eq(tls_server_from(&tls, &source, &err), OUTCOME_DONE, "%s", err.text);
	tls_drop(tls);
	cr_assert_eq(file_read(&d, "tls-certificate.pem", &first, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(tls_server_from(&tls, &source, &err), OUTCOME_DONE, "%s", err.text);
	tls_drop(tls);
	cr_assert_eq(file_read(&d, "tls-certificate.pem", &second, &err), OUTCOME_DONE, "%s", err.text);
	cr_expect(view_equal(view_buf(&first), view_buf(&second)));
	/* As configured: the key in the same file, where it is not. */
	source.certificate = certificate;
	cr_expect_neq(tls_server_from(&tls, &source, &err), OUTCOME_DONE);
	cr_expect_eq(err.code, EX_CONFIG);
	buf_release(&first);
	buf_release(&second);
	free(certificate);
	scratch_close(&d);
}
