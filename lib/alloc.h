/*
 * The one gate to the heap. When memory is exhausted the process says so and leaves with EX_TEMPFAIL (75):
 * sudden death at any point is an ordinary event for this program, so no caller handles a null pointer.
 */
#ifndef LIB_ALLOC_H
#define LIB_ALLOC_H

#include <stddef.h>

/* SIZE bytes, zeroed, from the heap; never null. Release with free(). */
void *mem_alloc(size_t size);
/* COUNT elements of SIZE bytes, zeroed; an overflowing product is out of memory. */
void *mem_array(size_t count, size_t size);
/* OLD grown or shrunk to COUNT elements of SIZE bytes; what is new is not zeroed. */
void *mem_resize(void *old, size_t count, size_t size);
/* A copy of the C string TEXT; null stays null. */
char *mem_string(const char *text);
/* A copy of LENGTH bytes with a NUL added. */
char *mem_copy(const void *bytes, size_t length);
/* A new formatted string. */
char *mem_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Makes room for one more element in an array that grows by doubling: *ITEMS holds *CAPACITY elements of SIZE
 * bytes, COUNT of them used.
 */
void *mem_grow(void *items, size_t count, size_t *capacity, size_t size);

#endif
