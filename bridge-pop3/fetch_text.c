#include "bridge-pop3/fetch_text.h"

#include "lib/clock.h"
#include "lib/text.h"
#include "queue/header.h"

/* What servers that keep mail in one file note in the header, and change. */
static bool is_bookkeeping(struct view name)
{
	static const char *const names[] = {
	    "Status", "X-Status", "X-UID", "X-UIDL", "X-Keywords", "X-IMAP", "X-IMAPbase", "Content-Length", "Lines"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (view_same(name, view_text(names[i])))
			return true;
	return false;
}

static void hash_section(crypto_generichash_state *hash, struct view section)
{
	struct view rest = section;
	struct view name;
	struct view body;

	while (header_next(&rest, &name, &body))
		if (!is_bookkeeping(name))
			crypto_generichash_update(hash, name.bytes, (size_t)(rest.bytes - name.bytes));
	/* The empty line, or what is no header at all. */
	crypto_generichash_update(hash, rest.bytes, rest.length);
}

void fetch_digest(struct view section, uint8_t digest[static FETCHED_DIGEST])
{
	crypto_generichash_state hash;

	crypto_generichash_init(&hash, NULL, 0, FETCHED_DIGEST);
	hash_section(&hash, section);
	crypto_generichash_final(&hash, digest, FETCHED_DIGEST);
}

static struct view look(void *context, struct view section)
{
	struct fetch_text *t = context;

	buf_view(&t->head, section);
	t->looked = true;
	hash_section(&t->hash, section);
	t->outcome = fetch_address_read(&t->address, t->config, t->box, t->mail, section, &t->err);
	return t->address.return_path;
}

void fetch_text_begin(struct fetch_text *t, const struct config *config, const struct config_fetch *box,
    const struct dir *mail, struct sink *below)
{
	struct text_author author = {.submitted = false, .now = clock_now()};

	*t = (struct fetch_text){.config = config, .box = box, .mail = mail};
	buf_init(&t->head, TEXT_HEAD_MAX);
	message_text_init(&t->text, below, &author);
	message_text_watch(&t->text, look, t);
	crypto_generichash_init(&t->hash, NULL, 0, sizeof t->digest);
}

static uint64_t line_ends(struct view bytes)
{
	const uint8_t *end = bytes.bytes + bytes.length;
	uint64_t count = 0;

	for (const uint8_t *at = bytes.bytes; at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++)
		count++;
	return count;
}

void fetch_text_add(struct fetch_text *t, struct view bytes)
{
	uint64_t before = t->octets;

	message_text_add(&t->text, bytes);
	t->octets += bytes.length;
	t->lines += line_ends(bytes);
	/* Of the piece in which the section ended, what stands behind it. */
	if (t->looked && t->octets > t->head.length) {
		size_t skip = before < t->head.length ? (size_t)(t->head.length - before) : 0;

		crypto_generichash_update(&t->hash, bytes.bytes + skip, bytes.length - skip);
	}
}

enum outcome fetch_text_end(struct fetch_text *t, struct error *err)
{
	enum outcome outcome = message_text_end(&t->text, err);

	crypto_generichash_final(&t->hash, t->digest, sizeof t->digest);
	if (outcome == OUTCOME_DONE && t->outcome != OUTCOME_DONE) {
		*err = t->err;
		outcome = t->outcome;
	}
	return outcome;
}

void fetch_text_release(struct fetch_text *t)
{
	message_text_release(&t->text);
	fetch_address_release(&t->address);
	buf_release(&t->head);
}
