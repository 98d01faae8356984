#include "lib/error.h"

#include <errno.h>

enum outcome outcome_of_exit(int code)
{
	switch (code) {
	case EX_OK:
		return OUTCOME_DONE;
	case EX_OSERR:
	case EX_CANTCREAT:
	case EX_IOERR:
	case EX_TEMPFAIL:
	case EX_NOPERM:
	case EX_CONFIG:
		return OUTCOME_LATER;
	default:
		return OUTCOME_NEVER;
	}
}

int exit_of_errno(int errnum)
{
	switch (errnum) {
	case 0:
		return EX_OK;
	case EACCES:
	case EPERM:
		return EX_NOPERM;
	case ENOENT:
	case ENOTDIR:
		return EX_NOINPUT;
	case EEXIST:
		return EX_CANTCREAT;
	case ENAMETOOLONG:
	case EINVAL:
	case EILSEQ:
	case ELOOP:
		return EX_DATAERR;
	default:
		/* A full or read-only disk, a quota, an I/O error, no descriptors, a stale handle: all pass. */
		return EX_TEMPFAIL;
	}
}

enum outcome outcome_of_errno(int errnum)
{
	return outcome_of_exit(exit_of_errno(errnum));
}

const char *outcome_name(enum outcome outcome)
{
	static const char *const names[] = {"done", "later", "never"};

	return names[outcome];
}

__attribute__((format(printf, 2, 0))) static void error_vtext(
    struct error *err, const char *format, va_list arguments)
{
	vsnprintf(err->text, sizeof err->text, format, arguments);
}

enum outcome error_set(struct error *err, int code, const char *format, ...)
{
	va_list arguments;
	enum outcome outcome = outcome_of_exit(code);

	if (err == NULL)
		return outcome;
	va_start(arguments, format);
	error_vtext(err, format, arguments);
	va_end(arguments);
	err->outcome = outcome;
	err->code = code;
	return outcome;
}

enum outcome error_errno(struct error *err, int errnum, const char *format, ...)
{
	va_list arguments;
	size_t length;

	if (err == NULL)
		return outcome_of_errno(errnum);
	va_start(arguments, format);
	error_vtext(err, format, arguments);
	va_end(arguments);
	length = strlen(err->text);
	snprintf(err->text + length, sizeof err->text - length, ": %s", strerror(errnum));
	err->outcome = outcome_of_errno(errnum);
	err->code = exit_of_errno(errnum);
	return err->outcome;
}

enum outcome error_context(struct error *err, const char *format, ...)
{
	va_list arguments;
	char old[sizeof err->text];
	size_t length;

	if (err == NULL)
		return OUTCOME_LATER;
	memcpy(old, err->text, sizeof old);
	va_start(arguments, format);
	error_vtext(err, format, arguments);
	va_end(arguments);
	length = strlen(err->text);
	snprintf(err->text + length, sizeof err->text - length, ": %s", old);
	return err->outcome;
}
