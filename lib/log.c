#include "lib/log.h"

#include <fcntl.h>
#include <stdatomic.h>

#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/daemon.h"
#include "lib/text.h"

/* Octets of lines that are written together: a group of messages accepted with one wait for the disk. */
#define LOG_GATHERED 65536
/* A line holds an address, a reason and some numbers; a longer one is cut, visibly. */
#define LOG_LINE 4000
/* The part of it that an id may take: the longest file name. */
#define LOG_ID 255

/* The new log that could not be opened last, for all threads of a process that have one: it is told of once. */
static _Atomic uint64_t refused;
/* Instead of its inode: there is none. No file system numbers its files from here. */
#define REFUSED_NONE UINT64_MAX

/* Behind ERR: whose the log must be. */
static void say_whose(const struct dir *d, struct error *err)
{
	size_t length = strlen(err->text);
	char owner[DAEMON_USER];
	struct stat st;
	bool named;

	if (fstat(d->fd, &st) != 0)
		return;
	named = daemon_user_name(st.st_uid, owner);
	snprintf(err->text + length, sizeof err->text - length,
	    " (%s%s, to whom %s belongs, must be able to write it)", named ? "" : "user ", owner, d->path);
}

static enum outcome log_append(const struct dir *d, const char *name, int *fd, struct error *err)
{
	enum outcome outcome = file_append(d, name, fd, err);

	if (outcome != OUTCOME_DONE && err->code == EX_NOPERM)
		say_whose(d, err);
	return outcome;
}

enum outcome log_open(struct log *log, const struct dir *d, const char *name, struct error *err)
{
	log->gathering = false;
	buf_init(&log->gathered, LOG_GATHERED);
	return log_append(d, name, &log->fd, err);
}

void log_close(struct log *log)
{
	log_write_out(log);
	file_close(&log->fd);
}

static bool log_stands(const struct log *log, const struct dir *d, const char *name)
{
	struct stat ours;
	struct stat there;

	return log->fd < 0 || (fstat(log->fd, &ours) == 0 && fstatat(d->fd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
				  ours.st_ino == there.st_ino && ours.st_dev == there.st_dev);
}

/* In the log that is still open, which may be looked at by nobody any more, and on standard error. */
static void tell_refused(struct log *log, const struct dir *d, const char *name, const struct error *err)
{
	bool echo = log->echo;
	struct stat st;
	uint64_t file = fstatat(d->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : REFUSED_NONE;
	char *text;

	if (atomic_exchange(&refused, file) == file)
		return;
	text = mem_format("%s; until then the log that was renamed or removed is written to", err->text);
	log->echo = true;
	log_event(log, name, "trouble", "reason", text);
	log->echo = echo;
	free(text);
}

void log_follow(struct log *log, const struct dir *d, const char *name)
{
	struct error err = ERROR_NONE;
	int fd;

	if (log_stands(log, d, name))
		return;
	if (log_append(d, name, &fd, &err) != OUTCOME_DONE) {
		tell_refused(log, d, name, &err);
		return;
	}
	atomic_store(&refused, 0);
	file_close(&log->fd);
	log->fd = fd;
}

static bool log_plain(const char *value)
{
	if (*value == '\0')
		return false;
	for (; *value != '\0'; value++)
		if ((uint8_t)*value <= ' ' || *value == '"' || *value == '=' || *value == '\\' || *value == 0x7f)
			return false;
	return true;
}

static void begin_value(struct log_line *line, const char *key)
{
	buf_byte(&line->text, ' ');
	buf_text(&line->text, key);
	buf_byte(&line->text, '=');
}

void log_text(struct log_line *line, const char *key, const char *value)
{
	if (line->log == NULL || value == NULL)
		return;
	begin_value(line, key);
	if (log_plain(value)) {
		buf_text(&line->text, value);
		return;
	}
	buf_byte(&line->text, '"');
	for (; *value != '\0'; value++) {
		uint8_t c = (uint8_t)*value;

		if (c == '"' || c == '\\')
			buf_format(&line->text, "\\%c", c);
		else if (c < ' ' || c == 0x7f)
			buf_format(&line->text, "\\x%02x", c);
		else
			buf_byte(&line->text, c);
	}
	buf_byte(&line->text, '"');
}

void log_number(struct log_line *line, const char *key, uint64_t value)
{
	if (line->log == NULL)
		return;
	begin_value(line, key);
	buf_number(&line->text, value);
}

void log_begin(struct log_line *line, struct log *log, const char *id, const char *event)
{
	char now[DATE_TEXT];

	line->log = log;
	buf_init(&line->text, LOG_LINE);
	if (log == NULL)
		return;
	date_rfc3339(clock_now(), now);
	/* An id may be a name that was found on a stick. */
	buf_append(&line->text, id, strnlen(id, LOG_ID));
	for (size_t i = 0; i < line->text.length; i++)
		if (line->text.bytes[i] <= ' ' || line->text.bytes[i] == 0x7f)
			line->text.bytes[i] = '?';
	buf_byte(&line->text, ' ');
	buf_text(&line->text, event);
	log_text(line, "at", now);
}

static void put(const struct log *log, struct view lines)
{
	if (log->fd >= 0)
		file_write(log->fd, lines.bytes, lines.length, "the log", NULL);
	if (log->echo)
		file_write(STDERR_FILENO, lines.bytes, lines.length, "standard error", NULL);
}

static void put_aside(struct log *log, struct view line)
{
	if (log->gathered.length + line.length > LOG_GATHERED) {
		put(log, view_buf(&log->gathered));
		buf_clear(&log->gathered);
	}
	buf_view(&log->gathered, line);
}

void log_gather(struct log *log)
{
	log->gathering = true;
}

void log_write_out(struct log *log)
{
	if (log->gathered.length > 0)
		put(log, view_buf(&log->gathered));
	buf_release(&log->gathered);
	log->gathering = false;
}

void log_end(struct log_line *line)
{
	if (line->log == NULL)
		return;
	if (line->text.failed) {
		line->text.failed = false;
		line->text.maximum += 8;
		buf_text(&line->text, " [...]");
	}
	line->text.maximum += 1;
	buf_byte(&line->text, '\n');
	if (line->log->gathering)
		put_aside(line->log, view_buf(&line->text));
	else
		put(line->log, view_buf(&line->text));
	buf_release(&line->text);
}

void log_event(struct log *log, const char *id, const char *event, const char *key, const char *value)
{
	struct log_line line;

	log_begin(&line, log, id, event);
	log_text(&line, key, value);
	log_end(&line);
}
