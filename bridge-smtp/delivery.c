#include "bridge-smtp/delivery.h"

void delivery_free(struct delivery *d)
{
	free(d->destination);
	free(d->recipients);
	buf_release(&d->trace);
	free(d);
}

void delivery_judge_rest(struct delivery *d, const struct smtp_verdict *verdict)
{
	for (size_t i = 0; i < d->count; i++) {
		if (d->recipients[i].judged)
			continue;
		d->recipients[i].judged = true;
		d->recipients[i].verdict = *verdict;
	}
}

__attribute__((format(printf, 4, 0))) static void verdict_set(
    struct smtp_verdict *v, enum outcome outcome, const char *status, const char *format, va_list arguments)
{
	*v = (struct smtp_verdict){.outcome = outcome};
	snprintf(v->status, sizeof v->status, "%s", status);
	vsnprintf(v->text, sizeof v->text, format, arguments);
}

void verdict_later(struct smtp_verdict *v, const char *status, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	verdict_set(v, OUTCOME_LATER, status, format, arguments);
	va_end(arguments);
}

void verdict_never(struct smtp_verdict *v, const char *status, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	verdict_set(v, OUTCOME_NEVER, status, format, arguments);
	va_end(arguments);
}
