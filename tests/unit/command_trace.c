#include "tools/tracing.h"

#include <criterion/criterion.h>

static struct trace trace_of(const char *const *lines)
{
	struct trace t;
	struct log_fields fields = {0};
	struct id id;

	cr_assert(id_parse(view_text("village.abcdefa.12"), &id));
	trace_init(&t, &id);
	for (; *lines != NULL; lines++)
		if (trace_wants(&t, view_text(*lines)) && log_fields_parse(&fields, view_text(*lines)))
			trace_feed(&t, &fields);
	log_fields_release(&fields);
	return t;
}

#define ACCEPTED "village.abcdefa.12 accepted at=T1 sender=ann@v recipients=2 size=5 class=normal"
#define PACKED0	 "village.abcdefa.12 packed at=T2 recipient=bob@c index=0 neighbour=city batch=7"
#define PACKED1	 "village.abcdefa.12 packed at=T2 recipient=zoe@c index=1 neighbour=city batch=7"

Test(command_trace, learned_lines_are_joined_by_index)
{
	static const char *const lines[] = {ACCEPTED, PACKED0, PACKED1,
	    "village.abcdefa.12 forwarded at=T3 recipient=bob@c status=2.0.0",
	    "village.abcdefa.12 forwarded at=T3 recipient=zoe@c status=2.0.0",
	    "village.abcdefa.12 learned at=T4 fate=failed index=1 neighbour=city status=5.1.1",
	    "village.abcdefa.12 learned at=T5 fate=delivered index=0 neighbour=city", NULL};
	struct trace t = trace_of(lines);

	cr_assert_eq(t.recipient_count, 2);
	cr_expect_str_eq(t.sender, "ann@v");
	cr_expect_eq(t.size, 5);
	cr_expect_str_eq(t.recipients[0].address, "bob@c");
	cr_expect_eq(t.recipients[0].state, TRACE_DELIVERED);
	cr_expect(t.recipients[0].told);
	cr_expect_str_eq(t.recipients[0].neighbour, "city");
	cr_expect_str_eq(t.recipients[0].at, "T5");
	cr_expect_str_eq(t.recipients[1].address, "zoe@c");
	cr_expect_eq(t.recipients[1].state, TRACE_FAILED);
	cr_expect_str_eq(t.recipients[1].status, "5.1.1");
	cr_expect_eq(t.step_count, 7);
	cr_expect_str_eq(t.steps[6].text, "delivered, says city");
	cr_expect_str_eq(t.steps[6].recipient, "bob@c");
	trace_release(&t);
}

Test(command_trace, an_index_that_nobody_packed_keeps_its_number)
{
	static const char *const lines[] = {
	    "village.abcdefa.12 learned at=T4 fate=delivered index=3 neighbour=city", NULL};
	struct trace t = trace_of(lines);

	cr_assert_eq(t.recipient_count, 1);
	cr_expect_str_eq(t.recipients[0].address, "recipient number 3");
	cr_expect_eq(t.recipients[0].state, TRACE_DELIVERED);
	trace_release(&t);
}

Test(command_trace, a_word_from_afar_is_not_undone_by_the_acknowledgement)
{
	/* Events can overtake: both ride in one header. */
	static const char *const lines[] = {PACKED0,
	    "village.abcdefa.12 learned at=T3 fate=delivered index=0 neighbour=city",
	    "village.abcdefa.12 forwarded at=T3 recipient=bob@c status=2.0.0", NULL};
	struct trace t = trace_of(lines);

	cr_assert_eq(t.recipient_count, 1);
	cr_expect_eq(t.recipients[0].state, TRACE_DELIVERED);
	cr_expect(t.recipients[0].told);
	trace_release(&t);
}

Test(command_trace, only_the_batches_that_it_was_in)
{
	static const char *const lines[] = {
	    "village.abcdefa.7 made at=T1 neighbour=city messages=9 content=9 size=9", /* before: another one */
	    PACKED0, "village.abcdefa.7 made at=T2 neighbour=city messages=1 content=5 size=300 class=normal",
	    "village.abcdefa.7 made at=T2 neighbour=boat messages=1 content=5 size=300 class=normal",
	    "village.abcdefa.7 sent at=T3 neighbour=city to=/stick/city size=300 sendings=1",
	    "village.abcdefa.7 sent at=T4 neighbour=boat to=/stick/boat size=300 sendings=1",
	    "village.abcdefa.8 sent at=T4 neighbour=city to=/stick/city size=300 sendings=1",
	    "village.zzzzzza.7 acknowledged at=T5 neighbour=city", /* of another incarnation */
	    "village.abcdefa.7 accepted at=T5 sender=a@b size=1",  /* a message may have the batch's number */
	    "village.abcdefa.7 dissolved at=T6 reason=\"its file is gone\"", NULL};
	struct trace t = trace_of(lines);

	cr_assert_eq(t.step_count, 4);
	cr_expect_str_eq(t.steps[0].event, "packed");
	cr_expect_str_eq(t.steps[1].text, "batch 7 for city: made");
	cr_expect_str_eq(t.steps[2].text, "batch 7 for city: left in /stick/city");
	cr_expect_str_eq(t.steps[3].text, "batch 7 for city: taken apart, to be packed again: its file is gone");
	trace_release(&t);
}

Test(command_trace, a_line_that_fits_two_batches_is_not_guessed_at)
{
	static const char *const lines[] = {PACKED0,
	    "village.abcdefa.12 packed at=T2 recipient=eve@b index=2 neighbour=boat batch=7",
	    "village.abcdefa.7 dissolved at=T6 reason=gone",
	    "village.abcdefa.7 dissolved at=T7 neighbour=boat reason=gone", NULL};
	struct trace t = trace_of(lines);

	cr_assert_eq(t.step_count, 3);
	cr_expect_str_eq(t.steps[2].text, "batch 7 for boat: taken apart, to be packed again: gone");
	trace_release(&t);
}

Test(command_trace, a_batch_with_the_label_of_the_message_is_not_the_message)
{
	static const char *const lines[] = {ACCEPTED,
	    "village.abcdefa.12 sent at=T3 neighbour=city to=/stick size=300 sendings=1",
	    "village.abcdefa.12 received at=T3 from=village to=city",
	    "village.abcdefa.12 stopped at=T3 neighbour=city reason=\"has it already\"",
	    "village.abcdefa.12 refused at=T3 from=village to=town reason=\"it is for another host\"",
	    "village.abcdefa.12 duplicate at=T3 from=village to=city", NULL};
	struct trace t = trace_of(lines);

	cr_expect_eq(t.step_count, 1);
	trace_release(&t);
}

Test(command_trace, other_messages_stay_out)
{
	static const char *const lines[] = {"village.abcdefa.123 accepted at=T sender=x size=1",
	    "village.abcdefa.1 accepted at=T sender=x size=1", "xvillage.abcdefa.12 accepted at=T sender=x size=1",
	    "village.abcdefa.12", "", "village.abcdefa.12+0 corrupt at=T reason=torn", NULL};
	struct trace t = trace_of(lines);

	cr_assert_eq(t.step_count, 1);
	cr_expect_str_eq(t.steps[0].text, "set aside as damaged: torn");
	trace_release(&t);
}

Test(command_trace, every_own_end_has_its_state)
{
	static const struct {
		const char *line;
		enum trace_state state;
		const char *text;
	} table[] = {
	    {"delivered at=T recipient=bob status=2.1.5", TRACE_DELIVERED, "delivered to the mailbox here"},
	    {"failed at=T recipient=bob status=5.1.1 reason=\"no such user\"", TRACE_FAILED,
		"failed: 5.1.1 no such user"},
	    {"removed at=T recipient=bob", TRACE_REMOVED, "removed by the operator"},
	    {"deferred at=T recipient=bob status=4.4.1 reason=away", TRACE_WAITING, "deferred: 4.4.1 away"},
	    {"held at=T recipient=bob", TRACE_WAITING, "held"},
	    {"released at=T recipient=bob", TRACE_WAITING, "released"},
	    {"expanded at=T recipient=bob status=2.1.5 reason=village.abcdefa.13", TRACE_EXPANDED,
		"an alias of several, goes on as village.abcdefa.13"},
	    {"reissued at=T recipient=bob status=2.1.5 reason=village.bbbbbbb.1", TRACE_EXPANDED,
		"its id was in doubt, goes on as village.bbbbbbb.1"},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		char line[200];
		const char *lines[] = {line, NULL};
		struct trace t;

		snprintf(line, sizeof line, "village.abcdefa.12 %s", table[i].line);
		t = trace_of(lines);
		cr_assert_eq(t.recipient_count, 1, "%s", line);
		cr_expect_eq(t.recipients[0].state, table[i].state, "%s", line);
		cr_expect_str_eq(t.steps[0].text, table[i].text);
		trace_release(&t);
	}
}

Test(command_trace, packed_again_under_another_address_is_the_same_recipient)
{
	static const char *const lines[] = {
	    PACKED0, "village.abcdefa.12 packed at=T3 recipient=c!bob index=0 neighbour=boat batch=1", NULL};
	struct trace t = trace_of(lines);

	cr_assert_eq(t.recipient_count, 1);
	cr_expect_str_eq(t.recipients[0].neighbour, "boat");
	trace_release(&t);
}

Test(command_trace, how_it_came_here)
{
	static const struct {
		const char *line;
		const char *text;
	} table[] = {
	    {"accepted at=T sender=x@y recipient=z index=0 size=5 class=normal", "accepted: x@y to z, 5 octets"},
	    {"accepted at=T sender=x@y recipient=z index=0 size=5 class=normal box=school uid=17",
		"fetched from box school, as 17: x@y to z, 5 octets"},
	    {"accepted at=T sender=x@y recipients=2 size=5 class=normal client=pop.example box=school",
		"fetched from box school: x@y to 2 recipients, 5 octets"},
	    {"accepted at=T sender=x@y recipient=z index=0 size=5 class=normal client=192.0.2.7 user=ann",
		"accepted from 192.0.2.7, user ann: x@y to z, 5 octets"},
	    {"accepted at=T sender=x@y recipients=3 size=5 class=normal client=local",
		"accepted from this host: x@y to 3 recipients, 5 octets"},
	    {"taken at=T neighbour=city batch=7 sender=x@y recipient=z index=0 size=5",
		"came from city in batch 7: x@y to z, 5 octets"},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		char line[200];
		const char *lines[] = {line, NULL};
		struct trace t;

		snprintf(line, sizeof line, "village.abcdefa.12 %s", table[i].line);
		t = trace_of(lines);
		cr_assert_eq(t.step_count, 1, "%s", line);
		cr_expect_str_eq(t.steps[0].text, table[i].text);
		trace_release(&t);
	}
}

Test(command_trace, what_a_mail_program_deleted)
{
	static const char *const lines[] = {ACCEPTED, "village.abcdefa.12 delivered at=T2 recipient=bob@v index=0",
	    "village.abcdefa.12 delivered at=T2 recipient=zoe@v index=1",
	    "village.abcdefa.12 deleted at=T3 index=1 client=192.0.2.7 user=zoe", NULL};
	struct trace t = trace_of(lines);

	cr_assert_eq(t.recipient_count, 2);
	cr_expect_eq(t.recipients[0].state, TRACE_DELIVERED);
	cr_expect_eq(t.recipients[1].state, TRACE_DELETED);
	cr_expect_str_eq(t.recipients[1].at, "T3");
	cr_expect_str_eq(t.recipients[1].reason, "by user zoe at 192.0.2.7");
	cr_assert_eq(t.step_count, 4);
	cr_expect_str_eq(t.steps[3].recipient, "zoe@v");
	cr_expect_str_eq(t.steps[3].text, "deleted from the mailbox here by user zoe at 192.0.2.7");
	trace_release(&t);
}

/* The file is there before the line is. */
Test(command_trace, deleted_before_it_was_said_to_be_delivered)
{
	static const char *const lines[] = {ACCEPTED,
	    "village.abcdefa.12 deleted at=T3 index=1 client=192.0.2.7 user=zoe",
	    "village.abcdefa.12 delivered at=T3 recipient=zoe@v index=1", NULL};
	struct trace t = trace_of(lines);

	cr_assert_eq(t.recipient_count, 1);
	cr_expect_eq(t.recipients[0].state, TRACE_DELETED);
	cr_expect_str_eq(t.recipients[0].address, "zoe@v");
	trace_release(&t);
}
