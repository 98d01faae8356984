#include "relay/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/text.h"

/* Milliseconds between two looks. */
#define PROGRESS_TIME 500
#define PROGRESS_LINE 400
/* Of a terminal that does not say how wide it is, but for the last. */
#define PROGRESS_COLUMNS 79

void progress_begin(struct progress *p, const char *name)
{
	*p = (struct progress){.shown = isatty(STDERR_FILENO) == 1, .name = name};
}

void progress_sent(struct progress *p, uint64_t sequence, uint64_t done, uint64_t size)
{
	p->sent = (struct progress_batch){sequence, done, size};
}

void progress_received(struct progress *p, uint64_t sequence, uint64_t done, uint64_t size)
{
	p->received = (struct progress_batch){sequence, done, size};
}

static void show_batch(const struct progress *p, const struct progress_batch *b, const char *verb, struct buf *line)
{
	char done[24];
	char size[24];
	char left[24];

	if (b->sequence == 0)
		return;
	size_print(b->done, done);
	size_print(b->size, size);
	buf_format(line, "  %s batch %llu: %s of %s", verb, (unsigned long long)b->sequence, done, size);
	if (p->rate > 0 && b->done < b->size) {
		duration_print((b->size - b->done) / p->rate, left);
		buf_format(line, ", %s left", left);
	}
}

static void measure(struct progress *p, const struct session *s, uint64_t now)
{
	uint64_t octets = s->data_sent + s->data_received;
	uint64_t rate = now > p->since ? (octets - p->octets) * 1000 / (now - p->since) : 0;

	p->rate = p->rate == 0 ? rate : (p->rate * 3 + rate) / 4;
	p->octets = octets;
	p->since = now;
}

/* A line that wraps could not be written over. */
static size_t columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 2 || size.ws_col > PROGRESS_LINE)
		return PROGRESS_COLUMNS;
	return size.ws_col - 1U;
}

void progress_show(struct progress *p, const struct session *s, uint64_t now)
{
	struct buf line;
	char rate[24];
	size_t width;

	if (!p->shown || now < p->next)
		return;
	measure(p, s, now);
	p->next = now + PROGRESS_TIME;
	size_print(p->rate, rate);
	buf_init(&line, PROGRESS_LINE);
	buf_format(&line, "%.100s: %s/s", p->name, rate);
	show_batch(p, &p->sent, "sending", &line);
	show_batch(p, &p->received, "receiving", &line);
	width = line.length < columns() ? line.length : columns();
	fprintf(
	    stderr, "\r%.*s%*s", (int)width, buf_string(&line), p->width > width ? (int)(p->width - width) : 0, "");
	fflush(stderr);
	p->width = width;
	buf_release(&line);
}

void progress_end(struct progress *p)
{
	if (p->shown && p->width > 0)
		fprintf(stderr, "\r%*s\r", (int)p->width, "");
}

void progress_leave(struct progress *p)
{
	progress_end(p);
	if (p->shown)
		fprintf(stderr, "%.100s: the call is being ended; once more ends it at once\n", p->name);
	p->width = 0;
	p->shown = false;
}
