/*
 * What a Maildir says of its messages: the index of their octets, and their names. The checksum of the index is put right,
 * so that what is behind it is reached. What is parsed is written in a form that parses as the same, byte for byte; what a
 * name tells is in bounds.
 */
#include <sodium.h>

#include "bridge-pop3/maildrop_index.h"
#include "bridge-pop3/maildrop_list.h"
#include "lib/alloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool law)
{
	if (!law)
		abort();
}

static void check_index(struct view text)
{
	static const uint8_t key[crypto_shorthash_KEYBYTES];
	uint8_t checksum[crypto_shorthash_BYTES];
	struct size_index x;
	struct buf file;
	struct buf again;

	buf_init(&file, SIZE_MAX);
	buf_init(&again, SIZE_MAX);
	buf_view(&file, text);
	crypto_shorthash(checksum, file.bytes, file.length, key);
	buf_append(&file, checksum, sizeof checksum);
	if (index_parse(&x, view_buf(&file))) {
		for (size_t i = 0; i < x.count; i++)
			require(index_find(&x, x.items[i].key) == &x.items[i]);
		index_print(&x, &again);
		require(view_equal(view_buf(&file), view_buf(&again)));
	} else {
		require(x.count == 0 && x.items == NULL);
	}
	index_release(&x);
	if (index_parse(&x, text))
		require(text.length > 0);
	index_release(&x);
	buf_release(&file);
	buf_release(&again);
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
	(void)mail_name_own(name, unique);
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
