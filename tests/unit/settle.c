#include "queue/settle.h"

#include "tests/unit/fault.h"
#include "tests/unit/queue_kit.h"

/* A message in each of the ways in which a record ends on this host. */
struct scenario {
	const char *config;
	const char *sender;
	const char *recipients;
	uint8_t notify;	  /* of every recipient */
	const char *told; /* each line at least once, and nothing else */
	size_t joe;	  /* mails in the end */
	size_t ann;
	size_t postmaster;
	size_t reports; /* waiting for city in the end */
	size_t held;
};

#define LIST KIT_PLAIN "alias \"all\" { to = { \"joe\", \"ann\" } }\n"

static const struct scenario scenarios[] = {
    {KIT_PLAIN, "m@city.example.org", "joe", 0, "delivered joe m@city.example.org\n", 1, 0, 0, 0, 0},
    {KIT_PLAIN, "m@city.example.org", "joe ann joe", 0,
	"delivered joe m@city.example.org\ndelivered ann m@city.example.org\ndelivered joe m@city.example.org\n", 2,
	1, 0, 0, 0},
    {KIT_PLAIN, "m@city.example.org", "joe", NOTIFY_SUCCESS, "delivered joe m@city.example.org\n", 1, 0, 0, 1, 0},
    {KIT_PLAIN, "m@city.example.org", "nobody", 0, "failed nobody m@city.example.org\n", 0, 0, 0, 1, 0},
    {KIT_PLAIN, "m@city.example.org", "nobody noone", 0,
	"failed nobody m@city.example.org\nfailed noone m@city.example.org\n", 0, 0, 0, 1, 0},
    {KIT_PLAIN, "m@city.example.org", "nobody", NOTIFY_NEVER, "failed nobody m@city.example.org\n", 0, 0, 0, 0, 0},
    {KIT_PLAIN, "ann", "nobody", 0, "failed nobody ann\ndelivered ann \n", 0, 1, 0, 0, 0},
    {KIT_PLAIN, "", "nobody", 0, "failed nobody \ndelivered postmaster \n", 0, 0, 1, 0, 0},
    {KIT_PLAIN, "nobody2", "nobody", 0, "failed nobody nobody2\nfailed nobody2 \ndelivered postmaster \n", 0, 0, 1, 0,
	0},
    {LIST, "m@city.example.org", "all", 0,
	"expanded all m@city.example.org\ndelivered joe m@city.example.org\ndelivered ann m@city.example.org\n", 1, 1,
	0, 0, 0},
    {LIST, "m@city.example.org", "all", NOTIFY_SUCCESS,
	"expanded all m@city.example.org\ndelivered joe m@city.example.org\ndelivered ann m@city.example.org\n", 1, 1,
	0, 1, 0},
};

#define SCENARIOS (sizeof scenarios / sizeof scenarios[0])

struct run {
	char *root;
	const struct scenario *s;
};

static int step_send(void *context)
{
	const struct run *run = context;
	struct queue_kit k;
	struct envelope e = kit_envelope(run->s->sender, run->s->recipients);
	int code;

	for (size_t i = 0; i < e.recipient_count; i++)
		e.recipients[i].notify = run->s->notify;
	code = kit_attach(&k, run->root) == OUTCOME_DONE && kit_hand(&k, &e, KIT_MAIL) == OUTCOME_DONE ? 0 : 1;
	envelope_release(&e);
	kit_detach(&k);
	return code;
}

/* What a relay pass does between taking in and packing, sweeping included. */
static int step_work(void *context)
{
	const struct run *run = context;
	struct queue_kit k;
	enum outcome outcome = kit_attach(&k, run->root);

	if (outcome == OUTCOME_DONE)
		outcome = kit_rounds(&k);
	if (outcome == OUTCOME_DONE)
		outcome = tmp_sweep(&k.queue.tmp, &k.err);
	kit_detach(&k);
	return outcome != OUTCOME_DONE;
}

/* Every line of WANTED stands in ROOT/told as often at least, and there is no other. */
static void check_told(const char *root, const char *wanted, unsigned n)
{
	char *found = kit_text(root, "told");
	struct view lines[2] = {view_text(wanted), view_text(found == NULL ? "" : found)};
	struct view line;

	for (int i = 0; i < 2; i++) {
		while (view_line(&lines[i], &line)) {
			char *text = mem_format("%.*s\n", (int)line.length, (const char *)line.bytes);
			const char *in = i == 0 ? found : wanted;

			cr_expect(in != NULL && strstr(in, text) != NULL, "%u: %s in %s", n, text,
			    i == 0 ? "what was told" : "what was to tell");
			free(text);
		}
	}
	free(found);
}

static void check_end(const struct run *run, unsigned n)
{
	const struct scenario *s = run->s;

	cr_expect_eq(
	    kit_count(run->root, "mail/joe"), s->joe, "%u: joe has %zu", n, kit_count(run->root, "mail/joe"));
	cr_expect_eq(
	    kit_count(run->root, "mail/ann"), s->ann, "%u: ann has %zu", n, kit_count(run->root, "mail/ann"));
	cr_expect_eq(kit_count(run->root, "mail/postmaster"), s->postmaster, "%u: postmaster has %zu", n,
	    kit_count(run->root, "mail/postmaster"));
	cr_expect_eq(kit_count(run->root, "queue/neighbour-city"), s->reports, "%u: %zu reports", n,
	    kit_count(run->root, "queue/neighbour-city"));
	cr_expect_eq(
	    kit_count(run->root, "queue"), s->reports + s->held, "%u: %zu records", n, kit_count(run->root, "queue"));
	cr_expect_eq(
	    kit_count(run->root, "msg"), s->reports + s->held, "%u: %zu contents", n, kit_count(run->root, "msg"));
	cr_expect_eq(kit_count(run->root, "tmp"), 0, "%u", n);
	cr_expect_eq(kit_count(run->root, "corrupt"), 0, "%u", n);
	check_told(run->root, s->told, n);
}

/* Files in stage/ may stay until the sweep of the pass, but only those of records that are gone. */
static void sweep(const struct scenario *s, const char *kind)
{
	enum fault_end end = FAULT_KILLED;

	for (unsigned n = 1; fault_goes_on(kind, end, n); n++) {
		struct run run = {kit_root(s->config), s};

		cr_assert_lt(n, 500);
		cr_assert_eq(fault_run(NULL, 0, step_send, &run), FAULT_RAN);
		end = fault_run(kind, n, step_work, &run);
		cr_assert(end != FAULT_RAN || n > 10 || kind[0] == 'f', "no fault struck");
		if (end != FAULT_RAN)
			cr_assert_eq(fault_run(NULL, 0, step_work, &run), FAULT_RAN, "%u", n);
		check_end(&run, n);
		kit_remove(run.root);
	}
}

Test(settle, every_end_survives_a_kill_at_any_point)
{
	static const size_t which[] = {1, 2, 4, 5, 6, 7, 8, 10};

	for (size_t i = 0; i < sizeof which / sizeof which[0]; i++)
		sweep(&scenarios[which[i]], "kill");
}

Test(settle, every_end_survives_a_failure_at_any_point)
{
	static const size_t which[] = {2, 4, 10};

	for (size_t i = 0; i < 3; i++)
		sweep(&scenarios[which[i]], "fail");
}

Test(settle, every_end_without_a_fault)
{
	for (size_t i = 0; i < SCENARIOS; i++) {
		struct run run = {kit_root(scenarios[i].config), &scenarios[i]};

		cr_assert_eq(fault_run(NULL, 0, step_send, &run), FAULT_RAN);
		cr_assert_eq(fault_run(NULL, 0, step_work, &run), FAULT_RAN);
		check_end(&run, 0);
		kit_expect(run.root, "stage", 0);
		kit_remove(run.root);
	}
}

/* Killed, and killed again while it puts things right. */
Test(settle, killed_twice)
{
	static const size_t which[] = {2, 4, 10};

	for (size_t i = 0; i < 3; i++) {
		for (unsigned n = 1; n < 120; n += 6) {
			struct run run = {kit_root(scenarios[which[i]].config), &scenarios[which[i]]};

			cr_assert_eq(fault_run(NULL, 0, step_send, &run), FAULT_RAN);
			fault_run("kill", n, step_work, &run);
			fault_run("kill", 30 + n * 7 % 23, step_work, &run);
			cr_assert_eq(fault_run(NULL, 0, step_work, &run), FAULT_RAN);
			check_end(&run, n);
			kit_remove(run.root);
		}
	}
}

/* ---- the parts, one by one --------------------------------------------------------------------------------- */

/* A record in the hop "smtp", opened. */
struct opened {
	struct queue_kit k;
	struct settle s;
	struct settle_item *item;
	char *name;
};

#define SMTP                                                                                                         \
	KIT_HEAD KIT_CITY "route \"city.example.org\" { via = \"neighbour:city\" }\nroute \"*\" { via = \"smtp\" "   \
			  "}\n"

static bool note_name(
    void *context, const struct queue_place *place, const struct entry *entry, const struct error *err)
{
	char **name = context;

	cr_assert_not_null(entry, "%s", err != NULL ? err->text : "");
	free(*name);
	*name = mem_string(place->name);
	return true;
}

static void open_again(struct opened *o)
{
	kit_done(&o->k, hop_wake(&o->s.dir, o->k.age.now, &o->k.err));
	kit_done(&o->k, settle_open(&o->s, o->name, &o->item, &o->k.err));
}

static void open_one(struct opened *o, const char *recipients)
{
	*o = (struct opened){.name = NULL};
	kit_open(&o->k, SMTP);
	kit_send(&o->k, "m@city.example.org", recipients);
	kit_dispatch(&o->k);
	kit_done(&o->k, queue_walk(&o->k.queue, "smtp", note_name, &o->name, &o->k.err));
	cr_assert_not_null(o->name);
	kit_done(&o->k,
	    settle_init(&o->s, &o->k.queue, &o->k.config, &o->k.age, "smtp", &o->k.hooks, &o->k.reports, &o->k.err));
	open_again(o);
	cr_assert_not_null(o->item);
}

static void close_one(struct opened *o)
{
	settle_release(&o->s);
	free(o->name);
	kit_close(&o->k);
}

static void commit_item(struct opened *o)
{
	kit_done(&o->k, settle_close(&o->s, o->item, &o->k.err));
	kit_done(&o->k, settle_run(&o->s, &o->k.err));
	o->item = NULL;
}

Test(settle, back_off_doubles_up_to_its_limit)
{
	struct opened o;
	uint64_t expected = 300;

	open_one(&o, "x@example.net");
	for (uint32_t i = 1; i < 12; i++) {
		char *line;

		settle_recipient(o.item, 0, ENTRY_WAITS, "4.4.1", "no answer");
		commit_item(&o);
		line = mem_format("smtp/due-%llu: 0=x@example.net(4.4.1)\n",
		    (unsigned long long)((o.k.age.now + expected + HOP_BUCKET - 1) / HOP_BUCKET));
		kit_expect_list(&o.k, line);
		free(line);
		o.k.age.now += 20000;
		open_again(&o);
		cr_assert_not_null(o.item);
		cr_expect_eq(o.item->entry.attempts, i);
		cr_expect_str_eq(o.item->entry.recipients[0].reason, "no answer");
		expected = expected * 2 < 14400 ? expected * 2 : 14400;
	}
	settle_drop(o.item);
	close_one(&o);
}

Test(settle, warned_once_and_expired_at_its_time)
{
	struct opened o;

	open_one(&o, "x@example.net");
	o.item->warn = 1000;
	o.item->expire = 5000;
	cr_expect_eq(settle_look(&o.item->entry, 5000, 1000), o.item->entry.arrived_age + 1000);
	commit_item(&o);
	kit_expect(o.k.root, "queue/new", 0);
	for (int i = 0; i < 3; i++) {
		o.k.age.now = AGE_STEP + 1024 * (uint64_t)(i + 1);
		open_again(&o);
		if (o.item == NULL)
			continue;
		settle_recipient(o.item, 0, ENTRY_WAITS, "4.4.1", "no answer");
		o.item->warn = 1000;
		o.item->expire = 5000;
		commit_item(&o);
		kit_expect(o.k.root, "queue/new", 1);
	}
	cr_expect_eq(kit_occurs(o.k.root, "spool/queue/new", "Action: delayed"), 1);
	o.k.age.now = AGE_STEP + 6200;
	open_again(&o);
	cr_assert_not_null(o.item, "a record is looked at again when it expires");
	cr_expect(o.item->entry.warned);
	cr_expect_eq(settle_look(&o.item->entry, 5000, 1000), o.item->entry.arrived_age + 5000);
	settle_recipient(o.item, 0, ENTRY_WAITS, "4.4.1", "no answer");
	o.item->expire = 5000;
	commit_item(&o);
	kit_expect(o.k.root, "queue/new", 2);
	kit_expect(o.k.root, "queue/smtp", 0);
	kit_expect(o.k.root, "msg", 0);
	cr_expect_eq(kit_occurs(o.k.root, "told", "failed x@example.net"), 1);
	cr_expect_geq(kit_occurs(o.k.root, "spool/log", "no answer"), 1, "the last result is told");
	close_one(&o);
}

Test(settle, never_means_never)
{
	struct entry e;

	entry_init(&e);
	e.arrived_age = 500;
	cr_expect_eq(settle_look(&e, 0, 0), UINT64_MAX);
	cr_expect_eq(settle_look(&e, 7, 0), 507);
	cr_expect_eq(settle_look(&e, 0, 9), 509);
	e.warned = true;
	cr_expect_eq(settle_look(&e, 0, 9), UINT64_MAX);
}

/* One recipient is done, the other waits: what was told once is not told again. */
Test(settle, an_end_is_told_once)
{
	struct opened o;

	open_one(&o, "x@example.net y@example.net");
	settle_recipient(o.item, 0, ENTRY_RELAYED, "2.0.0", NULL);
	settle_recipient(o.item, 1, ENTRY_WAITS, "4.4.1", "no answer");
	commit_item(&o);
	cr_expect_eq(kit_occurs(o.k.root, "told", "relayed"), 1);
	for (int i = 0; i < 3; i++) {
		o.k.age.now += 20000;
		open_again(&o);
		cr_assert_not_null(o.item);
		cr_expect_eq(o.item->entry.recipients[0].end, ENTRY_RELAYED);
		settle_recipient(o.item, 1, ENTRY_WAITS, "4.4.1", "no answer");
		commit_item(&o);
	}
	cr_expect_eq(
	    kit_occurs(o.k.root, "told", "relayed"), 1, "told %zu times", kit_occurs(o.k.root, "told", "relayed"));
	cr_expect_eq(kit_occurs(o.k.root, "spool/log", " relayed "), 1);
	o.k.age.now += 20000;
	open_again(&o);
	settle_recipient(o.item, 1, ENTRY_FAILED, "5.1.1", "no such user");
	commit_item(&o);
	cr_expect_eq(kit_occurs(o.k.root, "told", "relayed"), 1);
	cr_expect_eq(kit_occurs(o.k.root, "told", "failed"), 1);
	cr_expect_eq(kit_occurs(o.k.root, "spool/queue/new", "Action: failed"), 1);
	cr_expect_eq(kit_occurs(o.k.root, "spool/queue/new", "Action: relayed"), 0);
	kit_expect(o.k.root, "queue/smtp", 0);
	kit_expect(o.k.root, "msg", 0);
	close_one(&o);
}

Test(settle, dropped_is_untouched)
{
	struct opened o;
	char *before;
	char *after;
	char *path;

	open_one(&o, "x@example.net");
	path = mem_format("spool/queue/smtp/%s", o.name);
	before = kit_text(o.k.root, path);
	settle_recipient(o.item, 0, ENTRY_FAILED, "5.0.0", "no");
	settle_drop(o.item);
	kit_done(&o.k, settle_run(&o.s, &o.k.err));
	after = kit_text(o.k.root, path);
	cr_expect_str_eq(before, after);
	kit_expect(o.k.root, "stage", 0);
	free(before);
	free(after);
	free(path);
	close_one(&o);
}

Test(settle, the_cap_on_reports_keeps_the_record)
{
	struct opened o;

	open_one(&o, "x@example.net");
	o.k.reports = 0;
	settle_recipient(o.item, 0, ENTRY_FAILED, "5.1.1", "no such user");
	commit_item(&o);
	kit_expect(o.k.root, "queue/new", 0);
	kit_expect_list(&o.k, "smtp: 0=x@example.net\n");
	cr_expect_eq(kit_occurs(o.k.root, "told", "failed"), 0);
	o.k.reports = 1;
	open_again(&o);
	settle_recipient(o.item, 0, ENTRY_FAILED, "5.1.1", "no such user");
	commit_item(&o);
	cr_expect_eq(o.k.reports, 0);
	kit_expect(o.k.root, "queue/new", 1);
	kit_expect(o.k.root, "queue/smtp", 0);
	close_one(&o);
}

Test(settle, a_damaged_record_goes_aside)
{
	struct opened o;
	char *path;

	open_one(&o, "x@example.net");
	settle_drop(o.item);
	path = mem_format("spool/queue/smtp/%s", o.name);
	kit_put(o.k.root, path, "nonsense");
	open_again(&o);
	cr_expect_null(o.item);
	kit_expect(o.k.root, "queue/smtp", 0);
	cr_expect_geq(kit_count(o.k.root, "corrupt"), 2);
	kit_done(&o.k, settle_open(&o.s, o.name, &o.item, &o.k.err));
	cr_expect_null(o.item, "one that is gone is no error");
	free(path);
	close_one(&o);
}

Test(settle, a_damaged_or_lost_content_takes_the_record_aside)
{
	for (int lost = 0; lost < 2; lost++) {
		struct opened o;
		char *path;

		open_one(&o, "x@example.net");
		settle_drop(o.item);
		path = mem_format("%s/spool/msg/%s", o.k.root, o.name);
		if (lost)
			cr_assert_eq(unlink(path), 0);
		else
			kit_put(o.k.root, path + strlen(o.k.root) + 1, "nonsense");
		open_again(&o);
		cr_expect_null(o.item);
		kit_expect(o.k.root, "queue", 0);
		kit_expect(o.k.root, "msg", 0);
		kit_expect(o.k.root, "corrupt", lost ? 2 : 4);
		free(path);
		close_one(&o);
	}
}

/* A directory within a hop: what is put off stays there. */
Test(settle, stays_in_its_batch)
{
	struct opened o;
	struct dir part;
	struct settle s;
	struct settle_item *item;

	open_one(&o, "x@example.net");
	settle_drop(o.item);
	kit_done(&o.k, hop_open_within(&o.k.queue, "smtp", "batch-aaaaaby-1", &part, &o.k.err));
	kit_done(&o.k, file_rename(&o.s.dir, o.name, &part, o.name, &o.k.err));
	kit_done(&o.k,
	    settle_init(&s, &o.k.queue, &o.k.config, &o.k.age, "smtp/batch-aaaaaby-1", NULL, &o.k.reports, &o.k.err));
	s.stay = true;
	kit_done(&o.k, settle_open(&s, o.name, &item, &o.k.err));
	cr_assert_not_null(item);
	settle_recipient(item, 0, ENTRY_WAITS, "4.4.7", "packed");
	kit_done(&o.k, settle_close(&s, item, &o.k.err));
	kit_done(&o.k, settle_run(&s, &o.k.err));
	kit_expect_list(&o.k, "smtp/batch-aaaaaby-1: 0=x@example.net(4.4.7)\n");
	settle_release(&s);
	dir_close(&part);
	close_one(&o);
}

/* A user whose name looks like a way up is a user all the same. */
Test(settle, dotted_users_survive_a_crash_as_others_do)
{
	static const struct scenario s = {KIT_PLAIN "alias \"dots\" { to = { \"joe\" } }\n", "m@city.example.org",
	    "\"a..b\"@village.example.org", 0, "delivered a..b m@city.example.org\n", 0, 0, 0, 0, 0};
	enum fault_end end = FAULT_KILLED;

	for (unsigned n = 1; end != FAULT_RAN; n++) {
		struct run run = {kit_root(s.config), &s};
		char *box = mem_format("%s/spool/mail/a..b", run.root);
		char *part = mem_format("%s/new", box);

		cr_assert_eq(fault_run(NULL, 0, step_send, &run), FAULT_RAN);
		mkdir(box, 0700);
		mkdir(part, 0700);
		memcpy(part + strlen(part) - 3, "cur", 3);
		mkdir(part, 0700);
		memcpy(part + strlen(part) - 3, "tmp", 3);
		mkdir(part, 0700);
		end = fault_run("kill", n, step_work, &run);
		cr_assert(end != FAULT_RAN || n > 10, "no fault struck");
		if (end != FAULT_RAN)
			cr_assert_eq(fault_run(NULL, 0, step_work, &run), FAULT_RAN);
		check_end(&run, n);
		kit_expect(run.root, "mail/a..b/new", 1);
		free(box);
		free(part);
		kit_remove(run.root);
	}
}

/* ---- verdicts from outside ----------------------------------------------------------------------------------- */

/* Done, later and never in one record: the one is told once, the other tried again, the third reported once. */
Test(settle, done_later_and_never_together)
{
	struct opened o;

	open_one(&o, "x@example.net y@example.net z@example.net");
	for (size_t i = 0; i < o.item->message.envelope.recipient_count; i++)
		o.item->message.envelope.recipients[i].notify = NOTIFY_SUCCESS | NOTIFY_FAILURE;
	settle_recipient(o.item, 0, ENTRY_RELAYED, "2.1.5", "250 Ok");
	settle_recipient(o.item, 1, ENTRY_WAITS, "4.2.2", "452 box full");
	settle_recipient(o.item, 2, ENTRY_FAILED, "5.1.1", "550 nobody");
	commit_item(&o);
	kit_expect(o.k.root, "queue/new", 2);
	cr_expect_eq(kit_occurs(o.k.root, "spool/queue/new", "Action: failed"), 1);
	cr_expect_eq(kit_occurs(o.k.root, "spool/queue/new", "Action: relayed"), 1);
	o.k.age.now += 20000;
	open_again(&o);
	cr_assert_not_null(o.item);
	settle_recipient(o.item, 1, ENTRY_RELAYED, "2.1.5", "250 Ok");
	commit_item(&o);
	cr_expect_eq(kit_occurs(o.k.root, "spool/queue/new", "Action: failed"), 1);
	cr_expect_eq(kit_occurs(o.k.root, "told", "relayed"), 2);
	cr_expect_eq(kit_occurs(o.k.root, "told", "failed"), 1);
	kit_expect(o.k.root, "queue/smtp", 0);
	kit_expect(o.k.root, "msg", 0);
	close_one(&o);
}

/* A server that reports success itself (RFC 3461 5.2.2) leaves nothing to report here. */
Test(settle, passed_on_is_not_reported)
{
	for (int passed_on = 0; passed_on < 2; passed_on++) {
		struct opened o;

		open_one(&o, "x@example.net");
		o.item->message.envelope.recipients[0].notify = NOTIFY_SUCCESS;
		o.item->passed_on = passed_on != 0;
		settle_recipient(o.item, 0, ENTRY_RELAYED, "2.1.5", NULL);
		commit_item(&o);
		kit_expect(o.k.root, "queue/new", passed_on ? 0 : 1);
		close_one(&o);
	}
}

Test(settle, the_cap_on_reports_drops_no_verdict_from_outside)
{
	struct opened o;

	open_one(&o, "x@example.net y@example.net");
	o.s.outside = true;
	o.k.reports = 0;
	settle_recipient(o.item, 0, ENTRY_RELAYED, "2.1.5", NULL);
	settle_recipient(o.item, 1, ENTRY_FAILED, "5.1.1", "550 nobody");
	commit_item(&o);
	cr_expect_eq(o.k.reports, 0);
	kit_expect(o.k.root, "queue/new", 1);
	kit_expect(o.k.root, "queue/smtp", 0);
	close_one(&o);
}

struct outside {
	char *root;
};

static int step_outside_prepare(void *context)
{
	const struct outside *run = context;
	struct queue_kit k;
	struct envelope e = kit_envelope("m@city.example.org", "x@example.net y@example.net");
	enum outcome outcome = kit_attach(&k, run->root);

	e.recipients[0].notify = NOTIFY_SUCCESS;
	if (outcome == OUTCOME_DONE)
		outcome = kit_hand(&k, &e, KIT_MAIL);
	if (outcome == OUTCOME_DONE)
		outcome = dispatch_new(&k.queue, &k.config, &k.age, NULL, &k.err);
	envelope_release(&e);
	kit_detach(&k);
	return outcome != OUTCOME_DONE;
}

/* One is relayed, the other refused: two reports. What fails is tried again with what is in hand. */
static int step_outside(void *context)
{
	const struct outside *run = context;
	struct names names = {0};
	struct settle_item *item = NULL;
	struct queue_kit k;
	struct settle s = {.dir = DIR_CLOSED};
	int failures = 0;
	enum outcome outcome = kit_attach(&k, run->root);

	if (outcome == OUTCOME_DONE)
		outcome = settle_init(&s, &k.queue, &k.config, &k.age, "smtp", &k.hooks, &k.reports, &k.err);
	s.outside = true;
	if (outcome == OUTCOME_DONE)
		outcome = dir_names(&s.dir, &names, &k.err);
	if (outcome == OUTCOME_DONE && names.count > 0)
		outcome = settle_open(&s, names.items[0], &item, &k.err);
	if (outcome == OUTCOME_DONE && item != NULL) {
		settle_recipient(item, 0, ENTRY_RELAYED, "2.1.5", "250 Ok");
		settle_recipient(item, 1, ENTRY_FAILED, "5.1.1", "550 nobody");
		outcome = settle_close(&s, item, &k.err);
		while (settle_run(&s, &k.err) != OUTCOME_DONE && failures < 3)
			failures++;
	}
	names_release(&names);
	settle_release(&s);
	kit_detach(&k);
	return outcome != OUTCOME_DONE || failures >= 3;
}

/* A disk that fails once loses no verdict and doubles no report: the process that has them tries again. */
Test(settle, verdicts_from_outside_outlive_a_failure)
{
	enum fault_end end = FAULT_KILLED;
	unsigned n;

	for (n = 1; fault_goes_on("fail", end, n); n++) {
		struct outside run = {kit_root(SMTP)};
		char *again;

		cr_assert_eq(fault_run(NULL, 0, step_outside_prepare, &run), FAULT_RAN);
		end = fault_run("fail", n, step_outside, &run);
		/* What failed before the verdicts is done now, what failed after the commit is finished. */
		cr_assert_eq(fault_run(NULL, 0, step_outside, &run), FAULT_RAN, "%u", n);
		again = kit_text(run.root, "told");
		cr_expect_not_null(again, "%u", n);
		cr_expect_eq(kit_occurs(run.root, "spool/queue/new", "Action: failed"), 1, "%u", n);
		cr_expect_eq(kit_occurs(run.root, "spool/queue/new", "Action: relayed"), 1, "%u", n);
		kit_expect(run.root, "queue/smtp", 0);
		kit_expect(run.root, "msg", 0);
		free(again);
		kit_remove(run.root);
	}
}
