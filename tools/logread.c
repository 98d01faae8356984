#include "tools/logread.h"

#include <zlib.h>

#include "lib/alloc.h"
#include "lib/limits.h"
#include "lib/text.h"

#define LOG_FILE "log"
/* A line is a few thousand octets at most; what is longer was not written by us. */
#define LOG_LINE_MAX ((size_t)1 << 20)

/* ---- one line -------------------------------------------------------------------------------------------- */

void log_fields_release(struct log_fields *f)
{
	for (size_t i = 0; i < f->count; i++) {
		free(f->items[i].key);
		free(f->items[i].value);
	}
	free(f->items);
	free(f->id);
	free(f->event);
	*f = (struct log_fields){0};
}

static struct view word_take(struct view *rest, const char *ends)
{
	struct view word = *rest;
	size_t length = 0;

	while (length < rest->length && strchr(ends, rest->bytes[length]) == NULL)
		length++;
	word.length = length;
	*rest = view_from(*rest, length);
	return word;
}

static int hex_digit(uint8_t c)
{
	c = text_lower(c);
	return text_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A quoted value; REST stands behind the opening quote, and then behind the closing one. */
static void quoted_take(struct view *rest, struct buf *out)
{
	size_t i = 0;

	for (; i < rest->length && rest->bytes[i] != '"'; i++) {
		if (rest->bytes[i] != '\\' || i + 1 >= rest->length) {
			buf_byte(out, rest->bytes[i]);
			continue;
		}
		i++;
		if (rest->bytes[i] == 'x' && i + 2 < rest->length && hex_digit(rest->bytes[i + 1]) >= 0 &&
		    hex_digit(rest->bytes[i + 2]) >= 0) {
			buf_byte(out, (uint8_t)(hex_digit(rest->bytes[i + 1]) * 16 + hex_digit(rest->bytes[i + 2])));
			i += 2;
		} else {
			buf_byte(out, rest->bytes[i]);
		}
	}
	*rest = view_from(*rest, i + (i < rest->length));
}

static void field_add(struct log_fields *f, struct view key, struct view value)
{
	f->items = mem_grow(f->items, f->count, &f->capacity, sizeof f->items[0]);
	f->items[f->count++] =
	    (struct log_field){mem_copy(key.bytes, key.length), mem_copy(value.bytes, value.length)};
}

bool log_fields_parse(struct log_fields *f, struct view line)
{
	struct view id;
	struct view event;

	log_fields_release(f);
	id = word_take(&line, " ");
	line = view_from(line, 1);
	event = word_take(&line, " ");
	if (id.length == 0 || event.length == 0 || memchr(event.bytes, '=', event.length) != NULL)
		return false;
	f->id = mem_copy(id.bytes, id.length);
	f->event = mem_copy(event.bytes, event.length);
	while (line.length > 1) {
		struct view key;
		struct buf value;

		line = view_from(line, 1);
		key = word_take(&line, " =");
		if (line.length == 0 || line.bytes[0] != '=')
			continue; /* the mark of a line that was cut */
		line = view_from(line, 1);
		buf_init(&value, LOG_LINE_MAX);
		if (line.length > 0 && line.bytes[0] == '"') {
			line = view_from(line, 1);
			quoted_take(&line, &value);
		} else {
			buf_view(&value, word_take(&line, " "));
		}
		field_add(f, key, view_buf(&value));
		buf_release(&value);
	}
	return true;
}

const char *log_field(const struct log_fields *f, const char *key)
{
	for (size_t i = 0; i < f->count; i++)
		if (strcmp(f->items[i].key, key) == 0)
			return f->items[i].value;
	return NULL;
}

bool log_field_number(const struct log_fields *f, const char *key, uint64_t *number)
{
	const char *value = log_field(f, key);

	return value != NULL && number_parse(view_text(value), UINT64_MAX, number);
}

bool log_line_about(struct view line, const char *id)
{
	size_t length = strlen(id);

	if (line.length < length)
		return false;
	if (memcmp(line.bytes, id, length) == 0 && (line.length == length || line.bytes[length] == ' '))
		return true;
	for (size_t i = 1; i + length <= line.length; i++) {
		const uint8_t *at = line.bytes + i;
		bool ends = i + length == line.length || at[length] == ' ';

		if (at[-1] == '=' && ends && memcmp(at, id, length) == 0)
			return true;
	}
	return false;
}

/* ---- the files ------------------------------------------------------------------------------------------- */

/* What stands between "log." or "log-" and ".gz". */
static struct view suffix_of(const char *name)
{
	size_t length = strlen(name);

	if (text_ends(name, ".gz"))
		length -= strlen(".gz");
	return length <= strlen(LOG_FILE) ? view_of(name, 0)
					  : view_of(name + strlen(LOG_FILE) + 1, length - strlen(LOG_FILE) - 1);
}

int log_name_compare(const void *a, const void *b)
{
	const char *x = *(char *const *)a;
	const char *y = *(char *const *)b;
	struct view suffix_x = suffix_of(x);
	struct view suffix_y = suffix_of(y);
	uint64_t number_x;
	uint64_t number_y;
	/* A count of rotations; a date has more digits. */
	bool counted_x = number_parse(suffix_x, 9999, &number_x);
	bool counted_y = number_parse(suffix_y, 9999, &number_y);

	if ((suffix_x.length == 0) != (suffix_y.length == 0))
		return suffix_x.length == 0 ? 1 : -1;
	if (counted_x && counted_y && number_x != number_y)
		return number_x > number_y ? -1 : 1;
	if (counted_x != counted_y)
		return counted_x ? 1 : -1;
	return strcmp(x, y);
}

enum outcome log_files(const struct dir *d, struct names *files, struct error *err)
{
	struct names all;
	enum outcome outcome = dir_names(d, &all, err);

	*files = (struct names){0};
	for (size_t i = 0; outcome == OUTCOME_DONE && i < all.count; i++)
		if (strcmp(all.items[i], LOG_FILE) == 0 || text_starts(all.items[i], LOG_FILE ".") ||
		    text_starts(all.items[i], LOG_FILE "-"))
			names_add(files, all.items[i]);
	names_release(&all);
	if (files->count > 1)
		qsort(files->items, files->count, sizeof files->items[0], log_name_compare);
	return outcome;
}

static bool lines_visit(gzFile file, struct buf *line, log_visit *visit, void *context)
{
	char piece[8192];
	bool go_on = true;

	while (go_on && gzgets(file, piece, sizeof piece) != NULL) {
		size_t length = strlen(piece);

		buf_append(line, piece, length);
		if (length == sizeof piece - 1 && piece[length - 1] != '\n')
			continue;
		if (line->length > 0 && line->bytes[line->length - 1] == '\n')
			line->length--;
		go_on = visit(context, view_buf(line));
		buf_clear(line);
	}
	return go_on;
}

enum outcome log_read(const struct dir *d, const char *name, log_visit *visit, void *context, struct error *err)
{
	struct buf line;
	gzFile file;
	int status = Z_OK;
	int fd;
	enum outcome outcome = file_open(d, name, &fd, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	file = gzdopen(fd, "rb"); /* plain files too */
	if (file == NULL) {
		file_close(&fd);
		return error_set(err, EX_OSERR, "there is no memory for reading %s/%s", d->path, name);
	}
	gzbuffer(file, COPY_CHUNK);
	buf_init(&line, LOG_LINE_MAX);
	lines_visit(file, &line, visit, context);
	gzerror(file, &status);
	if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
		outcome = error_set(err, EX_IOERR, "cannot read %s/%s to its end", d->path, name);
	buf_release(&line);
	gzclose_r(file);
	return outcome;
}

enum outcome log_read_end(const struct dir *d, size_t octets, log_visit *visit, void *context, struct error *err)
{
	uint64_t size = 0;
	struct view rest;
	struct view line;
	char *text;
	int fd;
	enum outcome outcome = file_open_sized(d, LOG_FILE, &fd, &size, err);
	size_t length = size < octets ? (size_t)size : octets;

	if (outcome != OUTCOME_DONE)
		return outcome;
	text = mem_alloc(length + 1);
	outcome = file_read_at(fd, text, length, size - length, LOG_FILE, err);
	file_close(&fd);
	rest = view_of(text, outcome == OUTCOME_DONE ? length : 0);
	if (length < size)
		view_line(&rest, &line);
	while (view_line(&rest, &line) && visit(context, line))
		;
	free(text);
	return outcome;
}
