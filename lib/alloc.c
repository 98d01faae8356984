#include "lib/alloc.h"

#include <stdarg.h>
#include <sysexits.h>

static _Noreturn void out_of_memory(void)
{
	static const char text[] = "packetboat: out of memory; nothing accepted so far is lost, try again later\n";
	ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);

	(void)ignored;
	_exit(EX_TEMPFAIL);
}

void *mem_alloc(size_t size)
{
	void *memory = calloc(1, size > 0 ? size : 1);

	if (memory == NULL)
		out_of_memory();
	return memory;
}

void *mem_array(size_t count, size_t size)
{
	void *memory = calloc(count > 0 ? count : 1, size > 0 ? size : 1);

	if (memory == NULL)
		out_of_memory();
	return memory;
}

void *mem_resize(void *old, size_t count, size_t size)
{
	size_t bytes;
	void *memory;

	if (__builtin_mul_overflow(count, size, &bytes))
		out_of_memory();
	memory = realloc(old, bytes > 0 ? bytes : 1);
	if (memory == NULL)
		out_of_memory();
	return memory;
}

char *mem_copy(const void *bytes, size_t length)
{
	char *copy = mem_alloc(length + 1);

	if (length > 0)
		memcpy(copy, bytes, length);
	return copy;
}

char *mem_string(const char *text)
{
	return text == NULL ? NULL : mem_copy(text, strlen(text));
}

char *mem_format(const char *format, ...)
{
	va_list arguments;
	char *text = NULL;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		out_of_memory();
	va_end(arguments);
	return text;
}

void *mem_grow(void *items, size_t count, size_t *capacity, size_t size)
{
	if (count < *capacity)
		return items;
	*capacity = *capacity == 0 ? 8 : *capacity * 2;
	return mem_resize(items, *capacity, size);
}
