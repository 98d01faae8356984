#include "lib/text.h"

#include "lib/limits.h"

bool text_is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

bool text_is_alpha(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

uint8_t text_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

bool view_same(struct view a, struct view b)
{
	if (a.length != b.length)
		return false;
	for (size_t i = 0; i < a.length; i++)
		if (text_lower(a.bytes[i]) != text_lower(b.bytes[i]))
			return false;
	return true;
}

bool text_same(const char *a, const char *b)
{
	return view_same(view_text(a), view_text(b));
}

bool text_starts(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool text_ends(const char *text, const char *suffix)
{
	size_t length = strlen(text);
	size_t tail = strlen(suffix);

	return length >= tail && strcmp(text + length - tail, suffix) == 0;
}

void text_lower_all(char *text)
{
	for (; *text != '\0'; text++)
		*text = (char)text_lower((uint8_t)*text);
}

/* Length of the well-formed UTF-8 sequence at the start of V, 0 when there is none. */
static size_t utf8_sequence(struct view v)
{
	static const struct {
		uint8_t first, last, low, high;
		size_t length;
	} forms[] = {
	    {0x00, 0x7f, 0, 0, 1},
	    {0xc2, 0xdf, 0x80, 0xbf, 2},
	    {0xe0, 0xe0, 0xa0, 0xbf, 3},
	    {0xe1, 0xec, 0x80, 0xbf, 3},
	    {0xed, 0xed, 0x80, 0x9f, 3},
	    {0xee, 0xef, 0x80, 0xbf, 3},
	    {0xf0, 0xf0, 0x90, 0xbf, 4},
	    {0xf1, 0xf3, 0x80, 0xbf, 4},
	    {0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
		if (v.bytes[0] < forms[i].first || v.bytes[0] > forms[i].last)
			continue;
		if (v.length < forms[i].length)
			return 0;
		if (forms[i].length > 1 && (v.bytes[1] < forms[i].low || v.bytes[1] > forms[i].high))
			return 0;
		for (size_t k = 2; k < forms[i].length; k++)
			if ((v.bytes[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].length;
	}
	return 0;
}

size_t utf8_next(struct view v, uint32_t *point)
{
	static const uint8_t lead_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	size_t length = v.length == 0 ? 0 : utf8_sequence(v);

	if (length == 0)
		return 0;
	*point = v.bytes[0] & lead_bits[length];
	for (size_t i = 1; i < length; i++)
		*point = *point << 6 | (v.bytes[i] & 0x3f);
	return length;
}

bool utf8_valid(struct view v)
{
	while (v.length > 0) {
		size_t step = utf8_sequence(v);

		if (step == 0)
			return false;
		v = view_from(v, step);
	}
	return true;
}

bool view_has_8bit(struct view v)
{
	for (size_t i = 0; i < v.length; i++)
		if (v.bytes[i] > 127)
			return true;
	return false;
}

void text_visible(struct view v, size_t maximum, struct buf *out)
{
	while (v.length > 0) {
		uint32_t point = 0;
		size_t step = utf8_next(v, &point);
		bool plain = step > 0 && point >= 0x20 && (point < 0x7f || point > 0x9f);
		size_t size = plain ? step : 4;

		if (size > maximum)
			return;
		maximum -= size;
		if (plain)
			buf_append(out, v.bytes, step);
		else
			buf_format(out, "\\x%02X", v.bytes[0]);
		v = view_from(v, plain ? step : 1);
	}
}

/* What needs no spelling goes at once: most of what is written is plain. */
void text_visible_ascii(struct view v, size_t maximum, struct buf *out)
{
	while (v.length > 0 && maximum > 0) {
		size_t run = 0;

		while (run < v.length && run < maximum && v.bytes[run] >= ' ' && v.bytes[run] <= '~')
			run++;
		buf_append(out, v.bytes, run);
		maximum -= run;
		v = view_from(v, run);
		if (v.length == 0 || maximum < 4)
			return;
		if (v.bytes[0] < ' ' || v.bytes[0] > '~') {
			buf_format(out, "\\x%02X", v.bytes[0]);
			maximum -= 4;
			v = view_from(v, 1);
		}
	}
}

bool text_has_control(struct view v)
{
	for (size_t i = 0; i < v.length; i++) {
		uint8_t c = v.bytes[i];

		if (c < 32 || c == 127)
			return true;
		if (c == 0xc2 && i + 1 < v.length && v.bytes[i + 1] >= 0x80 && v.bytes[i + 1] < 0xa0)
			return true;
	}
	return false;
}

bool host_name_valid(const char *name)
{
	size_t length = strlen(name);

	if (length == 0 || length > LIMIT_HOST_NAME || name[0] < 'a' || name[0] > 'z' || name[length - 1] == '-')
		return false;
	for (size_t i = 0; i < length; i++)
		if (!(name[i] >= 'a' && name[i] <= 'z') && !text_is_digit((uint8_t)name[i]) && name[i] != '-')
			return false;
	return true;
}

bool number_parse(struct view v, uint64_t maximum, uint64_t *number)
{
	uint64_t sum = 0;

	if (v.length == 0)
		return false;
	for (size_t i = 0; i < v.length; i++) {
		if (!text_is_digit(v.bytes[i]) || __builtin_mul_overflow(sum, 10, &sum) ||
		    __builtin_add_overflow(sum, (uint64_t)(v.bytes[i] - '0'), &sum))
			return false;
	}
	if (sum > maximum)
		return false;
	*number = sum;
	return true;
}

struct unit {
	char letter;
	uint64_t worth;
};

static const struct unit durations[] = {{'w', 604800}, {'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
static const struct unit sizes[] = {{'G', 1u << 30}, {'M', 1u << 20}, {'k', 1u << 10}};

static bool scaled_parse(const char *text, const struct unit *units, size_t count, uint64_t *number)
{
	struct view v = view_text(text);
	uint64_t worth = 1;

	for (size_t i = 0; i < count && v.length > 0; i++) {
		if (text_lower(v.bytes[v.length - 1]) == text_lower((uint8_t)units[i].letter)) {
			worth = units[i].worth;
			v.length--;
			break;
		}
	}
	return number_parse(v, UINT64_MAX / worth, number) && !__builtin_mul_overflow(*number, worth, number);
}

static void scaled_print(uint64_t number, const struct unit *units, size_t count, char out[static 24])
{
	for (size_t i = 0; i < count; i++) {
		if (number >= units[i].worth) {
			snprintf(out, 24, "%llu%c", (unsigned long long)(number / units[i].worth), units[i].letter);
			return;
		}
	}
	snprintf(out, 24, "%llu", (unsigned long long)number);
}

bool duration_parse(const char *text, uint64_t *seconds)
{
	return scaled_parse(text, durations, sizeof durations / sizeof durations[0], seconds);
}

void duration_print(uint64_t seconds, char out[static 24])
{
	if (seconds == 0)
		snprintf(out, 24, "0s");
	else
		scaled_print(seconds, durations, sizeof durations / sizeof durations[0], out);
}

void duration_print_exact(uint64_t seconds, char out[static 24])
{
	for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
		if (seconds >= durations[i].worth && seconds % durations[i].worth == 0) {
			snprintf(out, 24, "%llu%c", (unsigned long long)(seconds / durations[i].worth),
			    durations[i].letter);
			return;
		}
	}
	snprintf(out, 24, "0s");
}

bool size_parse(const char *text, uint64_t *bytes)
{
	return scaled_parse(text, sizes, sizeof sizes / sizeof sizes[0], bytes);
}

void size_print(uint64_t bytes, char out[static 24])
{
	scaled_print(bytes, sizes, sizeof sizes / sizeof sizes[0], out);
}

void size_print_both(uint64_t a, char out_a[static 24], uint64_t b, char out_b[static 24])
{
	size_print(a, out_a);
	size_print(b, out_b);
	if (a == b || strcmp(out_a, out_b) != 0)
		return;
	snprintf(out_a, 24, "%llu", (unsigned long long)a);
	snprintf(out_b, 24, "%llu", (unsigned long long)b);
}

static void broken_down(int64_t seconds, struct tm *parts)
{
	/* The forms have four digits for the year, from 1 to 9999: beyond it is told as its nearest end. */
	int64_t last = INT64_C(253402300799);
	int64_t first = INT64_C(-62135596800);
	time_t moment = (time_t)(seconds > last ? last : seconds < first ? first : seconds);

	if (gmtime_r(&moment, parts) == NULL) {
		moment = 0;
		gmtime_r(&moment, parts);
	}
}

void date_rfc5322(int64_t seconds, char out[static DATE_TEXT])
{
	/* strftime's names would follow the locale. */
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm parts;

	broken_down(seconds, &parts);
	snprintf(out, DATE_TEXT, "%.3s, %d %.3s %04d %02d:%02d:%02d +0000", days + 3 * parts.tm_wday, parts.tm_mday,
	    months + 3 * parts.tm_mon, parts.tm_year + 1900, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

static void put_two(char *out, int number)
{
	out[0] = (char)('0' + number / 10);
	out[1] = (char)('0' + number % 10);
}

void date_rfc3339(int64_t seconds, char out[static DATE_TEXT])
{
	struct tm parts;

	broken_down(seconds, &parts);
	/* One stands in every line of a log, so it is put together by hand. */
	memcpy(out, "YYYY-MM-DDThh:mm:ssZ", sizeof "YYYY-MM-DDThh:mm:ssZ");
	put_two(out, (parts.tm_year + 1900) / 100);
	put_two(out + 2, (parts.tm_year + 1900) % 100);
	put_two(out + 5, parts.tm_mon + 1);
	put_two(out + 8, parts.tm_mday);
	put_two(out + 11, parts.tm_hour);
	put_two(out + 14, parts.tm_min);
	put_two(out + 17, parts.tm_sec);
}

static const char base32_alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";

void base32_print(const uint8_t *bytes, size_t length, char *out)
{
	unsigned pending = 0;
	unsigned bits = 0;

	for (size_t i = 0; i < length; i++) {
		pending = (pending << 8 | bytes[i]) & 0xfff;
		for (bits += 8; bits >= 5; bits -= 5)
			*out++ = base32_alphabet[pending >> (bits - 5) & 31];
	}
	if (bits > 0)
		*out++ = base32_alphabet[pending << (5 - bits) & 31];
	*out = '\0';
}

void base32_encode(const uint8_t *bytes, size_t length, struct buf *out)
{
	char piece[9];

	/* Five octets are eight characters. */
	for (size_t at = 0; at < length; at += 5) {
		base32_print(bytes + at, length - at < 5 ? length - at : 5, piece);
		buf_text(out, piece);
	}
}

bool base32_decode(struct view text, struct buf *out)
{
	unsigned pending = 0;
	unsigned bits = 0;

	for (size_t i = 0; i < text.length; i++) {
		const char *place = text.bytes[i] == '\0' ? NULL : strchr(base32_alphabet, text.bytes[i]);

		if (place == NULL)
			return false;
		pending = (pending << 5 | (unsigned)(place - base32_alphabet)) & 0xfff;
		bits += 5;
		if (bits >= 8) {
			bits -= 8;
			buf_byte(out, (uint8_t)(pending >> bits));
		}
	}
	return bits < 5 && (pending & ((1u << bits) - 1)) == 0;
}

void hex_encode(const uint8_t *bytes, size_t length, struct buf *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < length; i++) {
		buf_byte(out, (uint8_t)digits[bytes[i] >> 4]);
		buf_byte(out, (uint8_t)digits[bytes[i] & 15]);
	}
}

bool hex_decode(struct view text, struct buf *out)
{
	static const char digits[] = "0123456789abcdef";

	if (text.length % 2 != 0)
		return false;
	for (size_t i = 0; i < text.length; i += 2) {
		const char *high = text.bytes[i] == '\0' ? NULL : strchr(digits, text.bytes[i]);
		const char *low = text.bytes[i + 1] == '\0' ? NULL : strchr(digits, text.bytes[i + 1]);

		if (high == NULL || low == NULL)
			return false;
		buf_byte(out, (uint8_t)((high - digits) << 4 | (low - digits)));
	}
	return true;
}
