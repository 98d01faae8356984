#include "tools/select.h"

#include <criterion/criterion.h>

#include "lib/alloc.h"

static struct entry entry_made(const char *sender, const char *first, const char *second)
{
	struct entry e;

	entry_init(&e);
	e.sender = mem_string(sender);
	entry_add_recipient(&e, 0, first);
	entry_add_recipient(&e, 1, second);
	return e;
}

Test(command_select, addresses)
{
	static const struct {
		const char *pattern;
		const char *address;
		bool is;
	} table[] = {
	    {"bob@c.example", "bob@c.example", true}, {"bob@C.Example", "bob@c.example", true},
	    {"Bob@c.example", "bob@c.example", false}, /* local parts have case */
	    {"c.example", "bob@c.example", true}, {"@C.example", "bob@c.example", true},
	    {"example", "bob@c.example", false}, {"bob", "bob@c.example", false}, {"bob", "bob", true},
	    {"<>", "", true}, {"", "", true}, {"<>", "bob", false}, {"c.example", "", false},
	    {"no such @ address", "no such @ address", true}, /* what cannot be parsed: as it is */
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		cr_expect_eq(select_address(table[i].pattern, table[i].address), table[i].is, "%s / %s",
		    table[i].pattern, table[i].address);
}

Test(command_select, by_age)
{
	struct age age = {.now = 100000, .wall = 5000};
	struct entry e = entry_made("a@b", "bob", "zoe");
	struct selection s = {.older = 7200};

	e.arrived_age = 100000 - 7199;
	cr_expect_not(select_entry(&s, &e, &age));
	e.arrived_age = 100000 - 7200;
	cr_expect(select_entry(&s, &e, &age));
	e.arrived = 0; /* the wall clock does not count once there is an age */
	cr_expect_eq(entry_age(&e, &age), 7200);
	e.arrived_age = 200000; /* the age file was lost */
	cr_expect_eq(entry_age(&e, &age), 0);
	e.arrived_age = 0; /* not routed yet: by the wall clock */
	e.arrived = 4000;
	cr_expect_eq(entry_age(&e, &age), 1000);
	e.arrived = 6000;
	cr_expect_eq(entry_age(&e, &age), 0);
	entry_release(&e);
}

Test(command_select, by_sender_recipient_and_class)
{
	struct age age = {.now = 100};
	struct entry e = entry_made("a@b.example", "bob@c.example", "zoe@d.example");

	e.arrived_age = 100;
	cr_expect(select_entry(&(struct selection){0}, &e, &age));
	cr_expect(select_entry(&(struct selection){.sender = "b.example"}, &e, &age));
	cr_expect_not(select_entry(&(struct selection){.sender = "<>"}, &e, &age));
	cr_expect(select_entry(&(struct selection){.recipient = "zoe@d.example"}, &e, &age));
	cr_expect_not(select_entry(&(struct selection){.recipient = "a@b.example"}, &e, &age));
	cr_expect(select_entry(&(struct selection){.by_class = true, .class = CLASS_NORMAL}, &e, &age));
	cr_expect_not(select_entry(&(struct selection){.by_class = true, .class = CLASS_URGENT}, &e, &age));
	e.recipients[1].end = ENTRY_DELIVERED; /* what has ended does not wait */
	cr_expect_not(select_entry(&(struct selection){.recipient = "zoe@d.example"}, &e, &age));
	entry_release(&e);
}

Test(command_select, reasons)
{
	static const struct {
		const char *hop;
		const char *within;
		const char *reason;
		const char *text;
		const char *name; /* null: any */
	} table[] = {
	    {"new", "", NULL, "to be routed", NULL},
	    {"hold", "", NULL, "held", NULL},
	    {"hold", "", "loop", "held: 4.0.0 loop", NULL},
	    {"neighbour-city", "batch-abcdefa-4", "old", "in batch 4, not acknowledged", NULL},
	    {"neighbour-city", "", NULL, "waits for the next relay pass", NULL},
	    {"smtp", "due-9", "away", "4.0.0 away", NULL},
	    {"new", "", "old", "its routing was begun by a relay pass and is not finished: 4.0.0 old", "x.1+1~"},
	    {"new", "", NULL, "its routing was begun by a relay pass and is not finished", "x.1~"},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct entry e = entry_made("a@b", "bob", "zoe");
		struct queue_place place = {.name = "x"};
		struct buf out;

		snprintf(place.hop, sizeof place.hop, "%s", table[i].hop);
		if (table[i].name != NULL)
			snprintf(place.name, sizeof place.name, "%s", table[i].name);
		snprintf(place.within, sizeof place.within, "%s", table[i].within);
		if (table[i].reason != NULL)
			entry_recipient_result(&e.recipients[1], "4.0.0", table[i].reason);
		buf_init(&out, 1000);
		entry_reason(&place, &e, &out);
		cr_expect_str_eq(buf_string(&out), table[i].text);
		buf_release(&out);
		entry_release(&e);
	}
}
