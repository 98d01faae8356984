/*
 * Envelopes. What is read is written in a form that is read as the same: from there on it is stable. The first
 * octet says which form, and whether an item came before it.
 */
#include "queue/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool law)
{
	if (!law)
		abort();
}

static struct envelope_context context_before(uint8_t flags)
{
	struct envelope_context context = {.time = 0};

	if (flags & 2) {
		context.id = (struct id){.host = "village", .incarnation = 7, .sequence = 100};
		context.time = 1800000000;
	}
	return context;
}

static bool has_line_end(const char *text)
{
	return text != NULL && strpbrk(text, "\r\n") != NULL;
}

static void check_strings(const struct envelope *e)
{
	require(e->sender != NULL && e->recipient_count > 0 && e->id.host[0] != '\0');
	require(!has_line_end(e->sender) && !has_line_end(e->envid) && !has_line_end(e->neighbour));
	for (size_t i = 0; i < e->recipient_count; i++) {
		require(!has_line_end(e->recipients[i].address) && !has_line_end(e->recipients[i].orcpt));
		require(i == 0 || e->recipients[i].index > e->recipients[i - 1].index);
		require(envelope_recipient(e, e->recipients[i].index) == &e->recipients[i]);
	}
}

static void write_form(const struct envelope *e, uint8_t flags, struct buf *out, struct envelope_context *context)
{
	*context = context_before(flags);
	buf_init(out, LIMIT_ENVELOPE);
	envelope_write(e, flags & 1 ? ENVELOPE_ON_AIR : ENVELOPE_ON_DISK, context, out);
	require(!out->failed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct envelope e;
	struct envelope back;
	struct envelope_context context;
	struct envelope_context wrote;
	struct envelope_context rewrote;
	struct reader r;
	struct buf first;
	struct buf second;

	if (size == 0)
		return 0;
	context = context_before(data[0]);
	reader_init(&r, view_of(data + 1, size - 1));
	if (!envelope_read(&e, &context, &r))
		return 0;
	check_strings(&e);
	write_form(&e, data[0], &first, &wrote);
	require(id_equal(&wrote.id, &context.id) && wrote.time == context.time);
	context = context_before(data[0]);
	reader_init(&r, view_buf(&first));
	require(envelope_read(&back, &context, &r) && r.rest.length == 0);
	require(id_equal(&back.id, &e.id) && strcmp(back.sender, e.sender) == 0);
	require(back.recipient_count == e.recipient_count && back.hop_count == e.hop_count);
	write_form(&back, data[0], &second, &rewrote);
	require(view_equal(view_buf(&first), view_buf(&second)));
	buf_release(&first);
	buf_release(&second);
	envelope_release(&e);
	envelope_release(&back);
	return 0;
}
