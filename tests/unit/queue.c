#include "queue/queue.h"

#include "tests/unit/fault.h"
#include "tests/unit/queue_kit.h"

Test(queue, make_keeps_what_stands)
{
	struct queue_kit k;
	char *spool;
	uint32_t incarnation;

	kit_open(&k, KIT_PLAIN);
	spool = mem_format("%s/spool", k.root);
	incarnation = k.queue.incarnation;
	kit_send(&k, "maria@village.example.org", "joe");
	kit_done(&k, queue_make(spool, &k.err));
	queue_close(&k.queue);
	kit_done(&k, queue_open(&k.queue, spool, "village", &k.err));
	cr_expect_eq(k.queue.incarnation, incarnation);
	kit_expect(k.root, "queue/new", 1);
	cr_expect(maildir_exists(&k.queue.mail, "postmaster"));
	free(spool);
	kit_close(&k);
}

Test(queue, open_says_what_is_missing)
{
	char *root = kit_root(KIT_PLAIN);
	char *spool = mem_format("%s/spool", root);
	struct queue q;
	struct error err = ERROR_NONE;

	cr_expect_neq(queue_open(&q, spool, "village", &err), OUTCOME_DONE);
	cr_expect_eq(err.code, EX_CONFIG);
	cr_expect_not_null(
	    strstr(err.text, "(is the path right, and its disk mounted? `packetboat init` makes a new one)"));
	cr_expect_not_null(strstr(err.text, spool));
	cr_expect_eq(q.spool.fd, -1, "nothing is left open");
	free(spool);
	kit_remove(root);
}

/* ---- the incarnation ------------------------------------------------------------------------------------- */

static uint32_t reopen(struct queue_kit *k)
{
	char *root = k->root;

	kit_detach(k);
	kit_done(k, kit_attach(k, root));
	return k->queue.incarnation;
}

Test(queue, a_copied_state_begins_a_new_incarnation)
{
	struct queue_kit k;
	uint32_t first;
	uint32_t second;
	char *old;
	char *new;
	char *command;

	kit_open(&k, KIT_PLAIN);
	first = k.queue.incarnation;
	kit_send(&k, "maria@village.example.org", "joe");
	cr_expect_eq(reopen(&k), first);
	old = mem_format("%s/spool/state", k.root);
	new = mem_format("%s/spool/state.old", k.root);
	cr_assert_eq(rename(old, new), 0);
	cr_assert_eq(mkdir(old, 0700), 0);
	command = mem_format("%s/incarnation", new);
	free(new);
	new = mem_format("%s/incarnation", old);
	cr_assert_eq(link(command, new), 0);
	second = reopen(&k);
	cr_expect_neq(second, first);
	cr_expect_eq(reopen(&k), second, "once");
	cr_expect_eq(kit_occurs(k.root, "spool/log", "copied or restored"), 1, "and the log says so");
	cr_expect_eq(kit_send(&k, "maria@village.example.org", "joe").incarnation, second);
	free(command);
	free(old);
	free(new);
	kit_close(&k);
}

Test(queue, a_damaged_or_lost_incarnation_is_made_anew)
{
	static const char *const texts[] = {"", "pbinc1", "pbinc1xxxxyyyyyyyyz", NULL};

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct queue_kit k;
		uint32_t first;

		kit_open(&k, KIT_PLAIN);
		first = k.queue.incarnation;
		if (texts[i] != NULL)
			kit_put(k.root, "spool/state/incarnation", texts[i]);
		else
			kit_done(&k, file_remove(&k.queue.state, "incarnation", &k.err));
		cr_expect_neq(reopen(&k), first, "case %zu", i);
		kit_close(&k);
	}
}

/* ---- ids ------------------------------------------------------------------------------------------------- */

static uint64_t next(struct queue_kit *k, uint64_t reserve)
{
	struct id id;

	kit_done(k, queue_next_id(&k->queue, reserve, &id, &k->err));
	cr_expect_str_eq(id.host, "village");
	cr_expect_eq(id.incarnation, k->queue.incarnation);
	return id.sequence;
}

Test(queue, ids_rise_and_are_not_given_twice)
{
	struct queue_kit k;
	uint64_t last = 0;

	kit_open(&k, KIT_PLAIN);
	for (uint64_t i = 0; i < 40; i++) {
		uint64_t sequence = next(&k, i % 5);

		cr_expect_gt(sequence, last);
		last = sequence;
		if (i % 7 == 0)
			reopen(&k);
	}
	kit_close(&k);
}

static int take_ids(void *context)
{
	const char *root = context;
	struct queue_kit k;
	char *path = mem_format("%s/ids", root);
	FILE *file = fopen(path, "a");

	if (kit_attach(&k, (char *)(uintptr_t)root) != OUTCOME_DONE)
		return 1;
	for (int i = 0; i < 20; i++) {
		struct id id;

		if (queue_next_id(&k.queue, 3, &id, &k.err) != OUTCOME_DONE)
			return 1;
		fprintf(file, "<%u.%llu>\n", id.incarnation, (unsigned long long)id.sequence);
		fflush(file);
	}
	fclose(file);
	kit_detach(&k);
	free(path);
	return 0;
}

/* Every line of ROOT/ids once. */
static void expect_unique(const char *root, size_t number)
{
	char *text = kit_text(root, "ids");
	struct view rest = view_text(text);
	struct view line;
	size_t count = 0;

	while (view_line(&rest, &line)) {
		char *word = mem_copy(line.bytes, line.length);

		count++;
		cr_expect_eq(kit_occurs(root, "ids", word), 1, "%s", word);
		free(word);
	}
	cr_expect_geq(count, number);
	free(text);
}

Test(queue, ids_of_several_processes_differ)
{
	char *root = kit_root(KIT_PLAIN);
	pid_t children[3];

	cr_assert_eq(fault_run(NULL, 0, take_ids, root), FAULT_RAN);
	for (int i = 0; i < 3; i++) {
		fflush(NULL);
		children[i] = fork();
		if (children[i] == 0)
			_exit(take_ids(root));
	}
	for (int i = 0; i < 3; i++) {
		int status;

		cr_assert_eq(waitpid(children[i], &status, 0), children[i]);
		cr_expect_eq(status, 0);
	}
	expect_unique(root, 80);
	kit_remove(root);
}

Test(queue, ids_after_a_crash_at_any_point_differ)
{
	char *root = kit_root(KIT_PLAIN);

	cr_assert_eq(fault_run(NULL, 0, take_ids, root), FAULT_RAN);
	for (unsigned n = 1; n < 30; n += 3)
		fault_run("kill", n, take_ids, root);
	for (unsigned n = 1; n < 30; n += 3)
		fault_run("fail", n, take_ids, root);
	cr_assert_eq(fault_run(NULL, 0, take_ids, root), FAULT_RAN);
	expect_unique(root, 40);
	kit_remove(root);
}

/* A daemon that has the spool open while a relay pass begins a new incarnation. */
Test(queue, ids_stay_unique_when_another_process_renews)
{
	struct queue_kit daemon;
	struct queue_kit pass;
	char *root = kit_root(KIT_PLAIN);
	struct id ids[12];

	kit_done(&daemon, kit_attach(&daemon, root));
	kit_done(&daemon, queue_next_id(&daemon.queue, 1, &ids[0], &daemon.err));
	kit_done(&daemon, queue_next_id(&daemon.queue, 1, &ids[1], &daemon.err));
	kit_done(&pass, kit_attach(&pass, root));
	kit_done(&pass, queue_renew(&pass.queue, "test", &pass.err));
	for (size_t i = 2; i < 12; i++) {
		struct queue_kit *k = i % 2 == 0 ? &pass : &daemon;

		kit_done(k, queue_next_id(&k->queue, 1, &ids[i], &k->err));
	}
	for (size_t i = 0; i < 12; i++)
		for (size_t j = 0; j < i; j++)
			cr_expect_not(id_equal(&ids[i], &ids[j]), "numbers %zu and %zu", i, j);
	kit_detach(&daemon);
	kit_detach(&pass);
	kit_remove(root);
}

/* ---- handing over ---------------------------------------------------------------------------------------- */

Test(queue, handed_over_whole)
{
	struct queue_kit k;
	struct envelope e = kit_envelope("maria@village.example.org", "joe otto@city.example.org");
	struct message m;
	char name[LIMIT_ID];

	kit_open(&k, KIT_PLAIN);
	kit_done(&k, kit_hand(&k, &e, "a\xff\r\n"));
	cr_expect_eq(e.size, 4);
	cr_expect_eq(e.body, BODY_8BIT);
	cr_expect_neq(e.id.sequence, 0);
	id_print(&e.id, name);
	kit_done(&k, message_open(&m, &k.queue.new, name, MESSAGE_VERIFY, &k.err));
	cr_expect_eq(m.envelope.recipient_count, 2);
	message_close(&m);
	kit_expect(k.root, "queue/new", 1);
	kit_expect(k.root, "tmp", 0);
	cr_expect_eq(kit_occurs(k.root, "spool/log", " accepted "), 1);
	envelope_release(&e);
	kit_close(&k);
}

Test(queue, given_up_leaves_nothing)
{
	struct queue_kit k;
	struct handover h;

	kit_open(&k, KIT_PLAIN);
	kit_done(&k, handover_begin(&k.queue, &h, &k.err));
	kit_done(&k, sink_view(handover_sink(&h), view_text("a\r\n"), &k.err));
	cr_expect_eq(sink_view(handover_sink(&h), view_text("b\n"), &k.err), OUTCOME_NEVER, "a bare LF");
	handover_abort(&h);
	kit_expect(k.root, "queue/new", 0);
	kit_expect(k.root, "tmp", 0);
	kit_close(&k);
}

static int hand_one(void *context)
{
	struct queue_kit k;
	struct envelope e = kit_envelope("maria@village.example.org", "joe");
	int code = 1;

	if (kit_attach(&k, context) == OUTCOME_DONE && kit_hand(&k, &e, KIT_MAIL) == OUTCOME_DONE &&
	    tmp_sweep(&k.queue.tmp, &k.err) == OUTCOME_DONE)
		code = 0;
	envelope_release(&e);
	kit_detach(&k);
	return code;
}

/* The same, kept in memory until it is accepted. */
static int hand_small(void *context)
{
	struct queue_kit k;
	struct handover h = {.writer.fd = -1};
	struct envelope e = kit_envelope("maria@village.example.org", "joe");
	int code = 1;

	if (kit_attach(&k, context) != OUTCOME_DONE)
		return code;
	handover_begin_small(&k.queue, &h, 4096);
	if (sink_view(handover_sink(&h), view_text(KIT_MAIL), &k.err) == OUTCOME_DONE &&
	    handover_commit(&h, &e, &k.err) == OUTCOME_DONE && tmp_sweep(&k.queue.tmp, &k.err) == OUTCOME_DONE)
		code = 0;
	handover_abort(&h);
	envelope_release(&e);
	kit_detach(&k);
	return code;
}

/* Whoever heard "accepted" finds it; whoever did not may find it or not, but never half of it. */
static void survives_at_any_point(int (*hand)(void *context))
{
	for (int kind = 0; kind < 2; kind++) {
		enum fault_end end = FAULT_KILLED;

		for (unsigned n = 1; fault_goes_on(kind == 0 ? "kill" : "fail", end, n); n++) {
			char *root = kit_root(KIT_PLAIN);
			struct queue_kit k;
			struct names names;

			cr_assert_lt(n, 200);
			end = fault_run(kind == 0 ? "kill" : "fail", n, hand, root);
			cr_assert(end != FAULT_RAN || n > 10 || kind == 1, "no fault struck");
			if (end != FAULT_RAN)
				cr_assert_eq(fault_run(NULL, 0, hand, root), FAULT_RAN);
			kit_look(&k, root);
			kit_done(&k, dir_names(&k.queue.new, &names, &k.err));
			cr_expect_geq(names.count, 1);
			cr_expect_leq(names.count, 2);
			for (size_t i = 0; i < names.count; i++) {
				struct message m;

				kit_done(&k, message_open(&m, &k.queue.new, names.items[i], MESSAGE_VERIFY, &k.err));
				message_close(&m);
			}
			names_release(&names);
			kit_expect(root, "tmp", 0);
			queue_close(&k.queue);
			kit_remove(root);
		}
	}
}

Test(queue, handing_over_survives_a_crash_at_any_point)
{
	survives_at_any_point(hand_one);
}

Test(queue, handing_over_from_memory_survives_a_crash_at_any_point)
{
	survives_at_any_point(hand_small);
}

/* No file until the commit, or the image for the arrival log; an id that was given stays; "accepted" once. */
Test(queue, what_is_small_waits_in_memory)
{
	for (int commit = 0; commit < 2; commit++) {
		struct queue_kit k;
		struct handover h;
		struct envelope e = kit_envelope("maria@village.example.org", "joe");
		char name[LIMIT_ID];

		kit_open(&k, KIT_PLAIN);
		handover_begin_small(&k.queue, &h, 4096);
		kit_done(&k, sink_view(handover_sink(&h), view_text(KIT_MAIL), &k.err));
		kit_done(&k, queue_next_id(&k.queue, 1, &e.id, &k.err));
		id_print(&e.id, name);
		cr_expect_eq(handover_image(&h).length, 0);
		kit_done(&k, handover_finish(&h, &e, &k.err));
		cr_expect_gt(handover_image(&h).length, strlen(KIT_MAIL));
		kit_expect(k.root, "tmp", 0);
		kit_expect(k.root, "queue/new", 0);
		cr_expect_eq(kit_occurs(k.root, "spool/log", " accepted "), 0);
		if (commit)
			kit_done(&k, handover_commit(&h, &e, &k.err));
		else
			queue_log_accepted(&k.queue, &e, NULL);
		cr_expect_eq(kit_occurs(k.root, "spool/log", " accepted "), 1);
		cr_expect_eq(kit_occurs(k.root, "spool/log", name), 1);
		cr_expect_eq(file_exists(&k.queue.new, name, NULL), commit == 1);
		handover_abort(&h);
		kit_expect(k.root, "queue/new", commit);
		kit_expect(k.root, "tmp", 0);
		envelope_release(&e);
		kit_close(&k);
	}
}

/* What grows beyond it is in a file, and is committed as ever. */
Test(queue, what_is_no_longer_small_is_in_a_file)
{
	struct queue_kit k;
	struct handover h;
	struct envelope e = kit_envelope("maria@village.example.org", "joe");

	kit_open(&k, KIT_PLAIN);
	handover_begin_small(&k.queue, &h, 10);
	kit_done(&k, sink_view(handover_sink(&h), view_text(KIT_MAIL), &k.err));
	kit_expect(k.root, "tmp", 1);
	kit_done(&k, handover_finish(&h, &e, &k.err));
	cr_expect_eq(handover_image(&h).length, 0);
	kit_done(&k, handover_commit(&h, &e, &k.err));
	handover_abort(&h);
	kit_expect(k.root, "tmp", 0);
	kit_expect(k.root, "queue/new", 1);
	kit_done(&k, kit_rounds(&k));
	kit_expect(k.root, "mail/joe/new", 1);
	envelope_release(&e);
	kit_close(&k);
}

/* ---- space ----------------------------------------------------------------------------------------------- */

Test(queue, space)
{
	struct queue_kit k;
	struct handover h;
	uint64_t bytes;
	uint64_t inodes;

	kit_open(&k, KIT_PLAIN);
	kit_done(&k, dir_space(&k.queue.spool, &bytes, &inodes, &k.err));
	kit_done(&k, queue_space(&k.queue, 4096, &k.err));
	cr_expect_eq(queue_space(&k.queue, bytes * 2, &k.err), OUTCOME_LATER);
	cr_expect_eq(k.err.code, EX_TEMPFAIL);
	cr_expect_eq(queue_space(&k.queue, UINT64_MAX, &k.err), OUTCOME_LATER, "no overflow");
	k.queue.min_free = bytes * 2;
	cr_expect_eq(queue_space(&k.queue, 0, &k.err), OUTCOME_LATER);
	cr_expect_not_null(strstr(k.err.text, "min-free"));
	cr_expect_eq(handover_begin(&k.queue, &h, &k.err), OUTCOME_LATER);
	handover_abort(&h);
	k.queue.min_free = UINT64_MAX;
	cr_expect_eq(queue_space(&k.queue, UINT64_MAX, &k.err), OUTCOME_LATER);
	kit_expect(k.root, "tmp", 0);
	kit_close(&k);
}

/* ---- looking --------------------------------------------------------------------------------------------- */

struct seen_places {
	size_t count;
	size_t damaged;
	size_t limit;
	struct queue_place last;
	char *recipients;
};

static bool note_place(
    void *context, const struct queue_place *place, const struct entry *entry, const struct error *err)
{
	struct seen_places *s = context;

	s->count++;
	s->damaged += entry == NULL && err != NULL;
	s->last = *place;
	for (size_t i = 0; entry != NULL && i < entry->recipient_count; i++) {
		char *old = s->recipients;

		s->recipients = mem_format("%s%s ", old == NULL ? "" : old, entry->recipients[i].address);
		free(old);
	}
	return s->count != s->limit;
}

Test(queue, walk_and_find_see_every_place)
{
	struct queue_kit k;
	struct seen_places s = {0};
	struct id fresh;
	struct id routed;

	kit_open(&k, KIT_PLAIN);
	routed = kit_send(&k, "maria@village.example.org", "joe otto@city.example.org ann");
	kit_dispatch(&k);
	fresh = kit_send(&k, "maria@village.example.org", "ann");
	kit_done(&k, queue_walk(&k.queue, NULL, note_place, &s, &k.err));
	cr_expect_eq(s.count, 3);
	s = (struct seen_places){.recipients = (free(s.recipients), NULL)};
	kit_done(&k, queue_walk(&k.queue, "neighbour-city", note_place, &s, &k.err));
	cr_expect_str_eq(s.recipients, "otto@city.example.org ");
	s = (struct seen_places){.recipients = (free(s.recipients), NULL), .limit = 1};
	kit_done(&k, queue_walk(&k.queue, NULL, note_place, &s, &k.err));
	cr_expect_eq(s.count, 1, "the visitor wants no more");
	s = (struct seen_places){.recipients = (free(s.recipients), NULL)};
	kit_done(&k, queue_find(&k.queue, &routed, note_place, &s, &k.err));
	cr_expect_eq(s.count, 2);
	s = (struct seen_places){.recipients = (free(s.recipients), NULL)};
	kit_done(&k, queue_find(&k.queue, &fresh, note_place, &s, &k.err));
	cr_expect_eq(s.count, 1);
	cr_expect_str_eq(s.last.hop, "new");
	cr_expect_str_eq(s.recipients, "ann ");
	s = (struct seen_places){.recipients = (free(s.recipients), NULL)};
	fresh.sequence = 1000;
	kit_done(&k, queue_find(&k.queue, &fresh, note_place, &s, &k.err));
	cr_expect_eq(s.count, 0);
	kit_close(&k);
}

/* A claim waits like what it was; what was made from it so far is shown once more by nobody. */
Test(queue, walk_and_find_see_what_is_claimed)
{
	struct queue_kit k;
	struct seen_places s = {0};
	struct id id;
	struct entry e;
	struct message m;
	struct dir local;
	char text[LIMIT_ID];
	char *name;
	char *claim;
	char *path;
	struct buf record;

	kit_open(&k, KIT_PLAIN);
	id = kit_send(&k, "maria@village.example.org", "joe ann");
	id_print(&id, text);
	claim = mem_format("%s~", text);
	name = mem_format("%s+0", text);
	kit_done(&k, file_rename(&k.queue.new, text, &k.queue.new, claim, &k.err));
	kit_done(&k, queue_walk(&k.queue, NULL, note_place, &s, &k.err));
	cr_expect_eq(s.count, 1);
	cr_expect_str_eq(s.last.name, claim);
	cr_expect_str_eq(s.recipients, "joe ann ");
	/* As a dispatch leaves it that died behind the first record. */
	entry_init(&e);
	e.sender = mem_string("maria@village.example.org");
	entry_add_recipient(&e, 0, "joe");
	e.id = id;
	e.parent = mem_string(claim);
	buf_init(&record, LIMIT_ENTRY);
	entry_write(&e, &record);
	kit_done(&k, file_link(&k.queue.new, claim, &k.queue.msg, name, &k.err));
	path = mem_format("spool/queue/local/%s", name);
	kit_done(&k, hop_open(&k.queue, "local", &local, &k.err));
	dir_close(&local);
	kit_put(k.root, path, buf_string(&record));
	s = (struct seen_places){.recipients = (free(s.recipients), NULL)};
	kit_done(&k, queue_walk(&k.queue, NULL, note_place, &s, &k.err));
	cr_expect_eq(s.count, 1, "shown once");
	cr_expect_str_eq(s.last.hop, "new");
	s = (struct seen_places){.recipients = (free(s.recipients), NULL)};
	kit_done(&k, queue_find(&k.queue, &id, note_place, &s, &k.err));
	cr_expect_eq(s.count, 1, "found once");
	cr_expect_str_eq(s.last.name, claim);
	kit_done(&k, queue_message(&k.queue, &s.last, MESSAGE_VERIFY, &m, &k.err));
	message_close(&m);
	kit_done(&k, file_remove(&k.queue.new, claim, &k.err));
	s = (struct seen_places){.recipients = (free(s.recipients), NULL)};
	kit_done(&k, queue_walk(&k.queue, NULL, note_place, &s, &k.err));
	cr_expect_eq(s.count, 1, "it counts now");
	cr_expect_str_eq(s.last.hop, "local");
	free(s.recipients);
	free(path);
	free(name);
	free(claim);
	buf_release(&record);
	entry_release(&e);
	kit_close(&k);
}

/* What a dispatch does between two looks. */
struct meddling {
	struct queue_kit *kit;
	struct seen_places seen;
	bool dispatch; /* or only a claim on the second */
	struct id second;
};

static bool meddle(void *context, const struct queue_place *place, const struct entry *entry, const struct error *err)
{
	struct meddling *m = context;
	char name[LIMIT_ID];
	char claim[LIMIT_ID + 1];

	id_print(&m->second, name);
	snprintf(claim, sizeof claim, "%s~", name);
	if (m->seen.count == 0 && m->dispatch)
		kit_dispatch(m->kit);
	else if (m->seen.count == 0)
		kit_done(m->kit, file_rename(&m->kit->queue.new, name, &m->kit->queue.new, claim, &m->kit->err));
	return note_place(&m->seen, place, entry, err);
}

Test(queue, walk_misses_nothing_that_is_dispatched_meanwhile)
{
	for (int i = 0; i < 2; i++) {
		struct queue_kit k;
		struct meddling m = {.kit = &k, .dispatch = i == 1};

		kit_open(&k, KIT_PLAIN);
		kit_send(&k, "maria@village.example.org", "joe");
		m.second = kit_send(&k, "maria@village.example.org", "ann");
		kit_done(&k, queue_walk(&k.queue, NULL, meddle, &m, &k.err));
		cr_expect_str_eq(m.seen.recipients, m.dispatch ? "joe joe ann " : "joe ann ");
		free(m.seen.recipients);
		kit_close(&k);
	}
}

/* A record that is to be routed again, claimed. */
Test(queue, find_sees_a_claimed_record)
{
	struct queue_kit k;
	struct seen_places s = {0};
	struct id id;
	struct message m;
	struct dir local;
	char *claim;

	kit_open(&k, KIT_PLAIN);
	id = kit_send(&k, "maria@village.example.org", "joe");
	kit_dispatch(&k);
	kit_done(&k, queue_walk(&k.queue, NULL, note_place, &s, &k.err));
	claim = mem_format("%s~", s.last.name);
	kit_done(&k, dir_open(&local, &k.queue.queue, "local", &k.err));
	kit_done(&k, file_rename(&local, s.last.name, &k.queue.new, claim, &k.err));
	dir_close(&local);
	s = (struct seen_places){.recipients = (free(s.recipients), NULL)};
	kit_done(&k, queue_find(&k.queue, &id, note_place, &s, &k.err));
	cr_expect_eq(s.count, 1);
	cr_expect_str_eq(s.last.name, claim);
	kit_done(&k, queue_message(&k.queue, &s.last, MESSAGE_VERIFY, &m, &k.err));
	message_close(&m);
	free(s.recipients);
	free(claim);
	kit_close(&k);
}

/* "x.1" is no "x.10". */
Test(queue, find_takes_whole_ids)
{
	struct queue_kit k;
	struct seen_places s = {0};
	struct id first = {.sequence = 0};

	kit_open(&k, KIT_PLAIN);
	for (int i = 0; i < 12; i++) {
		struct id id = kit_send(&k, "maria@village.example.org", "joe");

		if (i == 0)
			first = id;
	}
	cr_assert_eq(first.sequence, 1);
	kit_done(&k, queue_find(&k.queue, &first, note_place, &s, &k.err));
	cr_expect_eq(s.count, 1);
	kit_dispatch(&k);
	s.count = 0;
	kit_done(&k, queue_find(&k.queue, &first, note_place, &s, &k.err));
	cr_expect_eq(s.count, 1);
	free(s.recipients);
	kit_close(&k);
}

Test(queue, a_damaged_record_is_shown_as_such)
{
	struct queue_kit k;
	struct seen_places s = {0};
	char *name;

	kit_open(&k, KIT_PLAIN);
	kit_send(&k, "maria@village.example.org", "joe");
	kit_dispatch(&k);
	kit_done(&k, queue_walk(&k.queue, NULL, note_place, &s, &k.err));
	name = mem_format("spool/queue/local/%s", s.last.name);
	kit_put(k.root, name, "nonsense");
	s.count = 0;
	kit_done(&k, queue_walk(&k.queue, NULL, note_place, &s, &k.err));
	cr_expect_eq(s.count, 1);
	cr_expect_eq(s.damaged, 1);
	free(s.recipients);
	free(name);
	kit_close(&k);
}
