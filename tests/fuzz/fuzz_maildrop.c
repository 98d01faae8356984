/*
 * What a Maildir says of its messages: the index, and their names. The checksum of the index is put right,
 * so that what is behind it is reached. What is parsed is written in a form that parses as the same, byte for byte; what a
 * name tells is in bounds.
 */
#include <sodium.h>

#include "bridge-pop3/maildrop_index.h"
#include "lib/alloc.h"
#include "queue/maildir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool law)
{
	if (!law)
		abort();
}

/* Paths lead nowhere else, and each message is found. */
static void check_mail(const struct mail_list *list, size_t number, size_t *at)
{
	const struct mail *m = &list->items[number];
	const char *name = m->path + MAIL_PLACE;
	const struct mail *known = mail_list_known(list, at, m);

	require(strncmp(m->path, "new/", MAIL_PLACE) == 0 || strncmp(m->path, "cur/", MAIL_PLACE) == 0);
	require(name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL && strlen(name) <= MAIL_NAME_MAX);
	require(m->unique <= strlen(name) && m->added <= m->octets);
	require(known != NULL && mail_list_order(known, m) == 0);
}

static void check_index(struct view text)
{
	static const uint8_t key[crypto_shorthash_KEYBYTES];
	uint8_t checksum[crypto_shorthash_BYTES];
	struct mail_list list;
	struct buf file;
	struct buf again;

	buf_init(&file, SIZE_MAX);
	buf_init(&again, SIZE_MAX);
	buf_view(&file, text);
	crypto_shorthash(checksum, file.bytes, file.length, key);
	buf_append(&file, checksum, sizeof checksum);
	if (index_parse(&list, view_buf(&file))) {
		size_t at = 0;

		for (size_t i = 0; i < list.count; i++)
			check_mail(&list, i, &at);
		index_print(&list, INDEX_LIST, &again);
		require(view_equal(view_buf(&file), view_buf(&again)));
	} else {
		require(list.count == 0 && list.items == NULL);
	}
	mail_list_release(&list);
	if (index_parse(&list, text))
		require(text.length > 0);
	mail_list_release(&list);
	buf_release(&file);
	buf_release(&again);
}

/* What is taken out of a name is in it, letter by letter. */
static void check_origin(struct view unique)
{
	char text[LIMIT_ID];
	uint32_t index;
	struct buf middle;
	struct id id;

	if (!maildir_name_parse(unique, &id, &index))
		return;
	id_print(&id, text);
	buf_init(&middle, 1000);
	buf_format(&middle, ".%s-%lu.", text, (unsigned long)index);
	require(memmem(unique.bytes, unique.length, middle.bytes, middle.length) != NULL);
	buf_release(&middle);
}

static void check_name(struct view text)
{
	char *name = mem_copy(text.bytes, text.length);
	size_t length = strlen(name);
	uint64_t octets;
	uint64_t again;
	size_t unique = mail_name_parse(name, length, &octets);

	require(unique <= length && octets <= (uint64_t)1 << 44);
	require(memchr(name, ':', unique) == NULL);
	check_origin(view_of(name, unique));
	/* The unique part is that of itself. */
	name[unique] = '\0';
	require(mail_name_parse(name, unique, &again) == unique && again == 0);
	free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_index(view_of(data, size));
	check_name(view_of(data, size));
	return 0;
}
