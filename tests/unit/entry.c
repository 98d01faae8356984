#include "queue/entry.h"

#include "lib/alloc.h"

#include <criterion/criterion.h>
#include <sodium.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static struct entry full(void)
{
	struct entry e;
	struct entry_recipient *r;

	entry_init(&e);
	e.id = (struct id){.host = "village", .incarnation = 7, .sequence = 12};
	e.class = CLASS_URGENT;
	e.size = 4711;
	e.arrived = -5;
	e.arrived_age = 86400;
	e.sender = mem_string("maria@village.example.org");
	e.neighbour = mem_string("city");
	e.attempts = 3;
	e.due_age = UINT64_MAX;
	e.last_tried = 1800000000;
	e.warned = true;
	e.parent = mem_string("village.aaaaaby.12~");
	r = entry_add_recipient(&e, 0, "joe user@x");
	entry_recipient_result(r, "4.4.1", "the link is down: \"why\"");
	r = entry_add_recipient(&e, 2, "b\xc3\xbc@x");
	r->end = ENTRY_DELIVERED;
	r = entry_add_recipient(&e, UINT32_MAX - 1, "last@x");
	entry_recipient_result(r, "5.1.1", NULL);
	r->end = ENTRY_FAILED;
	r->fresh = true;
	entry_add_move(&e, "village.aaaaaby.12+0.0", "mail/otto/new/1.x,S=5");
	entry_add_move(&e, "village.aaaaaby.12+0.1", "queue/new/village.aaaaaby.13");
	return e;
}

static struct buf written(const struct entry *e)
{
	struct buf out;

	buf_init(&out, LIMIT_ENTRY);
	entry_write(e, &out);
	cr_assert_not(out.failed);
	return out;
}

static void expect_text(const char *a, const char *b)
{
	cr_expect_eq(a == NULL, b == NULL);
	if (a != NULL && b != NULL)
		cr_expect_str_eq(a, b);
}

Test(entry, comes_back_as_it_was)
{
	struct entry e = full();
	struct buf text = written(&e);
	struct entry back;
	struct error err = ERROR_NONE;
	struct buf again;

	cr_assert_eq(entry_parse(&back, view_buf(&text), &err), OUTCOME_DONE, "%s", err.text);
	cr_expect(id_equal(&back.id, &e.id));
	cr_expect(back.class == e.class && back.size == e.size && back.arrived == e.arrived);
	cr_expect(back.arrived_age == e.arrived_age && back.attempts == 3 && back.due_age == UINT64_MAX);
	cr_expect(back.last_tried == e.last_tried && back.warned && !back.ended);
	expect_text(back.sender, e.sender);
	expect_text(back.neighbour, e.neighbour);
	expect_text(back.parent, e.parent);
	cr_assert_eq(back.recipient_count, 3);
	for (size_t i = 0; i < 3; i++) {
		cr_expect_eq(back.recipients[i].index, e.recipients[i].index);
		cr_expect_eq(back.recipients[i].end, e.recipients[i].end);
		cr_expect_eq(back.recipients[i].fresh, e.recipients[i].fresh);
		expect_text(back.recipients[i].address, e.recipients[i].address);
		expect_text(back.recipients[i].status, e.recipients[i].status);
		expect_text(back.recipients[i].reason, e.recipients[i].reason);
	}
	cr_assert_eq(back.move_count, 2);
	for (size_t i = 0; i < 2; i++) {
		expect_text(back.moves[i].staged, e.moves[i].staged);
		expect_text(back.moves[i].target, e.moves[i].target);
	}
	again = written(&back);
	cr_expect(view_equal(view_buf(&again), view_buf(&text)), "print(parse(x)) == x");
	buf_release(&again);
	buf_release(&text);
	entry_release(&back);
	entry_release(&e);
}

Test(entry, every_change_of_an_octet_and_every_truncation_is_found)
{
	struct entry e = full();
	struct buf text = written(&e);
	struct entry back;
	struct error err = ERROR_NONE;

	for (size_t i = 0; i < text.length; i++) {
		text.bytes[i] ^= 1;
		cr_expect_eq(entry_parse(&back, view_buf(&text), &err), OUTCOME_NEVER, "octet %zu", i);
		cr_expect_eq(err.code, EX_DATAERR);
		text.bytes[i] ^= 1;
		cr_expect_eq(entry_parse(&back, view_of(text.bytes, i), &err), OUTCOME_NEVER, "cut to %zu", i);
	}
	buf_byte(&text, '\n');
	cr_expect_eq(entry_parse(&back, view_buf(&text), &err), OUTCOME_NEVER, "something behind the end");
	buf_release(&text);
	entry_release(&e);
}

/* Parses LINES between magic and a digest that is right. */
static enum outcome parse_lines(const char *lines, struct entry *e)
{
	uint8_t digest[16];
	struct buf text;
	struct error err = ERROR_NONE;
	enum outcome outcome;

	buf_init(&text, 65536);
	buf_text(&text, lines);
	buf_text(&text, "end ");
	crypto_generichash(digest, sizeof digest, text.bytes, text.length, NULL, 0);
	for (size_t i = 0; i < sizeof digest; i++)
		buf_format(&text, "%02x", digest[i]);
	buf_byte(&text, '\n');
	outcome = entry_parse(e, view_buf(&text), &err);
	buf_release(&text);
	return outcome;
}

#define TOP "packetboat-record 1\nid a.aaaaaaa.1\n"

Test(entry, lines)
{
	static const struct {
		const char *lines;
		bool good;
	} cases[] = {
	    {TOP "to 0 x@y\n", true}, {"packetboat-record 2\nid a.aaaaaaa.1\nto 0 x@y\n", false},
	    {"packetboat-record 1\nto 0 x@y\n", false}, /* no id */
	    {TOP, false},				/* no recipient */
	    {TOP "to 0 x@y\nto 0 z@y\n", false},	/* not ascending */
	    {TOP "to 4294967295 x@y\n", true}, {TOP "to 4294967296 x@y\n", false}, {TOP "to -1 x@y\n", false},
	    {TOP "was 0 delivered x@y\n", true}, {TOP "was 0 waits x@y\n", false}, {TOP "was 0 lost x@y\n", false},
	    {TOP "size 1x\nto 0 x@y\n", false}, {TOP "arrived -9\nto 0 x@y\n", true},
	    {TOP "arrived -\nto 0 x@y\n", false}, {TOP "class first\nto 0 x@y\n", false},
	    {TOP "warned 2\nto 0 x@y\n", false}, {TOP "colour red\nto 0 x@y\n", false}, {TOP "\nto 0 x@y\n", false},
	    {TOP "sender a\nsender b\nto 0 x@y\n", false}, {TOP "status 4.4.1 early\nto 0 x@y\n", false}, /* whose? */
	    {TOP "to 0 x@y\nstatus 123456789012 long\n", false}, {TOP "to 0 x@y\nmove s mail/joe/new/x\n", true},
	    {TOP "to 0 x@y\nmove s mail/a..b/new/x\n", true}, /* a user's name may hold two dots */
	    {TOP "to 0 x@y\nmove s mail/../x\n", false}, {TOP "to 0 x@y\nmove s ../x\n", false},
	    {TOP "to 0 x@y\nmove s mail/..\n", false}, {TOP "to 0 x@y\nmove s ..\n", false},
	    {TOP "to 0 x@y\nmove s /etc/x\n", false}, {TOP "to 0 x@y\nmove s\n", false},
	    {TOP "to 0 x@y\nmove  x\n", false},
	    {TOP "to 0 x@y\nmove a/b mail/x\n", false}, /* staged files lie in stage/ itself */
	    {TOP "to 0 x@y\nmove s x\n", false},	/* nothing is moved into the spool itself */
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct entry e;

		cr_expect_eq(parse_lines(cases[i].lines, &e) == OUTCOME_DONE, cases[i].good, "%s", cases[i].lines);
		if (!cases[i].good)
			cr_expect(e.recipients == NULL && e.sender == NULL && e.moves == NULL, "released: %s",
			    cases[i].lines);
		entry_release(&e);
	}
}

Test(entry, a_record_without_a_sender_has_the_null_sender)
{
	struct entry e;

	cr_assert_eq(parse_lines(TOP "to 0 x@y\n", &e), OUTCOME_DONE);
	cr_expect_str_eq(e.sender, "");
	cr_expect_null(e.neighbour);
	entry_release(&e);
}

Test(entry, names)
{
	static const struct {
		const char *name;
		bool good;
	} cases[] = {{"village.aaaaaby.12+0", true}, {"village.aaaaaby.12+4294967295", true},
	    {"village.aaaaaby.12+4294967296", false}, {"village.aaaaaby.12", false}, {"village.aaaaaby.12+", false},
	    {"village.aaaaaby.12=0", false}, {"village.aaaaaby.12+0~", false}, {"+0", false}, {"", false}};
	struct entry e = full();
	char name[ENTRY_NAME];
	struct id id;
	uint32_t first;

	for (size_t i = 0; i < COUNT(cases); i++)
		cr_expect_eq(entry_name_parse(cases[i].name, &id, &first), cases[i].good, "%s", cases[i].name);
	e.recipients[0].index = 1;
	entry_name(&e, name);
	cr_expect_str_eq(name, "village.aaaaaby.12+1");
	cr_expect(entry_name_parse(name, &id, &first) && first == 1 && id_equal(&id, &e.id));
	entry_release(&e);
}

Test(entry, reasons_are_one_line_of_a_sentence)
{
	struct entry_recipient r = {.reason = NULL};
	char *text = mem_alloc(2 * LIMIT_REASON);

	memset(text, 'x', 2 * LIMIT_REASON - 1);
	memcpy(text, "a\r\nb\tc", 6);
	entry_recipient_result(&r, "4.4.1", text);
	cr_expect_eq(strlen(r.reason), LIMIT_REASON);
	cr_expect_arr_eq(r.reason, "a  b cxx", 8);
	/* Both may be the recipient's own. */
	entry_recipient_result(&r, r.status, r.reason);
	cr_expect_str_eq(r.status, "4.4.1");
	cr_expect_eq(strlen(r.reason), LIMIT_REASON);
	entry_recipient_result(&r, "5.0.0", NULL);
	cr_expect_null(r.reason);
	free(text);
}

Test(entry, waits)
{
	struct entry e = full();

	cr_expect(entry_waits(&e));
	e.recipients[0].end = ENTRY_REMOVED;
	cr_expect_not(entry_waits(&e));
	entry_release(&e);
}

/* ---- several in one file --------------------------------------------------------------------------------- */

/* A record of message SEQUENCE for recipients from FIRST on. */
static void add_record(struct buf *file, uint64_t sequence, uint32_t first)
{
	struct entry e;

	entry_init(&e);
	e.id = (struct id){.host = "village", .incarnation = 7, .sequence = sequence};
	e.size = sequence * 1000 + first;
	e.sender = mem_string("maria@village.example.org");
	entry_recipient_result(entry_add_recipient(&e, first, "a@x"), "4.4.1", "packetboat-record 1");
	entry_add_recipient(&e, first + 1, "b@x");
	entry_write(&e, file);
	entry_release(&e);
}

static const struct {
	uint64_t sequence;
	uint32_t first;
	const char *name;
} shared[] = {{12, 10, "village.aaaaaby.12+10"}, {1, 0, "village.aaaaaby.1+0"}, {12, 0, "village.aaaaaby.12+0"},
    {12, 1, "village.aaaaaby.12+1"}, {121, 0, "village.aaaaaby.121+0"}};

static struct buf shared_file(void)
{
	struct buf file;

	buf_init(&file, LIMIT_ENTRY);
	for (size_t i = 0; i < COUNT(shared); i++)
		add_record(&file, shared[i].sequence, shared[i].first);
	return file;
}

/* Is the record NAME to be had from FILE, and is it that one? */
static bool had(struct view file, size_t i, const char *mark)
{
	char *name = mem_format("%s%s", shared[i].name, mark);
	struct error err = ERROR_NONE;
	struct entry e;
	bool good = entry_parse_named(&e, file, name, &err) == OUTCOME_DONE;

	if (good)
		cr_expect(e.id.sequence == shared[i].sequence && e.recipients[0].index == shared[i].first &&
			      e.size == shared[i].sequence * 1000 + shared[i].first,
		    "%s", name);
	else
		cr_expect_eq(err.code, EX_DATAERR);
	entry_release(&e);
	free(name);
	return good;
}

Test(entry, one_of_several_by_its_name)
{
	static const char *const strangers[] = {"village.aaaaaby.12+2", "village.aaaaaby.2+0", "village.aaaaaby.12",
	    "village.aaaaaby.12+1.record", "village.aaaaaby.12+01", "", "+", "~"};
	struct buf file = shared_file();

	for (size_t i = 0; i < COUNT(shared); i++) {
		cr_expect(had(view_buf(&file), i, ""), "%s", shared[i].name);
		cr_expect(had(view_buf(&file), i, "~"), "%s, claimed", shared[i].name);
	}
	for (size_t i = 0; i < COUNT(strangers); i++) {
		struct error err = ERROR_NONE;
		struct entry e;

		cr_expect_eq(
		    entry_parse_named(&e, view_buf(&file), strangers[i], &err), OUTCOME_NEVER, "%s", strangers[i]);
		cr_expect_eq(err.code, EX_DATAERR);
	}
	buf_release(&file);
}

Test(entry, damage_to_one_of_several_is_nothing_to_the_others)
{
	struct buf file = shared_file();
	size_t begins[COUNT(shared) + 1] = {0};
	struct buf text;

	buf_init(&text, LIMIT_ENTRY);
	for (size_t i = 0; i < COUNT(shared); i++) {
		add_record(&text, shared[i].sequence, shared[i].first);
		begins[i + 1] = text.length;
	}
	for (size_t at = 0; at < file.length; at++) {
		file.bytes[at] ^= 1;
		for (size_t i = 0; i < COUNT(shared); i++)
			cr_expect_eq(had(view_buf(&file), i, ""), at < begins[i] || at >= begins[i + 1],
			    "octet %zu, %zu", at, i);
		file.bytes[at] ^= 1;
	}
	for (size_t cut = 0; cut < file.length; cut++)
		for (size_t i = 0; i < COUNT(shared); i++)
			cr_expect_eq(
			    had(view_of(file.bytes, cut), i, ""), cut >= begins[i + 1], "cut to %zu, %zu", cut, i);
	buf_release(&text);
	buf_release(&file);
}

/* It would be delivered to the recipients of another message. */
Test(entry, alone_under_another_name)
{
	struct error err = ERROR_NONE;
	struct buf file;
	struct entry e;

	buf_init(&file, LIMIT_ENTRY);
	add_record(&file, 5, 0);
	cr_expect_eq(entry_parse_named(&e, view_buf(&file), "village.aaaaaby.6+0", &err), OUTCOME_NEVER);
	cr_expect_eq(err.code, EX_DATAERR);
	cr_expect_eq(e.recipient_count, 0);
	cr_expect_eq(entry_parse_named(&e, view_buf(&file), "village.aaaaaby.5+0", &err), OUTCOME_DONE);
	entry_release(&e);
	buf_release(&file);
}
