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
