/* A host whose mail goes out by SMTP, and what a program that delivers does with it, in the steps that tests need. */
#ifndef TESTS_WORK_KIT_H
#define TESTS_WORK_KIT_H

#include "queue/work.h"
#include "tests/unit/fault.h"
#include "tests/unit/queue_kit.h"

#define SMTP                                                                                                         \
	KIT_HEAD "neighbour \"city\" { key = \"pb1.x\"\ncall = { \"dir:/nowhere\" }\nrelay = true }\n"               \
		 "route \"city.example.org\" { via = \"neighbour:city\" }\n"                                         \
		 "route \"*\" { via = \"smtp\" }\n"

/* The names that work_ready gives until it has been through; how many, and in OUT one after the other. */
static inline size_t ready(struct queue_kit *k, struct work *w, size_t limit, struct names *out)
{
	struct names names;
	size_t count = 0;

	*out = (struct names){0};
	do {
		kit_done(k, work_ready(w, limit, &names, &k->err));
		cr_expect_leq(names.count, limit);
		for (size_t i = 0; i < names.count; i++)
			names_add(out, names.items[i]);
		count = names.count;
		names_release(&names);
	} while (count > 0);
	return out->count;
}

/* The first ready record, claimed and opened. */
static inline struct settle_item *take_one(struct queue_kit *k, struct work *w)
{
	struct settle_item *item = NULL;
	struct names names;

	cr_assert_gt(ready(k, w, 10, &names), 0);
	kit_done(k, work_claim(w, names.items[0], &k->err));
	kit_done(k, work_item(w, names.items[0], &item, &k->err));
	names_release(&names);
	return item;
}

static inline void open_world(struct queue_kit *k, const char *recipients)
{
	kit_open(k, SMTP);
	kit_send(k, "m@city.example.org", recipients);
	kit_dispatch(k);
}

static inline bool slot_stands(struct queue_kit *k, const char *part)
{
	char *path = mem_format("%s/spool/queue/smtp/%s", k->root, part);
	struct stat st;
	bool stands = stat(path, &st) == 0;

	free(path);
	return stands;
}

/* Leaves what a killed process leaves: a slot with a claimed record, and no holder of its lock. */
static inline void die_with_one(struct queue_kit *k)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		struct work w;
		struct names names = {0};

		if (work_open(&w, &k->process, "smtp", NULL) == OUTCOME_DONE &&
		    work_ready(&w, 10, &names, NULL) == OUTCOME_DONE && names.count > 0)
			work_claim(&w, names.items[0], NULL);
		raise(SIGKILL);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFSIGNALED(status));
}

#endif
