/*
 * What a call makes of batches that are out, without a line.
 */
#include "relay/call_own.h"

#include "lib/wire.h"
#include "relay/session_own.h"
#include "tests/unit/relay_kit.h"

/* A message expires while its batch is being sent: no more of it is read, nor is it looked for. */
Test(call, what_expires_is_not_sent_on)
{
	struct net net = net_open();
	struct relay r;
	struct call c = {.relay = &r, .reading_fd = -1};
	struct session_event event = {.kind = SESSION_READ, .length = 100};
	struct session_options options = {SESSION_ANSWERER, NULL, NULL, false, 0};

	net_host(&net, "b", "a", "");
	net_host(&net, "a", "b", "route \"*\" {\nvia = \"neighbour:b\"\nexpire = 1d\nwarn = 0\n}\n");
	net_send(&net, "a", "joe@a.example.org", "joe@b.example.org");
	net_pass(&net, "a");
	net_done(&net, net_relay(&net, "a", &r));
	net_done(&net, relay_neighbour(&r, "b", &c.n, &net.err));
	session_init(&c.session, &options, 0);
	c.piece = mem_alloc(SESSION_CHUNK);
	call_offer(&c);
	cr_assert(session_has_more(&c.session));
	event.sequence = c.reading = c.n->peer.out[0].sequence;
	c.reading_fd = dup(0);
	r.age.now += 86400 + 60;
	net_done(&net, call_feed(&c, &net.err));
	cr_expect_eq(c.n->peer.out_count, 0);
	cr_expect_not(session_has_more(&c.session));
	cr_expect_eq(c.reading, 0);
	cr_expect_eq(c.reading_fd, -1);
	call_give(&c, &event);
	cr_expect_neq(r.trouble.outcome, OUTCOME_DONE, "it is not out any more");
	session_release(&c.session);
	free(c.piece);
	relay_close(&r);
	net_close(&net);
}

/* The neighbour acknowledges what was never sent, and the state for a new incarnation cannot be loaded. */
Test(call, a_neighbour_that_breaks_ends_the_call)
{
	struct net net = net_open();
	struct relay r;
	struct call c = {.relay = &r, .reading_fd = -1};
	struct session_options options = {SESSION_ANSWERER, NULL, NULL, false, 0};
	struct batch_header h = {.has_ack = true};
	char *state = net_path(&net, "a", "spool/state/b/peer");

	net_host(&net, "b", "a", "");
	net_host(&net, "a", "b", "route \"*\" { via = \"neighbour:b\" }\n");
	net_send(&net, "a", "joe@a.example.org", "joe@b.example.org");
	net_pass(&net, "a");
	net_done(&net, net_relay(&net, "a", &r));
	net_done(&net, relay_neighbour(&r, "b", &c.n, &net.err));
	session_init(&c.session, &options, 0);
	h.ack.incarnation = c.n->peer.incarnation;
	ranges_add(&h.ack.received, 1, 9);
	buf_init(&c.told, SESSION_NEWS);
	wire_u32(&c.told, 77);
	batch_header_print_extensions(&h, &c.told);
	cr_assert_eq(unlink(state), 0);
	cr_assert_eq(mkdir(state, 0700), 0);
	c.n->changed = false;
	call_heed(&c);
	cr_expect_eq(c.n->state, NEIGHBOUR_BROKEN);
	cr_expect(c.session.own->finishing);
	cr_expect_eq(c.n->peer.out_count, 1);
	session_release(&c.session);
	buf_release(&c.told);
	batch_header_release(&h);
	relay_close(&r);
	free(state);
	net_close(&net);
}
