/* `packetboat log`: the log as it stands, the lines about one message or batch, or the lines as they come. */
#include <fcntl.h>

#include "lib/alloc.h"
#include "lib/text.h"
#include "tools/command.h"
#include "tools/logread.h"

struct shown {
	const char *id; /* null: every line */
	bool terminal;
	uint64_t most; /* of the last lines, 0: all */
	char **last;   /* a ring of them */
	uint64_t count;
	size_t found;
};

static void line_show(const struct shown *s, const char *line)
{
	if (s->terminal)
		print_visible(line);
	else
		fputs(line, stdout);
	putchar('\n');
}

static bool take(void *context, struct view line)
{
	struct shown *s = context;
	char *text;

	if (s->id != NULL && !log_line_about(line, s->id))
		return true;
	s->found++;
	text = mem_copy(line.bytes, line.length);
	if (s->most == 0) {
		line_show(s, text);
		free(text);
	} else {
		free(s->last[s->count % s->most]);
		s->last[s->count++ % s->most] = text;
	}
	return !ferror(stdout);
}

static void last_show(struct shown *s)
{
	uint64_t from = s->count > s->most ? s->count - s->most : 0;

	for (uint64_t i = from; i < s->count; i++)
		line_show(s, s->last[i % s->most]);
	for (uint64_t i = 0; i < s->most; i++)
		free(s->last[i]);
	free(s->last);
	s->last = NULL;
	s->most = 0;
}

/* ---- following ------------------------------------------------------------------------------------------- */

/* Hands on the whole lines that came since *OFFSET. */
static void follow_some(int fd, uint64_t *offset, struct buf *rest, struct shown *s)
{
	char piece[8192];
	ssize_t count;

	while ((count = pread(fd, piece, sizeof piece, (off_t)*offset)) > 0) {
		struct view lines;
		struct view line;
		size_t taken = 0;

		*offset += (uint64_t)count;
		buf_append(rest, piece, (size_t)count);
		lines = view_buf(rest);
		while (memchr(lines.bytes, '\n', lines.length) != NULL && view_line(&lines, &line)) {
			take(s, line);
			taken = rest->length - lines.length;
		}
		buf_consume(rest, taken);
	}
}

/* Goes on for ever; a file that was moved aside is read to its end, then the new one from its beginning. */
static enum outcome follow(const struct dir *spool, struct shown *s, struct error *err)
{
	struct buf rest;
	uint64_t offset = 0;
	int fd;
	enum outcome outcome = file_open(spool, "log", &fd, err);

	buf_init(&rest, (size_t)1 << 20);
	if (outcome == OUTCOME_DONE)
		follow_some(fd, &offset, &rest, s);
	last_show(s);
	while (outcome == OUTCOME_DONE && !ferror(stdout)) {
		struct stat here;
		struct stat there;

		fflush(stdout);
		nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
		follow_some(fd, &offset, &rest, s);
		if (fstat(fd, &here) == 0 && fstatat(spool->fd, "log", &there, AT_SYMLINK_NOFOLLOW) == 0 &&
		    (here.st_ino != there.st_ino || (uint64_t)here.st_size < offset)) {
			follow_some(fd, &offset, &rest, s);
			file_close(&fd);
			outcome = file_open(spool, "log", &fd, err);
			offset = 0;
		}
	}
	buf_release(&rest);
	file_close(&fd);
	return outcome;
}

enum outcome command_log(struct tool *t, struct error *err)
{
	struct shown s = {.terminal = isatty(STDOUT_FILENO)};
	const char *lines = NULL;
	bool following = false;
	const struct tool_option options[] = {{"f", OPTION_FLAG, &following}, {"n", OPTION_TEXT, &lines}};
	struct names files = {0};
	size_t present;
	enum outcome outcome = tool_options(t, options, 2, 0, 1, "", err);

	if (outcome == OUTCOME_DONE && lines != NULL &&
	    (!number_parse(view_text(lines), 1000000, &s.most) || s.most == 0))
		outcome = tool_usage(t, err, "\"%s\" is not a number of lines", lines);
	if (outcome == OUTCOME_DONE)
		outcome = tool_queue(t, err);
	if (outcome == OUTCOME_DONE)
		outcome = log_files(&t->queue.spool, &files, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	s.id = t->count > 0 ? t->words[0] : NULL;
	s.last = mem_array(s.most > 0 ? s.most : 1, sizeof s.last[0]);
	/* Everything about one id; else the present file. */
	present = files.count > 0 ? files.count - 1 : 0;
	for (size_t i = s.id != NULL ? 0 : present; i < files.count && outcome == OUTCOME_DONE; i++)
		if (!following || i < present)
			outcome = log_read(&t->queue.spool, files.items[i], take, &s, err);
	names_release(&files);
	if (outcome == OUTCOME_DONE && following)
		return follow(&t->queue.spool, &s, err);
	last_show(&s);
	if (outcome == OUTCOME_DONE && s.id != NULL && s.found == 0)
		return error_set(err, EX_DATAERR, "the log says nothing about %s", s.id);
	return outcome;
}
