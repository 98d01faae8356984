/*
 * Laws: nothing crashes; what is accepted reassembles from its parts; the rest of a bang path can be parsed
 * again; a path is what its inside is; a list yields nothing that is no address.
 */
#include "lib/text.h"
#include "queue/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool law)
{
	if (!law)
		abort();
}

static void held_to_its_parts(const struct address *a, struct view text)
{
	struct buf whole;

	buf_init(&whole, text.length);
	if (a->kind == ADDRESS_BANG) {
		struct address rest;

		buf_view(&whole, a->first);
		buf_byte(&whole, '!');
		buf_view(&whole, a->rest);
		demand(address_parse(&rest, a->rest, NULL) == OUTCOME_DONE && rest.domain.length == 0);
	} else {
		buf_view(&whole, a->local);
	}
	if (a->domain.length > 0) {
		buf_byte(&whole, '@');
		buf_view(&whole, a->domain);
	}
	demand(!whole.failed && view_equal(view_buf(&whole), text));
	demand(!text_has_control(text) && utf8_valid(text) && a->utf8 == view_has_8bit(text));
	demand(address_equal(a, a));
	buf_release(&whole);
}

static void same_as_path(const struct address *a, struct view text)
{
	struct address path;
	struct buf angle;

	buf_init(&angle, text.length + 2);
	buf_byte(&angle, '<');
	buf_view(&angle, text);
	buf_byte(&angle, '>');
	demand(address_parse_path(&path, view_buf(&angle), NULL) == OUTCOME_DONE && path.kind == a->kind);
	demand(address_equal(a, &path));
	buf_release(&angle);
}

static void listed(void *context, struct view text)
{
	struct address a;

	(void)context;
	demand(address_parse(&a, text, NULL) == OUTCOME_DONE && a.kind != ADDRESS_NULL);
	held_to_its_parts(&a, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view text = view_of(data, size);
	struct address a;
	struct error err = ERROR_NONE;

	if (address_parse(&a, text, &err) == OUTCOME_DONE) {
		held_to_its_parts(&a, text);
		same_as_path(&a, text);
	} else {
		demand(err.code == EX_DATAERR && utf8_valid(view_text(err.text)) &&
		       !text_has_control(view_text(err.text)));
	}
	if (address_parse_path(&a, text, &err) == OUTCOME_DONE && a.kind != ADDRESS_NULL)
		demand(a.local.length > 0);
	if (address_list(text, listed, NULL, &err) != OUTCOME_DONE)
		demand(err.code == EX_DATAERR && utf8_valid(view_text(err.text)) &&
		       !text_has_control(view_text(err.text)));
	return 0;
}
