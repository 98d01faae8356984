/*
 * Whole hosts in a scratch directory, for the tests of the relay: each has its keys, a spool, users and a
 * packetboat.conf; batches go through the directory "stick".
 *
 *	struct net net = net_open();
 *	net_host(&net, "a", "b", "route \"*\" { via = \"neighbour:b\" }\n");     a knows b
 *	net_host(&net, "b", "a c", ...);
 *	net_user(&net, "b", "joe");
 *	net_send(&net, "a", "ann@a.example.org", "joe@b.example.org");
 *	net_pass(&net, "a");  net_pass(&net, "b");
 *	net_mails(&net, "b", "joe");
 */
#ifndef TESTS_RELAY_KIT_H
#define TESTS_RELAY_KIT_H

#include <sys/wait.h>

#include "queue/hop.h"
#include "queue/maildir.h"
#include "relay/carrier.h"
#include "relay/intake.h"
#include "relay/outbox.h"
#include "relay/pass.h"
#include "spool/keys.h"
#include "tests/unit/queue_kit.h"

struct net {
	char *root;
	struct error err;
};

#define net_done(net, call) cr_assert_eq(call, OUTCOME_DONE, "%s", (net)->err.text)

/* PATH below the host's directory: release with free(). */
static inline char *net_path(const struct net *net, const char *host, const char *path)
{
	return mem_format("%s/%s/%s", net->root, host, path);
}

static inline struct net net_open(void)
{
	struct dir d = scratch_open();
	struct net net = {.root = mem_string(d.path)};
	char *stick = mem_format("%s/stick", net.root);

	dir_close(&d);
	cr_assert_eq(mkdir(stick, 0700), 0);
	free(stick);
	cr_assert_geq(sodium_init(), 0);
	return net;
}

static inline void net_close(struct net *net)
{
	nftw(net->root, scratch_remove, 16, FTW_DEPTH | FTW_PHYS);
	free(net->root);
}

/* The key line of HOST, whose keys are made when it has none; free() it. */
static inline char *net_key(struct net *net, const char *host)
{
	char *base = mem_format("%s/%s", net->root, host);
	char *path = net_path(net, host, "keys");
	struct host_keys keys;
	struct dir d;
	char line[KEY_LINE_TEXT];

	mkdir(base, 0700);
	mkdir(path, 0700);
	net_done(net, dir_open(&d, NULL, path, &net->err));
	if (!file_exists(&d, "secret", NULL))
		net_done(net, keys_create(&d, host, &net->err));
	net_done(net, keys_load(&keys, &d, host, &net->err));
	key_line_print(&keys.public, line);
	keys_release(&keys);
	dir_close(&d);
	free(base);
	free(path);
	return mem_string(line);
}

/* Options of every neighbour, added by net_configure. */
struct net_option {
	const char *neighbour;
	const char *text;
};

/* Writes the configuration of HOST: its NEIGHBOURS (spaces between), each with "stick" and OPTIONS, and EXTRA. */
static inline void net_configure(
    struct net *net, const char *host, const char *neighbours, const char *options, const char *extra)
{
	struct buf text;
	char *path = mem_format("%s/packetboat.conf", host);

	buf_init(&text, 65536);
	buf_format(&text, "host = \"%s\"\ndomains = { \"%s.example.org\" }\nretry-min = 1\n", host, host);
	for (const char *at = neighbours; *at != '\0';) {
		size_t length = strcspn(at, " ");
		char *name = mem_copy(at, length);
		char *key = net_key(net, name);

		buf_format(&text, "neighbour \"%s\" {\nkey = \"%s\"\ncall = { \"dir:../stick\" }\n%s}\n", name, key,
		    options);
		at += length + (at[length] == ' ');
		free(name);
		free(key);
	}
	buf_text(&text, extra);
	kit_put(net->root, path, buf_string(&text));
	buf_release(&text);
	free(path);
}

static inline void net_user(struct net *net, const char *host, const char *user)
{
	char *path = net_path(net, host, "spool/mail");
	struct dir mail;

	net_done(net, dir_open(&mail, NULL, path, &net->err));
	net_done(net, maildir_make(&mail, user, &net->err));
	dir_close(&mail);
	free(path);
}

static inline void net_spool(struct net *net, const char *host)
{
	char *path = net_path(net, host, "spool");

	net_done(net, queue_make(path, &net->err));
	free(path);
}

/* A host that may relay, with the user joe. */
static inline void net_host(struct net *net, const char *host, const char *neighbours, const char *extra)
{
	char *key = net_key(net, host);

	net_configure(net, host, neighbours, "relay = true\n", extra);
	net_spool(net, host);
	net_user(net, host, "joe");
	free(key);
}

/* ---- at work ----------------------------------------------------------------------------------------------- */

static inline enum outcome net_relay(struct net *net, const char *host, struct relay *r)
{
	char *path = net_path(net, host, "packetboat.conf");
	enum outcome outcome = relay_open(r, path, false, &net->err);

	free(path);
	return outcome;
}

/* One pass; the trouble that it had, if any, is in net->err. */
static inline enum outcome net_try(struct net *net, const char *host)
{
	struct strings due = {0};
	struct relay r;
	enum outcome outcome = net_relay(net, host, &r);

	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = pass_run(&r, &due, &net->err);
	strings_release(&due);
	if (outcome == OUTCOME_DONE && r.trouble.outcome != OUTCOME_DONE) {
		net->err = r.trouble;
		outcome = r.trouble.outcome;
	}
	relay_close(&r);
	return outcome;
}

static inline void net_pass(struct net *net, const char *host)
{
	net_done(net, net_try(net, host));
}

/* Hands E over at HOST. */
static inline void net_hand(struct net *net, const char *host, struct envelope *e, const char *content)
{
	char *path = net_path(net, host, "spool");
	struct queue q;
	struct handover h;

	net_done(net, queue_open(&q, path, host, &net->err));
	net_done(net, handover_begin(&q, &h, &net->err));
	net_done(net, sink_view(handover_sink(&h), view_text(content), &net->err));
	net_done(net, handover_commit(&h, e, &net->err));
	handover_abort(&h);
	queue_close(&q);
	free(path);
}

static inline struct id net_send(struct net *net, const char *host, const char *sender, const char *recipients)
{
	struct envelope e = kit_envelope(sender, recipients);
	struct id id;

	free(e.hops[0].host);
	e.hops[0].host = mem_string(host);
	net_hand(net, host, &e, KIT_MAIL);
	id = e.id;
	envelope_release(&e);
	return id;
}

/* ---- looking ----------------------------------------------------------------------------------------------- */

/* Regular files at and below HOST/spool/WHERE. */
static inline size_t net_count(const struct net *net, const char *host, const char *where)
{
	char *root = mem_format("%s/%s", net->root, host);
	size_t count = kit_count(root, where);

	free(root);
	return count;
}

#define net_expect(net, host, where, number)                                                                         \
	cr_expect_eq(net_count(net, host, where), (size_t)(number), "%s %s: %zu, not %zu", host, where,              \
	    net_count(net, host, where), (size_t)(number))

static inline size_t net_mails(const struct net *net, const char *host, const char *user)
{
	char *where = mem_format("mail/%s/new", user);
	size_t count = net_count(net, host, where);

	free(where);
	return count;
}

#define net_expect_mails(net, host, user, number)                                                                    \
	cr_expect_eq(net_mails(net, host, user), (size_t)(number), "%s at %s has %zu, not %zu", user, host,          \
	    net_mails(net, host, user), (size_t)(number))

static inline size_t net_log(const struct net *net, const char *host, const char *word)
{
	char *name = mem_format("%s/spool/log", host);
	size_t count = kit_occurs(net->root, name, word);

	free(name);
	return count;
}

/* Files on the stick for HOST whose name ends in ".pb", and the first of their names (free() it; may be null). */
static inline size_t net_stick(const struct net *net, const char *host, char **first)
{
	char *path = mem_format("%s/stick/%s", net->root, host);
	struct dir d;
	struct names names = {0};
	size_t count = 0;

	if (first != NULL)
		*first = NULL;
	if (dir_open(&d, NULL, path, NULL) == OUTCOME_DONE)
		cr_assert_eq(dir_names(&d, &names, NULL), OUTCOME_DONE);
	for (size_t i = 0; i < names.count; i++) {
		if (!text_ends(names.items[i], ".pb"))
			continue;
		if (count++ == 0 && first != NULL)
			*first = mem_format("%s/%s", path, names.items[i]);
	}
	names_release(&names);
	dir_close(&d);
	free(path);
	return count;
}

/* Nothing of any message is left at HOST. */
static inline void net_expect_idle(const struct net *net, const char *host)
{
	net_expect(net, host, "queue", 0);
	net_expect(net, host, "msg", 0);
	net_expect(net, host, "stage", 0);
	net_expect(net, host, "tmp", 0);
	net_expect(net, host, "in", 0);
	net_expect(net, host, "out", 0);
	net_expect(net, host, "corrupt", 0);
}

static inline void net_run(const char *format, const char *a, const char *b)
{
	char *command = mem_format("%s '%s' '%s'", format, a, b);
	pid_t child = fork();
	int status;

	if (child == 0) {
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0, "%s", command);
	free(command);
}

/* Copies the tree or file FROM to TO (both below the net's directory). */
static inline void net_copy(const struct net *net, const char *from, const char *to)
{
	char *a = mem_format("%s/%s", net->root, from);
	char *b = mem_format("%s/%s", net->root, to);

	net_run("cp -a", a, b);
	free(a);
	free(b);
}

#endif
