/*
 * Attempt records. The digest is put right, so that what is behind it is reached. What is parsed is written in a
 * form that parses as the same: from there on it is stable.
 */
#include <sodium.h>

#include "lib/text.h"
#include "queue/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool law)
{
	if (!law)
		abort();
}

/* TEXT and the line that proves it. */
static void add_digest(struct view text, struct buf *out)
{
	uint8_t digest[16];

	buf_init(out, SIZE_MAX);
	buf_view(out, text);
	buf_text(out, "end ");
	crypto_generichash(digest, sizeof digest, out->bytes, out->length, NULL, 0);
	hex_encode(digest, sizeof digest, out);
	buf_byte(out, '\n');
}

static bool one_line(const char *text)
{
	return text == NULL || strchr(text, '\n') == NULL;
}

static void check(const struct entry *e)
{
	char name[ENTRY_NAME];
	struct id id;
	uint32_t first;

	require(e->recipient_count > 0 && e->sender != NULL && one_line(e->sender));
	entry_name(e, name);
	require(entry_name_parse(name, &id, &first) && id_equal(&id, &e->id) && first == e->recipients[0].index);
	for (size_t i = 0; i < e->recipient_count; i++) {
		require(i == 0 || e->recipients[i].index > e->recipients[i - 1].index);
		require(one_line(e->recipients[i].reason) && strlen(e->recipients[i].status) < STATUS_TEXT);
	}
	/* Nothing that is moved leaves the spool. */
	for (size_t i = 0; i < e->move_count; i++) {
		const char *target = e->moves[i].target;

		require(target[0] != '/' && strchr(target, '/') != NULL && strchr(e->moves[i].staged, '/') == NULL);
		require(strncmp(target, "../", 3) != 0 && strstr(target, "/../") == NULL);
	}
}

/* Of the record in TEXT between others, the octets of the input on both sides: it is found by its name, and it alone. */
static void check_among_others(const struct entry *e, struct view text, struct view others)
{
	struct entry found;
	struct error err = ERROR_NONE;
	struct buf file;
	struct buf again;
	char name[ENTRY_NAME];

	entry_name(e, name);
	buf_init(&file, SIZE_MAX);
	buf_init(&again, SIZE_MAX);
	buf_view(&file, others);
	buf_view(&file, text);
	buf_view(&file, others);
	require(entry_parse_named(&found, view_buf(&file), name, &err) == OUTCOME_DONE);
	entry_write(&found, &again);
	require(view_equal(view_buf(&again), text));
	entry_release(&found);
	buf_release(&again);
	buf_release(&file);
}

/* Any octets for a file: what is found in them is what was asked for. */
static void check_named(struct view file, const char *name)
{
	struct entry e;
	struct error err = ERROR_NONE;
	char own[ENTRY_NAME];

	if (entry_parse_named(&e, file, name, &err) == OUTCOME_DONE) {
		entry_name(&e, own);
		require(strcmp(own, name) == 0);
	} else {
		require(err.code == EX_DATAERR && e.recipient_count == 0);
	}
	entry_release(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct entry e;
	struct entry back;
	struct buf text;
	struct buf first;
	struct buf second;
	struct error err = ERROR_NONE;

	require(entry_parse(&e, view_of(data, size), &err) == OUTCOME_DONE || err.code == EX_DATAERR);
	entry_release(&e);
	check_named(view_of(data, size), "village.aaaaaby.12+0");
	add_digest(view_of(data, size), &text);
	if (entry_parse(&e, view_buf(&text), &err) == OUTCOME_DONE) {
		check(&e);
		buf_init(&first, SIZE_MAX);
		buf_init(&second, SIZE_MAX);
		entry_write(&e, &first);
		require(entry_parse(&back, view_buf(&first), &err) == OUTCOME_DONE);
		require(entry_waits(&back) == entry_waits(&e) && back.move_count == e.move_count);
		entry_write(&back, &second);
		require(view_equal(view_buf(&first), view_buf(&second)));
		check_among_others(&e, view_buf(&first), view_of(data, size));
		buf_release(&first);
		buf_release(&second);
		entry_release(&back);
	} else {
		require(err.code == EX_DATAERR && err.text[0] != '\0');
	}
	entry_release(&e);
	buf_release(&text);
	return 0;
}
