#include "tools/mailq.h"

#include "lib/text.h"

/* Where the reason ends and where the recipients begin: the columns of the layout. */
#define REASON_END	 76
#define RECIPIENT_COLUMN 41
#define MOMENT_TEXT	 64

struct listing {
	FILE *out;
	size_t entries;
	uint64_t octets;
};

/* "Mon Nov 23 02:51:19", in the reader's time zone but not in the language of the locale. */
static void moment_print(int64_t seconds, char out[static MOMENT_TEXT])
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t moment = (time_t)seconds;
	struct tm parts;

	if (localtime_r(&moment, &parts) == NULL) {
		snprintf(out, MOMENT_TEXT, "-");
		return;
	}
	snprintf(out, MOMENT_TEXT, "%.3s %.3s %2d %02d:%02d:%02d", days + 3 * parts.tm_wday,
	    months + 3 * parts.tm_mon, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

/* What strangers wrote must not steer a terminal. */
static void print_visible(FILE *out, const char *before, const char *text, const char *after)
{
	struct buf visible;

	buf_init(&visible, SIZE_MAX);
	text_visible(view_text(text), SIZE_MAX, &visible);
	fprintf(out, "%s%s%s", before, buf_string(&visible), after);
	buf_release(&visible);
}

static void print_reason(FILE *out, const char *reason)
{
	size_t length = strlen(reason) + 2;

	fprintf(out, "%*s", length < REASON_END ? (int)(REASON_END - length) : 0, "");
	print_visible(out, "(", reason, ")\n");
}

static const char *reason_of(const struct entry_recipient *r)
{
	return r->reason == NULL ? "" : r->reason;
}

static void print_recipient(FILE *out, const struct entry_recipient *r)
{
	fprintf(out, "%*s", RECIPIENT_COLUMN, "");
	print_visible(out, "", r->address, "\n");
}

/* First those that nothing is known about; neighbours with the same reason share it. */
static void print_recipients(FILE *out, const struct entry *e)
{
	const char *shown = "";

	for (size_t i = 0; i < e->recipient_count; i++)
		if (reason_of(&e->recipients[i])[0] == '\0')
			print_recipient(out, &e->recipients[i]);
	for (size_t i = 0; i < e->recipient_count; i++) {
		const char *reason = reason_of(&e->recipients[i]);

		if (reason[0] == '\0')
			continue;
		if (strcmp(reason, shown) != 0)
			print_reason(out, reason);
		shown = reason;
		print_recipient(out, &e->recipients[i]);
	}
}

static char place_mark(const struct queue_place *place)
{
	if (strcmp(place->hop, "hold") == 0)
		return '!';
	return text_starts(place->within, "batch-") || text_starts(place->within, "work-") ? '*' : ' ';
}

static bool print_entry(
    void *context, const struct queue_place *place, const struct entry *e, const struct error *err)
{
	struct listing *l = context;
	char id[LIMIT_ID];
	char moment[MOMENT_TEXT];

	if (l->entries++ == 0)
		fprintf(l->out, "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n");
	if (e == NULL) {
		print_visible(l->out, "", place->name, "\n");
		print_reason(l->out, err->text);
	} else {
		id_print(&e->id, id);
		moment_print(e->arrived, moment);
		fprintf(l->out, "%-10s%c %8llu %-20s ", id, place_mark(place), (unsigned long long)e->size, moment);
		print_visible(l->out, "", e->sender[0] == '\0' ? "MAILER-DAEMON" : e->sender, "\n");
		print_recipients(l->out, e);
		l->octets += e->size;
	}
	fputc('\n', l->out);
	return true;
}

enum outcome mailq_print(const struct queue *queue, FILE *out, struct error *err)
{
	struct listing l = {.out = out};
	enum outcome outcome = queue_walk(queue, NULL, print_entry, &l, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	if (l.entries == 0)
		fprintf(out, "Mail queue is empty\n");
	else
		fprintf(out, "-- %llu Kbytes in %zu Request%s.\n", (unsigned long long)((l.octets + 1023) / 1024),
		    l.entries, l.entries == 1 ? "" : "s");
	if (fflush(out) != 0 || ferror(out))
		return error_set(err, EX_IOERR, "cannot write the list of waiting mail");
	return OUTCOME_DONE;
}
