/*
 * arrive SPOOL HOST RECIPIENT COUNT SIZE GROUP: a daemon that takes COUNT messages of about SIZE octets, GROUP of them with
 * one sync, through the arrival log, and drains it now and then. Subjects are n1, n2, …; each is printed when it is
 * answered. What fails is answered "later" and not tried again. Status 1 when anything failed.
 */
#include <err.h>
#include <inttypes.h>

#include "lib/alloc.h"
#include "queue/arrivals.h"

struct arriving {
	struct handover handover;
	struct envelope envelope;
	struct view image;
};

static enum outcome make(
    struct queue *q, struct arriving *m, const char *recipient, uint64_t number, uint64_t size, struct error *error)
{
	char line[81];
	enum outcome outcome = OUTCOME_DONE;

	handover_begin_small(q, &m->handover, size + 200);
	envelope_init(&m->envelope);
	m->envelope.class = CLASS_NORMAL;
	m->envelope.sender = mem_string("bench@host.example");
	envelope_add_recipient(&m->envelope, recipient);
	snprintf(line, sizeof line, "Subject: n%" PRIu64 "\r\n\r\n", number);
	for (uint64_t done = 0; outcome == OUTCOME_DONE && done < size; done += strlen(line)) {
		outcome = sink_write(handover_sink(&m->handover), line, strlen(line), error);
		if (done == 0) {
			memset(line, 'a' + (int)(number % 26), 78);
			memcpy(line + 78, "\r\n", 3);
		}
	}
	if (outcome == OUTCOME_DONE)
		outcome = queue_next_id(q, 100, &m->envelope.id, error);
	if (outcome == OUTCOME_DONE)
		outcome = handover_finish(&m->handover, &m->envelope, error);
	m->image = handover_image(&m->handover);
	return outcome;
}

/* COUNT messages from number FIRST with one sync. */
static enum outcome arrive(struct arrivals *a, const char *recipient, uint64_t first, size_t count, uint64_t size)
{
	struct error error = ERROR_NONE;
	struct arriving *all = mem_array(count, sizeof all[0]);
	struct view *images = mem_array(count, sizeof images[0]);
	enum outcome outcome = OUTCOME_DONE;
	size_t made = 0;

	while (made < count && outcome == OUTCOME_DONE) {
		outcome = make(a->queue, &all[made], recipient, first + made, size, &error);
		images[made] = all[made].image;
		made++;
	}
	if (outcome == OUTCOME_DONE)
		outcome = arrivals_append(a, images, count, &error);
	for (size_t i = 0; i < made; i++) {
		if (outcome == OUTCOME_DONE) {
			queue_log_accepted(a->queue, &all[i].envelope, NULL);
			printf("n%" PRIu64 "\n", first + i);
		}
		handover_abort(&all[i].handover);
		envelope_release(&all[i].envelope);
	}
	if (outcome != OUTCOME_DONE)
		warnx("n%" PRIu64 " and on: %s", first, error.text);
	fflush(stdout);
	free(images);
	free(all);
	return outcome;
}

static enum outcome drain(struct arrivals *a)
{
	struct error error = ERROR_NONE;
	enum outcome outcome;

	arrivals_seal(a);
	outcome = arrivals_drain(a->queue, NULL, &error);
	if (outcome != OUTCOME_DONE)
		warnx("draining: %s", error.text);
	return outcome;
}

int main(int argc, char **argv)
{
	struct error error = ERROR_NONE;
	struct queue q;
	struct arrivals a;
	uint64_t count;
	size_t group;
	bool good = true;

	if (argc != 7)
		errx(64, "usage: arrive SPOOL HOST RECIPIENT COUNT SIZE GROUP");
	if (sodium_init() < 0)
		errx(70, "libsodium cannot start");
	if (queue_open(&q, argv[1], argv[2], &error) != OUTCOME_DONE || arrivals_open(&a, &q, &error) != OUTCOME_DONE)
		errx(error.code, "%s", error.text);
	count = strtoull(argv[4], NULL, 10);
	group = strtoull(argv[6], NULL, 10);
	for (uint64_t i = 0, round = 1; i < count; i += group, round++) {
		good &= arrive(&a, argv[3], i + 1, count - i < group ? (size_t)(count - i) : group,
			    strtoull(argv[5], NULL, 10)) == OUTCOME_DONE;
		if (round % 3 == 0)
			good &= drain(&a) == OUTCOME_DONE;
	}
	arrivals_close(&a);
	good &= drain(&a) == OUTCOME_DONE;
	queue_close(&q);
	return good ? 0 : 1;
}
