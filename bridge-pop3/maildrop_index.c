#include "bridge-pop3/maildrop_index.h"

#include <sodium.h>

#include "lib/alloc.h"
#include "lib/wire.h"

#define MAGIC	 "PBDROP1\n"
#define CHECKSUM 8
/* What an entry takes at least: no count may promise more than there are octets. */
#define ENTRY_MIN 7
/* More than this no message has; sums of some stay below what 64 bits hold. */
#define OCTETS_MAX (UINT64_MAX / 4)

enum { ENTRY_CUR = 1, ENTRY_COUNTED = 2, ENTRY_FLAGS = 3 };

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

/* ---- reading --------------------------------------------------------------------------------------------- */

static struct timespec read_time(struct reader *r)
{
	int64_t seconds = (int64_t)read_u64(r);

	return (struct timespec){seconds, (long)read_u64(r)};
}

static struct dir_stamp read_stamp(struct reader *r)
{
	struct dir_stamp stamp = {.inode = read_u64(r)};

	stamp.modified = read_time(r);
	stamp.changed = read_time(r);
	return stamp;
}

/* The path of an entry behind LAST (null: it is the first), in a block of L. Null: that is none. */
static const char *read_path(struct reader *r, struct mail_list *l, unsigned flags, const struct mail *last)
{
	const char *before = last == NULL ? "" : last->path + MAIL_PLACE;
	size_t shared = read_byte(r);
	struct view rest = read_bytes(r, read_byte(r));
	size_t length = shared + rest.length;
	char *path;

	/* As much as can be is shared, so what follows is another octet. */
	if (r->failed || length == 0 || length > MAIL_NAME_MAX || strnlen(before, shared) < shared ||
	    (rest.length > 0 && (uint8_t)before[shared] == rest.bytes[0]))
		return NULL;
	if (shared == 0 && rest.bytes[0] == '.')
		return NULL;
	if (memchr(rest.bytes, '/', rest.length) != NULL || memchr(rest.bytes, '\0', rest.length) != NULL)
		return NULL;
	path = mail_list_room(l, MAIL_PLACE + length + 1);
	memcpy(path, (flags & ENTRY_CUR) != 0 ? "cur/" : "new/", MAIL_PLACE);
	memcpy(path + MAIL_PLACE, before, shared);
	memcpy(path + MAIL_PLACE + shared, rest.bytes, rest.length);
	path[MAIL_PLACE + length] = '\0';
	return path;
}

static bool read_entry(struct reader *r, struct mail_list *l)
{
	struct mail *m = &l->items[l->count];
	const struct mail *last = l->count == 0 ? NULL : m - 1;
	unsigned flags = read_byte(r);

	*m = (struct mail){.flags = MAIL_OCTETS};
	m->path = flags > ENTRY_FLAGS ? NULL : read_path(r, l, flags, last);
	if (m->path == NULL)
		return false;
	m->unique = read_byte(r);
	m->time = (uint32_t)read_varint_max(r, UINT32_MAX - (last == NULL ? 0 : last->time));
	m->time += last == NULL ? 0 : last->time;
	m->octets = read_varint_max(r, OCTETS_MAX);
	if ((flags & ENTRY_COUNTED) != 0) {
		m->added = (uint32_t)read_varint_max(r, UINT32_MAX);
		m->flags |= MAIL_INDEX;
	}
	return !r->failed && m->added <= m->octets && m->unique <= strlen(m->path + MAIL_PLACE) &&
	       (last == NULL || mail_list_order(last, m) <= 0);
}

static bool parse(struct mail_list *l, struct reader *r)
{
	uint64_t count;

	if (!view_is(read_bytes(r, strlen(MAGIC)), MAGIC))
		return false;
	for (size_t i = 0; i < MAIL_PLACES; i++)
		l->stamps[i] = read_stamp(r);
	count = read_varint_max(r, r->rest.length / ENTRY_MIN);
	if (r->failed)
		return false;
	l->items = mem_array((size_t)count, sizeof l->items[0]);
	l->capacity = (size_t)count;
	for (; l->count < count; l->count++)
		if (!read_entry(r, l))
			return false;
	return reader_at_end(r);
}

bool index_parse(struct mail_list *l, struct view bytes)
{
	struct reader end;
	struct reader r;
	size_t body = bytes.length < CHECKSUM ? 0 : bytes.length - CHECKSUM;

	*l = (struct mail_list){0};
	reader_init(&end, view_from(bytes, body));
	reader_init(&r, view_of(bytes.bytes, body));
	if (body > 0 && read_u64(&end) == checksum(r.rest) && parse(l, &r))
		return true;
	mail_list_release(l);
	return false;
}

/* ---- writing --------------------------------------------------------------------------------------------- */

static void put_time(struct buf *out, struct timespec time)
{
	wire_u64(out, (uint64_t)time.tv_sec);
	wire_u64(out, (uint64_t)time.tv_nsec);
}

static void put_stamp(struct buf *out, const struct dir_stamp *stamp)
{
	wire_u64(out, stamp->inode);
	put_time(out, stamp->modified);
	put_time(out, stamp->changed);
}

static void put_entry(struct buf *out, const struct mail *m, const struct mail *last)
{
	const char *before = last == NULL ? "" : last->path + MAIL_PLACE;
	const char *name = m->path + MAIL_PLACE;
	bool counted = (m->flags & MAIL_INDEX) != 0;
	size_t shared = 0;
	size_t rest;

	while (before[shared] != '\0' && before[shared] == name[shared])
		shared++;
	rest = strlen(name + shared);
	buf_byte(out, (uint8_t)((m->path[0] == 'c' ? ENTRY_CUR : 0) | (counted ? ENTRY_COUNTED : 0)));
	buf_byte(out, (uint8_t)shared);
	buf_byte(out, (uint8_t)rest);
	buf_append(out, name + shared, rest);
	buf_byte(out, m->unique);
	wire_varint(out, m->time - (last == NULL ? 0 : last->time));
	wire_varint(out, m->octets);
	if (counted)
		wire_varint(out, m->added);
}

void index_print(const struct mail_list *l, enum index_scope scope, struct buf *out)
{
	static const struct dir_stamp none;
	size_t begin = out->length;
	const struct mail *last = NULL;
	uint8_t wanted = scope == INDEX_LIST ? MAIL_OCTETS : MAIL_INDEX;
	size_t count = 0;

	for (size_t i = 0; i < l->count; i++)
		count += (l->items[i].flags & wanted) != 0;
	buf_text(out, MAGIC);
	for (size_t i = 0; i < MAIL_PLACES; i++)
		put_stamp(out, scope == INDEX_LIST ? &l->stamps[i] : &none);
	wire_varint(out, count);
	for (size_t i = 0; i < l->count; i++) {
		if ((l->items[i].flags & wanted) == 0)
			continue;
		put_entry(out, &l->items[i], last);
		last = &l->items[i];
	}
	if (!out->failed)
		wire_u64(out, checksum(view_from(view_buf(out), begin)));
}
