#include "queue/process.h"

#include "tests/unit/queue_kit.h"

#define SMTP                                                                                                         \
	KIT_HEAD KIT_CITY "route \"city.example.org\" { via = \"neighbour:city\" }\n"                                \
			  "route \"*\" {\nvia = \"smtp\"\nexpire = 3d\nwarn = 1d\n}\n"                               \
			  "route \"short.example.org\" {\nvia = \"smtp\"\nexpire = 2d\nwarn = 12h\n}\n"              \
			  "route \"hasty@long.example.org\" {\nvia = \"smtp\"\nexpire = 2d\nwarn = 12h\n}\n"         \
			  "route \"quiet.example.org\" {\nvia = \"smtp\"\nexpire = 2d\nwarn = 0\n}\n"                \
			  "alias \"all\" { to = { \"joe\", \"ann\", \"otto@city.example.org\" } }\n"

/* ---- local ------------------------------------------------------------------------------------------------------ */

Test(process, local_delivery)
{
	struct queue_kit k;

	kit_open(&k, SMTP);
	kit_send(&k, "maria@city.example.org", "joe+news@village.example.org");
	kit_done(&k, kit_rounds(&k));
	kit_expect(k.root, "mail/joe/new", 1);
	kit_expect(k.root, "mail/joe/tmp", 0);
	cr_expect_eq(kit_occurs(k.root, "spool/mail/joe/new", "Return-Path: <maria@city.example.org>\n"), 1);
	cr_expect_eq(kit_occurs(k.root, "spool/mail/joe/new", "Delivered-To: joe+news@village.example.org\n"), 1);
	cr_expect_eq(kit_occurs(k.root, "spool/mail/joe/new", "\nSubject: x\n\nbody\n"), 1);
	cr_expect_eq(kit_occurs(k.root, "spool/log", " delivered "), 1);
	kit_expect(k.root, "queue", 0);
	kit_expect(k.root, "msg", 0);
	kit_expect(k.root, "stage", 0);
	kit_close(&k);
}

/* The user is gone by the time it is delivered: it is routed again, and fails. */
Test(process, changed_routes_act_on_what_waits)
{
	struct queue_kit k;
	char *old;
	char *new;

	kit_open(&k, SMTP);
	kit_send(&k, "maria@city.example.org", "joe ann");
	kit_dispatch(&k);
	old = mem_format("%s/spool/mail/joe", k.root);
	new = mem_format("%s/joe.away", k.root);
	cr_assert_eq(rename(old, new), 0);
	kit_done(&k, kit_rounds(&k));
	kit_expect(k.root, "mail/ann/new", 1);
	kit_expect_list(&k, "neighbour-city: 0=maria@city.example.org\n"); /* the report about joe */
	cr_expect_neq(access(old, F_OK), 0, "the box is not made again");
	free(old);
	free(new);
	kit_close(&k);
}

Test(process, no_room_is_later)
{
	struct queue_kit k;

	kit_open(&k, SMTP);
	kit_send(&k, "maria@city.example.org", "joe");
	kit_dispatch(&k);
	k.queue.min_free = UINT64_MAX;
	process_local(&k.process, &k.err);
	kit_expect(k.root, "mail/joe/new", 0);
	kit_expect_list(&k, "local: 0=joe\n");
	k.queue.min_free = 0;
	kit_done(&k, process_local(&k.process, &k.err));
	kit_expect(k.root, "mail/joe/new", 1);
	kit_close(&k);
}

/* One box cannot be written to: the others get their mail all the same. */
Test(process, one_bad_box_does_not_stop_the_others)
{
	struct queue_kit k;
	char *path;

	kit_open(&k, SMTP);
	kit_send(&k, "maria@city.example.org", "joe");
	kit_send(&k, "maria@city.example.org", "ann");
	kit_dispatch(&k);
	path = mem_format("%s/spool/mail/joe/new", k.root);
	cr_assert_eq(rmdir(path), 0);
	cr_assert_eq(symlink("/dev/null/nowhere", path), 0);
	kit_rounds(&k);
	kit_rounds(&k);
	kit_expect(k.root, "mail/ann/new", 1);
	cr_expect_eq(kit_count(k.root, "queue"), 1, "joe's waits, or its report");
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(mkdir(path, 0700), 0);
	free(path);
	kit_close(&k);
}

Test(process, somebody_else_at_it_is_no_error)
{
	struct queue_kit k;
	struct lock lock;

	kit_open(&k, SMTP);
	kit_send(&k, "maria@city.example.org", "joe");
	kit_dispatch(&k);
	kit_done(&k, hop_lock(&k.queue, "local", &lock, &k.err));
	kit_done(&k, process_local(&k.process, &k.err));
	kit_expect(k.root, "mail/joe/new", 0);
	lock_release(&lock);
	kit_close(&k);
}

Test(process, a_lock_that_cannot_be_had_is_told)
{
	struct queue_kit k;

	kit_open(&k, SMTP);
	kit_send(&k, "maria@city.example.org", "joe");
	kit_dispatch(&k);
	kit_spoil_lock(k.root, "spool/lock/local");
	kit_spoilt_told(process_local(&k.process, &k.err), &k.err);
	kit_expect(k.root, "mail/joe/new", 0);
	kit_close(&k);
}

Test(process, more_than_a_group)
{
	struct queue_kit k;

	kit_open(&k, SMTP);
	for (int i = 0; i < SETTLE_GROUP + 5; i++)
		kit_send(&k, "maria@city.example.org", "joe ann");
	kit_done(&k, kit_rounds(&k));
	kit_expect(k.root, "mail/joe/new", SETTLE_GROUP + 5);
	kit_expect(k.root, "mail/ann/new", SETTLE_GROUP + 5);
	kit_expect(k.root, "queue", 0);
	kit_expect(k.root, "msg", 0);
	kit_close(&k);
}

/* ---- expand ------------------------------------------------------------------------------------------------------ */

static bool note_message(
    void *context, const struct queue_place *place, const struct entry *entry, const struct error *err)
{
	struct queue_place *found = context;

	(void)entry;
	(void)err;
	*found = *place;
	return true;
}

Test(process, an_expanded_message_is_a_new_one)
{
	struct queue_kit k;
	struct envelope e = kit_envelope("maria@city.example.org", "all@village.example.org");
	struct queue_place place = {.hop = ""};
	struct message m;

	kit_open(&k, SMTP);
	e.envid = mem_string("E1");
	e.lifetime = 500000;
	e.class = CLASS_BULK;
	e.recipients[0].notify = NOTIFY_SUCCESS | NOTIFY_FAILURE;
	e.recipients[0].orcpt = mem_string("rfc822;all@elsewhere");
	kit_done(&k, kit_hand(&k, &e, KIT_MAIL));
	kit_dispatch(&k);
	kit_done(&k, process_expand(&k.process, &k.err));
	/* The new message, and the report that it was expanded. */
	kit_expect(k.root, "queue/new", 2);
	cr_expect_eq(kit_occurs(k.root, "spool/queue/new", "Action: expanded"), 1);
	kit_done(&k, kit_rounds(&k));
	kit_expect(k.root, "mail/joe/new", 1);
	kit_expect(k.root, "mail/ann/new", 1);
	kit_done(&k, queue_walk(&k.queue, "neighbour-city", note_message, &place, &k.err));
	kit_expect(k.root, "queue/neighbour-city", 2);
	kit_done(&k, queue_message(&k.queue, &place, MESSAGE_VERIFY, &m, &k.err));
	if (m.envelope.sender[0] == '\0') { /* the report; the other one then */
		cr_expect_eq(m.envelope.hops[0].protocol, HOP_REPORT);
	} else {
		cr_expect_not(id_equal(&m.envelope.id, &e.id));
		cr_expect_str_eq(m.envelope.envid, "E1");
		cr_expect_eq(m.envelope.class, CLASS_BULK);
		cr_expect_eq(m.envelope.hop_count, 2);
		cr_expect_eq(m.envelope.hops[1].protocol, HOP_EXPANDED);
		cr_expect_eq(m.envelope.recipient_count, 3);
		cr_expect_eq(m.envelope.recipients[2].notify, NOTIFY_FAILURE, "RFC 3461 5.2.7.3");
		cr_expect_str_eq(m.envelope.recipients[2].orcpt, "rfc822;all@elsewhere");
	}
	message_close(&m);
	envelope_release(&e);
	kit_close(&k);
}

Test(process, an_alias_of_itself_and_others)
{
	struct queue_kit k;

	kit_open(&k, KIT_PLAIN "alias \"joe\" { to = { \"joe\", \"ann\" } }\n");
	kit_send(&k, "maria@city.example.org", "joe ann");
	kit_done(&k, kit_rounds(&k));
	kit_expect_list(&k, "");
	kit_expect(k.root, "mail/joe/new", 1);
	kit_expect(k.root, "mail/ann/new", 2);
	kit_expect(k.root, "msg", 0);
	kit_close(&k);
}

/* ---- failed ------------------------------------------------------------------------------------------------------ */

Test(process, reports)
{
	static const struct {
		const char *sender;
		uint8_t notify;
		size_t to_city;
		size_t to_postmaster;
	} cases[] = {
	    {"maria@city.example.org", 0, 1, 0}, {"maria@city.example.org", NOTIFY_FAILURE, 1, 0},
	    {"maria@city.example.org", NOTIFY_SUCCESS, 0, 0}, {"maria@city.example.org", NOTIFY_DELAY, 0, 0},
	    {"maria@city.example.org", NOTIFY_NEVER, 0, 0}, {"", 0, 0, 1},
	    {"nobody@nowhere.village.example.org", 0, 0, 1}, /* a report that finds nobody */
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct queue_kit k;
		struct envelope e = kit_envelope(cases[i].sender, "noone");

		kit_open(&k, KIT_HEAD KIT_CITY "route \"city.example.org\" { via = \"neighbour:city\" }\n");
		e.recipients[0].notify = cases[i].notify;
		kit_done(&k, kit_hand(&k, &e, KIT_MAIL));
		kit_done(&k, kit_rounds(&k));
		cr_expect_eq(
		    kit_count(k.root, "queue"), cases[i].to_city, "case %zu: %zu", i, kit_count(k.root, "queue"));
		cr_expect_eq(kit_count(k.root, "mail/postmaster"), cases[i].to_postmaster, "case %zu", i);
		cr_expect_eq(kit_count(k.root, "msg"), cases[i].to_city, "case %zu", i);
		cr_expect_eq(kit_occurs(k.root, "told", "failed noone"), 1, "case %zu", i);
		envelope_release(&e);
		kit_close(&k);
	}
}

Test(process, one_report_for_all_recipients_with_their_reasons)
{
	struct queue_kit k;

	kit_open(&k, KIT_PLAIN);
	kit_send(&k, "joe", "nobody noone@village.example.org");
	kit_done(&k, kit_rounds(&k));
	kit_expect(k.root, "mail/joe/new", 1);
	cr_expect_eq(kit_occurs(k.root, "spool/mail/joe/new", "Status: 5.1.1"), 2);
	cr_expect_eq(kit_occurs(k.root, "spool/mail/joe/new", "Return-Path: <>"), 1);
	kit_close(&k);
}

Test(process, the_cap_leaves_the_rest_for_the_next_pass)
{
	struct queue_kit k;

	kit_open(&k, KIT_PLAIN);
	for (int i = 0; i < 7; i++)
		kit_send(&k, "joe", "nobody");
	k.reports = 3;
	kit_done(&k, kit_rounds(&k));
	kit_expect(k.root, "mail/joe/new", 3);
	kit_expect(k.root, "queue/failed", 4);
	k.reports = 100;
	kit_done(&k, kit_rounds(&k));
	kit_expect(k.root, "mail/joe/new", 7);
	kit_expect(k.root, "queue", 0);
	kit_close(&k);
}

/* ---- waiting ------------------------------------------------------------------------------------------------------- */

#define DAY 86400

Test(process, what_waits_warns_and_expires_by_its_route)
{
	static const struct {
		const char *recipients;
		uint64_t warned; /* hours after which a warning has come, 0: never */
		uint64_t expired;
	} cases[] = {
	    {"x@long.example.org", 24, 72}, {"x@short.example.org", 12, 48}, {"x@quiet.example.org", 0, 48},
	    {"x@long.example.org hasty@long.example.org", 12, 48}, /* the shortest of its recipients */
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct queue_kit k;
		uint64_t warned = 0;
		uint64_t expired = 0;

		kit_open(&k, SMTP);
		kit_send(&k, "joe", cases[i].recipients);
		kit_dispatch(&k);
		for (uint64_t hour = 0; hour < 80; hour++) {
			k.age.now = AGE_STEP + hour * 3600;
			kit_done(&k, process_waiting(&k.process, "smtp", "nobody is there", 0, &k.err));
			if (warned == 0 && kit_occurs(k.root, "spool/queue/new", "Action: delayed") > 0)
				warned = hour;
			if (expired == 0 && kit_occurs(k.root, "spool/queue/new", "Action: failed") > 0)
				expired = hour;
		}
		cr_expect(warned >= cases[i].warned && warned <= cases[i].warned + (cases[i].warned > 0),
		    "case %zu: %llu", i, (unsigned long long)warned);
		cr_expect(expired >= cases[i].expired && expired <= cases[i].expired + 1, "case %zu: %llu", i,
		    (unsigned long long)expired);
		cr_expect_eq(kit_count(k.root, "queue/new"), cases[i].warned > 0 ? 2 : 1, "case %zu: once each", i);
		kit_expect(k.root, "queue/smtp", 0);
		cr_expect_geq(kit_occurs(k.root, "spool/log", "nobody is there"), 1);
		kit_close(&k);
	}
}

/* What it has left of its life counts where the sender set a limit. */
Test(process, a_lifetime_shortens_the_route)
{
	struct queue_kit k;
	struct envelope e = kit_envelope("joe", "x@long.example.org");

	kit_open(&k, SMTP);
	e.lifetime = 7200;
	kit_done(&k, kit_hand(&k, &e, KIT_MAIL));
	kit_dispatch(&k);
	kit_done(&k, process_waiting(&k.process, "smtp", "nobody", 0, &k.err));
	kit_expect(k.root, "queue/smtp", 1);
	k.age.now += 7200 + HOP_BUCKET;
	kit_done(&k, process_waiting(&k.process, "smtp", "nobody", 0, &k.err));
	kit_expect(k.root, "queue/smtp", 0);
	cr_expect_eq(kit_occurs(k.root, "spool/queue/new", "Action: failed"), 1);
	envelope_release(&e);
	kit_close(&k);
}

/* Nothing is reported about a report: neither a warning nor, in the end, to its sender. */
Test(process, a_report_that_waits)
{
	struct queue_kit k;

	kit_open(&k, SMTP);
	kit_send(&k, "", "x@long.example.org");
	kit_dispatch(&k);
	for (uint64_t hour = 0; hour < 80; hour++) {
		k.age.now = AGE_STEP + hour * 3600;
		kit_done(&k, process_waiting(&k.process, "smtp", "nobody", 0, &k.err));
	}
	kit_done(&k, kit_rounds(&k));
	kit_expect(k.root, "mail/postmaster", 1);
	cr_expect_eq(kit_occurs(k.root, "spool/mail/postmaster/new", "Action: failed"), 1);
	cr_expect_eq(kit_occurs(k.root, "spool/mail/postmaster/new", "Action: delayed"), 0);
	kit_expect(k.root, "queue", 0);
	kit_close(&k);
}

Test(process, postmaster_out_of_reach_is_held)
{
	struct queue_kit k;

	kit_open(&k, "postmaster = \"boss@long.example.org\"\n" SMTP);
	kit_send(&k, "", "nobody");
	for (uint64_t hour = 0; hour < 160; hour++) {
		k.age.now = AGE_STEP + hour * 3600;
		kit_done(&k, kit_rounds(&k));
		kit_done(&k, process_waiting(&k.process, "smtp", "nobody", 0, &k.err));
	}
	kit_done(&k, kit_rounds(&k));
	kit_expect(k.root, "queue/hold", 1);
	kit_expect(k.root, "queue", 1);
	cr_expect_eq(
	    kit_occurs(k.root, "spool/log", " reported "), 1, "%zu", kit_occurs(k.root, "spool/log", " reported "));
	kit_close(&k);
}

/* The age file was lost: what arrived in the future by it neither expires nor crashes anything. */
Test(process, records_of_a_later_age)
{
	struct queue_kit k;

	kit_open(&k, SMTP);
	k.age.now = 100 * DAY;
	kit_send(&k, "joe", "x@long.example.org");
	kit_dispatch(&k);
	k.age.now = DAY;
	kit_done(&k, process_waiting(&k.process, "smtp", "nobody", 0, &k.err));
	kit_expect(k.root, "queue/new", 0);
	kit_expect(k.root, "queue/smtp", 1);
	kit_close(&k);
}

Test(process, waiting_mail_follows_its_route)
{
	struct queue_kit k;

	kit_open(&k, SMTP);
	kit_send(&k, "joe", "x@long.example.org");
	kit_dispatch(&k);
	free(k.config.routes[1].pattern);
	k.config.routes[1].pattern = mem_string("other.example.org");
	kit_done(&k, process_waiting(&k.process, "smtp", "nobody", 0, &k.err));
	kit_expect_list(&k, "new: 0=x@long.example.org\n");
	kit_dispatch(&k);
	kit_expect_list(&k, "failed: 0=x@long.example.org(5.1.2)\n");
	kit_close(&k);
}

/* A record whose recipients go to several servers by the routes of now goes back to be parted. */
Test(process, waiting_mail_has_one_destination)
{
	struct queue_kit k;

	kit_open(&k, KIT_HEAD "route \"*\" { via = \"smtp:relay.example.net:587\" }\n");
	kit_send(&k, "joe", "x@a.example.org y@b.example.org z@A.example.org");
	kit_dispatch(&k);
	kit_expect_list(&k, "smtp: 0=x@a.example.org 1=y@b.example.org 2=z@A.example.org\n");
	kit_done(&k, process_waiting(&k.process, "smtp", "nobody", 0, &k.err));
	kit_expect(k.root, "queue/new", 0);
	free(k.config.routes[0].target);
	k.config.routes[0].target = NULL;
	k.age.now += DAY;
	kit_done(&k, process_waiting(&k.process, "smtp", "nobody", 0, &k.err));
	kit_expect(k.root, "queue/new", 1);
	kit_dispatch(&k);
	kit_expect_list(&k, "smtp: 0=x@a.example.org 2=z@A.example.org\nsmtp: 1=y@b.example.org\n");
	kit_done(&k, process_waiting(&k.process, "smtp", "nobody", 0, &k.err));
	kit_expect(k.root, "queue/new", 0);
	kit_close(&k);
}

Test(process, what_is_young_is_left_alone)
{
	struct queue_kit k;

	kit_open(&k, SMTP);
	kit_send(&k, "joe", "x@long.example.org");
	kit_dispatch(&k);
	k.age.now += 1000;
	kit_send(&k, "joe", "y@long.example.org");
	kit_dispatch(&k);
	k.age.now += 2600;
	kit_done(&k, process_waiting(&k.process, "smtp", "nobody", 3600, &k.err));
	cr_expect_eq(kit_occurs(k.root, "spool/log", "deferred"), 1);
	kit_expect(k.root, "queue/smtp", 2);
	kit_close(&k);
}

/* ---- all of it ----------------------------------------------------------------------------------------------------- */

struct heard {
	struct buf text;
};

static void hear(void *context, const char *about, const struct error *err)
{
	struct heard *h = context;

	cr_expect_neq(err->outcome, OUTCOME_DONE);
	buf_format(&h->text, "%s ", about);
}

/* A report to somebody here, by way of an alias: several rounds. One part that fails keeps no other back. */
Test(process, rounds_go_on_until_nothing_is_new)
{
	struct heard h;
	struct queue_kit k;

	buf_init(&h.text, 1000);
	kit_open(&k, SMTP);
	kit_send(&k, "all", "nobody x@long.example.org");
	cr_expect_eq(process_rounds(&k.process, hear, &h), 3, "the message, its report, and what all stands for");
	cr_expect_eq(h.text.length, 0, "%s", buf_string(&h.text));
	kit_expect(k.root, "mail/joe", 1);
	kit_expect(k.root, "mail/ann", 1);
	kit_expect_list(&k, "neighbour-city: 2=otto@city.example.org\nsmtp: 1=x@long.example.org\n");
	cr_expect_eq(process_rounds(&k.process, hear, &h), 0);
	kit_send(&k, "all", "ann");
	kit_put(k.root, "spool/queue/new/village.aaaaaaa.99", "nonsense");
	process_rounds(&k.process, hear, &h);
	cr_expect_str_eq(buf_string(&h.text), "new ");
	kit_expect(k.root, "mail/ann", 2);
	buf_release(&h.text);
	kit_close(&k);
}
