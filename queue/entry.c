#include "queue/entry.h"

#include <sodium.h>

#include "lib/alloc.h"
#include "lib/text.h"

#define ENTRY_MAGIC  "packetboat-record 1"
#define ENTRY_DIGEST 16

static const char *const end_names[] = {
    "waits", "delivered", "failed", "forwarded", "relayed", "expanded", "removed", "reissued"};

const char *entry_end_name(enum entry_end end)
{
	return end_names[end];
}

bool entry_waits(const struct entry *e)
{
	for (size_t i = 0; i < e->recipient_count; i++)
		if (e->recipients[i].end == ENTRY_WAITS)
			return true;
	return false;
}

void entry_init(struct entry *e)
{
	*e = (struct entry){.class = CLASS_NORMAL};
}

void entry_release(struct entry *e)
{
	for (size_t i = 0; i < e->recipient_count; i++) {
		free(e->recipients[i].address);
		free(e->recipients[i].reason);
	}
	for (size_t i = 0; i < e->move_count; i++) {
		free(e->moves[i].staged);
		free(e->moves[i].target);
	}
	free(e->recipients);
	free(e->moves);
	free(e->sender);
	free(e->neighbour);
	free(e->parent);
	entry_init(e);
}

struct entry_recipient *entry_add_recipient(struct entry *e, uint32_t index, const char *address)
{
	struct entry_recipient *r;

	e->recipients = mem_grow(e->recipients, e->recipient_count, &e->recipient_capacity, sizeof *r);
	r = &e->recipients[e->recipient_count++];
	*r = (struct entry_recipient){.index = index, .address = mem_string(address)};
	return r;
}

void entry_recipient_result(struct entry_recipient *r, const char *status, const char *reason)
{
	char *kept = reason != NULL && reason[0] != '\0' ? mem_string(reason) : NULL;
	char code[STATUS_TEXT];

	/* Both may be the recipient's own of before. */
	snprintf(code, sizeof code, "%s", status);
	memcpy(r->status, code, sizeof code);
	free(r->reason);
	r->reason = kept;
	/* One line, at most a sentence long. */
	for (char *c = r->reason; c != NULL && *c != '\0'; c++) {
		if (c - r->reason >= LIMIT_REASON)
			*c = '\0';
		else if ((uint8_t)*c < ' ')
			*c = ' ';
		if (*c == '\0')
			break;
	}
}

void entry_add_move(struct entry *e, const char *staged, const char *target)
{
	e->moves = mem_grow(e->moves, e->move_count, &e->move_capacity, sizeof e->moves[0]);
	e->moves[e->move_count++] = (struct entry_move){mem_string(staged), mem_string(target)};
}

void entry_name(const struct entry *e, char out[static ENTRY_NAME])
{
	id_print(&e->id, out);
	snprintf(out + strlen(out), ENTRY_NAME - LIMIT_ID, "+%u", (unsigned)e->recipients[0].index);
}

bool entry_name_parse(const char *name, struct id *id, uint32_t *first)
{
	const char *plus = strchr(name, '+');
	uint64_t number;

	if (plus == NULL || !id_parse(view_of(name, (size_t)(plus - name)), id) ||
	    !number_parse(view_text(plus + 1), UINT32_MAX, &number))
		return false;
	*first = (uint32_t)number;
	return true;
}

/* ---- the text -------------------------------------------------------------------------------------------- */

static void write_number(struct buf *out, const char *key, uint64_t number)
{
	if (number != 0)
		buf_format(out, "%s %llu\n", key, (unsigned long long)number);
}

static void write_text(struct buf *out, const char *key, const char *text)
{
	if (text != NULL)
		buf_format(out, "%s %s\n", key, text);
}

static void write_digest(struct view text, struct buf *out)
{
	uint8_t digest[ENTRY_DIGEST];

	crypto_generichash(digest, sizeof digest, text.bytes, text.length, NULL, 0);
	hex_encode(digest, sizeof digest, out);
}

void entry_write(const struct entry *e, struct buf *out)
{
	size_t start = out->length;
	char id[LIMIT_ID];

	id_print(&e->id, id);
	buf_format(out, ENTRY_MAGIC "\nid %s\nclass %s\n", id, class_name(e->class));
	write_number(out, "size", e->size);
	buf_format(out, "arrived %lld\n", (long long)e->arrived);
	write_number(out, "arrived-age", e->arrived_age);
	write_text(out, "sender", e->sender);
	write_text(out, "neighbour", e->neighbour);
	write_number(out, "attempts", e->attempts);
	write_number(out, "due-age", e->due_age);
	if (e->last_tried != 0)
		buf_format(out, "last-tried %lld\n", (long long)e->last_tried);
	write_number(out, "warned", e->warned);
	write_number(out, "ended", e->ended);
	write_text(out, "parent", e->parent);
	for (size_t i = 0; i < e->recipient_count; i++) {
		const struct entry_recipient *r = &e->recipients[i];

		if (r->end == ENTRY_WAITS)
			buf_format(out, "to %u %s\n", (unsigned)r->index, r->address);
		else
			buf_format(out, "%s %u %s %s\n", r->fresh ? "now" : "was", (unsigned)r->index,
			    end_names[r->end], r->address);
		if (r->status[0] != '\0')
			buf_format(out, "status %s%s%s\n", r->status, r->reason != NULL ? " " : "",
			    r->reason != NULL ? r->reason : "");
	}
	for (size_t i = 0; i < e->move_count; i++)
		buf_format(out, "move %s %s\n", e->moves[i].staged, e->moves[i].target);
	buf_text(out, "end ");
	if (!out->failed)
		write_digest(view_of(out->bytes + start, out->length - start), out);
	buf_byte(out, '\n');
}

/* One field's value while it is parsed: the text after the key, and whether it made sense. */
struct field {
	struct view value;
	bool good;
};

static uint64_t field_number(struct field *f, uint64_t maximum)
{
	uint64_t number = 0;

	f->good = f->good && number_parse(f->value, maximum, &number);
	return number;
}

static int64_t field_signed(struct field *f)
{
	bool minus = f->value.length > 0 && f->value.bytes[0] == '-';
	uint64_t number;

	if (minus)
		f->value = view_from(f->value, 1);
	number = field_number(f, INT64_MAX);
	return minus ? -(int64_t)number : (int64_t)number;
}

/* Splits off the word before the first space (all of it when there is none). */
static struct view field_word(struct field *f)
{
	const uint8_t *space = f->value.length == 0 ? NULL : memchr(f->value.bytes, ' ', f->value.length);
	size_t length = space == NULL ? f->value.length : (size_t)(space - f->value.bytes);
	struct view word = view_of(f->value.bytes, length);

	f->value = view_from(f->value, space == NULL ? length : length + 1);
	return word;
}

static char *field_text(const struct field *f)
{
	return mem_copy(f->value.bytes, f->value.length);
}

static enum entry_end end_parse(struct view word)
{
	for (size_t i = ENTRY_DELIVERED; i < sizeof end_names / sizeof end_names[0]; i++)
		if (view_is(word, end_names[i]))
			return (enum entry_end)i;
	return ENTRY_WAITS;
}

static void parse_recipient(struct entry *e, struct view key, struct field *f)
{
	bool ended = !view_is(key, "to");
	struct field number = {field_word(f), true};
	uint64_t index = field_number(&number, UINT32_MAX);
	enum entry_end end = ended ? end_parse(field_word(f)) : ENTRY_WAITS;
	char *address = field_text(f);

	if (!number.good || (ended && end == ENTRY_WAITS) ||
	    (e->recipient_count > 0 && index <= e->recipients[e->recipient_count - 1].index))
		f->good = false;
	if (f->good) {
		struct entry_recipient *r = entry_add_recipient(e, (uint32_t)index, address);

		r->end = end;
		r->fresh = view_is(key, "now");
	}
	free(address);
}

static void parse_status(struct entry *e, struct field *f)
{
	struct view status = field_word(f);
	char text[STATUS_TEXT] = "";
	char *reason;

	if (e->recipient_count == 0 || status.length >= sizeof text) {
		f->good = false;
		return;
	}
	memcpy(text, status.bytes, status.length);
	reason = f->value.length > 0 ? field_text(f) : NULL;
	entry_recipient_result(&e->recipients[e->recipient_count - 1], text, reason);
	free(reason);
}

/* A path below the spool: in one of its directories, and not by way of "..", which may be part of a name ("a..b"). */
static bool target_valid(const char *target)
{
	bool good = target[0] != '/' && strchr(target, '/') != NULL;

	while (good && *target != '\0') {
		size_t length = strcspn(target, "/");

		good = length > 0 && !(length == 2 && memcmp(target, "..", 2) == 0);
		target += length;
		if (*target == '/')
			good = good && *++target != '\0';
	}
	return good;
}

static void parse_move(struct entry *e, struct field *f)
{
	struct view staged = field_word(f);
	char *name = mem_copy(staged.bytes, staged.length);
	char *target = field_text(f);

	if (name[0] == '\0' || strchr(name, '/') != NULL || !target_valid(target))
		f->good = false;
	entry_add_move(e, name, target);
	free(name);
	free(target);
}

static void parse_class(struct entry *e, struct field *f)
{
	char *name = field_text(f);

	f->good = class_parse(name, &e->class);
	free(name);
}

static void parse_field(struct entry *e, struct view key, struct field *f)
{
	if (view_is(key, "id"))
		f->good = id_parse(f->value, &e->id);
	else if (view_is(key, "class"))
		parse_class(e, f);
	else if (view_is(key, "size"))
		e->size = field_number(f, UINT64_MAX);
	else if (view_is(key, "arrived"))
		e->arrived = field_signed(f);
	else if (view_is(key, "arrived-age"))
		e->arrived_age = field_number(f, UINT64_MAX);
	else if (view_is(key, "sender") && e->sender == NULL)
		e->sender = field_text(f);
	else if (view_is(key, "neighbour") && e->neighbour == NULL)
		e->neighbour = field_text(f);
	else if (view_is(key, "attempts"))
		e->attempts = (uint32_t)field_number(f, UINT32_MAX);
	else if (view_is(key, "due-age"))
		e->due_age = field_number(f, UINT64_MAX);
	else if (view_is(key, "last-tried"))
		e->last_tried = field_signed(f);
	else if (view_is(key, "warned"))
		e->warned = field_number(f, 1) == 1;
	else if (view_is(key, "ended"))
		e->ended = field_number(f, 1) == 1;
	else if (view_is(key, "parent") && e->parent == NULL)
		e->parent = field_text(f);
	else if (view_is(key, "to") || view_is(key, "was") || view_is(key, "now"))
		parse_recipient(e, key, f);
	else if (view_is(key, "status"))
		parse_status(e, f);
	else if (view_is(key, "move"))
		parse_move(e, f);
	else
		f->good = false;
}

/* The digest line must be the last, whole, and right. Takes it off TEXT. */
static bool strip_digest(struct view *text)
{
	size_t tail = strlen("end ") + 2 * ENTRY_DIGEST + 1;
	struct view line;
	struct buf right;
	bool good;

	if (text->length <= tail)
		return false;
	line = view_from(*text, text->length - tail);
	buf_init(&right, 256);
	buf_text(&right, "end ");
	write_digest(view_of(text->bytes, text->length - tail + strlen("end ")), &right);
	buf_byte(&right, '\n');
	good = view_equal(line, view_buf(&right));
	buf_release(&right);
	text->length -= tail;
	return good;
}

enum outcome entry_parse(struct entry *e, struct view text, struct error *err)
{
	struct view line;

	entry_init(e);
	if (!strip_digest(&text))
		return error_set(err, EX_DATAERR, "the record is damaged: its digest does not match");
	if (memchr(text.bytes, '\0', text.length) != NULL)
		return error_set(err, EX_DATAERR, "the record holds a NUL");
	if (!view_line(&text, &line) || !view_is(line, ENTRY_MAGIC))
		return error_set(err, EX_DATAERR, "this is no record of this version");
	while (view_line(&text, &line)) {
		struct field f = {line, true};
		struct view key = field_word(&f);

		parse_field(e, key, &f);
		if (!f.good) {
			enum outcome outcome =
			    error_set(err, EX_DATAERR, "the record has a line that makes no sense: %.*s",
				(int)(line.length < 80 ? line.length : 80), (const char *)line.bytes);

			entry_release(e);
			return outcome;
		}
	}
	if (e->id.host[0] == '\0' || e->recipient_count == 0) {
		entry_release(e);
		return error_set(err, EX_DATAERR, "the record has no id or no recipient");
	}
	if (e->sender == NULL)
		e->sender = mem_string("");
	return OUTCOME_DONE;
}

/* ---- several in one file --------------------------------------------------------------------------------- */

/*
 * The first record of ID in FILE behind *AT, which is set behind its beginning: from there to its line with the digest. No
 * other line begins like that one, and what is damaged elsewhere in the file does not matter.
 */
static bool section_find(struct view file, size_t *at, struct view id, struct view *section)
{
	static const char magic[] = ENTRY_MAGIC "\nid ";
	const uint8_t *found;

	while ((found = memmem(file.bytes + *at, file.length - *at, magic, strlen(magic))) != NULL) {
		struct view rest = view_from(file, (size_t)(found - file.bytes) + strlen(magic));
		const uint8_t *end = memmem(rest.bytes, rest.length, "\nend ", strlen("\nend "));
		struct view line;

		*at = file.length - rest.length;
		if (end == NULL || !view_line(&rest, &line) || !view_equal(line, id))
			continue;
		rest = view_from(file, (size_t)(end - file.bytes) + 1);
		view_line(&rest, &line);
		*section = view_of(found, file.length - rest.length - (size_t)(found - file.bytes));
		return true;
	}
	return false;
}

/* Is it called NAME, as it is or as a claim? */
static bool is_called(const struct entry *e, const char *name)
{
	char own[ENTRY_NAME];
	size_t length;

	entry_name(e, own);
	length = strlen(own);
	return strncmp(name, own, length) == 0 && (name[length] == '\0' || strcmp(name + length, "~") == 0);
}

enum outcome entry_parse_named(struct entry *e, struct view file, const char *name, struct error *err)
{
	struct view id = view_of(name, strcspn(name, "+"));
	struct view section;
	enum outcome outcome;
	size_t at = 0;

	while (file.length > 0 && section_find(file, &at, id, &section)) {
		if (entry_parse(e, section, NULL) == OUTCOME_DONE && is_called(e, name))
			return OUTCOME_DONE;
		entry_release(e);
	}
	/* For the reason. What was left of a file of several must not pass for another of them. */
	outcome = entry_parse(e, file, err);
	if (outcome == OUTCOME_DONE) {
		entry_release(e);
		outcome = error_set(err, EX_DATAERR, "this is another record's file, and not that of %s", name);
	}
	return outcome;
}
