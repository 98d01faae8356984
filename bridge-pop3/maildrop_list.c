#include "bridge-pop3/maildrop_list.h"

#include <sodium.h>

#include "lib/alloc.h"
#include "lib/text.h"

/* Of the blocks that hold the paths: the first, and no further than. */
#define BLOCK_FIRST ((size_t)2048)
#define BLOCK_MOST  ((size_t)131072)
/* Octets of one message that a name may tell; sums of many stay far below what 64 bits hold. */
#define OCTETS_MAX ((uint64_t)1 << 44)
#define NUMBER_MAX 20
/* A Maildir in which others are at work is read so many times, at most. */
#define READS 4

struct mail_block {
	struct mail_block *next;
	size_t used;
	size_t size;
	char bytes[];
};

/* ---- names ----------------------------------------------------------------------------------------------- */

/* The number behind the two octets of ",S=" that follow a comma; 0 when there is none. */
static uint64_t name_number(const char *at)
{
	size_t digits = strspn(at, "0123456789");
	uint64_t number;

	return digits <= NUMBER_MAX && number_parse(view_of(at, digits), UINT64_MAX, &number) ? number : 0;
}

size_t mail_name_parse(const char *name, size_t length, uint64_t *octets)
{
	const char *end = memchr(name, ':', length);
	size_t before_flags = end == NULL ? length : (size_t)(end - name);
	size_t unique = before_flags;
	uint64_t size = 0;

	*octets = 0;
	for (const char *at = name; (at = memchr(at, ',', before_flags - (size_t)(at - name))) != NULL; at++) {
		if ((at[1] != 'S' && at[1] != 'W') || at[2] != '=')
			continue;
		if (unique == before_flags)
			unique = (size_t)(at - name);
		*(at[1] == 'S' ? &size : octets) = name_number(at + 3);
	}
	/* An empty message would not be told from what tells nothing; it is as quick to look at. */
	if (*octets > OCTETS_MAX || (size > 0 && (*octets < size || *octets - size > size + 2)))
		*octets = 0;
	return unique;
}

struct view mail_unique(const struct mail *m)
{
	return view_of(m->path + MAIL_PLACE, m->unique);
}

/* ---- reading --------------------------------------------------------------------------------------------- */

char *mail_list_room(struct mail_list *l, size_t size)
{
	struct mail_block *b = l->blocks;

	if (b == NULL || b->size - b->used < size) {
		size_t wanted = b == NULL ? BLOCK_FIRST : b->size < BLOCK_MOST ? 2 * b->size : b->size;

		b = mem_resize(NULL, sizeof *b + wanted, 1);
		*b = (struct mail_block){.next = l->blocks, .size = wanted};
		l->blocks = b;
	}
	b->used += size;
	return b->bytes + b->used - size;
}

static void blocks_release(struct mail_block *b)
{
	while (b != NULL) {
		struct mail_block *next = b->next;

		free(b);
		b = next;
	}
}

static uint32_t name_time(const char *name)
{
	uint32_t time = 0;

	for (const char *at = name; text_is_digit((uint8_t)*at); at++)
		if (__builtin_mul_overflow(time, 10U, &time) ||
		    __builtin_add_overflow(time, (uint32_t)(*at - '0'), &time))
			return UINT32_MAX;
	return time;
}

struct reading {
	struct mail_list *list;
	const char *place;
};

static void on_file(void *context, const char *name, size_t length)
{
	struct reading *r = context;
	struct mail_list *l = r->list;
	struct mail *m;
	char *path;

	if (name[0] == '.' || length > MAIL_NAME_MAX)
		return;
	path = mail_list_room(l, MAIL_PLACE + length + 1);
	memcpy(path, r->place, MAIL_PLACE - 1);
	path[MAIL_PLACE - 1] = '/';
	memcpy(path + MAIL_PLACE, name, length + 1);
	l->items = mem_grow(l->items, l->count, &l->capacity, sizeof l->items[0]);
	m = &l->items[l->count++];
	*m = (struct mail){.path = path, .time = name_time(name)};
	m->unique = (uint8_t)mail_name_parse(name, length, &m->octets);
	if (m->octets > 0)
		m->flags = MAIL_OCTETS;
}

int mail_list_order(const struct mail *a, const struct mail *b)
{
	if (a->time != b->time)
		return a->time < b->time ? -1 : 1;
	if (a->unique != b->unique)
		return (int)a->unique - (int)b->unique;
	return memcmp(a->path + MAIL_PLACE, b->path + MAIL_PLACE, a->unique);
}

static int compare(const void *a, const void *b)
{
	const struct mail *x = a;
	const struct mail *y = b;
	int order = mail_list_order(x, y);

	return order != 0 ? order : strcmp(x->path, y->path);
}

/* ---- the same unique part more than once ----------------------------------------------------------------- */

struct twin {
	struct mail mail;
	struct stat st;
};

/* The time of last modification as one number: nanoseconds. */
static uint64_t modified(const struct stat *st)
{
	return (uint64_t)st->st_mtim.tv_sec * 1000000000U + (uint64_t)st->st_mtim.tv_nsec;
}

static bool alike(const struct stat *a, const struct stat *b)
{
	return modified(a) == modified(b) && a->st_size == b->st_size;
}

static int compare_twins(const void *a, const void *b)
{
	const struct twin *x = a;
	const struct twin *y = b;
	uint64_t times[] = {modified(&x->st), modified(&y->st)};

	if (times[0] != times[1])
		return times[0] < times[1] ? -1 : 1;
	if (x->st.st_size != y->st.st_size)
		return x->st.st_size < y->st.st_size ? -1 : 1;
	return strcmp(x->mail.path, y->mail.path);
}

static void hash_uid(struct view bytes, uint8_t uid[static MAILDROP_UID])
{
	/* The same on every host for ever: a UID must outlive a move to another. */
	static const uint8_t key[crypto_shorthash_siphashx24_KEYBYTES];
	uint8_t hash[crypto_shorthash_siphashx24_BYTES];

	crypto_shorthash_siphashx24(hash, bytes.bytes, bytes.length, key);
	memcpy(uid, hash, MAILDROP_UID);
}

/* No name holds a NUL, so no name has the UID of another's twin. ORDINAL: among those that are alike in all of it. */
static void twin_uid(const struct twin *t, uint64_t ordinal, uint8_t uid[static MAILDROP_UID])
{
	struct buf text;

	buf_init(&text, SIZE_MAX);
	buf_view(&text, mail_unique(&t->mail));
	buf_byte(&text, '\0');
	buf_number(&text, modified(&t->st));
	buf_byte(&text, '\0');
	buf_number(&text, (uint64_t)t->st.st_size);
	buf_byte(&text, '\0');
	buf_number(&text, ordinal);
	hash_uid(view_buf(&text), uid);
	buf_release(&text);
}

/* The files of COUNT messages from FIRST on that are there, each once; how many. */
static size_t twins_look(
    const struct mail_list *l, const struct dir *box, size_t first, size_t count, struct twin *twins)
{
	size_t found = 0;

	for (size_t i = first; i < first + count; i++) {
		struct twin *t = &twins[found];
		bool new;

		t->mail = l->items[i];
		new = file_stat(box, t->mail.path, &t->st);
		for (size_t k = 0; k < found && new; k++)
			new = twins[k].st.st_ino != t->st.st_ino || twins[k].st.st_dev != t->st.st_dev;
		found += new;
	}
	if (found > 1)
		qsort(twins, found, sizeof twins[0], compare_twins);
	return found;
}

/* Writes the COUNT messages from FIRST on, whose unique part is the same, to the place KEPT of the list; how many are left. */
static size_t twins_settle(struct mail_list *l, const struct dir *box, size_t first, size_t count, size_t kept)
{
	struct twin *twins = mem_array(count, sizeof *twins);
	size_t found = twins_look(l, box, first, count, twins);
	uint64_t ordinal = 0;

	for (size_t i = 0; i < found; i++) {
		struct mail_twin *named;

		l->items[kept + i] = twins[i].mail;
		if (found == 1)
			break;
		l->items[kept + i].flags |= MAIL_TWIN;
		l->twins = mem_grow(l->twins, l->twin_count, &l->twin_capacity, sizeof *named);
		named = &l->twins[l->twin_count++];
		*named = (struct mail_twin){.number = kept + i, .inode = twins[i].st.st_ino};
		ordinal = i > 0 && alike(&twins[i].st, &twins[i - 1].st) ? ordinal + 1 : 0;
		if (i == 0)
			hash_uid(mail_unique(&twins[i].mail), named->uid);
		else
			twin_uid(&twins[i], ordinal, named->uid);
	}
	free(twins);
	return found;
}

static void settle_all_twins(struct mail_list *l, const struct dir *box)
{
	size_t kept = 0;
	size_t next;

	for (size_t i = 0; i < l->count; i = next) {
		for (next = i + 1; next < l->count && mail_list_order(&l->items[i], &l->items[next]) == 0;)
			next++;
		if (next == i + 1)
			l->items[kept++] = l->items[i];
		else
			kept += twins_settle(l, box, i, next - i, kept);
	}
	l->count = kept;
}

/* ---- the list -------------------------------------------------------------------------------------------- */

/* In the order in which messages move, so that one which moves meanwhile is seen at least once. */
static const char *const places[MAIL_PLACES] = {"new", "cur"};

bool mail_list_current(const struct mail_list *l, const struct dir *box)
{
	bool same = true;

	for (size_t i = 0; i < MAIL_PLACES && same; i++) {
		struct dir_stamp now = dir_stamp(box, places[i]);

		same = dir_stamp_same(&l->stamps[i], &now);
	}
	return same;
}

/* Adds what is there to L. */
static enum outcome read_places(struct mail_list *l, const struct dir *box, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	for (size_t i = 0; i < MAIL_PLACES; i++)
		l->stamps[i] = dir_stamp(box, places[i]);
	for (size_t i = 0; i < MAIL_PLACES && outcome == OUTCOME_DONE; i++) {
		struct reading r = {l, places[i]};

		outcome = dir_files(box, places[i], on_file, &r, err);
	}
	return outcome;
}

/* Names that were read twice. */
static void drop_same_paths(struct mail_list *l)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->count; i++)
		if (kept == 0 || strcmp(l->items[kept - 1].path, l->items[i].path) != 0)
			l->items[kept++] = l->items[i];
	l->count = kept;
}

/*
 * A file that gets another name while its directory is read may be seen under both, under one, or not at all (readdir(3)).
 * So what was read in unrest is read again, and what was seen at any time counts: of several names of a message those that
 * are no longer there are sorted out behind that.
 */
enum outcome mail_list_read(struct mail_list *l, const struct dir *box, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;
	bool calm = false;

	*l = (struct mail_list){0};
	for (int reads = 0; reads < READS && !calm && outcome == OUTCOME_DONE; reads++) {
		outcome = read_places(l, box, err);
		calm = mail_list_current(l, box);
		/* What was seen at any time may be gone by now. */
		l->calm = calm && reads == 0;
	}
	if (outcome != OUTCOME_DONE) {
		mail_list_release(l);
		return outcome;
	}
	if (l->count > 1)
		qsort(l->items, l->count, sizeof l->items[0], compare);
	drop_same_paths(l);
	settle_all_twins(l, box);
	return OUTCOME_DONE;
}

void mail_list_release(struct mail_list *l)
{
	blocks_release(l->blocks);
	free(l->items);
	free(l->twins);
	*l = (struct mail_list){0};
}

const struct mail *mail_list_known(const struct mail_list *old, size_t *at, const struct mail *m)
{
	size_t end;

	while (*at < old->count && mail_list_order(&old->items[*at], m) < 0)
		(*at)++;
	for (end = *at; end < old->count && mail_list_order(&old->items[end], m) == 0;)
		end++;
	if (end == *at + 1 && (m->flags & MAIL_TWIN) == 0)
		return &old->items[*at];
	for (size_t i = *at; i < end; i++)
		if (strcmp(old->items[i].path, m->path) == 0)
			return &old->items[i];
	return NULL;
}

static int compare_numbers(const void *a, const void *b)
{
	const struct mail_twin *x = a;
	const struct mail_twin *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static const struct mail_twin *twin_of(const struct mail_list *l, size_t number)
{
	const struct mail_twin wanted = {.number = number};

	if ((l->items[number].flags & MAIL_TWIN) == 0)
		return NULL;
	return bsearch(&wanted, l->twins, l->twin_count, sizeof l->twins[0], compare_numbers);
}

void mail_list_uid(const struct mail_list *l, size_t number, uint8_t uid[static MAILDROP_UID])
{
	const struct mail_twin *twin = twin_of(l, number);

	if (twin != NULL)
		memcpy(uid, twin->uid, MAILDROP_UID);
	else
		hash_uid(mail_unique(&l->items[number]), uid);
}

/* Where message O of OLD is in NOW, from *AT on, which follows; null: nowhere. Of several with its name it is the same file;
 * if it was alone until now, the one with its UID. */
static const struct mail *find_again(
    const struct mail_list *old, size_t o, const struct mail_list *now, size_t *at, const struct dir *box)
{
	const struct mail_twin *twin = twin_of(old, o);
	struct stat st;

	while (*at < now->count && mail_list_order(&now->items[*at], &old->items[o]) < 0)
		(*at)++;
	for (size_t n = *at; n < now->count && mail_list_order(&now->items[n], &old->items[o]) == 0; n++)
		if (twin == NULL || (file_stat(box, now->items[n].path, &st) && st.st_ino == twin->inode))
			return &now->items[n];
	return NULL;
}

enum outcome mail_list_follow(struct mail_list *l, const struct dir *box, struct error *err)
{
	struct mail_list now;
	enum outcome outcome = mail_list_read(&now, box, err);
	size_t at = 0;
	struct mail_block *blocks;

	if (outcome != OUTCOME_DONE)
		return outcome;
	for (size_t i = 0; i < l->count; i++) {
		struct mail *m = &l->items[i];
		const struct mail *found = find_again(l, i, &now, &at, box);

		if (found != NULL) {
			m->path = found->path;
			m->flags &= (uint8_t)~MAIL_GONE;
		} else {
			/* Its UID may still be asked for. */
			size_t size = strlen(m->path) + 1;

			m->path = memcpy(mail_list_room(&now, size), m->path, size);
			m->flags |= MAIL_GONE;
		}
	}
	blocks = l->blocks;
	l->blocks = now.blocks;
	now.blocks = blocks;
	mail_list_release(&now);
	return OUTCOME_DONE;
}

void mail_list_forget_gone(struct mail_list *l)
{
	size_t kept = 0;
	size_t twin = 0;
	size_t kept_twins = 0;

	for (size_t i = 0; i < l->count; i++) {
		bool gone = (l->items[i].flags & MAIL_GONE) != 0;

		if ((l->items[i].flags & MAIL_TWIN) != 0) {
			struct mail_twin t = l->twins[twin++];

			t.number = kept;
			if (!gone)
				l->twins[kept_twins++] = t;
		}
		if (!gone)
			l->items[kept++] = l->items[i];
	}
	l->count = kept;
	l->twin_count = kept_twins;
}
