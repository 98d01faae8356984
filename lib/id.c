#include "lib/id.h"

#include "lib/text.h"

void incarnation_print(uint32_t incarnation, char out[static INCARNATION_TEXT])
{
	uint8_t bytes[4] = {(uint8_t)(incarnation >> 24), (uint8_t)(incarnation >> 16), (uint8_t)(incarnation >> 8),
	    (uint8_t)incarnation};

	base32_print(bytes, sizeof bytes, out);
}

bool incarnation_parse(struct view text, uint32_t *incarnation)
{
	struct buf bytes;
	bool good;

	buf_init(&bytes, 4);
	good = text.length == INCARNATION_TEXT - 1 && base32_decode(text, &bytes) && bytes.length == 4;
	if (good)
		*incarnation = (uint32_t)bytes.bytes[0] << 24 | (uint32_t)bytes.bytes[1] << 16 |
			       (uint32_t)bytes.bytes[2] << 8 | bytes.bytes[3];
	buf_release(&bytes);
	return good;
}

void id_print(const struct id *id, char out[static LIMIT_ID])
{
	size_t length = strlen(id->host);

	/* Every message has it written several times: put together by hand. LIMIT_ID has room for the longest. */
	memcpy(out, id->host, length);
	out[length++] = '.';
	incarnation_print(id->incarnation, out + length);
	length += INCARNATION_TEXT - 1;
	out[length++] = '.';
	digits_print(id->sequence, out + length);
}

bool id_parse(struct view text, struct id *id)
{
	const uint8_t *dot = text.length == 0 ? NULL : memchr(text.bytes, '.', text.length);
	size_t name = dot == NULL ? 0 : (size_t)(dot - text.bytes);
	struct view number;

	*id = (struct id){.sequence = 0};
	if (dot == NULL || name > LIMIT_HOST_NAME || text.length < name + INCARNATION_TEXT + 2)
		return false;
	memcpy(id->host, text.bytes, name);
	if (strlen(id->host) != name || !host_name_valid(id->host) || text.bytes[name + INCARNATION_TEXT] != '.' ||
	    !incarnation_parse(view_of(dot + 1, INCARNATION_TEXT - 1), &id->incarnation))
		return false;
	number = view_from(text, name + INCARNATION_TEXT + 1);
	return number_parse(number, UINT64_MAX, &id->sequence) && (number.length == 1 || number.bytes[0] != '0');
}

bool id_equal(const struct id *a, const struct id *b)
{
	return a->sequence == b->sequence && a->incarnation == b->incarnation && strcmp(a->host, b->host) == 0;
}

bool id_set_host(struct id *id, const char *host)
{
	size_t length = strlen(host);

	if (!host_name_valid(host))
		return false;
	memcpy(id->host, host, length + 1);
	return true;
}

void id_label(const char *host, uint32_t incarnation, uint64_t sequence, char out[static LIMIT_ID])
{
	struct id id = {.incarnation = incarnation, .sequence = sequence};

	id_set_host(&id, host);
	id_print(&id, out);
}
