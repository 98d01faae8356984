/*
 * A message file for one test: put content and envelope in, get an open message.
 */
#ifndef TESTS_MESSAGE_KIT_H
#define TESTS_MESSAGE_KIT_H

#include "queue/message.h"
#include "tests/unit/scratch.h"

struct message_kit {
	struct dir dir;
	struct envelope envelope; /* filled by the test before message_kit_make */
	struct message message;
};

static inline struct message_kit message_kit_open(void)
{
	struct message_kit k = {.dir = scratch_open(), .message.fd = -1};

	envelope_init(&k.envelope);
	k.envelope.id = (struct id){.host = "village", .incarnation = 7, .sequence = 12};
	k.envelope.sender = mem_string("maria@village.example.org");
	return k;
}

static inline void message_kit_make(struct message_kit *k, struct view content)
{
	struct message_writer w;
	struct error err = ERROR_NONE;

	cr_assert_eq(message_writer_open(&w, &k->dir, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(sink_view(&w.sink, content, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(message_writer_finish(&w, &k->envelope, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(message_open(&k->message, &k->dir, w.name, MESSAGE_VERIFY, &err), OUTCOME_DONE, "%s", err.text);
	message_writer_abort(&w);
}

static inline void message_kit_close(struct message_kit *k)
{
	message_close(&k->message);
	envelope_release(&k->envelope);
	scratch_close(&k->dir);
}

#endif
