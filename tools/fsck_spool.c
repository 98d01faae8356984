#include "lib/alloc.h"
#include "lib/text.h"
#include "queue/fetched.h"
#include "tools/fsck.h"
#include "tools/health.h"

#define BATCH_NAME  48
#define SEEN_DIGEST 32 /* of a segment, at its end */

static void batch_name(const struct peer_batch *b, char out[static BATCH_NAME])
{
	char incarnation[INCARNATION_TEXT];

	incarnation_print(b->incarnation, incarnation);
	snprintf(out, BATCH_NAME, "%s.%llu.pb", incarnation, (unsigned long long)b->sequence);
}

/* "INCARNATION.SEQUENCE.pb" */
static bool batch_name_parse(const char *name, uint32_t *incarnation, uint64_t *sequence)
{
	size_t length = strlen(name);

	return text_ends(name, ".pb") && length > INCARNATION_TEXT + 3 && name[INCARNATION_TEXT - 1] == '.' &&
	       incarnation_parse(view_of(name, INCARNATION_TEXT - 1), incarnation) &&
	       number_parse(view_of(name + INCARNATION_TEXT, length - INCARNATION_TEXT - 3), UINT64_MAX, sequence);
}

static const struct peer_batch *out_find(const struct peer *p, uint32_t incarnation, uint64_t sequence)
{
	for (size_t i = 0; i < p->out_count; i++)
		if (p->out[i].incarnation == incarnation && p->out[i].sequence == sequence)
			return &p->out[i];
	return NULL;
}

/* ---- batches on their way out ---------------------------------------------------------------------------- */

/* Why the file is not the batch that the state knows; null when it is. */
static char *batch_wrong(
    const struct fsck *f, const struct peer *p, const struct peer_batch *b, int fd, const char *name)
{
	struct batch_header h;
	struct error err = ERROR_NONE;
	struct stat st;
	uint8_t mark[BATCH_MARK];
	char *wrong = NULL;

	if (fstat(fd, &st) != 0 || (uint64_t)st.st_size != b->size)
		return mem_format("it has %llu octets instead of %llu", (unsigned long long)st.st_size,
		    (unsigned long long)b->size);
	if (batch_peek(fd, name, &h, &err) != OUTCOME_DONE)
		wrong = mem_string(err.text);
	else if (strcmp(h.from, f->queue->host) != 0 || strcmp(h.to, p->name) != 0)
		wrong = mem_format("it is a batch from %s to %s", h.from, h.to);
	else if (h.incarnation != b->incarnation || h.sequence != b->sequence)
		wrong = mem_string("it is another batch");
	else if (b->size < crypto_sign_BYTES ||
		 file_read_at(fd, mark, BATCH_MARK, b->size - crypto_sign_BYTES, name, NULL) != OUTCOME_DONE ||
		 memcmp(mark, b->mark, BATCH_MARK) != 0)
		wrong = mem_string("its signature is not the one that was made");
	batch_header_release(&h);
	return wrong;
}

static void look_at_batch(struct fsck *f, const struct peer *p, const struct dir *out, const struct peer_batch *b)
{
	char name[BATCH_NAME];
	char *wrong;
	int fd;
	struct error err = ERROR_NONE;

	batch_name(b, name);
	if (b->incarnation != p->incarnation) {
		fsck_note(f, "batch %s for %s is of an earlier incarnation; the next relay pass packs it again", name,
		    p->name);
	} else if (file_open(out, name, &fd, &err) != OUTCOME_DONE) {
		if (err.code == EX_NOINPUT)
			fsck_note(f, "batch %s for %s has lost its file; the next relay pass packs it again", name,
			    p->name);
		else
			fsck_finding(f, "%s", err.text);
	} else {
		wrong = batch_wrong(f, p, b, fd, name);
		file_close(&fd);
		if (wrong != NULL)
			fsck_finding(f, "%s/%s: %s", out->path, name, wrong);
		/* Without its file it is packed again: its records are still here. */
		if (wrong != NULL && f->repair && queue_set_aside(f->queue, out, name, wrong, &err) == OUTCOME_DONE)
			fsck_note(f, "%s/%s was moved to %s", out->path, name, f->queue->corrupt.path);
		free(wrong);
	}
}

/* Files that the state does not know. */
static enum outcome look_at_out(struct fsck *f, const struct peer *p, const struct dir *out, struct error *err)
{
	struct names names;
	enum outcome outcome = dir_names(out, &names, err);

	for (size_t i = 0; outcome == OUTCOME_DONE && i < names.count; i++) {
		uint32_t incarnation;
		uint64_t sequence;

		if (!batch_name_parse(names.items[i], &incarnation, &sequence))
			fsck_finding(f, "%s/%s is no name that packetboat gives", out->path, names.items[i]);
		else if (out_find(p, incarnation, sequence) == NULL)
			fsck_note(f, "%s/%s is not in the state; the next relay pass sees to it", out->path,
			    names.items[i]);
	}
	names_release(&names);
	return outcome;
}

/* Directories of packed records without a batch. */
static enum outcome look_at_parts(struct fsck *f, const struct peer *p, struct error *err)
{
	char *hop = mem_format("neighbour-%s", p->name);
	struct names parts = {0};
	struct dir d;
	enum outcome outcome = dir_open(&d, &f->queue->queue, hop, err);

	if (outcome != OUTCOME_DONE && err->code == EX_NOINPUT)
		outcome = OUTCOME_DONE;
	else if (outcome == OUTCOME_DONE)
		outcome = hop_parts(&d, &parts, err);
	for (size_t i = 0; i < parts.count; i++) {
		uint32_t incarnation;
		uint64_t sequence;

		if (within_batch(parts.items[i], &incarnation, &sequence) &&
		    out_find(p, incarnation, sequence) == NULL)
			fsck_note(f, "%s/%s has no batch; the next relay pass sees to it", d.path, parts.items[i]);
	}
	names_release(&parts);
	dir_close(&d);
	free(hop);
	return outcome;
}

/* ---- what is kept about a neighbour ---------------------------------------------------------------------- */

static void look_at_groups(struct fsck *f, const struct dir *d)
{
	struct event_groups groups = {0};
	struct error err = ERROR_NONE;
	struct buf bytes;

	if (!file_exists(d, "groups", NULL))
		return;
	buf_init(&bytes, LIMIT_SMALL_FILE);
	if (file_read(d, "groups", &bytes, &err) != OUTCOME_DONE)
		fsck_finding(f, "%s", err.text);
	else if (!event_groups_parse(view_buf(&bytes), &groups))
		fsck_finding(f, "%s/groups is damaged", d->path);
	event_groups_release(&groups);
	buf_release(&bytes);
}

static enum outcome look_at_state(struct fsck *f, const char *name, struct error *err)
{
	struct names names = {0};
	struct dir d;
	enum outcome outcome = dir_open(&d, &f->queue->state, name, err);

	if (outcome != OUTCOME_DONE)
		return err->code == EX_NOINPUT ? OUTCOME_DONE : outcome;
	outcome = dir_names(&d, &names, err);
	for (size_t i = 0; outcome == OUTCOME_DONE && i < names.count; i++) {
		struct manifest m = {0};
		struct error why = ERROR_NONE;
		uint64_t sequence;

		if (!text_starts(names.items[i], "sent-") ||
		    !number_parse(view_text(names.items[i] + strlen("sent-")), UINT64_MAX, &sequence))
			continue;
		if (manifest_read(&m, &f->queue->state, name, sequence, &why) != OUTCOME_DONE &&
		    why.code != EX_NOINPUT)
			fsck_finding(f, "%s", why.text);
		manifest_release(&m);
	}
	look_at_groups(f, &d);
	names_release(&names);
	dir_close(&d);
	return outcome;
}

static enum outcome look_at_neighbour(struct fsck *f, const char *name, struct error *err)
{
	struct error why = ERROR_NONE;
	struct peer p;
	struct dir out;
	char *path = mem_format("out/%s", name);
	enum outcome outcome = look_at_state(f, name, err);

	if (peer_look(f->queue, name, &p, &why) != OUTCOME_DONE) {
		fsck_finding(f, "%s", why.text);
	} else if (outcome == OUTCOME_DONE && dir_open(&out, &f->queue->spool, path, &why) == OUTCOME_DONE) {
		for (size_t i = 0; i < p.out_count; i++)
			look_at_batch(f, &p, &out, &p.out[i]);
		outcome = look_at_out(f, &p, &out, err);
		if (outcome == OUTCOME_DONE)
			outcome = look_at_parts(f, &p, err);
		dir_close(&out);
	} else if (outcome == OUTCOME_DONE && (why.code != EX_NOINPUT || p.out_count > 0)) {
		fsck_finding(f, "%s", why.text);
	}
	peer_release(&p);
	free(path);
	return outcome;
}

static enum outcome look_at_neighbours(struct fsck *f, struct error *err)
{
	struct names names;
	enum outcome outcome = OUTCOME_DONE;

	names = (struct names){0};
	for (size_t i = 0; i < f->locked.count; i++)
		if (hop_neighbour(f->locked.items[i]) != NULL)
			names_add(&names, hop_neighbour(f->locked.items[i]));
	for (size_t i = 0; i < names.count && outcome == OUTCOME_DONE; i++)
		outcome = look_at_neighbour(f, names.items[i], err);
	names_release(&names);
	return outcome;
}

/* ---- what was seen, what arrives ------------------------------------------------------------------------- */

/* The digest over a segment; queue/seen.h moves a damaged one aside as it reads it, which is not for us to do. */
static bool segment_whole(const struct dir *d, const char *name, struct error *err)
{
	uint8_t digest[SEEN_DIGEST];
	struct buf bytes;
	bool whole = false;

	buf_init(&bytes, LIMIT_SMALL_FILE);
	if (file_read(d, name, &bytes, err) == OUTCOME_DONE && bytes.length > sizeof digest) {
		size_t length = bytes.length - sizeof digest;

		crypto_generichash(digest, sizeof digest, bytes.bytes, length, NULL, 0);
		whole = memcmp(digest, bytes.bytes + length, sizeof digest) == 0;
	}
	buf_release(&bytes);
	return whole || err->code == EX_NOINPUT;
}

static enum outcome look_at_seen(struct fsck *f, struct error *err)
{
	struct names names = {0};
	struct dir d;
	enum outcome outcome = dir_open(&d, &f->queue->state, "seen", err);

	if (outcome != OUTCOME_DONE)
		return err->code == EX_NOINPUT ? OUTCOME_DONE : outcome;
	outcome = dir_names(&d, &names, err);
	for (size_t i = 0; outcome == OUTCOME_DONE && i < names.count; i++) {
		struct error why = ERROR_NONE;
		struct id id;

		if (text_ends(names.items[i], ".damaged"))
			fsck_note(f, "%s/%s could not be read: what it knew may be taken in once more", d.path,
			    names.items[i]);
		else if (!id_parse(view_text(names.items[i]), &id))
			fsck_finding(f, "%s/%s is no name that packetboat gives", d.path, names.items[i]);
		else if (!segment_whole(&d, names.items[i], &why))
			fsck_finding(f, "%s/%s is damaged", d.path, names.items[i]);
	}
	names_release(&names);
	dir_close(&d);
	return outcome;
}

/* What packetboat-fetch knows of outside boxes. It holds no lock of ours: what moves meanwhile is no finding. */
static void look_at_box(struct fsck *f, const char *path, const char *name)
{
	struct fetched_summary s;
	struct error why = ERROR_NONE;

	if (fetched_look(&f->queue->state, name, &s, &why) != OUTCOME_DONE && why.code != EX_NOINPUT)
		fsck_finding(f, "%s", why.text);
	if (s.damaged > 0)
		fsck_finding(
		    f, "%s/%s: %zu lines are damaged: what they told of may be fetched again", path, name, s.damaged);
	if (s.held > 0)
		fsck_note(f, "%s/%s.held holds %zu files; the next run of packetboat-fetch sees to them", path, name,
		    s.held);
	if (config_fetch(&f->tool->config, name) == NULL)
		fsck_note(f, "%s/%s is of a box that no section fetch names any more", path, name);
	fetched_summary_release(&s);
}

static enum outcome look_at_boxes(struct fsck *f, struct error *err)
{
	struct names names = {0};
	struct dir d;
	enum outcome outcome = dir_open(&d, &f->queue->state, "fetch", err);

	if (outcome != OUTCOME_DONE)
		return err->code == EX_NOINPUT ? OUTCOME_DONE : outcome;
	outcome = dir_names(&d, &names, err);
	for (size_t i = 0; outcome == OUTCOME_DONE && i < names.count; i++) {
		const char *name = names.items[i];

		if (host_name_valid(name))
			look_at_box(f, d.path, name);
		else if (!text_ends(name, ".held"))
			fsck_finding(f, "%s/%s is no name that packetboat gives", d.path, name);
	}
	names_release(&names);
	dir_close(&d);
	return outcome;
}

/* "INCARNATION.SEQUENCE.part": what calls have brought of a batch. */
static bool part_name_parse(const char *name, uint32_t *incarnation, uint64_t *sequence)
{
	char batch[BATCH_NAME];
	int length = (int)(strlen(name) - strlen(".part"));

	if (!text_ends(name, ".part") || length >= BATCH_NAME - 3)
		return false;
	snprintf(batch, sizeof batch, "%.*s.pb", length, name);
	return batch_name_parse(batch, incarnation, sequence);
}

/* Why no call with NAME will go on with the part; null when one may. */
static const char *part_useless(
    const struct fsck *f, const char *name, struct peer *p, uint32_t incarnation, uint64_t sequence)
{
	const struct peer_source *source = peer_present(p);

	if (config_neighbour(&f->tool->config, name) == NULL)
		return "the host is no neighbour any more";
	if (source != NULL && source->incarnation != incarnation)
		return "the neighbour has begun a new incarnation";
	if (source != NULL && ranges_contain(&source->received, sequence))
		return "all of it is here";
	return NULL;
}

static void look_at_part(struct fsck *f, const char *from, struct peer *p, const struct dir *d, const char *name)
{
	const char *useless;
	struct error err = ERROR_NONE;
	uint32_t incarnation;
	uint64_t sequence;
	uint64_t size = 0;

	if (!part_name_parse(name, &incarnation, &sequence)) {
		fsck_finding(f, "%s/%s is no name that packetboat gives", d->path, name);
		return;
	}
	file_exists(d, name, &size);
	useless = part_useless(f, from, p, incarnation, sequence);
	if (useless == NULL)
		fsck_note(f, "%s/%s holds %llu octets of a batch; the next call goes on there", d->path, name,
		    (unsigned long long)size);
	else if (!f->repair)
		fsck_note(f, "%s/%s is of no use: %s", d->path, name, useless);
	else if (file_remove(d, name, &err) == OUTCOME_DONE)
		fsck_note(f, "%s/%s was removed: %s", d->path, name, useless);
	else
		fsck_finding(f, "%s", err.text);
}

/* What a neighbour has brought, or is bringing. */
static enum outcome look_at_arriving(struct fsck *f, const struct dir *in, const char *name, struct error *err)
{
	char *hop = mem_format("neighbour-%s", name);
	struct names entries = {0};
	struct error why = ERROR_NONE;
	struct peer p;
	struct dir d;
	enum outcome outcome = dir_open(&d, in, name, err);

	if (outcome == OUTCOME_DONE)
		outcome = dir_names(&d, &entries, err);
	peer_look(f->queue, name, &p, &why); /* that it cannot be read was told before */
	for (size_t i = 0; i < entries.count; i++) {
		const char *entry = entries.items[i];

		/* In a call that goes on, parts come and go. */
		if (!text_ends(entry, ".part"))
			fsck_note(f,
			    "%s/%s is a batch half taken in; the next relay pass finishes it or begins again", d.path,
			    entry);
		else if (fsck_holds(f, hop))
			look_at_part(f, name, &p, &d, entry);
	}
	peer_release(&p);
	names_release(&entries);
	dir_close(&d);
	free(hop);
	return outcome;
}

static enum outcome look_at_in(struct fsck *f, struct error *err)
{
	struct names names = {0};
	struct dir in;
	enum outcome outcome = dir_open(&in, &f->queue->spool, "in", err);

	if (outcome == OUTCOME_DONE)
		outcome = dir_names(&in, &names, err);
	for (size_t i = 0; i < names.count && outcome == OUTCOME_DONE; i++)
		outcome = look_at_arriving(f, &in, names.items[i], err);
	names_release(&names);
	dir_close(&in);
	return outcome;
}

static enum outcome look_at_corrupt(struct fsck *f, struct error *err)
{
	struct names names;
	size_t count = 0;
	enum outcome outcome = dir_names(&f->queue->corrupt, &names, err);

	for (size_t i = 0; outcome == OUTCOME_DONE && i < names.count; i++)
		count += !text_ends(names.items[i], ".why");
	names_release(&names);
	if (count > 0)
		fsck_note(f, "%zu damaged file%s in %s, each with its reason in a .why file", count,
		    count == 1 ? "" : "s", f->queue->corrupt.path);
	return outcome;
}

enum outcome fsck_spool(struct fsck *f, struct error *err)
{
	enum outcome outcome = look_at_neighbours(f, err);

	if (outcome == OUTCOME_DONE)
		outcome = look_at_seen(f, err);
	if (outcome == OUTCOME_DONE)
		outcome = look_at_boxes(f, err);
	if (outcome == OUTCOME_DONE)
		outcome = look_at_in(f, err);
	return outcome == OUTCOME_DONE ? look_at_corrupt(f, err) : outcome;
}
