#include "bridge-pop3/maildrop.h"

#include "bridge-pop3/maildrop_index.h"
#include "bridge-pop3/maildrop_list.h"
#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/limits.h"
#include "lib/lock.h"
#include "lib/stream.h"
#include "queue/maildir.h"

/* In the Maildir; no other program takes them for anything of its own. */
#define LOCK_NAME  "packetboat-pop3.lock"
#define INDEX_NAME "packetboat-pop3.index"

/* Fewer messages are as quickly listed as read from a file. */
#define INDEX_MIN 200
/*
 * Seconds that a directory must be old before its times tell whether it changed. A second change within one tick of the clock
 * leaves the times of the first; a tick is two seconds where it is longest (FAT; NFS before it: one).
 */
#define INDEX_SETTLED 2

/* Octets of a file that are counted at a time. */
#define COUNT_CHUNK ((size_t)65536)

struct maildrop {
	struct dir box;
	struct lock lock;
	struct mail_list list;
	char *trouble;
};

/* ---- octets ---------------------------------------------------------------------------------------------- */

/* The LFs in BYTES with no CR before them; *LAST is the octet before BYTES and then their last. */
static uint64_t bare_lfs(struct view bytes, uint8_t *last)
{
	const uint8_t *end = bytes.bytes + bytes.length;
	const uint8_t *at = bytes.bytes;
	uint64_t count = 0;

	while (at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		count += (at == bytes.bytes ? *last : at[-1]) != '\r';
		at++;
	}
	*last = end[-1];
	return count;
}

/* Reads the open file to its end: how large it is, and the octets that line ends add. */
static enum outcome count_file(int fd, const char *name, uint64_t *size, uint64_t *added, struct error *err)
{
	uint8_t *chunk = mem_resize(NULL, COUNT_CHUNK, 1);
	uint8_t last = '\n';
	struct fd_source file;
	enum outcome outcome;
	size_t got;

	*size = *added = 0;
	fd_source_init(&file, fd, name);
	while ((outcome = source_read(&file.source, chunk, COUNT_CHUNK, &got, err)) == OUTCOME_DONE && got > 0) {
		*added += bare_lfs(view_of(chunk, got), &last);
		*size += got;
	}
	if (last != '\n')
		*added += 2;
	free(chunk);
	return outcome;
}

static void set_octets(struct mail *m, uint64_t size, uint32_t added)
{
	m->octets = size + added;
	m->added = added;
	m->flags |= MAIL_OCTETS | MAIL_INDEX;
}

/*
 * Reads message NUMBER to count it. One that cannot be read is listed all the same, with no octets: whoever retrieves it is
 * told why, which is more than nobody ever hearing of it.
 */
static void count_message(struct maildrop *d, size_t number)
{
	struct mail *m = &d->list.items[number];
	struct error err = ERROR_NONE;
	uint64_t size = 0;
	uint64_t added = 0;
	int fd;
	enum outcome outcome = maildrop_message(d, number, &fd, &size, &err);

	if (outcome == OUTCOME_DONE)
		outcome = count_file(fd, m->path, &size, &added, &err);
	file_close(&fd);
	if (outcome == OUTCOME_DONE && added <= UINT32_MAX)
		set_octets(m, size, (uint32_t)added);
	else if (outcome == OUTCOME_DONE)
		m->octets = size + added;
	else if ((m->flags & MAIL_GONE) == 0 && d->trouble == NULL)
		d->trouble = mem_string(err.text);
}

/* ---- the index ------------------------------------------------------------------------------------------- */

/* A missing or broken index is an empty one. */
static void index_read(struct mail_list *known, const struct dir *box)
{
	struct buf file;

	*known = (struct mail_list){0};
	buf_init(&file, LIMIT_SMALL_FILE);
	if (file_read(box, INDEX_NAME, &file, NULL) == OUTCOME_DONE)
		(void)index_parse(known, view_buf(&file));
	buf_release(&file);
}

static enum outcome index_store(struct maildrop *d, enum index_scope scope, struct error *err)
{
	struct dir tmp;
	struct buf file;
	enum outcome outcome = dir_open(&tmp, &d->box, "tmp", err);

	buf_init(&file, LIMIT_SMALL_FILE);
	index_print(&d->list, scope, &file);
	/* Not waited for: what a crash takes back is listed and counted again. */
	if (outcome == OUTCOME_DONE && !file.failed)
		outcome = file_replace(&tmp, &d->box, INDEX_NAME, view_buf(&file), err);
	dir_close(&tmp);
	buf_release(&file);
	return outcome;
}

static void index_write(struct maildrop *d, enum index_scope scope)
{
	struct error err = ERROR_NONE;

	if (index_store(d, scope, &err) == OUTCOME_DONE || d->trouble != NULL)
		return;
	error_context(&err, "the index of messages, made again at every login");
	d->trouble = mem_string(err.text);
}

/* Octets of all messages that KNOWN has, or by reading those that nobody has read before; how many those were. */
static size_t find_octets(struct maildrop *d, const struct mail_list *known, size_t *found)
{
	size_t counted = 0;
	size_t at = 0;

	*found = 0;
	for (size_t i = 0; i < d->list.count; i++) {
		struct mail *m = &d->list.items[i];
		const struct mail *before;

		if ((m->flags & MAIL_OCTETS) != 0)
			continue;
		before = mail_list_known(known, &at, m);
		if (before != NULL && (before->flags & MAIL_INDEX) != 0) {
			set_octets(m, before->octets - before->added, before->added);
			(*found)++;
		} else {
			count_message(d, i);
			counted += (m->flags & MAIL_INDEX) != 0;
		}
	}
	mail_list_forget_gone(&d->list);
	return counted;
}

/*
 * Is the list, which took MILLISECONDS to read, what every directory holds that has its stamps? Not if one changed so shortly
 * before that another change may have left the same, nor where more than names makes the messages.
 */
static bool list_settled(const struct maildrop *d, uint64_t milliseconds)
{
	const struct mail_list *l = &d->list;
	int64_t slack = INDEX_SETTLED + 1 + (int64_t)(milliseconds / 1000 + 1);
	struct timespec now;

	for (size_t i = 0; i < l->count; i++)
		if ((l->items[i].flags & MAIL_OCTETS) == 0)
			return false;
	if (!l->calm || l->twin_count > 0 || file_clock(d->lock.fd, LOCK_NAME, &now, NULL) != OUTCOME_DONE)
		return false;
	for (size_t i = 0; i < MAIL_PLACES; i++)
		if (l->stamps[i].inode == 0 || l->stamps[i].changed.tv_sec > now.tv_sec - slack)
			return false;
	return true;
}

/* Lists the Maildir, and keeps what will be asked for again. KNOWN: what was kept before. */
static enum outcome list_anew(struct maildrop *d, const struct mail_list *known, struct error *err)
{
	uint64_t begun = clock_steady_ms();
	enum outcome outcome = mail_list_read(&d->list, &d->box, err);
	uint64_t took = clock_steady_ms() - begun;
	size_t counted;
	size_t found;

	if (outcome != OUTCOME_DONE)
		return outcome;
	counted = find_octets(d, known, &found);
	if (d->list.count >= INDEX_MIN && list_settled(d, took))
		index_write(d, INDEX_LIST);
	else if (counted > 0 || (d->list.count < INDEX_MIN && found != known->count))
		index_write(d, INDEX_COUNTED);
	return OUTCOME_DONE;
}

static enum outcome list_messages(struct maildrop *d, struct error *err)
{
	struct mail_list known;
	enum outcome outcome = OUTCOME_DONE;

	index_read(&known, &d->box);
	if (mail_list_current(&known, &d->box)) {
		d->list = known;
		return OUTCOME_DONE;
	}
	outcome = list_anew(d, &known, err);
	mail_list_release(&known);
	return outcome;
}

/* ---- opening and closing --------------------------------------------------------------------------------- */

static enum outcome box_open(struct dir *box, const struct dir *mail, const char *user, struct error *err)
{
	enum outcome outcome = dir_open(box, mail, user, err);
	bool found;

	if (outcome == OUTCOME_DONE || err->code != EX_NOINPUT)
		return outcome;
	outcome = maildir_find(mail, user, &found, err);
	return outcome != OUTCOME_DONE ? outcome
	       : found		       ? error_set(err, EX_TEMPFAIL, "%s/%s has just been made", mail->path, user)
		       : error_set(err, EX_NOINPUT, "%s has no Maildir %s/%s", user, mail->path, user);
}

static enum outcome box_lock(struct maildrop *d, bool *in_use, struct error *err)
{
	enum outcome outcome = lock_try(&d->lock, &d->box, LOCK_NAME, in_use, err);

	if (*in_use)
		error_set(err, EX_TEMPFAIL, "another session has %s open", d->box.path);
	return outcome;
}

enum outcome maildrop_open(
    struct maildrop **d, const struct dir *mail, const char *user, bool *in_use, struct error *err)
{
	struct maildrop *new = mem_alloc(sizeof *new);
	enum outcome outcome;

	*d = NULL;
	*in_use = false;
	new->lock = LOCK_NONE;
	outcome = box_open(&new->box, mail, user, err);
	if (outcome == OUTCOME_DONE)
		outcome = box_lock(new, in_use, err);
	if (outcome == OUTCOME_DONE)
		outcome = list_messages(new, err);
	if (outcome == OUTCOME_DONE)
		*d = new;
	else
		maildrop_close(new);
	return outcome;
}

void maildrop_close(struct maildrop *d)
{
	if (d == NULL)
		return;
	mail_list_release(&d->list);
	lock_release(&d->lock);
	dir_close(&d->box);
	free(d->trouble);
	free(d);
}

const char *maildrop_trouble(const struct maildrop *d)
{
	return d->trouble;
}

/* ---- messages -------------------------------------------------------------------------------------------- */

size_t maildrop_count(const struct maildrop *d)
{
	return d->list.count;
}

uint64_t maildrop_octets(const struct maildrop *d, size_t number)
{
	return d->list.items[number].octets;
}

/* base64url (RFC 4648 5). Nothing here is secret, so libsodium's, which takes ten times as long, is not needed. */
void maildrop_uid(const struct maildrop *d, size_t number, struct buf *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint8_t uid[MAILDROP_UID];
	char text[MAILDROP_UID / 3 * 4];
	char *to = text;

	mail_list_uid(&d->list, number, uid);
	for (size_t i = 0; i < sizeof uid; i += 3) {
		uint32_t bits = (uint32_t)uid[i] << 16 | (uint32_t)uid[i + 1] << 8 | uid[i + 2];

		for (int shift = 18; shift >= 0; shift -= 6)
			*to++ = digits[bits >> shift & 63];
	}
	buf_append(out, text, sizeof text);
}

bool maildrop_own(const struct maildrop *d, size_t number)
{
	uint32_t index;
	struct id id;

	return (d->list.items[number].flags & MAIL_INDEX) == 0 && maildrop_origin(d, number, &id, &index);
}

bool maildrop_origin(const struct maildrop *d, size_t number, struct id *id, uint32_t *index)
{
	return maildir_name_parse(mail_unique(&d->list.items[number]), id, index);
}

/* Looks where M is now: false, and a sentence, when it is gone or that cannot be told. */
static bool found_again(struct maildrop *d, struct mail *m, struct error *err)
{
	/* Nothing has happened to the directories, and it is not there: the index lies. */
	if (mail_list_current(&d->list, &d->box))
		file_remove(&d->box, INDEX_NAME, NULL);
	if ((m->flags & MAIL_GONE) == 0 && mail_list_follow(&d->list, &d->box, err) != OUTCOME_DONE)
		return false;
	if ((m->flags & MAIL_GONE) == 0)
		return true;
	error_set(err, EX_NOINPUT, "%s/%s is gone: another program has removed it", d->box.path, m->path);
	return false;
}

enum outcome maildrop_message(struct maildrop *d, size_t number, int *fd, uint64_t *size, struct error *err)
{
	struct mail *m = &d->list.items[number];
	struct error why = ERROR_NONE;
	enum outcome outcome = file_open_sized(&d->box, m->path, fd, size, &why);

	if (outcome != OUTCOME_DONE && why.code == EX_NOINPUT) {
		if (!found_again(d, m, &why))
			outcome = why.outcome;
		else
			outcome = file_open_sized(&d->box, m->path, fd, size, &why);
	}
	if (outcome != OUTCOME_DONE) {
		if (err != NULL)
			*err = why;
		return outcome;
	}
	/* The index lies: somebody has changed the file. The next who opens counts anew. */
	if ((m->flags & MAIL_INDEX) != 0 && *size != m->octets - m->added)
		file_remove(&d->box, INDEX_NAME, NULL);
	return OUTCOME_DONE;
}

const char *maildrop_name(const struct maildrop *d, size_t number)
{
	return d->list.items[number].path;
}

/* ---- removing -------------------------------------------------------------------------------------------- */

static enum outcome remove_message(struct maildrop *d, size_t number, bool *found, struct error *err)
{
	struct mail *m = &d->list.items[number];
	enum outcome outcome = file_remove_found(&d->box, m->path, found, err);

	if (outcome != OUTCOME_DONE || *found)
		return outcome;
	if (found_again(d, m, err))
		return file_remove_found(&d->box, m->path, found, err);
	return err->code == EX_NOINPUT ? OUTCOME_DONE : err->outcome;
}

static enum outcome sync_place(const struct maildrop *d, const char *name, struct error *err)
{
	struct dir place;
	enum outcome outcome = dir_open(&place, &d->box, name, err);

	if (outcome == OUTCOME_DONE)
		outcome = dir_sync(&place, err);
	dir_close(&place);
	return outcome;
}

enum outcome maildrop_remove(struct maildrop *d, const uint32_t *numbers, size_t count, maildrop_removed *tell,
    void *context, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;
	bool changed[2] = {false, false}; /* new, cur */
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		struct error why = ERROR_NONE;
		bool found = false;

		if (remove_message(d, numbers[i], &found, &why) != OUTCOME_DONE && kept++ == 0) {
			*err = why;
			outcome = why.outcome;
		}
		if (!found)
			continue;
		changed[d->list.items[numbers[i]].path[0] == 'c'] = true;
		if (tell != NULL)
			tell(context, d, numbers[i]);
	}
	for (int i = 0; i < 2; i++)
		if (changed[i] && outcome == OUTCOME_DONE)
			outcome = sync_place(d, i == 0 ? "new" : "cur", err);
		else if (changed[i])
			(void)sync_place(d, i == 0 ? "new" : "cur", NULL);
	if (kept > 0)
		error_context(err, "%zu of %zu messages could not be removed", kept, count);
	return outcome;
}
