#include "spool/peer.h"

#include "lib/alloc.h"
#include "lib/text.h"
#include "spool/statefile.h"

#define MANIFEST_MAGIC "pbsent"

/* What a line leaves out because it is as in the line before. */
enum manifest_flag {
	MANIFEST_FINAL = 1,
	MANIFEST_SAME_ID = 2,
	MANIFEST_SAME_ORIGIN = 4,
	MANIFEST_FLAGS = 7,
};

void manifest_add(struct manifest *m, const struct manifest_line *line)
{
	struct manifest_line *place;

	m->lines = mem_grow(m->lines, m->count, &m->capacity, sizeof m->lines[0]);
	place = &m->lines[m->count++];
	*place = *line;
	if (line->neighbour[0] == '\0') {
		place->batch_incarnation = 0;
		place->batch_sequence = 0;
		place->ordinal = 0;
	}
}

void manifest_release(struct manifest *m)
{
	free(m->lines);
	*m = (struct manifest){0};
}

static bool same_origin(const struct manifest_line *a, const struct manifest_line *b)
{
	return a->batch_incarnation == b->batch_incarnation && a->batch_sequence == b->batch_sequence &&
	       strcmp(a->neighbour, b->neighbour) == 0;
}

static uint8_t line_flags(const struct manifest_line *line, const struct manifest_line *before)
{
	uint8_t flags = line->final ? MANIFEST_FINAL : 0;

	if (id_equal(&line->id, &before->id))
		flags |= MANIFEST_SAME_ID;
	if (same_origin(line, before))
		flags |= MANIFEST_SAME_ORIGIN;
	return flags;
}

static void print_line(const struct manifest_line *line, const struct manifest_line *before, struct buf *out)
{
	uint8_t flags = line_flags(line, before);

	buf_byte(out, flags);
	if ((flags & MANIFEST_SAME_ID) == 0) {
		wire_text(out, line->id.host);
		wire_u32(out, line->id.incarnation);
		wire_varint(out, line->id.sequence);
	}
	wire_varint(out, line->index);
	if ((flags & MANIFEST_SAME_ORIGIN) == 0) {
		wire_text(out, line->neighbour);
		if (line->neighbour[0] != '\0') {
			wire_u32(out, line->batch_incarnation);
			wire_varint(out, line->batch_sequence);
		}
	}
	if (line->neighbour[0] != '\0')
		wire_varint(out, line->ordinal);
}

void manifest_print(const struct manifest *m, struct buf *out)
{
	struct manifest_line before = {.index = 0};

	statefile_begin(out, MANIFEST_MAGIC);
	wire_varint(out, m->count);
	for (size_t i = 0; i < m->count; i++) {
		print_line(&m->lines[i], &before, out);
		before = m->lines[i];
	}
	statefile_end(out);
}

/* A host name, or nothing where EMPTY is the other possibility. */
static void read_host(struct reader *r, char host[static LIMIT_HOST_NAME + 1])
{
	struct view v = read_view(r, LIMIT_HOST_NAME);

	memset(host, 0, LIMIT_HOST_NAME + 1);
	if (v.length > 0)
		memcpy(host, v.bytes, v.length);
	if (strlen(host) != v.length || (v.length > 0 && !host_name_valid(host)))
		r->failed = true;
}

static void read_origin(struct reader *r, struct manifest_line *line)
{
	read_host(r, line->neighbour);
	line->batch_incarnation = 0;
	line->batch_sequence = 0;
	if (line->neighbour[0] != '\0') {
		line->batch_incarnation = read_u32(r);
		line->batch_sequence = read_varint(r);
	}
}

/* LINE comes in as the line before. */
static void read_line(struct reader *r, struct manifest_line *line)
{
	struct manifest_line before = *line;
	uint8_t flags = read_byte(r);

	if ((flags & MANIFEST_SAME_ID) == 0) {
		read_host(r, line->id.host);
		line->id.incarnation = read_u32(r);
		line->id.sequence = read_varint(r);
	}
	line->index = (uint32_t)read_varint_max(r, UINT32_MAX);
	if ((flags & MANIFEST_SAME_ORIGIN) == 0)
		read_origin(r, line);
	line->ordinal = line->neighbour[0] == '\0' ? 0 : (uint32_t)read_varint_max(r, UINT32_MAX);
	line->final = (flags & MANIFEST_FINAL) != 0;
	/* One spelling only: what could have been left out was. */
	if (flags != line_flags(line, &before) || line->id.host[0] == '\0')
		r->failed = true;
}

bool manifest_parse(struct view bytes, struct manifest *m)
{
	struct manifest_line line = {.index = 0};
	struct reader r;
	uint64_t count;

	*m = (struct manifest){0};
	if (!statefile_check(bytes, MANIFEST_MAGIC, &r))
		return false;
	count = read_varint(&r);
	for (uint64_t i = 0; i < count && !r.failed; i++) {
		read_line(&r, &line);
		manifest_add(m, &line);
	}
	if (!r.failed && r.rest.length == 0)
		return true;
	manifest_release(m);
	return false;
}

/* ---- files -----------------------------------------------------------------------------------------------
 */

#define MANIFEST_NAME 32

static void manifest_name(uint64_t sequence, char out[static MANIFEST_NAME])
{
	snprintf(out, MANIFEST_NAME, "sent-%llu", (unsigned long long)sequence);
}

enum outcome manifest_write(const struct manifest *m, const struct dir *tmp, const struct dir *state,
    const char *name, uint64_t sequence, struct error *err)
{
	char file[MANIFEST_NAME];
	struct buf bytes;
	struct dir d;
	enum outcome outcome = statefile_dir_make(&d, state, name, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	manifest_name(sequence, file);
	buf_init(&bytes, LIMIT_SMALL_FILE);
	manifest_print(m, &bytes);
	outcome = statefile_commit(&bytes, tmp, &d, file, err);
	buf_release(&bytes);
	dir_close(&d);
	return outcome;
}

enum outcome manifest_read(
    struct manifest *m, const struct dir *state, const char *name, uint64_t sequence, struct error *err)
{
	char file[MANIFEST_NAME];
	struct buf bytes;
	struct dir d;
	enum outcome outcome = statefile_dir(&d, state, name, err);

	*m = (struct manifest){0};
	if (outcome != OUTCOME_DONE)
		return outcome;
	manifest_name(sequence, file);
	buf_init(&bytes, LIMIT_SMALL_FILE);
	outcome = file_read(&d, file, &bytes, err);
	if (outcome == OUTCOME_DONE && !manifest_parse(view_buf(&bytes), m))
		outcome = error_set(err, EX_DATAERR,
		    "%s/%s is damaged; what becomes of the messages of that batch will not be known here", d.path,
		    file);
	buf_release(&bytes);
	dir_close(&d);
	return outcome;
}

enum outcome manifest_remove(const struct dir *state, const char *name, uint64_t sequence, struct error *err)
{
	struct error own = ERROR_NONE;
	char file[MANIFEST_NAME];
	struct dir d;
	enum outcome outcome = statefile_dir(&d, state, name, &own);

	if (outcome != OUTCOME_DONE && own.code == EX_NOINPUT)
		return OUTCOME_DONE; /* as for a missing file */
	if (outcome == OUTCOME_DONE) {
		manifest_name(sequence, file);
		outcome = file_remove(&d, file, &own);
	}
	dir_close(&d);
	if (outcome != OUTCOME_DONE && err != NULL)
		*err = own;
	return outcome;
}
