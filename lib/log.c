#include "lib/log.h"

#include <fcntl.h>

#include "lib/clock.h"
#include "lib/text.h"

/* A line holds an address, a reason and some numbers; a longer one is cut, visibly. */
#define LOG_LINE 4000
/* The part of it that an id may take: the longest file name. */
#define LOG_ID 255

enum outcome log_open(struct log *log, const struct dir *d, const char *name, struct error *err)
{
	return file_append(d, name, &log->fd, err);
}

void log_close(struct log *log)
{
	file_close(&log->fd);
}

static bool log_stands(const struct log *log, const struct dir *d, const char *name)
{
	struct stat ours;
	struct stat there;

	return log->fd < 0 || (fstat(log->fd, &ours) == 0 && fstatat(d->fd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
				  ours.st_ino == there.st_ino && ours.st_dev == there.st_dev);
}

void log_follow(struct log *log, const struct dir *d, const char *name)
{
	int fd;

	if (log_stands(log, d, name) || file_append(d, name, &fd, NULL) != OUTCOME_DONE)
		return;
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

void log_text(struct log_line *line, const char *key, const char *value)
{
	if (line->log == NULL || value == NULL)
		return;
	buf_format(&line->text, " %s=", key);
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
	if (line->log != NULL)
		buf_format(&line->text, " %s=%llu", key, (unsigned long long)value);
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
	for (; *id != '\0' && line->text.length < LOG_ID; id++)
		buf_byte(&line->text, (uint8_t)*id <= ' ' || *id == 0x7f ? '?' : (uint8_t)*id);
	buf_format(&line->text, " %s at=%s", event, now);
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
	if (line->log->fd >= 0)
		file_write(line->log->fd, line->text.bytes, line->text.length, "the log", NULL);
	if (line->log->echo)
		file_write(STDERR_FILENO, line->text.bytes, line->text.length, "standard error", NULL);
	buf_release(&line->text);
}

void log_event(struct log *log, const char *id, const char *event, const char *key, const char *value)
{
	struct log_line line;

	log_begin(&line, log, id, event);
	log_text(&line, key, value);
	log_end(&line);
}
