#include "relay/carrier.h"

#include <sodium.h>

#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/text.h"
#include "relay/intake.h"
#include "relay/outbox.h"

#define CARRIER_ID   "packetboat.id"
#define CARRIER_FILE (LIMIT_HOST_NAME + BATCH_FILE + 8)
/* How much of a file's beginning is compared to see that it is still ours: the header, where a change would make the
 * receiver leave the file alone. The end is compared as well. */
#define CARRIER_PROBE 4096

const char *carrier_path(const char *address)
{
	return text_starts(address, "dir:") ? address + strlen("dir:") : NULL;
}

/* ---- what has been said already -------------------------------------------------------------------------- */

/* Logs TEXT about a carrier when it is another text than last time: a stick may stay in for weeks. */
static void notice(struct relay *r, const char *path, const char *text)
{
	uint8_t hash[crypto_generichash_BYTES_MIN];
	struct buf name;
	struct buf old;

	crypto_generichash(hash, sizeof hash, (const uint8_t *)path, strlen(path), NULL, 0);
	buf_init(&name, 64);
	buf_text(&name, "notice.");
	hex_encode(hash, sizeof hash, &name);
	buf_init(&old, COPY_CHUNK);
	if (file_read(&r->queue.state, buf_string(&name), &old, NULL) != OUTCOME_DONE ||
	    !view_is(view_buf(&old), text)) {
		if (text[0] != '\0')
			log_event(&r->queue.log, "-", "notice", "reason", text);
		if (text[0] != '\0' || old.length > 0)
			file_replace(&r->queue.tmp, &r->queue.state, buf_string(&name), view_text(text), NULL);
	}
	buf_release(&old);
	buf_release(&name);
}

/* ---- fetching -------------------------------------------------------------------------------------------- */

/* FROM.INCARNATION.SEQUENCE.pb, with this host's name? */
static bool from_us(const struct relay *r, const char *file)
{
	return text_starts(file, r->queue.host) && file[strlen(r->queue.host)] == '.';
}

/* Names what lies there for others, when nothing is for us: the operator may have the wrong stick. */
static void name_others(struct relay *r, const struct dir *top, struct buf *text)
{
	struct names hosts;

	if (dir_names(top, &hosts, NULL) != OUTCOME_DONE)
		return;
	for (size_t i = 0; i < hosts.count; i++) {
		struct dir d;
		struct names files = {0};
		size_t count = 0;

		if (!host_name_valid(hosts.items[i]) || strcmp(hosts.items[i], r->queue.host) == 0 ||
		    dir_open_real(&d, top, hosts.items[i], NULL) != OUTCOME_DONE)
			continue;
		if (dir_names(&d, &files, NULL) == OUTCOME_DONE)
			for (size_t k = 0; k < files.count; k++)
				count += text_ends(files.items[k], ".pb") && !from_us(r, files.items[k]);
		if (count > 0)
			buf_format(text, "%s%zu for %s", text->length > 0 ? ", " : "", count, hosts.items[i]);
		names_release(&files);
		dir_close(&d);
	}
	names_release(&hosts);
}

static enum outcome fetch_one(
    struct relay *r, const struct dir *d, const char *name, size_t *taken, struct buf *left, struct error *err)
{
	enum intake_verdict verdict;
	enum outcome outcome = intake_file(r, d, name, &verdict, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	switch (verdict) {
	case INTAKE_TAKEN:
		(*taken)++;
		/* fallthrough */
	case INTAKE_DAMAGED:
		/* A read-only stick keeps it; it is a duplicate next time. */
		file_remove(d, name, NULL);
		break;
	case INTAKE_DUPLICATE:
		/* Whoever could write it there again has not had the acknowledgement. */
		if (file_remove(d, name, NULL) == OUTCOME_DONE)
			intake_duplicate(r, name);
		break;
	case INTAKE_STRANGER:
		buf_format(left, "%s%s", left->length > 0 ? ", " : "", name);
		break;
	case INTAKE_BUSY:
		break;
	}
	return OUTCOME_DONE;
}

static enum outcome fetch_ours(
    struct relay *r, const struct dir *top, size_t *taken, struct buf *strangers, size_t *found, struct error *err)
{
	struct dir d;
	struct names names = {0};
	enum outcome outcome = dir_open_real(&d, top, r->queue.host, err);

	*found = 0;
	if (outcome != OUTCOME_DONE)
		return err->code == EX_NOINPUT ? OUTCOME_DONE : outcome;
	outcome = dir_names(&d, &names, err);
	for (size_t i = 0; i < names.count && outcome == OUTCOME_DONE; i++) {
		if (!text_ends(names.items[i], ".pb"))
			continue;
		(*found)++;
		struct error why = ERROR_NONE;

		/* One that cannot be read now must not keep the others back; one that is gone, another process took. */
		if (fetch_one(r, &d, names.items[i], taken, strangers, &why) != OUTCOME_DONE &&
		    why.code != EX_NOINPUT)
			relay_trouble(r, names.items[i], &why);
	}
	names_release(&names);
	dir_close(&d);
	return outcome;
}

enum outcome carrier_fetch(struct relay *r, const char *path, size_t *taken, struct error *err)
{
	struct dir top;
	struct buf strangers;
	struct buf text;
	size_t found = 0;
	enum outcome outcome = dir_open(&top, NULL, path, err);

	*taken = 0;
	if (outcome != OUTCOME_DONE)
		return outcome;
	buf_init(&strangers, COPY_CHUNK);
	buf_init(&text, 2 * COPY_CHUNK);
	outcome = fetch_ours(r, &top, taken, &strangers, &found, err);
	if (strangers.length > 0) {
		buf_format(&text,
		    "%s holds files from hosts that are no neighbours, or for other hosts, left alone: %s", path,
		    buf_string(&strangers));
	} else if (found == 0) {
		struct buf others;

		buf_init(&others, COPY_CHUNK);
		name_others(r, &top, &others);
		if (others.length > 0)
			buf_format(
			    &text, "%s holds nothing for %s, but %s", path, r->queue.host, buf_string(&others));
		buf_release(&others);
	}
	if (outcome == OUTCOME_DONE)
		notice(r, path, buf_string(&text));
	buf_release(&text);
	buf_release(&strangers);
	dir_close(&top);
	return outcome;
}

/* ---- sending --------------------------------------------------------------------------------------------- */

/* The id of this medium, made when it has none. */
static enum outcome carrier_id(const struct dir *top, char id[static 33], struct error *err)
{
	struct buf text;
	char unfinished[sizeof CARRIER_ID + 16];
	uint8_t random[8];
	int fd = -1;
	enum outcome outcome;

	buf_init(&text, 256);
	outcome = file_read(top, CARRIER_ID, &text, err);
	/* None, or what a yank left of one. */
	if (outcome == OUTCOME_DONE ? text.length < 2 * sizeof random : err->code == EX_NOINPUT) {
		randombytes_buf(random, sizeof random);
		buf_clear(&text);
		hex_encode(random, sizeof random, &text);
		/* Under a name of its own: two passes may find the same new stick. */
		snprintf(unfinished, sizeof unfinished, CARRIER_ID ".%08x", (unsigned)randombytes_random());
		outcome = file_create_shared(top, unfinished, &fd, err);
		if (outcome == OUTCOME_DONE)
			outcome = file_write(fd, text.bytes, text.length, CARRIER_ID, err);
		if (outcome == OUTCOME_DONE)
			outcome = file_sync(fd, CARRIER_ID, err);
		if (outcome == OUTCOME_DONE)
			outcome = file_rename(top, unfinished, top, CARRIER_ID, err);
		if (outcome != OUTCOME_DONE && fd >= 0)
			file_remove(top, unfinished, NULL);
		file_close(&fd);
	}
	snprintf(id, 33, "%.32s", buf_string(&text));
	id[strcspn(id, "\r\n")] = '\0';
	buf_release(&text);
	return outcome;
}

/* Do both files hold the same SIZE bytes from OFFSET? */
static enum outcome same_bytes(int a, int b, uint64_t offset, uint64_t size, bool *same, struct error *err)
{
	uint8_t left[CARRIER_PROBE];
	uint8_t right[CARRIER_PROBE];
	enum outcome outcome = OUTCOME_DONE;

	*same = true;
	while (size > 0 && *same && outcome == OUTCOME_DONE) {
		size_t step = size < sizeof left ? (size_t)size : sizeof left;

		outcome = file_read_at(a, left, step, offset, "a batch", err);
		if (outcome == OUTCOME_DONE)
			outcome = file_read_at(b, right, step, offset, "its copy", err);
		if (outcome == OUTCOME_DONE)
			*same = memcmp(left, right, step) == 0;
		offset += step;
		size -= step;
	}
	return outcome;
}

enum look { LOOK_ENDS, LOOK_WHOLE };

/* Is NAME on the carrier what it should be, as far as a look at both ends tells, or at all of it? */
static bool stands(const struct dir *d, const char *name, int ours, uint64_t size, enum look look)
{
	uint64_t there;
	uint64_t probe = size < CARRIER_PROBE || look == LOOK_WHOLE ? size : CARRIER_PROBE;
	bool same = false;
	int fd;

	if (!file_exists(d, name, &there) || there != size || file_open(d, name, &fd, NULL) != OUTCOME_DONE)
		return false;
	if (same_bytes(ours, fd, 0, probe, &same, NULL) != OUTCOME_DONE ||
	    (same && same_bytes(ours, fd, size - probe, probe, &same, NULL) != OUTCOME_DONE))
		same = false;
	file_close(&fd);
	return same;
}

/* Copies FROM to NAME in D, and does not believe it before it has read it back. */
static enum outcome copy_out(int from, uint64_t size, const struct dir *d, const char *name, struct error *err)
{
	char *unfinished = mem_format("%s.new", name);
	struct fd_source source;
	struct fd_sink sink;
	uint64_t bytes;
	uint64_t inodes;
	bool same;
	int fd = -1;
	enum outcome outcome = dir_space(d, &bytes, &inodes, err);

	if (outcome == OUTCOME_DONE && bytes < size)
		outcome = error_set(err, EX_TEMPFAIL, "%s is full: %llu bytes free, %llu wanted", d->path,
		    (unsigned long long)bytes, (unsigned long long)size);
	if (outcome == OUTCOME_DONE)
		outcome = file_remove(d, unfinished, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_create_shared(d, unfinished, &fd, err);
	fd_source_init(&source, from, name);
	fd_sink_init(&sink, fd, unfinished);
	lseek(from, 0, SEEK_SET);
	if (outcome == OUTCOME_DONE)
		outcome = stream_copy(&source.source, &sink.sink, NULL, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_sync(fd, unfinished, err);
	if (outcome == OUTCOME_DONE) {
		file_forget_cache(fd);
		outcome = same_bytes(from, fd, 0, size, &same, err);
		if (outcome == OUTCOME_DONE && !same)
			outcome = error_set(err, EX_IOERR,
			    "%s/%s reads back differently from what was written: the medium is failing", d->path,
			    name);
	}
	if (outcome == OUTCOME_DONE)
		outcome = file_rename(d, unfinished, d, name, err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_sync(d, err);
	else if (fd >= 0)
		file_remove(d, unfinished, NULL);
	file_close(&fd);
	free(unfinished);
	return outcome;
}

/* Takes away what is acknowledged or void. */
static enum outcome tidy(struct relay *r, struct neighbour *n, const struct dir *d, struct error *err)
{
	struct names names;
	size_t prefix = strlen(r->queue.host);
	enum outcome outcome = dir_names(d, &names, err);

	for (size_t i = 0; i < names.count && outcome == OUTCOME_DONE; i++) {
		const char *name = names.items[i];
		uint32_t incarnation;
		uint64_t sequence;

		if (!from_us(r, name))
			continue;
		/* What a yank left unfinished. */
		if (text_ends(name, ".pb.new"))
			outcome = file_remove(d, name, err);
		if (!batch_file_parse(name + prefix + 1, &incarnation, &sequence))
			continue;
		if (incarnation != n->peer.incarnation || peer_out(&n->peer, sequence) == NULL)
			outcome = file_remove(d, name, err);
	}
	names_release(&names);
	return outcome;
}

/* Has it lain unacknowledged for so long that it is sent again? (An age to come is of an age file that was lost.) */
static bool rested(const struct relay *r, const struct neighbour *n, const struct peer_batch *b)
{
	return r->age.now >= b->sent_age + n->config->resend || b->sent_age > r->age.now;
}

static bool due(const struct relay *r, const struct neighbour *n, const struct peer_batch *b, const char *id)
{
	return b->sent_age == 0 || strcmp(b->carrier, id) != 0 || n->heard || rested(r, n, b);
}

static enum outcome send_batch(struct relay *r, struct neighbour *n, struct peer_batch *b, const struct dir *d,
    const char *id, enum carrier_zeal zeal, size_t *sent, struct error *err)
{
	char file[BATCH_FILE];
	char name[CARRIER_FILE];
	int fd;
	enum outcome outcome;

	batch_file_name(b->incarnation, b->sequence, file);
	snprintf(name, sizeof name, "%s.%s", r->queue.host, file);
	outcome = file_open(&n->out, file, &fd, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	if (!stands(d, name, fd, b->size, rested(r, n, b) ? LOOK_WHOLE : LOOK_ENDS) &&
	    (zeal == CARRIER_FORCE || due(r, n, b, id))) {
		outcome = copy_out(fd, b->size, d, name, err);
		if (outcome == OUTCOME_DONE) {
			(*sent)++;
			b->sent_age = r->age.now;
			b->sent = clock_now();
			b->sendings++;
			snprintf(b->carrier, sizeof b->carrier, "%s", id);
			n->changed = true;
			relay_log_sent(r, n, b, d->path);
		}
	}
	file_close(&fd);
	return outcome;
}

/* Urgent first, as far as there is room: one that does not fit does not keep a smaller one back. */
static enum outcome send_all(struct relay *r, struct neighbour *n, const struct dir *d, const char *id,
    enum carrier_zeal zeal, size_t *sent, struct error *err)
{
	enum outcome worst = OUTCOME_DONE;

	for (uint8_t class = 0; class < CLASS_COUNT; class ++) {
		for (size_t i = 0; i < n->peer.out_count; i++) {
			struct error why = ERROR_NONE;

			if (n->peer.out[i].class != class || n->peer.out[i].incarnation != n->peer.incarnation)
				continue;
			if (send_batch(r, n, &n->peer.out[i], d, id, zeal, sent, &why) != OUTCOME_DONE &&
			    worst == OUTCOME_DONE) {
				worst = OUTCOME_LATER;
				*err = why;
			}
		}
	}
	return worst;
}

static enum outcome send_bare(struct relay *r, struct neighbour *n, const struct dir *d, struct error *err)
{
	char temporary[40];
	char name[CARRIER_FILE];
	char incarnation[INCARNATION_TEXT];
	struct stat st;
	int fd;
	enum outcome outcome = outbox_bare(r, n, temporary, &fd, err);

	if (outcome != OUTCOME_DONE || fd < 0)
		return outcome;
	incarnation_print(n->peer.incarnation, incarnation);
	snprintf(name, sizeof name, "%s.%s.ack.pb", r->queue.host, incarnation);
	outcome = fstat(fd, &st) == 0 ? copy_out(fd, (uint64_t)st.st_size, d, name, err)
				      : error_set(err, EX_IOERR, "cannot look at %s", temporary);
	if (outcome == OUTCOME_DONE)
		outbox_bare_sent(n);
	file_close(&fd);
	file_remove(&r->queue.tmp, temporary, NULL);
	return outcome;
}

enum outcome carrier_send(
    struct relay *r, struct neighbour *n, const char *path, enum carrier_zeal zeal, size_t *sent, struct error *err)
{
	struct dir top;
	struct dir d = DIR_CLOSED;
	char id[33];
	enum outcome outcome = dir_open(&top, NULL, path, err);

	*sent = 0;
	if (outcome != OUTCOME_DONE && err->code == EX_NOINPUT) {
		error_context(err, "not mounted, or not there yet");
		err->code = EX_TEMPFAIL;
		err->outcome = outcome = OUTCOME_LATER;
	}
	if (outcome == OUTCOME_DONE)
		outcome = dir_make(&d, &top, n->config->name, 0777, err);
	dir_close(&d);
	if (outcome == OUTCOME_DONE)
		outcome = dir_open_real(&d, &top, n->config->name, err);
	if (outcome == OUTCOME_DONE)
		outcome = tidy(r, n, &d, err);
	if (outcome == OUTCOME_DONE && (n->peer.out_count > 0 || n->peer.ack_due))
		outcome = carrier_id(&top, id, err);
	if (outcome == OUTCOME_DONE)
		outcome = send_bare(r, n, &d, err);
	if (outcome == OUTCOME_DONE)
		outcome = send_all(r, n, &d, id, zeal, sent, err);
	dir_close(&d);
	dir_close(&top);
	return outcome;
}
