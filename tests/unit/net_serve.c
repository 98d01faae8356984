#include "tests/unit/net_kit.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "lib/net_serve.h"

struct session {
	struct served served;
	char room[1000]; /* that must be zero */
};

/* A server, and a thread in which its clients act: what happens is written down. */
struct ground {
	struct dir dir;
	char *here, *there; /* paths to listen at */
	struct log log;
	struct server_options options;
	struct server *server;
	struct server_limits limits;
	int clients[60];
	size_t client_count;
	void (*script)(struct ground *g);
	pthread_t thread;
	atomic_uint begun, over, ended, dropped, ticked, swept, reloads, children;
	const char *_Atomic crowded; /* of the session that began last */
	const char *why;	     /* of the session that was ended last */
	bool stays;		     /* sessions take no notice of being ended */
	bool bad;		     /* the configuration that is read again */
};

static struct ground *ground;

static void session_over(struct served *s, unsigned farewell)
{
	served_over(s, farewell);
	ground->over++;
}

static void session_begin(struct served *s)
{
	static const char zero[sizeof((struct session *)0)->room];
	struct ground *g = server_context(s->server);

	g->crowded = served_crowds(s, &g->limits);
	cr_expect_eq(memcmp(((struct session *)s)->room, zero, sizeof zero), 0);
	memset(((struct session *)s)->room, 1, sizeof zero);
	cr_expect_str_eq(s->peer, "local");
	cr_expect_eq(s->service, 7);
	conn_write(s->conn, view_text("hello"));
	if (g->crowded != NULL)
		session_over(s, 5);
	g->begun++;
}

static void session_input(void *context)
{
	struct served *s = context;
	struct view in = conn_input(s->conn);

	conn_take(s->conn, in.length);
	conn_write(s->conn, view_text("bye"));
	if (ground->stays)
		event_base_loopbreak(server_base(s->server));
	else
		session_over(s, 5);
}

static void session_closed(void *context, const struct error *why)
{
	(void)why;
	session_over(context, 0);
}

static void session_end(struct served *s, const char *why)
{
	ground->why = why;
	ground->ended++;
	if (!ground->stays)
		session_over(s, 5);
}

static void session_drop(struct served *s)
{
	ground->dropped++;
	session_over(s, 0);
}

static void session_tick(struct served *s, uint64_t now)
{
	cr_expect_leq(s->begun, now);
	ground->ticked++;
}

static enum outcome on_reload(void *context, struct error *err)
{
	struct ground *g = context;

	g->reloads++;
	return server_listen(g->server, (char *[]){g->bad ? "/nowhere/at/all" : g->there}, 1, err);
}

static void on_swept(void *context)
{
	((struct ground *)context)->swept++;
}

static void on_child(void *context)
{
	((struct ground *)context)->children++;
}

static int service_of(const char *text, const char **address)
{
	*address = text;
	return 7;
}

static const struct conn_handlers handlers = {.input = session_input, .closed = session_closed};

static const struct server_calls calls = {
    .handlers = &handlers,
    .begin = session_begin,
    .end = session_end,
    .drop = session_drop,
    .tick = session_tick,
    .reload = on_reload,
    .swept = on_swept,
    .child = on_child,
};

static void *play(void *context)
{
	struct ground *g = context;

	g->script(g);
	return NULL;
}

static void ground_make(struct ground *g)
{
	static const char *const services[8] = {[7] = "seven"};
	struct error err = ERROR_NONE;

	*g = (struct ground){.limits = {100, 100}};
	ground = g;
	g->dir = scratch_open();
	g->here = mem_format("%s/here", g->dir.path);
	g->there = mem_format("%s/there", g->dir.path);
	cr_assert_eq(log_open(&g->log, &g->dir, "log", &err), OUTCOME_DONE);
	g->options = (struct server_options){
	    .name = "testd",
	    .config_path = "/etc/testd",
	    .example = "127.0.0.1:1",
	    .services = services,
	    .service = service_of,
	    .session_size = sizeof(struct session),
	    .files_kept = 10,
	    .calls = &calls,
	    .context = g,
	};
	server_make(&g->server, &g->options);
}

static void ground_serve(struct ground *g, void (*script)(struct ground *g))
{
	struct error err = ERROR_NONE;

	cr_assert_eq(server_listen(g->server, &g->here, 1, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(server_become(g->server, NULL, NULL, SERVER_STAY, &err), OUTCOME_DONE, "%s", err.text);
	g->script = script;
	cr_assert_eq(pthread_create(&g->thread, NULL, play, g), 0);
	server_run(g->server, &g->log);
	pthread_join(g->thread, NULL);
}

static char *log_text_of(const struct ground *g)
{
	struct buf text;
	struct error err = ERROR_NONE;

	buf_init(&text, 100000);
	cr_assert_eq(file_read(&g->dir, "log", &text, &err), OUTCOME_DONE);
	return buf_detach(&text);
}

static void expect_logged(const struct ground *g, const char *words)
{
	char *text = log_text_of(g);

	cr_expect_not_null(strstr(text, words), "%s is not in: %s", words, text);
	free(text);
}

static void ground_free(struct ground *g)
{
	for (size_t i = 0; i < g->client_count; i++)
		close(g->clients[i]);
	server_drop(g->server);
	server_free(g->server);
	log_close(&g->log);
	free(g->here);
	free(g->there);
	scratch_close(&g->dir);
}

/* A new one; -1: nobody listens there. */
static int client(struct ground *g, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
		close(fd);
		return -1;
	}
	g->clients[g->client_count++] = fd;
	return fd;
}

/* All that comes until the server closes. */
static void expect_heard(int fd, const char *text)
{
	char heard[100] = "";
	size_t length = 0;
	ssize_t count;

	while ((count = read(fd, heard + length, sizeof heard - 1 - length)) > 0)
		length += (size_t)count;
	cr_expect_str_eq(heard, text);
}

#define wait_until(condition)                                                                                        \
	do {                                                                                                         \
		double wait_end = seconds_now() + NET_PATIENCE;                                                      \
		while (!(condition) && seconds_now() < wait_end)                                                     \
			poll(NULL, 0, 2);                                                                            \
		cr_expect(condition);                                                                                \
	} while (0)

/* ---- sessions and their end ------------------------------------------------------------------------------ */

static void script_sessions(struct ground *g)
{
	int fd;

	g->limits = (struct server_limits){.connections = 4, .each = 2};
	client(g, g->here);
	fd = client(g, g->here);
	wait_until(g->begun == 2);
	cr_expect_null(g->crowded);
	client(g, g->here);
	wait_until(g->begun == 3);
	cr_expect_str_eq(g->crowded, "too many connections from your address");
	g->limits.connections = 2;
	client(g, g->here);
	wait_until(g->begun == 4);
	cr_expect_str_eq(g->crowded, "too many connections");
	cr_expect_eq(write(fd, "x", 1), 1);
	expect_heard(fd, "hellobye");
	wait_until(g->over == 3);
	client(g, g->here);
	wait_until(g->begun == 5);
	cr_expect_null(g->crowded, "one is over");
	kill(getpid(), SIGTERM);
}

Test(net_serve, sessions_come_are_counted_and_are_ended_by_a_signal)
{
	struct ground g;

	ground_make(&g);
	ground_serve(&g, script_sessions);
	cr_expect_eq(g.begun, 5);
	cr_expect_eq(g.ended, 2);
	cr_expect_eq(g.dropped, 0);
	cr_expect_str_eq(g.why, "this server stops; please try again");
	expect_logged(&g, "testd listening");
	expect_logged(&g, "service=seven");
	expect_logged(&g, "testd ended");
	expect_logged(&g, "reason=\"signal SIGTERM\"");
	ground_free(&g);
}

static void script_stay(struct ground *g)
{
	int fd = client(g, g->here);

	g->stays = true;
	wait_until(g->begun == 1);
	kill(getpid(), SIGTERM);
	wait_until(g->ended == 1);
	cr_expect_eq(client(g, g->here), -1);
	cr_expect_eq(write(fd, "x", 1), 1);
}

Test(net_serve, what_stays_is_dropped_and_nobody_is_taken_meanwhile)
{
	struct ground g;

	ground_make(&g);
	ground_serve(&g, script_stay);
	cr_expect_eq(g.begun, 1);
	cr_expect_eq(g.dropped, 0);
	server_drop(g.server);
	cr_expect_eq(g.dropped, 1);
	ground_free(&g);
}

/* ---- places ---------------------------------------------------------------------------------------------- */

static void script_reload(struct ground *g)
{
	client(g, g->here);
	wait_until(g->begun == 1);
	g->bad = true;
	kill(getpid(), SIGHUP);
	wait_until(g->reloads == 1);
	client(g, g->here);
	wait_until(g->begun == 2);
	g->bad = false;
	kill(getpid(), SIGHUP);
	wait_until(g->reloads == 2);
	client(g, g->there);
	wait_until(g->begun == 3);
	cr_expect_eq(client(g, g->here), -1);
	cr_expect_eq(g->ended, 0, "sessions go on");
	kill(getpid(), SIGTERM);
}

Test(net_serve, other_places_when_the_configuration_says_so_and_is_good)
{
	struct ground g;

	ground_make(&g);
	ground_serve(&g, script_reload);
	cr_expect_eq(g.begun, 3);
	expect_logged(&g, "/nowhere/at/all");
	expect_logged(&g, "the configuration in use stays the one of before");
	expect_logged(&g, "testd reloaded");
	expect_logged(&g, "configuration=/etc/testd");
	expect_logged(&g, g.there);
	ground_free(&g);
}

Test(net_serve, nowhere_to_listen_is_said_with_an_example)
{
	struct ground g;
	struct error err = ERROR_NONE;
	char *both[2];

	ground_make(&g);
	cr_expect_neq(server_listen(g.server, NULL, 0, &err), OUTCOME_DONE);
	cr_expect_eq(err.code, EX_CONFIG);
	cr_expect_str_eq(err.text, "/etc/testd says nowhere to listen: testd { listen = { \"127.0.0.1:1\" } }");
	both[0] = g.here;
	both[1] = "/nowhere/at/all";
	cr_expect_neq(server_listen(g.server, both, 2, &err), OUTCOME_DONE);
	cr_expect_neq(
	    server_listen(g.server, NULL, 0, &err), OUTCOME_DONE, "none is left of those that could be opened");
	ground_free(&g);
}

/* ---- the system ------------------------------------------------------------------------------------------ */

static void script_children(struct ground *g)
{
	for (int i = 0; i < 2; i++)
		if (fork() == 0)
			_exit(0);
	wait_until(g->children == 2);
	kill(getpid(), SIGINT);
}

Test(net_serve, children_are_told_of_one_by_one)
{
	struct ground g;

	ground_make(&g);
	ground_serve(&g, script_children);
	cr_expect_eq(g.children, 2);
	expect_logged(&g, "testd ended");
	expect_logged(&g, "reason=\"signal SIGINT\"");
	ground_free(&g);
}

/* Both ends of each connection are of this process. */
static void script_descriptors(struct ground *g)
{
	unsigned begun;

	while (g->crowded == NULL) {
		begun = g->begun;
		client(g, g->here);
		wait_until(g->begun == begun + 1);
	}
	cr_expect_str_eq(g->crowded, "too many connections");
	begun = g->begun;
	client(g, g->here);
	poll(NULL, 0, 50);
	cr_expect_eq(g->begun, begun, "it waits");
	for (unsigned i = 0; i < begun - 1; i++)
		cr_expect_eq(write(g->clients[i], "x", 1), 1);
	wait_until(g->begun == begun + 1);
	cr_expect_null(g->crowded);
	cr_expect_gt(g->swept, 0);
	kill(getpid(), SIGTERM);
}

Test(net_serve, descriptors_are_kept_back_and_who_comes_meanwhile_waits)
{
	struct ground g;
	struct rlimit files;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max = 60;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
	ground_make(&g);
	ground_serve(&g, script_descriptors);
	expect_logged(&g, "the descriptors run out");
	ground_free(&g);
}
