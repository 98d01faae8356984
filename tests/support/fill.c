/*
 * fill SPOOL HOST COUNT SIZE [RECIPIENT]: hands COUNT messages of about SIZE octets to the queue, as a daemon would: one
 * process, each message on the disk before the next. Without RECIPIENT each is for somebody else far away.
 */
#include <err.h>
#include <inttypes.h>

#include "queue/queue.h"

static void fill_one(struct queue *q, uint64_t number, uint64_t size, const char *recipient)
{
	struct error error = ERROR_NONE;
	struct envelope e;
	struct handover h;
	char line[81];
	enum outcome outcome = handover_begin(q, &h, &error);

	envelope_init(&e);
	e.class = CLASS_NORMAL;
	e.sender = strdup("bench@host.example");
	snprintf(line, sizeof line, "user%" PRIu64 "@far.example", number);
	envelope_add_recipient(&e, recipient != NULL ? recipient : line);
	snprintf(line, sizeof line, "Subject: number %" PRIu64 "\r\n\r\n", number);
	for (uint64_t done = 0; outcome == OUTCOME_DONE && done < size; done += strlen(line)) {
		outcome = sink_write(handover_sink(&h), line, strlen(line), &error);
		if (done == 0) {
			memset(line, 'a' + (int)(number % 26), 78);
			memcpy(line + 78, "\r\n", 3);
		}
	}
	if (outcome == OUTCOME_DONE)
		outcome = handover_commit(&h, &e, &error);
	handover_abort(&h);
	envelope_release(&e);
	if (outcome != OUTCOME_DONE)
		errx(error.code, "message %" PRIu64 ": %s", number, error.text);
}

int main(int argc, char **argv)
{
	struct error error = ERROR_NONE;
	struct queue q;
	uint64_t count;

	if (argc != 5 && argc != 6)
		errx(64, "usage: fill SPOOL HOST COUNT SIZE [RECIPIENT]");
	if (queue_open(&q, argv[1], argv[2], &error) != OUTCOME_DONE)
		errx(error.code, "%s", error.text);
	count = strtoull(argv[3], NULL, 10);
	for (uint64_t i = 0; i < count; i++)
		fill_one(&q, i, strtoull(argv[4], NULL, 10), argv[5]);
	queue_close(&q);
	return 0;
}
