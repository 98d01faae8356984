#include "queue/fetched_file.h"

#include "lib/alloc.h"
#include "lib/text.h"

/* Octets of a hash behind each line: against what a disk does, not against people. */
#define CHECK	   6
#define CHECK_TEXT ((size_t)2 * CHECK)

static void check_of(struct view line, uint8_t check[static CHECK])
{
	uint8_t whole[crypto_generichash_BYTES_MIN];

	crypto_generichash(whole, sizeof whole, line.bytes, line.length, NULL, 0);
	memcpy(check, whole, CHECK);
}

/* Adds the check over what OUT has got since FROM, and the line end. */
static void line_end(struct buf *out, size_t from)
{
	uint8_t check[CHECK];

	check_of(view_from(view_buf(out), from), check);
	buf_byte(out, ' ');
	hex_encode(check, sizeof check, out);
	buf_byte(out, '\n');
}

void fetched_print_item(const struct fetched_item *item, struct buf *out)
{
	size_t from = out->length;
	char id[LIMIT_ID];

	id_print(&item->id, id);
	buf_text(out, item->kind == FETCHED_NOTICE ? "note " : item->deleted ? "dele " : "mail ");
	/* Any printable character may stand in a UID: the '=' tells one from the sign that there is none. */
	buf_format(out, "%s%s ", item->uid == NULL ? "-" : "=", item->uid == NULL ? "" : item->uid);
	buf_number(out, item->octets);
	buf_byte(out, ' ');
	hex_encode(item->digest, sizeof item->digest, out);
	buf_format(out, " %s %llu", id, (unsigned long long)item->age);
	line_end(out, from);
}

void fetched_print_failure(const struct fetched_failure *failure, struct buf *out)
{
	size_t from = out->length;

	buf_format(out, "fail %llu %lld ", (unsigned long long)failure->times,
	    (long long)(failure->since < 0 ? 0 : failure->since));
	if (failure->reason != NULL)
		text_visible(view_text(failure->reason), LIMIT_REASON, out);
	line_end(out, from);
}

/* Takes the part before the next space off LINE. */
static struct view word(struct view *line)
{
	const uint8_t *space = line->length == 0 ? NULL : memchr(line->bytes, ' ', line->length);
	size_t length = space == NULL ? line->length : (size_t)(space - line->bytes);
	struct view w = view_of(line->bytes, length);

	*line = view_from(*line, length + (space != NULL));
	return w;
}

static bool digest_parse(struct view text, uint8_t digest[static FETCHED_DIGEST])
{
	struct buf bytes;
	bool good;

	buf_init(&bytes, FETCHED_DIGEST);
	good = hex_decode(text, &bytes) && bytes.length == FETCHED_DIGEST;
	if (good)
		memcpy(digest, bytes.bytes, FETCHED_DIGEST);
	buf_release(&bytes);
	return good;
}

bool fetched_uid_valid(struct view uid)
{
	for (size_t i = 0; i < uid.length; i++)
		if (uid.bytes[i] < 0x21 || uid.bytes[i] > 0x7E)
			return false;
	return uid.length > 0 && uid.length <= FETCHED_UID_MAX;
}

static bool item_parse(struct view line, enum fetched_kind kind, struct fetched_item *item)
{
	struct view uid = word(&line);

	*item = (struct fetched_item){.kind = kind};
	if ((!view_is(uid, "-") &&
		(uid.length == 0 || uid.bytes[0] != '=' || !fetched_uid_valid(view_from(uid, 1)))) ||
	    !number_parse(word(&line), UINT64_MAX, &item->octets) || !digest_parse(word(&line), item->digest) ||
	    !id_parse(word(&line), &item->id) || !number_parse(line, UINT64_MAX, &item->age))
		return false;
	if (uid.bytes[0] == '=')
		item->uid = mem_copy(uid.bytes + 1, uid.length - 1);
	return true;
}

static bool failure_parse(struct view line, struct fetched_failure *failure)
{
	uint64_t since;

	*failure = (struct fetched_failure){0};
	if (!number_parse(word(&line), UINT64_MAX, &failure->times) || !number_parse(word(&line), INT64_MAX, &since))
		return false;
	failure->since = (int64_t)since;
	if (!utf8_valid(line) || text_has_control(line))
		return false;
	if (line.length > 0)
		failure->reason = mem_copy(line.bytes, line.length);
	return true;
}

enum fetched_line fetched_parse(struct view line, struct fetched_item *item, struct fetched_failure *failure)
{
	uint8_t check[CHECK];
	struct buf text;
	struct view kind;
	bool good;

	if (line.length <= CHECK_TEXT || line.bytes[line.length - CHECK_TEXT - 1] != ' ')
		return FETCHED_LINE_BAD;
	buf_init(&text, CHECK_TEXT);
	check_of(view_of(line.bytes, line.length - CHECK_TEXT - 1), check);
	hex_encode(check, sizeof check, &text);
	good = view_equal(view_buf(&text), view_from(line, line.length - CHECK_TEXT));
	buf_release(&text);
	if (!good)
		return FETCHED_LINE_BAD;
	line.length -= CHECK_TEXT + 1;
	kind = word(&line);
	if (view_is(kind, "mail") && item_parse(line, FETCHED_MAIL, item))
		return FETCHED_LINE_ITEM;
	if (view_is(kind, "dele") && item_parse(line, FETCHED_MAIL, item)) {
		item->deleted = true;
		return FETCHED_LINE_ITEM;
	}
	if (view_is(kind, "note") && item_parse(line, FETCHED_NOTICE, item))
		return FETCHED_LINE_ITEM;
	if (view_is(kind, "fail") && failure_parse(line, failure))
		return FETCHED_LINE_FAILURE;
	return FETCHED_LINE_BAD;
}

void fetched_walk(struct view file, fetched_visit *visit, void *context, size_t *good, size_t *damaged)
{
	size_t head = strlen(FETCHED_HEAD);
	bool headed = file.length >= head && memcmp(file.bytes, FETCHED_HEAD, head) == 0;
	struct view rest = headed ? view_from(file, head) : file;
	struct view line;
	size_t bad = 0;

	*good = headed ? head : 0;
	*damaged = 0;
	while (view_line(&rest, &line)) {
		struct fetched_item item = {0};
		struct fetched_failure failure = {0};
		enum fetched_line kind = FETCHED_LINE_BAD;

		/* The last line has its LF or was not written to its end. */
		if (line.bytes + line.length < file.bytes + file.length)
			kind = fetched_parse(line, &item, &failure);
		if (kind == FETCHED_LINE_BAD) {
			bad++;
			continue;
		}
		*damaged += bad;
		bad = 0;
		*good = (size_t)(line.bytes + line.length + 1 - file.bytes);
		visit(context, kind, &item, &failure);
	}
	if (!headed && *good > 0)
		++*damaged;
}
