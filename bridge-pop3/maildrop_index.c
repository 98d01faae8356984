#include "bridge-pop3/maildrop_index.h"

#include <sodium.h>

#include "lib/alloc.h"
#include "lib/wire.h"

#define MAGIC	 "PBOCTET1"
#define CHECKSUM 8
/* What an entry takes at least: no count may promise more than there are octets. */
#define ENTRY_MIN 10

/* Against damage, not against malice: who can write here can remove the messages. */
static uint64_t checksum(struct view bytes)
{
	static const uint8_t key[crypto_shorthash_KEYBYTES];
	uint8_t hash[CHECKSUM];
	struct reader r;

	_Static_assert(crypto_shorthash_BYTES == CHECKSUM, "the file has eight octets for it");
	crypto_shorthash(hash, bytes.bytes, bytes.length, key);
	reader_init(&r, view_of(hash, sizeof hash));
	return read_u64(&r);
}

static bool parse(struct size_index *x, struct reader *r)
{
	uint64_t count;

	if (!view_is(read_bytes(r, strlen(MAGIC)), MAGIC))
		return false;
	count = read_varint_max(r, r->rest.length / ENTRY_MIN);
	if (r->failed)
		return false;
	x->items = mem_array((size_t)count, sizeof x->items[0]);
	x->capacity = (size_t)count;
	for (uint64_t last = 0; x->count < count; x->count++) {
		struct index_entry *e = &x->items[x->count];

		e->key = read_u64(r);
		e->size = read_varint_max(r, UINT64_MAX / 4);
		e->added = (uint32_t)read_varint_max(r, UINT32_MAX);
		if (r->failed || (x->count > 0 && e->key <= last))
			return false;
		last = e->key;
	}
	return reader_at_end(r);
}

bool index_parse(struct size_index *x, struct view bytes)
{
	struct reader end;
	struct reader r;
	size_t body = bytes.length < CHECKSUM ? 0 : bytes.length - CHECKSUM;

	*x = (struct size_index){0};
	reader_init(&end, view_from(bytes, body));
	reader_init(&r, view_of(bytes.bytes, body));
	if (body > 0 && read_u64(&end) == checksum(r.rest) && parse(x, &r))
		return true;
	index_release(x);
	return false;
}

static int compare_keys(const void *a, const void *b)
{
	const struct index_entry *x = a;
	const struct index_entry *y = b;

	return x->key < y->key ? -1 : x->key > y->key;
}

void index_print(struct size_index *x, struct buf *out)
{
	size_t begin = out->length;
	size_t kept = 0;

	if (x->count > 1)
		qsort(x->items, x->count, sizeof x->items[0], compare_keys);
	for (size_t i = 0; i < x->count; i++)
		if (kept == 0 || x->items[kept - 1].key != x->items[i].key)
			x->items[kept++] = x->items[i];
	x->count = kept;
	buf_text(out, MAGIC);
	wire_varint(out, x->count);
	for (size_t i = 0; i < x->count; i++) {
		wire_u64(out, x->items[i].key);
		wire_varint(out, x->items[i].size);
		wire_varint(out, x->items[i].added);
	}
	if (!out->failed)
		wire_u64(out, checksum(view_from(view_buf(out), begin)));
}

void index_add(struct size_index *x, uint64_t key, uint64_t size, uint32_t added)
{
	x->items = mem_grow(x->items, x->count, &x->capacity, sizeof x->items[0]);
	x->items[x->count++] = (struct index_entry){key, size, added};
}

const struct index_entry *index_find(const struct size_index *x, uint64_t key)
{
	const struct index_entry wanted = {.key = key};

	return x->count == 0 ? NULL : bsearch(&wanted, x->items, x->count, sizeof x->items[0], compare_keys);
}

void index_release(struct size_index *x)
{
	free(x->items);
	*x = (struct size_index){0};
}
