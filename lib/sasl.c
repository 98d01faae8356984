#include "lib/sasl.h"

#include <sodium.h>

#include "lib/text.h"

bool sasl_decode(struct view text, struct buf *out)
{
	size_t length = 0;
	uint8_t *place;

	buf_wipe(out);
	place = buf_extend(out, text.length);
	if (place == NULL || sodium_base642bin(place, text.length, (const char *)text.bytes, text.length, NULL,
				 &length, NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
		return false;
	out->length = length;
	out->bytes[length] = '\0';
	return true;
}

enum sasl_claim sasl_judge(const struct buf *user, const struct buf *password)
{
	struct view name = view_buf(user);

	if (name.length == 0 || !utf8_valid(name) || text_has_control(name))
		return SASL_WRONG;
	if (password->length == 0 || memchr(password->bytes, '\0', password->length) != NULL)
		return SASL_WRONG;
	return SASL_CLAIM;
}

/* Splits WHOLE at its NULs; how many parts there are, of which three at most are set. */
static size_t split(struct view whole, struct view part[3])
{
	size_t parts = 1;

	part[0] = view_of(whole.bytes, 0);
	part[1] = part[2] = view_of(NULL, 0);
	for (size_t i = 0; i < whole.length && parts <= 3; i++) {
		if (whole.bytes[i] != '\0')
			part[parts - 1].length++;
		else if (parts++ < 3)
			part[parts - 1] = view_of(whole.bytes + i + 1, 0);
	}
	return parts;
}

enum sasl_claim sasl_plain(struct view text, struct buf *user, struct buf *password)
{
	enum sasl_claim claim;
	struct view part[3];
	struct buf whole;

	buf_init(&whole, SIZE_MAX);
	if (!sasl_decode(text, &whole)) {
		claim = SASL_NOT_BASE64;
	} else if (split(view_buf(&whole), part) != 3) {
		claim = SASL_MALFORMED;
	} else if (part[0].length > 0 && !view_equal(part[0], part[1])) {
		claim = SASL_FOR_ANOTHER;
	} else {
		buf_view(user, part[1]);
		buf_view(password, part[2]);
		claim = sasl_judge(user, password);
	}
	buf_wipe(&whole);
	return claim;
}

void sasl_encode(struct view bytes, struct buf *out)
{
	size_t size = sodium_base64_encoded_len(bytes.length, sodium_base64_VARIANT_ORIGINAL); /* with its NUL */
	uint8_t *place = buf_extend(out, size);

	if (place == NULL)
		return;
	sodium_bin2base64((char *)place, size, bytes.bytes, bytes.length, sodium_base64_VARIANT_ORIGINAL);
	out->length--;
}

void sasl_plain_make(const char *user, const char *password, struct buf *out)
{
	struct buf plain;

	buf_init(&plain, SIZE_MAX);
	buf_byte(&plain, '\0');
	buf_text(&plain, user);
	buf_byte(&plain, '\0');
	buf_text(&plain, password == NULL ? "" : password);
	sasl_encode(view_buf(&plain), out);
	buf_wipe(&plain);
	buf_release(&plain);
}
