#include <fcntl.h>

#include "lib/alloc.h"
#include "lib/text.h"
#include "tools/fsck.h"

/* ---- what was found -------------------------------------------------------------------------------------- */

static const char *place_keep(struct fsck *f, const char *hop, const char *within)
{
	char *where = mem_format("queue/%s%s%s", hop, within[0] != '\0' ? "/" : "", within);

	if (f->places.count == 0 || strcmp(f->places.items[f->places.count - 1], where) != 0)
		names_add(&f->places, where);
	free(where);
	return f->places.items[f->places.count - 1];
}

static struct fsck_record *record_add(struct fsck *f, const char *name, const char *where)
{
	struct fsck_record *r;

	f->records = mem_grow(f->records, f->record_count, &f->record_capacity, sizeof *r);
	r = &f->records[f->record_count++];
	*r = (struct fsck_record){.name = mem_string(name), .where = where};
	return r;
}

static void record_fill(struct fsck_record *r, const struct entry *e, bool waits)
{
	r->size = e->size;
	r->waits = waits;
	r->indices = mem_array(e->recipient_count, sizeof r->indices[0]);
	for (size_t i = 0; i < e->recipient_count; i++)
		if (e->recipients[i].end == ENTRY_WAITS)
			r->indices[r->count++] = e->recipients[i].index;
}

static int compare_records(const void *a, const void *b)
{
	return strcmp(((const struct fsck_record *)a)->name, ((const struct fsck_record *)b)->name);
}

/* "ID" of "ID+K", "ID=K", "ID~". */
static size_t id_length(const char *name)
{
	return strcspn(name, "+=~");
}

static void set_aside(struct fsck *f, const struct dir *d, const char *name, const char *why)
{
	struct error err = ERROR_NONE;

	if (!f->repair)
		return;
	if (queue_set_aside(f->queue, d, name, why, &err) == OUTCOME_DONE)
		fsck_note(f, "%s/%s was moved to %s", d->path, name, f->queue->corrupt.path);
	else
		tool_say_error(f->tool, &err);
}

/* A record and its message, of which one half is lost: both go aside, under the names that a relay pass gives them. */
static void both_aside(struct fsck *f, const struct dir *d, const char *file, const char *name, const char *why)
{
	char *record = mem_format("%s.record", name);

	if (f->repair && strcmp(file, name) == 0) { /* a claim is the next relay pass's business */
		if (file_rename(d, file, d, record, NULL) == OUTCOME_DONE)
			set_aside(f, d, record, why);
		if (file_exists(&f->queue->msg, name, NULL))
			set_aside(f, &f->queue->msg, name, why);
	}
	free(record);
}

/* ---- records --------------------------------------------------------------------------------------------- */

static void record_alone(
    struct fsck *f, const struct dir *d, const char *file, const char *name, const struct entry *e)
{
	if (e->ended) {
		fsck_note(f, "%s/%s has ended; the next relay pass removes it", d->path, file);
		return;
	}
	fsck_finding(f, "%s/%s has no message: %s/%s is missing", d->path, file, f->queue->msg.path, name);
	both_aside(f, d, file, name, "its message is missing");
}

/* NAME is the record's own; FILE what it is called here, with the mark of a claim when it has one. */
static void look_at_record(struct fsck *f, const struct dir *d, const char *file, const char *name, const char *where)
{
	struct entry e;
	struct error err = ERROR_NONE;
	bool half;

	if (fsck_moves(f, name)) {
		record_add(f, name, where); /* known, and nothing is said of it */
		return;
	}
	if (hop_read(d, file, &e, &err) != OUTCOME_DONE) {
		if (err.code == EX_DATAERR) {
			fsck_finding(f, "%s", err.text);
			both_aside(f, d, file, name, err.text);
		} else {
			tool_say_error(f->tool, &err);
		}
		record_add(f, name, where); /* so that its message is not called orphaned as well */
		entry_release(&e);
		return;
	}
	half = e.parent != NULL && file_exists(&f->queue->new, e.parent, NULL);
	if (!file_exists(&f->queue->msg, name, NULL) && !half)
		record_alone(f, d, file, name, &e);
	if (half)
		fsck_note(f, "%s/%s is not wholly made; the next relay pass makes it anew", d->path, file);
	else if (e.move_count > 0)
		fsck_note(f, "%s/%s awaits its moves; the next relay pass makes them", d->path, file);
	record_fill(record_add(f, name, where), &e, !half && !e.ended);
	entry_release(&e);
}

/* Delivered, and its program died before it was removed. */
static void look_at_ended(struct fsck *f, const struct dir *d, const char *file, const char *where)
{
	char *name = mem_copy(file, strlen(file) - 1);
	struct id id;
	uint32_t first;

	fsck_note(f, "%s/%s has ended; the next relay pass removes it", d->path, file);
	if (entry_name_parse(name, &id, &first))
		look_at_record(f, d, file, name, where);
	free(name);
}

static enum outcome look_at_part(
    struct fsck *f, const struct dir *d, const char *hop, const char *within, struct error *err)
{
	const char *where = place_keep(f, hop, within);
	struct names names;
	enum outcome outcome = dir_names(d, &names, err);

	for (size_t i = 0; outcome == OUTCOME_DONE && i < names.count; i++) {
		const char *name = names.items[i];
		struct id id;
		uint32_t first;

		fsck_progress(where, i + 1, names.count);
		if (entry_name_parse(name, &id, &first))
			look_at_record(f, d, name, name, where);
		else if (hop_is_ended(name) && text_starts(within, "work-"))
			look_at_ended(f, d, name, where);
		else if (strcmp(name, "recall") == 0 && text_starts(within, "batch-"))
			fsck_note(f,
			    "%s is taken apart by the next relay pass: the operator took a message out of it",
			    d->path);
		else if (name[0] != '.' && (within[0] != '\0' || !hop_is_part(name)))
			fsck_finding(f, "%s/%s is no name that packetboat gives", d->path, name);
	}
	names_release(&names);
	return outcome;
}

static enum outcome look_at_hop(struct fsck *f, const char *hop, struct error *err)
{
	struct names parts = {0};
	struct dir top;
	enum outcome outcome = dir_open(&top, &f->queue->queue, hop, err);

	if (outcome == OUTCOME_DONE)
		outcome = look_at_part(f, &top, hop, "", err);
	if (outcome == OUTCOME_DONE)
		outcome = hop_parts(&top, &parts, err);
	for (size_t i = 0; i < parts.count && outcome == OUTCOME_DONE; i++) {
		struct dir d;

		outcome = dir_open(&d, &top, parts.items[i], err);
		if (outcome == OUTCOME_DONE)
			outcome = look_at_part(f, &d, hop, parts.items[i], err);
		else if (err->code == EX_NOINPUT)
			outcome = OUTCOME_DONE; /* of a program that has come to its end meanwhile */
		dir_close(&d);
	}
	names_release(&parts);
	dir_close(&top);
	return outcome;
}

/* ---- what was handed over -------------------------------------------------------------------------------- */

/* A message in queue/new, not routed yet. */
static void look_at_fresh(struct fsck *f, const char *file, const char *name, const char *where)
{
	struct error err = ERROR_NONE;
	struct message m;
	char id[LIMIT_ID];
	char *text = mem_copy(name, id_length(name));

	names_add(&f->claims, text);
	if (message_open(&m, &f->queue->new, file, MESSAGE_VERIFY, &err) != OUTCOME_DONE) {
		if (err.code == EX_DATAERR) {
			fsck_finding(f, "%s", err.text);
			set_aside(f, &f->queue->new, file, err.text);
		} else if (err.code != EX_NOINPUT) {
			tool_say_error(f->tool, &err);
		}
		message_close(&m);
		free(text);
		return;
	}
	id_print(&m.envelope.id, id);
	if (strcmp(id, text) != 0) {
		fsck_finding(f, "%s/%s holds the message %s", f->queue->new.path, file, id);
	} else if (m.envelope.recipient_count > 0) {
		char *record = mem_format("%s+%u", id, (unsigned)m.envelope.recipients[0].index);
		struct fsck_record *r = record_add(f, record, where);

		r->size = m.envelope.size;
		r->waits = true;
		r->indices = mem_array(m.envelope.recipient_count, sizeof r->indices[0]);
		for (size_t i = 0; i < m.envelope.recipient_count; i++)
			r->indices[r->count++] = m.envelope.recipients[i].index;
		free(record);
	}
	message_close(&m);
	free(text);
}

static bool fresh_name(const char *name)
{
	size_t length = id_length(name);
	uint64_t index;
	struct id id;

	return id_parse(view_of(name, length), &id) &&
	       (name[length] == '\0' ||
		   (name[length] == '=' && number_parse(view_text(name + length + 1), UINT32_MAX, &index)));
}

static enum outcome look_at_new(struct fsck *f, struct error *err)
{
	const struct dir *d = &f->queue->new;
	const char *where = place_keep(f, "new", "");
	struct names names;
	enum outcome outcome = dir_names(d, &names, err);

	for (size_t i = 0; outcome == OUTCOME_DONE && i < names.count; i++) {
		const char *file = names.items[i];
		bool claimed = hop_is_claim("new", file);
		char *name = mem_copy(file, strlen(file) - claimed);
		struct id id;
		uint32_t first;

		fsck_progress(where, i + 1, names.count);
		if (claimed)
			fsck_note(f,
			    "the routing of %s/%s was begun and is not finished; each relay pass tries anew, and the "
			    "log tells of one that cannot",
			    d->path, file);
		if (entry_name_parse(name, &id, &first)) {
			char *text = mem_copy(name, id_length(name));

			if (claimed)
				names_add(&f->claims, text);
			look_at_record(f, d, file, name, where);
			free(text);
		} else if (fresh_name(name)) {
			look_at_fresh(f, file, name, where);
		} else if (file[0] != '.') {
			fsck_finding(f, "%s/%s is no name that packetboat gives", d->path, file);
		}
		free(name);
	}
	names_release(&names);
	return outcome;
}

/* ---- messages -------------------------------------------------------------------------------------------- */

static const struct fsck_record *record_find(const struct fsck *f, const char *name)
{
	struct fsck_record key = {.name = mem_string(name)};
	const struct fsck_record *found = NULL;

	if (f->record_count > 0)
		found = bsearch(&key, f->records, f->record_count, sizeof key, compare_records);
	free(key.name);
	return found;
}

/* Do record and envelope tell of the same recipients? */
static void compare_halves(struct fsck *f, const struct fsck_record *r, const struct message *m)
{
	if (r->indices == NULL)
		return;
	if (r->size != m->envelope.size)
		fsck_finding(f, "%s/%s says %llu octets, its message has %llu", r->where, r->name,
		    (unsigned long long)r->size, (unsigned long long)m->envelope.size);
	for (size_t i = 0; i < r->count; i++)
		if (envelope_recipient(&m->envelope, r->indices[i]) == NULL) {
			fsck_finding(f, "%s/%s names recipient %u, which its message does not have", r->where,
			    r->name, (unsigned)r->indices[i]);
			break;
		}
}

static void orphan(struct fsck *f, const char *name)
{
	char *id = mem_copy(name, id_length(name));

	if (names_contain(&f->claims, id))
		fsck_note(f, "%s/%s has no record yet; the next relay pass makes it anew", f->queue->msg.path, name);
	else if (f->incomplete)
		fsck_note(f, "%s/%s has no record among those that could be looked at", f->queue->msg.path, name);
	else {
		fsck_finding(f, "%s/%s has no record", f->queue->msg.path, name);
		set_aside(f, &f->queue->msg, name, "no record says where it should go");
	}
	free(id);
}

/* A damaged message, and its record if it has one. */
static void message_aside(struct fsck *f, const struct fsck_record *r, const char *name, const char *why)
{
	struct dir d;

	if (r == NULL) {
		set_aside(f, &f->queue->msg, name, why);
		return;
	}
	if (dir_open(&d, &f->queue->spool, r->where, NULL) == OUTCOME_DONE && file_exists(&d, name, NULL))
		both_aside(f, &d, name, name, why);
	dir_close(&d);
}

/* The inode whose digest was compared last: links of one message stand side by side. */
struct verified {
	ino_t inode;
	bool any;
};

static void look_at_message(struct fsck *f, const char *name, struct verified *v)
{
	const struct fsck_record *r = record_find(f, name);
	struct error err = ERROR_NONE;
	struct message m;
	struct stat st = {0};
	char id[LIMIT_ID];

	if (fsck_moves(f, name))
		return;
	bool known =
	    fstatat(f->queue->msg.fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && v->any && v->inode == st.st_ino;

	if (message_open(&m, &f->queue->msg, name, known ? MESSAGE_TRUST : MESSAGE_VERIFY, &err) != OUTCOME_DONE) {
		if (err.code == EX_DATAERR) {
			fsck_finding(f, "%s", err.text);
			message_aside(f, r, name, err.text);
		} else {
			tool_say_error(f->tool, &err);
		}
		message_close(&m);
		return;
	}
	*v = (struct verified){st.st_ino, true};
	id_print(&m.envelope.id, id);
	if (strncmp(id, name, strlen(id)) != 0 || name[strlen(id)] != '+')
		fsck_finding(f, "%s/%s holds the message %s", f->queue->msg.path, name, id);
	else if (r != NULL)
		compare_halves(f, r, &m);
	message_close(&m);
	if (r == NULL)
		orphan(f, name);
}

static enum outcome look_at_messages(struct fsck *f, struct error *err)
{
	struct verified v = {0};
	struct names names;
	enum outcome outcome = dir_names(&f->queue->msg, &names, err);

	for (size_t i = 0; outcome == OUTCOME_DONE && i < names.count; i++) {
		struct id id;
		uint32_t first;

		fsck_progress("msg", i + 1, names.count);
		if (entry_name_parse(names.items[i], &id, &first))
			look_at_message(f, names.items[i], &v);
		else if (names.items[i][0] != '.') /* a network file system's own */
			fsck_finding(f, "%s/%s is no name that packetboat gives", f->queue->msg.path, names.items[i]);
	}
	names_release(&names);
	return outcome;
}

/* ---- no recipient twice ---------------------------------------------------------------------------------- */

static int compare_indices(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

bool fsck_doubled(const struct fsck_record *records, size_t count, uint32_t *index)
{
	uint32_t *all;
	size_t used = 0;
	bool doubled = false;

	for (size_t i = 0; i < count; i++)
		used += records[i].waits ? records[i].count : 0;
	all = mem_array(used, sizeof *all);
	used = 0;
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; records[i].waits && k < records[i].count; k++)
			all[used++] = records[i].indices[k];
	if (used > 1)
		qsort(all, used, sizeof *all, compare_indices);
	for (size_t i = 1; i < used && !doubled; i++) {
		doubled = all[i] == all[i - 1];
		*index = all[i];
	}
	free(all);
	return doubled;
}

static void look_for_doubles(struct fsck *f)
{
	for (size_t i = 0, next; i < f->record_count; i = next) {
		const char *name = f->records[i].name;
		size_t length = id_length(name);
		uint32_t index;

		for (next = i + 1; next < f->record_count; next++)
			if (strncmp(f->records[next].name, name, length + 1) != 0)
				break;
		if (next > i + 1 && fsck_doubled(&f->records[i], next - i, &index))
			fsck_finding(f, "recipient %u of %.*s waits in two records: among others in %s and %s",
			    (unsigned)index, (int)length, name, f->records[i].where, f->records[next - 1].where);
	}
}

/* ---- stage ----------------------------------------------------------------------------------------------- */

static enum outcome look_at_stage(struct fsck *f, struct error *err)
{
	struct names names;
	enum outcome outcome = dir_names(&f->queue->stage, &names, err);

	for (size_t i = 0; outcome == OUTCOME_DONE && i < names.count; i++) {
		const char *dot = strrchr(names.items[i], '.');
		char *record = mem_copy(names.items[i], dot == NULL ? 0 : (size_t)(dot - names.items[i]));

		if (record_find(f, record) != NULL || fsck_moves(f, record))
			fsck_note(f, "%s/%s waits for the next relay pass", f->queue->stage.path, names.items[i]);
		else if (f->repair && !f->incomplete)
			outcome = file_remove(&f->queue->stage, names.items[i], err);
		else
			fsck_note(f, "%s/%s is of a record that has ended; the next relay pass removes it",
			    f->queue->stage.path, names.items[i]);
		free(record);
	}
	names_release(&names);
	return outcome;
}

enum outcome fsck_queue(struct fsck *f, struct error *err)
{
	struct names hops;
	enum outcome outcome = hop_list(f->queue, &hops, err);

	if (outcome == OUTCOME_DONE && fsck_holds(f, "new"))
		outcome = look_at_new(f, err);
	for (size_t i = 0; i < hops.count && outcome == OUTCOME_DONE; i++)
		if (strcmp(hops.items[i], "new") != 0 && fsck_holds(f, hops.items[i]))
			outcome = look_at_hop(f, hops.items[i], err);
	names_release(&hops);
	names_sort(&f->claims);
	if (f->record_count > 1)
		qsort(f->records, f->record_count, sizeof f->records[0], compare_records);
	if (outcome == OUTCOME_DONE)
		outcome = look_at_messages(f, err);
	if (outcome == OUTCOME_DONE)
		look_for_doubles(f);
	return outcome == OUTCOME_DONE ? look_at_stage(f, err) : outcome;
}
