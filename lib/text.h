/*
 * Text as mail needs it: ASCII case, UTF-8, numbers, durations, sizes, dates, and base32.
 * Nothing here depends on the locale.
 */
#ifndef LIB_TEXT_H
#define LIB_TEXT_H

#include <time.h>

#include "lib/buf.h"

/* Room for a printed date. */
#define DATE_TEXT 80

bool text_is_digit(uint8_t c);
bool text_is_alpha(uint8_t c); /* A-Z a-z */
uint8_t text_lower(uint8_t c); /* A-Z only */
/* Equality without regard to the case of A-Z. */
bool view_same(struct view a, struct view b);
bool text_same(const char *a, const char *b);
bool text_starts(const char *text, const char *prefix);
bool text_ends(const char *text, const char *suffix);
/* Makes A-Z of TEXT lower case, in place. */
void text_lower_all(char *text);
/* Length of the well-formed UTF-8 character at the start of V, and which it is; 0 when there is none. */
size_t utf8_next(struct view v, uint32_t *point);
/* Well-formed UTF-8 (RFC 3629: no surrogates, nothing overlong, nothing above U+10FFFF). */
bool utf8_valid(struct view v);
/* Does V hold an octet above 127? */
bool view_has_8bit(struct view v);
/* Does V hold a control character: below 32, DEL, or one of U+0080 to U+009F in UTF-8? */
bool text_has_control(struct view v);

/*
 * Appends what a stranger wrote so that a person, a log or a header can show it: well-formed UTF-8 without control
 * characters, what is neither being spelt "\xNN" octet by octet. At most MAXIMUM octets; the rest is cut off.
 */
void text_visible(struct view v, size_t maximum, struct buf *out);

/* The same for who reads ASCII only: octets above 127 are spelt too. */
void text_visible_ascii(struct view v, size_t maximum, struct buf *out);

/* A host name: 1 to LIMIT_HOST_NAME of a-z 0-9 and '-', beginning with a letter, not ending with '-'. */
bool host_name_valid(const char *name);

/* Decimal digits only, no sign, no space; false when not wholly a number or above MAXIMUM. */
bool number_parse(struct view v, uint64_t maximum, uint64_t *number);
/* "90", "90s", "15m", "4h", "3d", "2w": seconds. */
bool duration_parse(const char *text, uint64_t *seconds);
/* "2w", "3d", "4h", "15m", "7s": rounded down to one unit, for people. NUL-terminated into OUT. */
void duration_print(uint64_t seconds, char out[static 24]);
/* The same in the largest unit that leaves nothing over: what a person wrote comes back ("30d", not "4w"). */
void duration_print_exact(uint64_t seconds, char out[static 24]);
/* "512", "64k", "10M", "1G" (powers of 1024): bytes. */
bool size_parse(const char *text, uint64_t *bytes);
/* "512", "3k", "10M", for people. */
void size_print(uint64_t bytes, char out[static 24]);
/* Two sizes that differ, for a sentence that says so: in octets where size_print would say the same of both. */
void size_print_both(uint64_t a, char out_a[static 24], uint64_t b, char out_b[static 24]);

/* RFC 5322 3.3, in UTC: "Mon, 23 Nov 2026 02:51:19 +0000". */
void date_rfc5322(int64_t seconds, char out[static DATE_TEXT]);
/* RFC 3339, in UTC: "2026-11-23T02:51:19Z". */
void date_rfc3339(int64_t seconds, char out[static DATE_TEXT]);

/* Lower-case base32 (a-z 2-7), without padding: 5 bits a character, most significant first. */
void base32_encode(const uint8_t *bytes, size_t length, struct buf *out);
/* The same into OUT, which has room for the text and its NUL: a character for each 5 bits begun. */
void base32_print(const uint8_t *bytes, size_t length, char *out);
/* The reverse; false on a foreign character or on leftover bits that are not zero. */
bool base32_decode(struct view text, struct buf *out);

void hex_encode(const uint8_t *bytes, size_t length, struct buf *out);
bool hex_decode(struct view text, struct buf *out);

#endif
